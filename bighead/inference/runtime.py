"""ONNX Runtime, imported so that it reports nothing to anybody."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when the library is imported
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

__all__ = ["ort", "ort_state"]
