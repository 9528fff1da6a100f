"""The operations: one row each, from which every engine, name and document is derived.

Pure. How states are kept, merged and answered is in `state`, `moments`, `collections` and `sketches`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bighead.errors import DefinitionError
from bighead.features import kept, moments, sketches
from bighead.features.state import COUNTED, Args, Operation, Order, State, one_by_one, primitive
from bighead.features.types import NUMBERS, SCALARS, ValueType

__all__ = ["OPERATIONS", "Args", "Op", "Operation", "OperationRow", "Order", "State", "operation"]
_LONG_RANGE = range(-(2**63), 2**63)
_MOST_KEPT = 1_000


class Op(StrEnum):
    """The name of an operation, as used in definitions and, in lower case, in feature names."""

    COUNT = "COUNT"
    SUM = "SUM"
    AVERAGE = "AVERAGE"
    VARIANCE = "VARIANCE"
    STDDEV = "STDDEV"
    SKEW = "SKEW"
    KURTOSIS = "KURTOSIS"
    MIN = "MIN"
    MAX = "MAX"
    FIRST = "FIRST"
    LAST = "LAST"
    FIRST_K = "FIRST_K"
    LAST_K = "LAST_K"
    TOP_K = "TOP_K"
    BOTTOM_K = "BOTTOM_K"
    UNIQUE_COUNT = "UNIQUE_COUNT"
    BOUNDED_UNIQUE_COUNT = "BOUNDED_UNIQUE_COUNT"
    APPROX_UNIQUE_COUNT = "APPROX_UNIQUE_COUNT"
    APPROX_PERCENTILE = "APPROX_PERCENTILE"
    HISTOGRAM = "HISTOGRAM"
    APPROX_HISTOGRAM_K = "APPROX_HISTOGRAM_K"


@dataclass(frozen=True)
class OperationRow:
    """An operation for all input types.

    args: what it takes, each with its check. answered: those of them that only the answer depends on, so that the same
    state serves all of their values. changing: builds it over a source that takes rows back, where that differs.
    """

    inputs: frozenset[ValueType]
    build: Callable[[ValueType, Args], Operation]
    summary: str
    args: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    answered: frozenset[str] = frozenset()
    changing: Callable[[ValueType, Args], Operation] | None = None


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _count(kind: ValueType, args: Args) -> Operation:
    def update(state: State, value: Any, order: Order) -> State:
        return (state[0] + 1,)

    return Operation(
        columns=(COUNTED,),
        result=ValueType.LONG,
        update=update,
        merge=lambda left, right: (left[0] + right[0],),
        answer=lambda state: state[0],
        extend=lambda state, values, orders: (state[0] + len(values),),
        delete=lambda state, value, order: (state[0] - 1,),
    )


def _sum_with(
    answer: Callable[[State], Any], result: ValueType | None = None
) -> Callable[[ValueType, Args], Operation]:
    def build(kind: ValueType, args: Args) -> Operation:
        def plus(state: State, value: Any, count: int) -> State:
            total = state[1] + value
            if kind is ValueType.LONG and total not in _LONG_RANGE:
                raise OverflowError(f"the sum reached {total}, which does not fit in 64 bits")
            return (state[0] + count, total)

        def update(state: State, value: Any, order: Order) -> State:
            return plus(state, value, 1)

        return Operation(
            columns=(COUNTED, primitive("sum", kind)),
            result=result or kind,
            update=update,
            merge=lambda left, right: (left[0] + right[0], left[1] + right[1]),
            answer=lambda state: _finite(answer(state)) if state[0] else None,
            extend=one_by_one(update),
            delete=lambda state, value, order: plus(state, -value, -1),
        )

    return build


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


def _extreme(better: Callable[[State, State], bool]) -> Callable[[ValueType, Args], Operation]:
    merge = _choose(better)

    def update(state: State, value: Any, order: Order) -> State:
        return merge(state, (1, value))

    def build(kind: ValueType, args: Args) -> Operation:
        return Operation(
            columns=(COUNTED, primitive("value", kind)),
            result=kind,
            update=update,
            merge=merge,
            answer=lambda state: state[1] if state[0] else None,
            extend=one_by_one(update),
        )

    return build


def _placed(better: Callable[[State, State], bool]) -> Callable[[ValueType, Args], Operation]:
    """FIRST and LAST by (time_ms, partition, offset), whatever order the events arrive in."""
    merge = _choose(better)

    def update(state: State, value: Any, order: Order) -> State:
        return merge(state, (1, *order[:3], value))

    def build(kind: ValueType, args: Args) -> Operation:
        places = (primitive(name, ValueType.LONG) for name in ("time_ms", "partition", "offset"))
        return Operation(
            columns=(COUNTED, *places, primitive("value", kind)),
            result=kind,
            update=update,
            merge=merge,
            answer=lambda state: state[4] if state[0] else None,
            extend=one_by_one(update),
        )

    return build


def _last_of_changes(kind: ValueType, args: Args) -> Operation:
    """LAST where a row may also take the entity away (`gone`): then there is no last value until the next row."""
    merge = _choose(lambda new, old: new[1:4] >= old[1:4])
    zero = primitive("value", kind).zero
    places = (primitive(name, ValueType.LONG) for name in ("time_ms", "partition", "offset"))

    def update(state: State, value: Any, order: Order) -> State:
        return merge(state, (1, *order[:3], False, value))

    return Operation(
        columns=(COUNTED, *places, primitive("gone", ValueType.BOOLEAN), primitive("value", kind)),
        result=kind,
        update=update,
        merge=merge,
        answer=lambda state: None if not state[0] or state[4] else state[5],
        extend=one_by_one(update),
        delete=lambda state, value, order: merge(state, (1, *order[:3], True, zero)),
    )


def _k(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= _MOST_KEPT:
        raise DefinitionError(f"k is {value!r}; expected a whole number from 1 to {_MOST_KEPT}")
    return value


def _ranks(value: Any) -> tuple[float, ...]:
    ranks = tuple(value) if isinstance(value, list | tuple) else ()
    if not ranks or not all(type(one) in (int, float) and 0 <= one <= 1 for one in ranks):
        raise DefinitionError(f"p is {value!r}; expected a list of ranks from 0 to 1, for example [0.5, 0.9]")
    return tuple(float(one) for one in ranks)


_ORDERED = NUMBERS | {ValueType.STRING}
_COUNTABLE = frozenset({ValueType.BOOLEAN, ValueType.LONG, ValueType.STRING})
_K: Mapping[str, Callable[[Any], Any]] = {"k": _k}

OPERATIONS: dict[Op, OperationRow] = {
    Op.COUNT: OperationRow(SCALARS, _count, "how many non-null inputs; 0 for none"),
    Op.SUM: OperationRow(NUMBERS, _sum_with(lambda state: state[1]), "their sum"),
    Op.AVERAGE: OperationRow(NUMBERS, _sum_with(lambda state: state[1] / state[0], ValueType.DOUBLE), "their mean"),
    Op.VARIANCE: OperationRow(
        NUMBERS, lambda kind, args: moments.moments(2, moments.variance), "their variance, of the population"
    ),
    Op.STDDEV: OperationRow(
        NUMBERS,
        lambda kind, args: moments.moments(2, lambda state: math.sqrt(moments.variance(state))),
        "the square root of the variance",
    ),
    Op.SKEW: OperationRow(
        NUMBERS, lambda kind, args: moments.moments(3, moments.skew), "their skewness; none where all are equal"
    ),
    Op.KURTOSIS: OperationRow(
        NUMBERS, lambda kind, args: moments.moments(4, moments.kurtosis), "their excess kurtosis; none where equal"
    ),
    Op.MIN: OperationRow(_ORDERED, _extreme(lambda new, old: new[1] < old[1]), "the least"),
    Op.MAX: OperationRow(_ORDERED, _extreme(lambda new, old: new[1] > old[1]), "the greatest"),
    Op.FIRST: OperationRow(SCALARS, _placed(lambda new, old: new[1:4] < old[1:4]), "the oldest"),
    Op.LAST: OperationRow(
        SCALARS, _placed(lambda new, old: new[1:4] >= old[1:4]), "the newest", changing=_last_of_changes
    ),
    Op.FIRST_K: OperationRow(
        SCALARS,
        lambda kind, args: kept.kept_in_order(kind, args["k"], newest=False),
        "the k oldest, oldest first",
        _K,
    ),
    Op.LAST_K: OperationRow(
        SCALARS,
        lambda kind, args: kept.kept_in_order(kind, args["k"], newest=True),
        "the k newest, newest first",
        _K,
    ),
    Op.TOP_K: OperationRow(
        _ORDERED,
        lambda kind, args: kept.kept_by_value(kind, args["k"], greatest=True),
        "the k greatest, greatest first",
        _K,
    ),
    Op.BOTTOM_K: OperationRow(
        _ORDERED,
        lambda kind, args: kept.kept_by_value(kind, args["k"], greatest=False),
        "the k least, least first",
        _K,
    ),
    Op.UNIQUE_COUNT: OperationRow(
        SCALARS, lambda kind, args: kept.distinct(kind, None), "how many different ones, exact"
    ),
    Op.BOUNDED_UNIQUE_COUNT: OperationRow(
        SCALARS, lambda kind, args: kept.distinct(kind, args["k"]), "how many different ones, at most k", _K
    ),
    Op.APPROX_UNIQUE_COUNT: OperationRow(
        SCALARS, lambda kind, args: sketches.unique_count(), "about how many different ones (HLL, standard error 1.6 %)"
    ),
    Op.APPROX_PERCENTILE: OperationRow(
        NUMBERS,
        lambda kind, args: sketches.percentiles(args["p"]),
        "the values at ranks p (KLL, rank error 1.33 %; exact up to 200 values)",
        {"p": _ranks},
        frozenset({"p"}),
    ),
    Op.HISTOGRAM: OperationRow(
        _COUNTABLE, lambda kind, args: kept.histogram(kind), "how often each value occurs, exact"
    ),
    Op.APPROX_HISTOGRAM_K: OperationRow(
        _COUNTABLE,
        lambda kind, args: sketches.frequent_items(args["k"]),
        "how often the k most frequent values occur (frequent items)",
        _K,
    ),
}


def operation(op: Op, kind: ValueType, column: str) -> OperationRow:
    """The row of `op`; raises DefinitionError where it cannot read a column of this type."""
    row = OPERATIONS[op]
    if kind.element not in row.inputs:
        accepted = ", ".join(sorted(row.inputs))
        hint = "; CAST it to INTEGER in `select`" if kind is ValueType.BOOLEAN else ""
        raise DefinitionError(f"{op} cannot read column {column!r} of type {kind}; it reads {accepted}{hint}")
    return row


def checked_args(op: Op, args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `op`, checked; raises DefinitionError for one that is missing, unknown or out of range."""
    row = OPERATIONS[op]
    if not isinstance(args, Mapping):
        raise DefinitionError(f"args are {args!r}; expected a dictionary, for example {{'k': 3}}")
    unknown, missing = sorted(set(args) - set(row.args)), sorted(set(row.args) - set(args))
    if unknown:
        raise DefinitionError(f"{op} takes {', '.join(row.args) or 'no arguments'}; received {', '.join(unknown)}")
    if missing:
        example = "{'k': 3}" if missing == ["k"] else "{'p': [0.5, 0.9]}"
        raise DefinitionError(f"{op} needs {', '.join(missing)}, for example args={example}")
    return {name: check(args[name]) for name, check in row.args.items()}
