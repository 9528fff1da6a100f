"""Conversions to ONNX of our own, where skl2onnx's rounds to single precision or has none."""
