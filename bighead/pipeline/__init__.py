"""scikit-learn pipelines as proven ONNX models: conversion, parity, golden rows, the registry's record."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the first import of onnxruntime

from bighead.pipeline.export import export
from bighead.pipeline.parity import Parity, ProvenModel, prove
from bighead.pipeline.record import model_record, save
from bighead.pipeline.tensors import feature, request

__all__ = ["Parity", "ProvenModel", "export", "feature", "model_record", "prove", "request", "save"]
