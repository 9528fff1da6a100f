"""Tensors survive the way over the wire in each form, and what is no tensor is named."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bighead.client.proto.inference_pb2 import InferTensorContents
from bighead.errors import InvalidInput
from bighead.inference.datatypes import DTYPES, Array
from serving.tensors import CONTENTS, from_contents, from_json, from_raw, to_contents, to_raw

TEXTS = ["", "a", "UA", "é", "日本", "\0", "x" * 300]


@st.composite
def arrays(draw: st.DrawFn, datatype: str) -> Array:
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    size = int(np.prod(shape, dtype=int))
    if datatype == "BYTES":
        array = np.empty(size, dtype=object)
        array[:] = [draw(st.sampled_from(TEXTS)) for _ in range(size)]
        return array.reshape(shape)
    raw = draw(st.binary(min_size=size * 8, max_size=size * 8))
    dtype = DTYPES[datatype]
    if datatype == "BOOL":
        truths: Array = (np.frombuffer(raw[:size], dtype=np.uint8) % 2 == 1).reshape(shape)
        return truths
    return np.frombuffer(raw[: size * dtype.itemsize], dtype=dtype).reshape(shape)


@given(st.data(), st.sampled_from(sorted(DTYPES)))
def test_raw_contents_come_back_bit_for_bit(data: st.DataObject, datatype: str) -> None:
    array = data.draw(arrays(datatype))
    back = from_raw("x", datatype, array.shape, to_raw(array))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert to_raw(back) == to_raw(array)


@given(st.data(), st.sampled_from(sorted(CONTENTS)))
def test_typed_contents_come_back(data: st.DataObject, datatype: str) -> None:
    array = data.draw(arrays(datatype))
    sent = InferTensorContents.FromString(to_contents(array).SerializeToString())
    back = from_contents("x", datatype, array.shape, sent)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array, equal_nan=datatype.startswith("FP"))


@given(st.data(), st.sampled_from(["INT64", "BOOL", "BYTES", "FP64"]))
def test_json_comes_back_nested_and_flat(data: st.DataObject, datatype: str) -> None:
    array = data.draw(arrays(datatype))
    for sent in (array.tolist(), array.ravel().tolist()):
        back = from_json("x", datatype, array.shape, sent)
        assert np.array_equal(back, array, equal_nan=datatype == "FP64")


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "expected"),
    [
        ("FP32", [2], b"1234", "received 4 raw bytes; expected 8"),
        ("FP32", [-1], b"", "every dimension must be 0 or more"),
        ("FP32", [1 << 40, 1 << 40], b"", "received 0 raw bytes"),
        ("INT8", [0, 1 << 62, 1 << 62], b"", "received shape"),
        ("INT8", [1] * 80, b"1", "received 80 dimensions"),
        ("INT8", [1 << 62] * 1_000_000, b"1", "received 1000000 dimensions"),
        ("BF16", [1], b"12", "send FP32"),
        ("FLOAT", [1], b"1234", "received datatype 'FLOAT'; expected one of BOOL"),
        ("BYTES", [1], b"\x05\0\0\0ab", "truncated at byte 6"),
        ("BYTES", [1], b"\x05\0", "truncated"),
        ("BYTES", [2], b"\x01\0\0\0a", "received 1 values; expected 2"),
        ("BYTES", [1], b"\x01\0\0\0\xff", "expected UTF-8"),
        ("BYTES", [1], b"\0" * 400, "its 1 values end at 4"),
    ],
)
def test_raw_contents_that_are_no_tensor_are_named(datatype: str, shape: list[int], raw: bytes, expected: str) -> None:
    with pytest.raises(InvalidInput, match="input 'x'") as refused:
        from_raw("x", datatype, shape, raw)
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("datatype", "contents", "expected"),
    [
        ("FP32", {"fp64_contents": [1.0]}, "received fp64_contents; expected fp32_contents"),
        ("FP32", {"fp32_contents": [1.0, 2.0]}, "received 2 values; expected 1"),
        ("FP32", {}, "received 0 values"),
        ("UINT8", {"uint_contents": [256]}, "does not fit UINT8"),
        ("INT8", {"int_contents": [-129]}, "does not fit INT8"),
        ("FP16", {"fp32_contents": [1.0]}, "send it in raw_input_contents"),
        ("BYTES", {"bytes_contents": [b"\xff"]}, "expected UTF-8"),
    ],
)
def test_typed_contents_that_are_no_tensor_are_named(datatype: str, contents: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidInput, match="input 'x'") as refused:
        from_contents("x", datatype, [1], InferTensorContents(**contents))
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("datatype", "data", "expected"),
    [
        ("INT64", [1.5], "received the value 1.5; expected INT64"),
        ("INT64", [True], "received the value True"),
        ("INT64", [1 << 63], "does not fit INT64"),
        ("FP32", ["1"], "received the value '1'"),
        ("FP32", [None], "received the value None"),
        ("FP64", [10**400], "does not fit FP64"),
        ("FP32", [1e300], "does not fit FP32"),
        ("BOOL", [1], "received the value 1"),
        ("BYTES", [1], "expected BYTES, a string"),
        ("BYTES", [{"a": 1}], "expected BYTES, a string"),
        ("FP32", [1, 2], "received 2 values"),
    ],
)
def test_json_that_is_no_tensor_is_named(datatype: str, data: list[Any], expected: str) -> None:
    with pytest.raises(InvalidInput, match="input 'x'") as refused:
        from_json("x", datatype, [1], data)
    assert expected in str(refused.value)
