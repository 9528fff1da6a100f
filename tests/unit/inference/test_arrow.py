"""Columns of Arrow become the tensors, and meet the refusals, that their values would meet one by one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bighead.errors import InvalidInput
from bighead.inference.arrow import tensor_of_column
from bighead.inference.datatypes import DTYPES, Array
from bighead.inference.signature import Column, checked_tensor

VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.bool_(): st.booleans(),
    pa.int8(): st.integers(-128, 127),
    pa.int64(): st.integers(-(1 << 63), (1 << 63) - 1),
    pa.uint64(): st.integers(0, (1 << 64) - 1),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.string(): st.text(max_size=4),
    pa.large_string(): st.text(max_size=4),
    pa.dictionary(pa.int32(), pa.string()): st.text(max_size=4),
}


@st.composite
def columns(draw: st.DrawFn) -> pa.ChunkedArray:
    """A column of one or two chunks, nulls among its values perhaps."""
    kind = draw(st.sampled_from(list(VALUES)))
    values = VALUES[kind] if draw(st.booleans()) else st.one_of(st.none(), VALUES[kind])
    chunks = draw(st.lists(st.lists(values, max_size=12), min_size=1, max_size=2))
    return pa.chunked_array([pa.array(chunk, kind) for chunk in chunks], kind)


def outcome(make: Callable[[], Array]) -> tuple[object, ...]:
    try:
        array = make()
    except InvalidInput as error:
        return (str(error),)
    return (array.dtype, array.shape, repr(array.tolist()))


@settings(max_examples=400, deadline=None)
@given(
    datatype=st.sampled_from(list(DTYPES)),
    source=st.sampled_from(["feature", "request"]),
    shape=st.sampled_from([(-1,), (-1, 1)]),
    column=columns(),
)
@example("FP32", "request", (-1, 1), pa.chunked_array([[1e39]]))
@example("FP32", "feature", (-1, 1), pa.chunked_array([[1e39]]))
@example("FP16", "request", (-1,), pa.chunked_array([[65519.0, np.inf, None]]))
@example("INT8", "feature", (-1,), pa.chunked_array([[127, None]]))
@example("INT8", "request", (-1,), pa.chunked_array([[128]]))
@example("FP32", "request", (-1,), pa.chunked_array([[(1 << 54) + (1 << 30) + 1]]))
def test_a_column_is_what_its_values_are(
    datatype: str, source: str, shape: tuple[int, ...], column: pa.ChunkedArray
) -> None:
    wanted = Column("x", datatype, shape, source)
    one_by_one = outcome(lambda: checked_tensor(wanted, column.to_pylist()))
    assert outcome(lambda: tensor_of_column(wanted, column)) == one_by_one
    whole = column.combine_chunks()  # as a record batch has it
    assert outcome(lambda: tensor_of_column(wanted, whole)) == one_by_one
