"""What conformance tests share: one definition with every operation and window, and adversarial events and queries."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from bighead.features import Aggregation, EventSource, GroupBy, Op
from bighead.features.compiled import CompiledGroup, compile_group
from bighead.features.fold import Column, Rows
from bighead.features.reference import SourceEvent
from bighead.features.tiles import entity_of
from bighead.features.types import ValueType, clean
from bighead.features.windows import DAY_MS, FIVE_MINUTES_MS, HOUR_MS

MIDNIGHT_MS = 1_383_264_000_000  # 2013-11-01T00:00Z
WINDOWS = ["10m", "1h", "11h", "12h", "1d", "7d", "12d", "30d"]
COLUMNS = {
    "at_ms": ValueType.LONG,
    "carrier": ValueType.STRING,
    "gate": ValueType.LONG,
    "delay": ValueType.LONG,
    "fuel": ValueType.DOUBLE,
    "tail": ValueType.STRING,
    "late": ValueType.BOOLEAN,
}


def every_operation(windows: Sequence[str] = WINDOWS) -> CompiledGroup:
    """All operations over integers, floats and text, on every window and on none."""
    source = EventSource(
        topic="conformance.events",
        table="conformance/events",
        time="at_ms",
        select={
            "carrier": "carrier",
            "gate": "gate",
            "delay": "delay",
            "fuel": "fuel * 2",
            "tail": "tail",
            "late": "late",
        },
        where="delay IS NULL OR delay <> 13",
    )
    spans: tuple[Sequence[str], ...] = (windows, ())
    pairs = [
        ("delay", [Op.COUNT, Op.SUM, Op.AVERAGE, Op.MIN, Op.MAX, Op.LAST]),
        ("fuel", [Op.COUNT, Op.SUM, Op.AVERAGE, Op.MIN, Op.MAX, Op.LAST]),
        ("tail", [Op.COUNT, Op.MIN, Op.MAX, Op.LAST]),
        ("late", [Op.COUNT, Op.LAST]),
    ]
    aggregations = [Aggregation(column, op, span) for column, ops in pairs for op in ops for span in spans]
    return compile_group(GroupBy("every", source, ["carrier", "gate"], aggregations), COLUMNS)


def times() -> st.SearchStrategy[int]:
    """Times that engines get wrong: on hops and midnights, one millisecond beside them, and anywhere."""
    edges = st.sampled_from([FIVE_MINUTES_MS, HOUR_MS, DAY_MS])
    aligned = st.builds(
        lambda step, count, beside: MIDNIGHT_MS + step * count + beside,
        edges,
        st.integers(-40, 40),
        st.sampled_from([-1, 0, 0, 1]),
    )
    return st.one_of(aligned, st.integers(MIDNIGHT_MS - 40 * DAY_MS, MIDNIGHT_MS + 2 * DAY_MS))


def records() -> st.SearchStrategy[dict[str, Any]]:
    """Events with nulls, NaN, infinities, integers above 2^53, unicode and empty strings."""
    doubles = st.one_of(
        st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf"), float("-inf"), 1e300, 1e-300]),
        st.floats(-1e6, 1e6),
    )
    return st.fixed_dictionaries(
        {
            "at_ms": times(),
            "carrier": st.sampled_from(["UA", "", 'é\u0000"', "🛫"]),
            "gate": st.sampled_from([0, -1, 2**53 + 1]),
            "delay": st.one_of(st.none(), st.integers(-50, 50), st.sampled_from([13, 2**53 + 1, -(2**53) - 1])),
            "fuel": st.one_of(st.none(), doubles),
            "tail": st.one_of(st.none(), st.sampled_from(["", "N1", "N2", "Ñ", "🛫", "n1"])),
            "late": st.one_of(st.none(), st.booleans()),
        }
    )


def logs(most: int = 30) -> st.SearchStrategy[list[SourceEvent]]:
    """A source of two partitions, in log order, with times in any order."""
    pairs = st.lists(st.tuples(records(), st.integers(0, 1)), max_size=most)
    return pairs.map(_placed)


def _placed(pairs: list[tuple[dict[str, Any], int]]) -> list[SourceEvent]:
    offsets = {0: 0, 1: 0}
    events = []
    for record, partition in pairs:
        events.append(SourceEvent(record, partition, offsets[partition]))
        offsets[partition] += 1
    return events


def rows_of(group: CompiledGroup, events: Sequence[SourceEvent]) -> Rows | None:
    """Rows for `fold` from events of one partition, evaluated by the reference's expressions."""
    kept = [event for event in events if group.where is None or group.where.evaluate(event.record) is True]
    if not kept:
        return None
    entities = [entity_of([group.inputs[key].evaluate(event.record) for key in group.keys]) for event in kept]
    names = sorted(set(entities))
    time = group.definition.source.time
    return Rows(
        partition=kept[0].partition,
        offsets=np.array([event.offset for event in kept], np.int64),
        times_ms=np.array([event.record[time] for event in kept], np.int64),
        entities=names,
        codes=np.array([names.index(entity) for entity in entities], np.int64),
        columns={
            cell.column: _column([clean(group.inputs[cell.column].evaluate(event.record)) for event in kept], cell.kind)
            for cell in group.cells
        },
    )


def _column(values: list[Any], kind: ValueType) -> Column:
    dtypes = {
        ValueType.LONG: np.int64,
        ValueType.DOUBLE: np.float64,
        ValueType.BOOLEAN: np.bool_,
        ValueType.STRING: object,
    }
    fills = {ValueType.LONG: 0, ValueType.DOUBLE: 0.0, ValueType.BOOLEAN: False, ValueType.STRING: ""}
    valid = np.array([value is not None for value in values], np.bool_)
    return Column(np.array([fills[kind] if value is None else value for value in values], dtypes[kind]), valid)


def assert_same(got: Mapping[str, Any], expected: Mapping[str, Any], magnitude: float) -> None:
    """Equal exactly, but for floating sums: those to 1e-12 of the sum of magnitudes."""
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, float) and ("_sum" in name or "_average" in name) and got[name] is not None:
            assert abs(got[name] - value) <= 1e-12 * max(magnitude, 1.0), (name, got[name], value)
        else:
            assert got[name] == value and type(got[name]) is type(value), (name, got[name], value)


def magnitude_of(group: CompiledGroup, events: Sequence[SourceEvent]) -> float:
    """The sum of the absolute values of all floating inputs: the scale of rounding."""
    values = [clean(group.inputs["fuel"].evaluate(event.record)) for event in events]
    return float(sum(abs(value) for value in values if value is not None))
