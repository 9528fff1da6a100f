"""Values of features as Arrow columns: the type of each kind, and Python values in and out. Pure."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from bighead.features.types import ValueType

_SCALARS: dict[ValueType, pa.DataType] = {
    ValueType.BOOLEAN: pa.bool_(),
    ValueType.LONG: pa.int64(),
    ValueType.DOUBLE: pa.float64(),
    ValueType.STRING: pa.string(),
    ValueType.BYTES: pa.binary(),
}


def _arrow_type(kind: ValueType) -> pa.DataType:
    if kind.is_list:
        return pa.list_(_arrow_type(kind.element))
    return pa.map_(pa.string(), _arrow_type(kind.element)) if kind.is_map else _SCALARS[kind]


ARROW_TYPES: dict[ValueType, pa.DataType] = {kind: _arrow_type(kind) for kind in ValueType}


def arrow_column(values: Sequence[Any], kind: ValueType) -> pa.Array:
    """A column of Python values, None for null; maps are dicts."""
    return pa.array([_paired(value) for value in values] if kind.is_map else values, ARROW_TYPES[kind])


def python_values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """The inverse of `arrow_column`."""
    return list(column.to_pylist(maps_as_pydicts="strict"))


def python_rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table; maps are dicts."""
    return list(table.to_pylist(maps_as_pydicts="strict"))


def _paired(value: Any) -> Any:
    """A map as pairs, as Arrow takes it."""
    return [(key, _paired(one)) for key, one in value.items()] if isinstance(value, dict) else value
