"""The reference interpreter: what a feature means, said in the plainest way. Every engine is compared with it.

Pure, slow on purpose, and independent of tiles, states and merges: it filters all events for each query.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

from bighead.features.compiled import Cell, CompiledGroup, CompiledJoin, Feature
from bighead.features.definition import Accuracy
from bighead.features.operations import Op
from bighead.features.types import clean

Args: TypeAlias = Mapping[str, Any]


class Input(NamedTuple):
    """One input of an operation: its place in the log's order, its bucket, and -1 as sign where it is taken back."""

    order: tuple[int, int, int, int]
    bucket: str
    value: Any
    sign: int


@dataclass(frozen=True)
class SourceEvent:
    """One event of a source: its columns and where it lies in the log."""

    record: Mapping[str, Any]
    partition: int
    offset: int


def group_features(
    group: CompiledGroup, events: Iterable[SourceEvent], key: Sequence[Any], query_ms: int
) -> dict[str, Any]:
    """The features of one entity as of `query_ms`: every event strictly before it that the window still holds."""
    mine = [event for event in events if _is_of(group, event, list(key))]
    # Features are in the order of the aggregations, one for each window.
    args = [one.args for one in group.definition.aggregations for _ in one.windows or (None,)]
    pairs = zip(group.features, args, strict=True)
    return {feature.name: _feature(group, feature, given, mine, query_ms) for feature, given in pairs}


def join_features(
    join: CompiledJoin, events: Mapping[str, Sequence[SourceEvent]], keys: Mapping[str, Any], query_ms: int
) -> dict[str, Any]:
    """The columns of a Join for one left row, `keys` and what else it brings; `events` by topic."""
    row: dict[str, Any] = {}
    for part in join.parts:
        values = group_features(
            part.group, events.get(part.group.definition.source.topic, ()), part.key_of(keys), query_ms
        )
        row |= dict(zip(part.columns, values.values(), strict=True))
    row |= join.request_values(keys)
    for name, expression in join.derivations.items():
        try:
            row[name] = expression.evaluate(row)
        except OverflowError:  # no value
            row[name] = None
    return row


def verdict(cell: Cell) -> str | None:
    """None where the interpreter says what the cell means, else why it does not."""
    known = cell.op in _ANSWERS or cell.op in (Op.COUNT, Op.LAST)
    return None if known else f"{cell.op} has no meaning in the reference interpreter"


def _is_of(group: CompiledGroup, event: SourceEvent, key: list[Any]) -> bool:
    """Whether an event counts for an entity. One on which an expression leaves 64 bits counts for none."""
    try:
        if _key(group, event) != key or not (group.where is None or group.where.evaluate(event.record) is True):
            return False
        for expression in (*group.inputs.values(), *([group.reversal] if group.reversal else [])):
            expression.evaluate(event.record)
    except OverflowError:
        return False
    return True


def _key(group: CompiledGroup, event: SourceEvent) -> list[Any]:
    return [group.inputs[name].evaluate(event.record) for name in group.keys]


def _feature(group: CompiledGroup, feature: Feature, args: Args, events: list[SourceEvent], query_ms: int) -> Any:
    cell = group.cells[feature.cell]
    if group.definition.accuracy is Accuracy.SNAPSHOT:
        query_ms = query_ms // 86_400_000 * 86_400_000
    start_ms = None if feature.window is None else _window_start_ms(feature.window.length_ms, query_ms)
    found: list[Input] = []
    for event in events:
        time_ms = event.record[group.definition.source.time]
        if (start_ms is None or time_ms >= start_ms) and time_ms < query_ms:
            found += _inputs(group, cell, event, time_ms)
    if cell.bucket is None and not cell.kind.is_map:
        return _answer(cell.op, args, found)
    parts = {bucket: [one for one in found if one.bucket == bucket] for bucket in sorted({one.bucket for one in found})}
    alive = {bucket: part for bucket, part in parts.items() if sum(one.sign for one in part)}
    return {bucket: _answer(cell.op, args, part) for bucket, part in alive.items()} or None


def _inputs(group: CompiledGroup, cell: Cell, event: SourceEvent, time_ms: int) -> list[Input]:
    """What an event gives: each element of a list, each value of a map by its key, or the value itself."""
    value = clean(group.inputs[cell.column].evaluate(event.record))
    sign = -1 if group.reversal is not None and group.reversal.evaluate(event.record) is True else 1
    if value is None and sign < 0 and cell.op is Op.LAST:
        value = ""  # the entity is gone, whatever it was
    bucket = group.inputs[cell.bucket].evaluate(event.record) if cell.bucket else ""
    if value is None or bucket is None:
        return []
    pairs = list(value.items()) if isinstance(value, dict) else [(_text(bucket), value)]
    if isinstance(value, list):
        pairs = [(_text(bucket), element) for element in value]
    place = (time_ms, event.partition, event.offset)
    return [
        Input((*place, index), key, element, sign) for index, (key, element) in enumerate(pairs) if element is not None
    ]


def _window_start_ms(length_ms: int, query_ms: int) -> int:
    """Said again here, without `windows`, so that the two can be compared."""
    days = length_ms / 86_400_000
    hop_ms = 86_400_000 if days >= 12 else 3_600_000 if days >= 0.5 else 300_000
    return (query_ms - length_ms) // hop_ms * hop_ms


def _answer(op: Op, args: Mapping[str, Any], found: list[Input]) -> Any:
    count = sum(one.sign for one in found)
    if op is Op.COUNT:
        return count
    if op is Op.LAST and found:
        newest = max(found, key=lambda one: one.order)
        return newest.value if newest.sign > 0 else None
    if not count:
        return None
    return _ANSWERS[op](found, args)


def _signed_sum(found: list[Input]) -> Any:
    return sum(one.value * one.sign for one in found)


def _values(found: list[Input]) -> list[Any]:
    """From the oldest to the newest."""
    return [one.value for one in sorted(found, key=lambda one: one.order)]


def _percentiles(found: list[Input], args: Args) -> list[float]:
    ordered = sorted(_values(found))
    return [float(ordered[max(0, math.ceil(rank * len(ordered)) - 1)]) for rank in args["p"]]


def _histogram(found: list[Input], args: Args) -> dict[str, int]:
    texts = sorted({_text(one.value) for one in found})
    counts = {text: sum(one.sign for one in found if _text(one.value) == text) for text in texts}
    return {text: count for text, count in counts.items() if count}


def _most_frequent(found: list[Input], args: Args) -> dict[str, int]:
    counts = _histogram(found, args)
    most = sorted(counts, key=lambda text: (-counts[text], text))[: args["k"]]
    return {text: counts[text] for text in sorted(most)}


_ANSWERS: dict[Op, Callable[[list[Input], Args], Any]] = {
    Op.SUM: lambda found, args: _finite(_signed_sum(found)),
    Op.AVERAGE: lambda found, args: _finite(_signed_sum(found) / sum(one.sign for one in found)),
    Op.VARIANCE: lambda found, args: _moments(found, 2, lambda n, m2: m2 / n),
    Op.STDDEV: lambda found, args: _moments(found, 2, lambda n, m2: math.sqrt(m2 / n)),
    Op.SKEW: lambda found, args: _moments(found, 3, lambda n, m2, m3: math.sqrt(n) * m3 / math.sqrt(m2) ** 3),
    Op.KURTOSIS: lambda found, args: _moments(found, 4, lambda n, m2, m3, m4: n * m4 / (m2 * m2) - 3.0),
    Op.MIN: lambda found, args: min(_values(found)),
    Op.MAX: lambda found, args: max(_values(found)),
    Op.FIRST: lambda found, args: _values(found)[0],
    Op.FIRST_K: lambda found, args: _values(found)[: args["k"]],
    Op.LAST_K: lambda found, args: _values(found)[::-1][: args["k"]],
    Op.TOP_K: lambda found, args: sorted(_values(found), reverse=True)[: args["k"]],
    Op.BOTTOM_K: lambda found, args: sorted(_values(found))[: args["k"]],
    Op.UNIQUE_COUNT: lambda found, args: len(set(_values(found))),
    Op.BOUNDED_UNIQUE_COUNT: lambda found, args: min(args["k"], len(set(_values(found)))),
    Op.APPROX_UNIQUE_COUNT: lambda found, args: len(set(_values(found)) - {""}),
    Op.APPROX_PERCENTILE: _percentiles,
    Op.HISTOGRAM: _histogram,
    Op.APPROX_HISTOGRAM_K: _most_frequent,
}


def _moments(found: list[Input], most: int, answer: Callable[..., float]) -> Any:
    """From the exact sums of powers of the distances from the mean; none where one does not fit in a double."""
    exact = [Fraction(value) for value in _values(found)]
    mean = sum(exact) / len(exact)
    try:
        powers = [float(sum((one - mean) ** power for one in exact)) for power in range(2, most + 1)]
        return _finite(answer(len(exact), *powers))
    except (ZeroDivisionError, OverflowError):
        return None


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
