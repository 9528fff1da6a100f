"""What an operation is: the columns of its state, and how states are updated, merged and answered.

Pure. A state is a flat tuple whose first column `n` counts the non-null inputs. Columns are primitive, or packed: held
as a Python value (never changed in place) and written as portable bytes, Avro or Apache DataSketches.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import fastavro

from bighead.features.types import ValueType

State: TypeAlias = tuple[Any, ...]
Order: TypeAlias = tuple[int, int, int, int]
"""(time_ms, partition, offset, index) of an input; the index counts the elements of one event's list."""
Args: TypeAlias = Mapping[str, Any]
Update: TypeAlias = Callable[[State, Any, Order], State]
Extend: TypeAlias = Callable[[State, Sequence[Any], Sequence[Order]], State]


@dataclass(frozen=True)
class StateColumn:
    """One column of a state. `pack` and `unpack` turn a held value to bytes and back, for a column of bytes."""

    name: str
    kind: ValueType
    zero: Any
    pack: Callable[[Any], bytes] | None = None
    unpack: Callable[[bytes], Any] | None = None


@dataclass(frozen=True)
class Operation:
    """An operation on inputs of one type with its arguments.

    `update` and `extend` take non-null inputs; a sum that leaves 64 bits raises OverflowError. `delete` takes back an
    input, where the operation can. `answer` is None for no inputs, and for a number that does not fit in a double.
    """

    columns: tuple[StateColumn, ...]
    result: ValueType
    update: Update
    merge: Callable[[State, State], State]
    answer: Callable[[State], Any]
    extend: Extend
    delete: Update | None = None

    @property
    def empty(self) -> State:
        """The state of no events; the identity of `merge`."""
        return tuple(column.zero for column in self.columns)


COUNTED = StateColumn("n", ValueType.LONG, 0)
_ZERO: dict[ValueType, Any] = {
    ValueType.BOOLEAN: False,
    ValueType.LONG: 0,
    ValueType.DOUBLE: 0.0,
    ValueType.STRING: "",
}


def primitive(name: str, kind: ValueType) -> StateColumn:
    """A column that is its own bytes."""
    return StateColumn(name, kind, _ZERO[kind])


def one_by_one(update: Update) -> Extend:
    """The `extend` that calls `update` for each input."""

    def extend(state: State, values: Sequence[Any], orders: Sequence[Order]) -> State:
        for value, order in zip(values, orders, strict=True):
            state = update(state, value, order)
        return state

    return extend


class AvroPacker:
    """Packs a held value as one Avro datum; `freeze` makes what was read the held value again."""

    def __init__(self, schema: Any, thaw: Callable[[Any], Any], freeze: Callable[[Any], Any]) -> None:
        self._schema = fastavro.parse_schema(schema)
        self._thaw, self._freeze = thaw, freeze

    def pack(self, value: Any) -> bytes:
        """The held value to bytes."""
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, self._schema, self._thaw(value))
        return buffer.getvalue()

    def unpack(self, data: bytes) -> Any:
        """Bytes to the held value."""
        return self._freeze(fastavro.schemaless_reader(io.BytesIO(data), self._schema, None))

    def column(self, name: str, zero: Any) -> StateColumn:
        """The packed column."""
        return StateColumn(name, ValueType.BYTES, zero, self.pack, self.unpack)


def packed(columns: Sequence[StateColumn], state: State) -> State:
    """A state as it is written: held values to bytes."""
    return tuple(column.pack(value) if column.pack else value for column, value in zip(columns, state, strict=True))


def unpacked(columns: Sequence[StateColumn], row: State) -> State:
    """The inverse of `packed`."""
    return tuple(column.unpack(value) if column.unpack else value for column, value in zip(columns, row, strict=True))
