"""The types of feature inputs, keys and values, and how Avro fields map to them.

Pure. Scalars are inputs, keys and results; lists and maps of them are inputs and results; bytes are packed states.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeAlias

from bighead.errors import DefinitionError, InvalidInput

Scalar: TypeAlias = bool | int | float | str
"""One non-null value of a column."""


class ValueType(StrEnum):
    """The type of a column: 64-bit integer or float, text, truth value, lists of those, and maps from text."""

    BOOLEAN = "boolean"
    LONG = "long"
    DOUBLE = "double"
    STRING = "string"
    BYTES = "bytes"
    LIST_BOOLEAN = "array<boolean>"
    LIST_LONG = "array<long>"
    LIST_DOUBLE = "array<double>"
    LIST_STRING = "array<string>"
    MAP_BOOLEAN = "map<boolean>"
    MAP_LONG = "map<long>"
    MAP_DOUBLE = "map<double>"
    MAP_STRING = "map<string>"
    MAP_LIST_BOOLEAN = "map<array<boolean>>"
    MAP_LIST_LONG = "map<array<long>>"
    MAP_LIST_DOUBLE = "map<array<double>>"
    MAP_LIST_STRING = "map<array<string>>"
    MAP_MAP_LONG = "map<map<long>>"

    @property
    def is_list(self) -> bool:
        """Whether values are lists."""
        return self.value.startswith("array<")

    @property
    def is_map(self) -> bool:
        """Whether values are maps from text."""
        return self.value.startswith("map<")

    @property
    def is_scalar(self) -> bool:
        """Whether values are single ones."""
        return self in SCALARS

    @property
    def element(self) -> "ValueType":
        """The type of the elements of a list, of the values of a map, or of a scalar itself."""
        return ValueType(self.value.partition("<")[2][:-1]) if self.is_list or self.is_map else self


SCALARS = frozenset({ValueType.BOOLEAN, ValueType.LONG, ValueType.DOUBLE, ValueType.STRING})
NUMBERS = frozenset({ValueType.LONG, ValueType.DOUBLE})
COLLECTIONS = frozenset({kind for kind in ValueType if kind not in SCALARS and kind is not ValueType.BYTES})

_AVRO = {
    "boolean": ValueType.BOOLEAN,
    "int": ValueType.LONG,
    "long": ValueType.LONG,
    "float": ValueType.DOUBLE,
    "double": ValueType.DOUBLE,
    "string": ValueType.STRING,
    "enum": ValueType.STRING,
}


def list_of(kind: ValueType) -> ValueType:
    """The type of lists of `kind`."""
    return ValueType(f"array<{kind}>")


def map_of(kind: ValueType) -> ValueType:
    """The type of maps from text to `kind`."""
    return ValueType(f"map<{kind}>")


def columns_of(schema: Mapping[str, Any]) -> dict[str, ValueType]:
    """The columns that a definition may read from an Avro record: scalars and arrays and maps of them, nullable or not.

    Fields of other types (bytes, records, nested collections) are left out; naming one is an unknown column.
    """
    if schema.get("type") != "record":
        raise DefinitionError(f"a source must be an Avro record; received a schema of type {schema.get('type')!r}")
    found = {field["name"]: _kind(field["type"]) for field in schema["fields"]}
    return {name: kind for name, kind in found.items() if kind is not None}


def clean(value: Any) -> Any:
    """A value as features see it: NaN and infinities count as null, in lists and maps too."""
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) else None  # -0.0 is 0.0, as engines disagree on its order
    if isinstance(value, list | tuple):
        return [clean(one) for one in value]
    if isinstance(value, dict):
        return {key: clean(one) for key, one in value.items()}
    return value


def text_of(value: Scalar) -> str:
    """A value as the key of a map: text as it is, truth in lower case, numbers in decimal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def value_of(name: str, text: str, kind: ValueType) -> Scalar:
    """The inverse of `text_of`; raises InvalidInput naming the column where the text is none of its type."""
    try:
        match kind:
            case ValueType.LONG:
                return int(text)
            case ValueType.DOUBLE:
                return float(text)
            case ValueType.BOOLEAN:
                return {"true": True, "false": False}[text]
            case _:
                return text
    except (ValueError, KeyError):
        raise InvalidInput(f"{name!r} is {kind}; received {text!r}") from None


def avro_type(kind: ValueType) -> Any:
    """The Avro type of non-null values of `kind`."""
    if kind.is_list:
        return {"type": "array", "items": avro_type(kind.element)}
    if kind.is_map:
        return {"type": "map", "values": avro_type(kind.element)}
    return str(kind)


def _kind(avro: Any) -> ValueType | None:
    if isinstance(avro, list):
        branches = [branch for branch in avro if branch != "null"]
        return _kind(branches[0]) if len(branches) == 1 else None
    if not isinstance(avro, Mapping):
        return _AVRO.get(avro)
    wrap = {"array": ("items", list_of), "map": ("values", map_of)}.get(avro["type"])
    if wrap is None:
        return _kind(avro["type"])
    element = _kind(avro[wrap[0]])
    return wrap[1](element) if element is not None and element.is_scalar else None
