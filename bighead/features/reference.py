"""The reference interpreter: what a feature means, said in the plainest way. Every engine is compared with it.

Pure, slow on purpose, and independent of tiles, states and merges: it filters all events for each query.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bighead.features.compiled import CompiledGroup, CompiledJoin, Feature
from bighead.features.operations import Op
from bighead.features.types import clean


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
    mine = [event for event in events if _counts(group, event) and _key(group, event) == list(key)]
    return {feature.name: _feature(group, feature, mine, query_ms) for feature in group.features}


def join_features(
    join: CompiledJoin, events: Mapping[str, Sequence[SourceEvent]], keys: Mapping[str, Any], query_ms: int
) -> dict[str, Any]:
    """The columns of a Join for one left row; `events` by topic."""
    row: dict[str, Any] = {}
    for group in join.groups:
        key = [keys[name] for name in group.keys]
        row |= group_features(group, events.get(group.definition.source.topic, ()), key, query_ms)
    return row | {name: expression.evaluate(row) for name, expression in join.derivations.items()}


def _counts(group: CompiledGroup, event: SourceEvent) -> bool:
    return group.where is None or group.where.evaluate(event.record) is True


def _key(group: CompiledGroup, event: SourceEvent) -> list[Any]:
    return [group.inputs[name].evaluate(event.record) for name in group.keys]


def _feature(group: CompiledGroup, feature: Feature, events: list[SourceEvent], query_ms: int) -> Any:
    cell = group.cells[feature.cell]
    found: list[tuple[tuple[int, int, int], Any]] = []
    for event in events:
        time_ms = event.record[group.definition.source.time]
        value = clean(group.inputs[cell.column].evaluate(event.record))
        after_start = feature.window is None or time_ms >= _window_start_ms(feature.window.length_ms, query_ms)
        if after_start and time_ms < query_ms and value is not None:
            found.append(((time_ms, event.partition, event.offset), value))
    return _answer(cell.op, found)


def _window_start_ms(length_ms: int, query_ms: int) -> int:
    """Said again here, without `windows`, so that the two can be compared."""
    days = length_ms / 86_400_000
    hop_ms = 86_400_000 if days >= 12 else 3_600_000 if days >= 0.5 else 300_000
    return (query_ms - length_ms) // hop_ms * hop_ms


def _answer(op: Op, found: list[tuple[tuple[int, int, int], Any]]) -> Any:
    values = [value for _, value in found]
    if op is Op.COUNT:
        return len(values)
    if not values:
        return None
    match op:
        case Op.SUM:
            return sum(values)
        case Op.AVERAGE:
            return sum(values) / len(values)
        case Op.MIN:
            return min(values)
        case Op.MAX:
            return max(values)
        case Op.LAST:
            return max(found, key=lambda one: one[0])[1]
