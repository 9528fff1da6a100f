"""Columns of values to Arrow and back: which types are taken as inputs, and how outputs are written."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from bighead.errors import InvalidInput
from bighead.inference.datatypes import Array
from bighead.inference.signature import Column, Value, checked_tensor, fits

_OUTPUTS = {"b": pa.bool_(), "i": pa.int64(), "u": pa.int64(), "f": pa.float64(), "O": pa.string()}


def check_type(field: pa.Field) -> None:
    """Refuses a column whose values are no booleans, numbers or texts."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    checks = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_string)
    if not any(check(kind) for check in (*checks, pa.types.is_large_string, pa.types.is_null)):
        raise InvalidInput(
            f"column {field.name[:60]!r}: received Arrow type {str(field.type)[:60]}; expected booleans, integers, "
            "floating-point numbers or strings"
        )


def tensor_of_column(column: Column, values: pa.ChunkedArray | pa.Array) -> Array:
    """The tensor that `checked_tensor` makes of the values, without a Python object for each where that gives the same.

    Raises InvalidInput for a value that does not fit.
    """
    quick = _quick(column, values) if column.scalar else None
    if quick is None:
        return checked_tensor(column, values.to_pylist())
    with np.errstate(over="ignore"):
        tensor: Array = quick.astype(column.dtype, copy=False).reshape((-1, *column.shape[1:]))
    return tensor


def _quick(column: Column, values: pa.ChunkedArray | pa.Array) -> Any:
    """The values as a numpy array; None where they have to be looked at one by one."""
    kind, found = column.dtype.kind, values.type
    feature = column.source == "feature"
    if kind == "f" and pa.types.is_floating(found):
        numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)  # nulls are NaN
        return numbers if feature or fits(column, numbers) else None
    if kind in "iu" and pa.types.is_integer(found) and (feature or not values.null_count):
        try:
            return values.fill_null(0).cast(pa.from_numpy_dtype(column.dtype)).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:  # out of range
            return None
    if kind == "b" and pa.types.is_boolean(found) and (feature or not values.null_count):
        return values.fill_null(False).to_numpy(zero_copy_only=False)
    if kind == "O" and (pa.types.is_string(found) or pa.types.is_large_string(found)):
        return values.fill_null("").to_numpy(zero_copy_only=False)
    return None


def output_types(outputs: Sequence[Column]) -> dict[str, pa.DataType]:
    """Names and types of the columns that outputs become; UINT64 is `uint64` where a value needs it."""
    found: dict[str, pa.DataType] = {}
    for column in outputs:
        if min(column.shape[1:], default=0) < 0:
            raise InvalidInput(f"output {column.name!r} is {column}: how many columns it becomes is not known before")
        found |= dict.fromkeys(column.names(math.prod(column.shape[1:])), _OUTPUTS[column.dtype.kind])
    return found


def batch_of(columns: Mapping[str, Sequence[Any]]) -> pa.RecordBatch:
    """Columns of at least one value each, all of a column of one type."""
    return pa.RecordBatch.from_arrays([_array(values) for values in columns.values()], names=list(columns))


def plain(value: Value) -> Value:
    """A value of an output as text, number or truth."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _array(values: Sequence[Any]) -> pa.Array:
    """What `pa.array` makes of values of one type; it would import pandas first, where that is installed."""
    if isinstance(values[0], str):
        texts = [value.encode() for value in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        return pa.Array.from_buffers(
            pa.string(), len(values), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
        )
    large = type(values[0]) is int and max(values) >= 1 << 63
    array = np.array(values, dtype=np.uint64 if large else None)
    held = np.packbits(array, bitorder="little") if array.dtype == np.bool_ else array
    return pa.Array.from_buffers(pa.from_numpy_dtype(array.dtype), len(values), [None, pa.py_buffer(held)])
