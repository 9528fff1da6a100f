"""The operations: one row each, from which every engine, name and document is derived.

Pure. An operation's state is a flat tuple of primitive columns, so that the same state is an Avro record, a row of a
Delta table, a set of numpy arrays or a SQL struct. `n`, the number of non-null inputs, always comes first.
Order is (time_ms, partition, offset), which makes LAST independent of arrival.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from bighead.errors import DefinitionError
from bighead.features.types import ValueType

State: TypeAlias = tuple[Any, ...]
Order: TypeAlias = tuple[int, int, int]
"""(time_ms, partition, offset) of an event."""


class Op(StrEnum):
    """The name of an operation, as used in definitions and, in lower case, in feature names."""

    COUNT = "COUNT"
    SUM = "SUM"
    AVERAGE = "AVERAGE"
    MIN = "MIN"
    MAX = "MAX"
    LAST = "LAST"


@dataclass(frozen=True)
class Operation:
    """How one operation accumulates, merges and answers.

    `columns` gives the state's columns after `n` for an input type; `update` takes a non-null value.
    """

    inputs: frozenset[ValueType]
    columns: Callable[[ValueType], tuple[tuple[str, ValueType], ...]]
    result: Callable[[ValueType], ValueType]
    update: Callable[[State, Any, Order], State]
    merge: Callable[[State, State], State]
    finalize: Callable[[State], Any]

    def state_columns(self, kind: ValueType) -> tuple[tuple[str, ValueType], ...]:
        """The state's columns, in order, with their types."""
        return (("n", ValueType.LONG), *self.columns(kind))

    def empty(self, kind: ValueType) -> State:
        """The state of no events; the identity of `merge`."""
        return (0, *(_ZERO[column] for _, column in self.columns(kind)))


_ZERO: dict[ValueType, Any] = {
    ValueType.BOOLEAN: False,
    ValueType.LONG: 0,
    ValueType.DOUBLE: 0.0,
    ValueType.STRING: "",
}
_ANY = frozenset(ValueType)
_NUMBERS = frozenset({ValueType.LONG, ValueType.DOUBLE})
_ORDERED = _NUMBERS | {ValueType.STRING}


def _add(left: State, right: State) -> State:
    return (left[0] + right[0], left[1] + right[1])


def _choose(better: Callable[[State, State], bool]) -> Callable[[State, State], State]:
    """Merges by keeping the tail of the better state; an empty state (n = 0) never wins."""

    def merge(left: State, right: State) -> State:
        if not left[0]:
            return right
        if not right[0]:
            return left
        winner = right if better(right, left) else left
        return (left[0] + right[0], *winner[1:])

    return merge


def _value(kind: ValueType) -> tuple[tuple[str, ValueType], ...]:
    return (("value", kind),)


def _sum(kind: ValueType) -> tuple[tuple[str, ValueType], ...]:
    return (("sum", kind),)


def _ordered_value(kind: ValueType) -> tuple[tuple[str, ValueType], ...]:
    long = ValueType.LONG
    return (("time_ms", long), ("partition", long), ("offset", long), ("value", kind))


def _same(kind: ValueType) -> ValueType:
    return kind


_merge_min = _choose(lambda new, old: new[1] < old[1])
_merge_max = _choose(lambda new, old: new[1] > old[1])
_merge_last = _choose(lambda new, old: new[1:4] > old[1:4])


OPERATIONS: dict[Op, Operation] = {
    Op.COUNT: Operation(
        inputs=_ANY,
        columns=lambda kind: (),
        result=lambda kind: ValueType.LONG,
        update=lambda state, value, order: (state[0] + 1,),
        merge=lambda left, right: (left[0] + right[0],),
        finalize=lambda state: state[0],
    ),
    Op.SUM: Operation(
        inputs=_NUMBERS,
        columns=_sum,
        result=_same,
        update=lambda state, value, order: (state[0] + 1, state[1] + value),
        merge=_add,
        finalize=lambda state: state[1] if state[0] else None,
    ),
    Op.AVERAGE: Operation(
        inputs=_NUMBERS,
        columns=_sum,
        result=lambda kind: ValueType.DOUBLE,
        update=lambda state, value, order: (state[0] + 1, state[1] + value),
        merge=_add,
        finalize=lambda state: state[1] / state[0] if state[0] else None,
    ),
    Op.MIN: Operation(
        inputs=_ORDERED,
        columns=_value,
        result=_same,
        update=lambda state, value, order: _merge_min(state, (1, value)),
        merge=_merge_min,
        finalize=lambda state: state[1] if state[0] else None,
    ),
    Op.MAX: Operation(
        inputs=_ORDERED,
        columns=_value,
        result=_same,
        update=lambda state, value, order: _merge_max(state, (1, value)),
        merge=_merge_max,
        finalize=lambda state: state[1] if state[0] else None,
    ),
    Op.LAST: Operation(
        inputs=_ANY,
        columns=_ordered_value,
        result=_same,
        update=lambda state, value, order: _merge_last(state, (1, *order, value)),
        merge=_merge_last,
        finalize=lambda state: state[4] if state[0] else None,
    ),
}


def operation(op: Op, kind: ValueType, column: str) -> Operation:
    """The row of `op`; raises DefinitionError where it cannot read a column of this type."""
    row = OPERATIONS[op]
    if kind not in row.inputs:
        accepted = ", ".join(sorted(row.inputs))
        hint = "; CAST it to INTEGER in `select`" if kind is ValueType.BOOLEAN else ""
        raise DefinitionError(f"{op} cannot read column {column!r} of type {kind}; it reads {accepted}{hint}")
    return row
