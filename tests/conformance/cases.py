"""What conformance tests share: one definition with every operation and window, and adversarial events and queries."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st

from bighead.features import Aggregation, EventSource, GroupBy, Op
from bighead.features.compiled import CompiledGroup, compile_group
from bighead.features.definition import Accuracy
from bighead.features.fold import Rows, column_of
from bighead.features.plan import Answer, GroupPlan
from bighead.features.reference import SourceEvent
from bighead.features.tiles import Tile, TileKey, entity_of, store_value
from bighead.features.types import ValueType, clean
from bighead.features.windows import DAY_MS, FIVE_MINUTES_MS, HOUR_MS, Level

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
    "tags": ValueType.LIST_STRING,
    "loads": ValueType.LIST_DOUBLE,
    "legs": ValueType.MAP_LONG,
    "costs": ValueType.MAP_DOUBLE,
}


SOURCE = EventSource(
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
        "tags": "tags",
        "loads": "loads",
        "legs": "legs",
        "costs": "costs",
    },
    where="delay IS NULL OR delay <> 13",
)
PLACES = [Op.COUNT, Op.FIRST, Op.LAST, Op.UNIQUE_COUNT, Op.APPROX_UNIQUE_COUNT]
EXTREMES = [Op.MIN, Op.MAX, Op.TOP_K, Op.BOTTOM_K]
MOMENTS = [Op.VARIANCE, Op.STDDEV, Op.SKEW, Op.KURTOSIS]
KEPT = [Op.FIRST_K, Op.LAST_K, Op.BOUNDED_UNIQUE_COUNT]
COUNTED = [Op.HISTOGRAM, Op.APPROX_HISTOGRAM_K]
ARGS: dict[Op, dict[str, Any]] = {
    Op.APPROX_PERCENTILE: {"p": [0.0, 0.25, 0.5, 0.9, 1.0]},
    **{op: {"k": 3} for op in [*KEPT, Op.TOP_K, Op.BOTTOM_K, Op.APPROX_HISTOGRAM_K]},
}
SCALAR = {
    "delay": [Op.SUM, Op.AVERAGE, Op.APPROX_PERCENTILE, *PLACES, *EXTREMES, *MOMENTS, *KEPT, *COUNTED],
    "fuel": [Op.SUM, Op.AVERAGE, Op.APPROX_PERCENTILE, *PLACES, *EXTREMES, *MOMENTS, *KEPT],
    "tail": [*PLACES, *EXTREMES, *KEPT, *COUNTED],
    "late": [*PLACES, *KEPT, *COUNTED],
}
SIMPLE = [Op.COUNT, Op.SUM, Op.AVERAGE, Op.MIN, Op.MAX, Op.FIRST, Op.LAST]
NUMERIC = {"delay", "fuel", "loads", "legs", "costs"}
Case: TypeAlias = tuple[str, Op, str | None]
SHAPES: dict[str, list[Case]] = {
    "simple": [(column, op, None) for column, ops in SCALAR.items() for op in ops if op in SIMPLE],
    "delay": [("delay", op, None) for op in SCALAR["delay"] if op not in SIMPLE],
    "fuel": [("fuel", op, None) for op in SCALAR["fuel"] if op not in SIMPLE],
    "text": [(column, op, None) for column in ("tail", "late") for op in SCALAR[column] if op not in SIMPLE],
    "bucketed": [
        *(("delay", op, "tail") for op in SCALAR["delay"]),
        ("fuel", Op.SUM, "late"),
        ("tail", Op.LAST, "delay"),
        ("tail", Op.COUNT, "tail"),
    ],
    "lists": [
        *(("tags", op, None) for op in SCALAR["tail"]),
        *(("loads", op, None) for op in SCALAR["fuel"]),
        ("tags", Op.COUNT, "late"),
        ("tags", Op.LAST_K, "tail"),
    ],
    "maps": [
        *(("legs", op, None) for op in SCALAR["delay"]),
        ("costs", Op.SUM, None),
        ("costs", Op.MAX, None),
    ],
}
"""Every operation on every type of input, as (column, operation, bucket), in groups of bearable size."""


def every_operation(
    windows: Sequence[str] = WINDOWS, shape: str = "simple", accuracy: Accuracy = Accuracy.TEMPORAL
) -> CompiledGroup:
    """The operations of a shape, on every window and on none."""
    spans: tuple[Sequence[str], ...] = (windows, ())
    aggregations = [
        Aggregation(column, op, span, ARGS.get(op, {}), bucket)
        for column, op, bucket in SHAPES[shape]
        for span in spans
    ]
    return compile_group(GroupBy("every", SOURCE, ["carrier", "gate"], aggregations, accuracy=accuracy), COLUMNS)


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
        # Below that, fourth powers are subnormal: of what a skew is made few bits are left. Those of 1e-300 are zero.
        st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-60),
    )
    texts = st.sampled_from(["", "N1", "N2", "Ñ", "🛫", "n1"])
    longs = st.one_of(st.integers(-50, 50), st.sampled_from([13, 2**53 + 1, -(2**53) - 1]))
    return st.fixed_dictionaries(
        {
            "at_ms": times(),
            "carrier": st.sampled_from(["UA", "", 'é\u0000"', "🛫"]),
            "gate": st.sampled_from([0, -1, 2**53 + 1]),
            "delay": st.one_of(st.none(), longs),
            "fuel": st.one_of(st.none(), doubles),
            "tail": st.one_of(st.none(), texts),
            "late": st.one_of(st.none(), st.booleans()),
            "tags": st.one_of(st.none(), st.lists(texts, max_size=3)),
            "loads": st.one_of(st.none(), st.lists(doubles, max_size=3)),
            "legs": st.one_of(st.none(), st.dictionaries(texts, longs, max_size=2)),
            "costs": st.one_of(st.none(), st.dictionaries(texts, doubles, max_size=2)),
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
            name: column_of([clean(group.inputs[name].evaluate(event.record)) for event in kept], kind)
            for name, kind in group.input_kinds.items()
        },
        reversed=None
        if group.reversal is None
        else np.array([group.reversal.evaluate(event.record) is True for event in kept], np.bool_),
    )


def read_tiles(plan: GroupPlan, tiles: Mapping[TileKey, Tile], key: Sequence[Any], query_ms: int) -> dict[str, Any]:
    """The features of one entity, from its tiles as the online store holds them."""
    return dict(
        zip(
            (feature.name for feature in plan.group.features), answer_of(plan, tiles, key, query_ms).values, strict=True
        )
    )


def answer_of(plan: GroupPlan, tiles: Mapping[TileKey, Tile], key: Sequence[Any], query_ms: int) -> Answer:
    """The plan's answer. It is asked twice: the second time it is made from what the first one kept."""
    wanted = plan.at(query_ms)
    found = [tiles.get(TileKey(entity_of(key), Level(level), start_ms)) for level, start_ms in wanted.tiles]
    values = [store_value(tile.rank, tile.seq, plan.codec.encode(tile.state)) if tile else None for tile in found]
    first, second = plan.answer(wanted, values), plan.answer(wanted, values)
    assert repr(first) == repr(second)
    return second


def assert_same(got: Mapping[str, Any], expected: Mapping[str, Any], magnitude: float) -> None:
    """Equal exactly, but for floating sums and moments: those to 1e-12 of what they are made of."""
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert _same(name, got[name], value, magnitude), (name, got[name], value)


_OF_POWER = {"_variance": 2, "_stddev": 1, "_sum": 1, "_average": 1}


def _same(name: str, got: Any, value: Any, magnitude: float) -> bool:
    if isinstance(value, dict) and isinstance(got, dict):
        return list(got) == list(value) and all(_same(name, got[key], one, magnitude) for key, one in value.items())
    if "_skew" in name or "_kurtosis" in name:
        # Where values are nearly equal, the distances from their mean are all rounding.
        return (got is None) == (value is None) and (
            value is None or math.isclose(got, value, rel_tol=1e-6, abs_tol=1e-6)
        )
    power = next((power for text, power in _OF_POWER.items() if text in name), None)
    if power is None or not isinstance(value, float) or got is None:
        return bool(got == value) and type(got) is type(value)
    scale = max(magnitude, 1.0)  # multiplied and not raised to a power: its square may be infinite
    if "_stddev" in name:
        return bool(abs(got * got - value * value) <= 1e-12 * scale * scale)
    return bool(abs(got - value) <= 1e-12 * (scale * scale if power == 2 else scale))


def magnitude_of(group: CompiledGroup, events: Sequence[SourceEvent]) -> float:
    """The sum of the absolute values of all inputs: the scale of rounding."""
    total = 0.0
    for event in events:
        for name, expression in group.inputs.items():
            value = (
                clean(expression.evaluate(event.record))
                if name in ("delay", "fuel", "loads", "legs", "costs")
                else None
            )
            values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
            total += sum(abs(float(one)) for one in values if one is not None)
    return total
