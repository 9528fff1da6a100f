"""The types of feature inputs, keys and values, and how Avro fields map to them.

Pure. Four types are enough for every column that a definition may read.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeAlias

from bighead.errors import DefinitionError

Scalar: TypeAlias = bool | int | float | str
"""One non-null value of a column."""


class ValueType(StrEnum):
    """The type of a column: 64-bit integer, 64-bit float, text or truth value."""

    BOOLEAN = "boolean"
    LONG = "long"
    DOUBLE = "double"
    STRING = "string"


_AVRO = {
    "boolean": ValueType.BOOLEAN,
    "int": ValueType.LONG,
    "long": ValueType.LONG,
    "float": ValueType.DOUBLE,
    "double": ValueType.DOUBLE,
    "string": ValueType.STRING,
    "enum": ValueType.STRING,
}


def columns_of(schema: Mapping[str, Any]) -> dict[str, ValueType]:
    """The columns that a definition may read from an Avro record: those of a scalar type, nullable or not.

    Fields of other types (bytes, arrays, maps, records) are left out; naming one is an unknown column.
    """
    if schema.get("type") != "record":
        raise DefinitionError(f"a source must be an Avro record; received a schema of type {schema.get('type')!r}")
    found = {field["name"]: _scalar(field["type"]) for field in schema["fields"]}
    return {name: kind for name, kind in found.items() if kind is not None}


def clean(value: Any) -> Any:
    """A value as features see it: NaN and infinities count as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value + 0.0 if isinstance(value, float) else value  # -0.0 is 0.0, as engines disagree on its order


def _scalar(avro: Any) -> ValueType | None:
    if isinstance(avro, list):
        branches = [branch for branch in avro if branch != "null"]
        return _scalar(branches[0]) if len(branches) == 1 else None
    if isinstance(avro, Mapping):
        return _scalar(avro["type"])
    return _AVRO.get(avro)
