"""Sources whose rows take back earlier ones, and groups as of midnight, equal the reference however they are cut."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bighead.features import Aggregation, EntitySource, GroupBy, Op
from bighead.features.compiled import CompiledGroup, compile_group
from bighead.features.definition import Accuracy
from bighead.features.fold import fold
from bighead.features.plan import GroupPlan, Status
from bighead.features.reference import SourceEvent, group_features
from bighead.features.tiles import StateCodec, Tile, TileKey
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS
from tests.conformance.cases import (
    MIDNIGHT_MS,
    answer_of,
    assert_same,
    every_operation,
    logs,
    magnitude_of,
    read_tiles,
    rows_of,
    times,
)

pytestmark = pytest.mark.usefixtures("few_rows")
COLUMNS = {
    "at_ms": ValueType.LONG,
    "host": ValueType.STRING,
    "price": ValueType.LONG,
    "rating": ValueType.DOUBLE,
    "city": ValueType.STRING,
    "before": ValueType.BOOLEAN,
}


def listings() -> CompiledGroup:
    """A table of listings by host, as change data capture publishes it."""
    source = EntitySource("listings", "listings", "at_ms", reversal="before")
    pairs: list[tuple[str, Op, str | None]] = [
        ("price", Op.COUNT, None),
        ("price", Op.SUM, None),
        ("price", Op.AVERAGE, None),
        ("city", Op.HISTOGRAM, None),
        ("city", Op.LAST, None),
        ("price", Op.SUM, "city"),
        ("price", Op.COUNT, "city"),
    ]
    return compile_group(
        GroupBy("host", source, ["host"], [Aggregation(column, op, (), {}, bucket) for column, op, bucket in pairs]),
        COLUMNS,
    )


def changes() -> st.SearchStrategy[list[SourceEvent]]:
    """Inserts, updates and deletes of a few listings: an update is the row before it and the row after it."""
    listing = st.fixed_dictionaries(
        {
            "host": st.sampled_from(["ann", ""]),
            "price": st.one_of(st.none(), st.integers(-9, 9), st.just(2**53 + 1)),
            "rating": st.none(),
            "city": st.one_of(st.none(), st.sampled_from(["Rome", "🛫"])),
        }
    )
    steps = st.lists(
        st.tuples(st.integers(0, 3), st.one_of(st.none(), listing), st.integers(0, 3 * DAY_MS)), max_size=15
    )
    return steps.map(_captured)


def _captured(steps: list[tuple[int, dict[str, Any] | None, int]]) -> list[SourceEvent]:
    table: dict[int, dict[str, Any]] = {}
    events: list[SourceEvent] = []
    for number, (listing, row, after_ms) in enumerate(steps):
        at_ms = MIDNIGHT_MS + number * 1000 + after_ms
        images = [(table.get(listing), True), (row, False)]
        for image, before in images:
            if image is not None:
                events.append(SourceEvent({**image, "at_ms": at_ms, "before": before}, 0, len(events)))
        table[listing] = row or {}
        if row is None:
            del table[listing]
    return events


def fold_all(group: CompiledGroup, events: list[SourceEvent], cuts: list[int]) -> dict[TileKey, Tile]:
    codec = StateCodec(group)
    store: dict[TileKey, Tile] = {}
    edges = sorted({0, len(events), *(cut % (len(events) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        rows = rows_of(group, events[start:end])
        if rows is not None:
            store.update(
                (tile.key, tile) for tile in fold(group, codec, rows, lambda keys: [store.get(key) for key in keys])
            )
    return store


@settings(max_examples=150, deadline=None)
@given(log=changes(), cuts=st.lists(st.integers(0, 30), max_size=5), query_ms=st.integers(0, 4 * DAY_MS))
def test_inserts_updates_and_deletes_equal_the_reference(
    log: list[SourceEvent], cuts: list[int], query_ms: int
) -> None:
    group = listings()
    seen = [event for event in log if event.record["at_ms"] < MIDNIGHT_MS + query_ms]
    store = fold_all(group, seen, cuts)
    for host in ("ann", ""):
        expected = group_features(group, seen, [host], MIDNIGHT_MS + query_ms)
        got = read_tiles(GroupPlan(group, 1, None), store, [host], MIDNIGHT_MS + query_ms)
        assert_same(got, expected, 1.0)


@settings(max_examples=40, deadline=None)
@given(log=logs(), cuts=st.lists(st.integers(0, 30), max_size=5), query_ms=times())
def test_as_of_midnight_equals_the_reference(log: list[SourceEvent], cuts: list[int], query_ms: int) -> None:
    whole = every_operation(accuracy=Accuracy.SNAPSHOT)
    windowed = [one for one in whole.definition.aggregations if one.windows]
    definition = GroupBy("every", whole.definition.source, whole.keys, windowed, accuracy=Accuracy.SNAPSHOT)
    group = compile_group(definition, whole.columns)
    one_partition = [SourceEvent(event.record, 0, offset) for offset, event in enumerate(log)]
    store, plan, scale = fold_all(group, one_partition, cuts), GroupPlan(group, 1, None), magnitude_of(group, log)
    for key in {(event.record["carrier"], event.record["gate"]) for event in log}:
        expected = group_features(group, one_partition, key, query_ms)
        assert_same(read_tiles(plan, store, list(key), query_ms), expected, scale)


def test_as_of_midnight_without_windows_needs_a_cut() -> None:
    plan = GroupPlan(every_operation(accuracy=Accuracy.SNAPSHOT), 1, None)
    assert not plan.answers(MIDNIGHT_MS + 1)
    assert GroupPlan(plan.group, 1, MIDNIGHT_MS).answers(MIDNIGHT_MS + 1)
    assert not GroupPlan(plan.group, 1, MIDNIGHT_MS).answers(MIDNIGHT_MS - 1)


def test_an_entity_that_is_gone_is_empty_until_it_comes_back() -> None:
    group = listings()
    row = {"host": "ann", "price": 5, "rating": None, "city": "Rome"}
    log = [
        SourceEvent({**row, "at_ms": MIDNIGHT_MS, "before": False}, 0, 0),
        SourceEvent({**row, "at_ms": MIDNIGHT_MS + 5, "before": True}, 0, 1),
    ]
    tiles = fold_all(group, log, [])
    answer = read_tiles(GroupPlan(group, 1, None), tiles, ["ann"], MIDNIGHT_MS + 9)
    assert answer["host_price_count"] == 0
    assert {value for name, value in answer.items() if name != "host_price_count"} == {None}
    plan = GroupPlan(group, 1, None)
    assert set(answer_of(plan, tiles, ["ann"], MIDNIGHT_MS + 9).statuses) == {Status.EMPTY}
