"""scikit-learn pipelines as proven ONNX models: conversion, parity, golden rows, the registry's record."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the first import of onnxruntime

from bighead.pipeline.export import export
from bighead.pipeline.parity import Parity, ProvenModel, prove
from bighead.pipeline.record import model_record, save
from bighead.pipeline.splits import RandomSplitWarning, Split, at_random, by_time
from bighead.pipeline.tensors import feature, request
from bighead.pipeline.training_set import ColumnSource, Task, TrainingSet
from bighead.pipeline.wrapped import FittedPipeline, Pipeline

__all__ = [
    "ColumnSource",
    "FittedPipeline",
    "Parity",
    "Pipeline",
    "ProvenModel",
    "RandomSplitWarning",
    "Split",
    "Task",
    "TrainingSet",
    "at_random",
    "by_time",
    "export",
    "feature",
    "model_record",
    "prove",
    "request",
    "save",
]
