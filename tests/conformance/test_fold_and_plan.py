"""The stream's fold and the online read plan equal the reference, however the log is cut, repeated and queried."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bighead.features.compiled import CompiledGroup
from bighead.features.fold import fold
from bighead.features.plan import GroupPlan
from bighead.features.reference import SourceEvent, group_features
from bighead.features.tiles import StateCodec, Tile, TileKey
from tests.conformance.cases import SHAPES, assert_same, every_operation, logs, magnitude_of, read_tiles, rows_of, times

pytestmark = pytest.mark.usefixtures("few_rows")


@pytest.fixture(scope="module", params=SHAPES)
def group(request: pytest.FixtureRequest) -> CompiledGroup:
    """Every operation, one shape of inputs after the other."""
    return every_operation(shape=request.param)


def fold_all(group: CompiledGroup, events: list[SourceEvent], cuts: list[int]) -> dict[TileKey, Tile]:
    """Folds a log batch by batch, each batch of one partition; state goes through its bytes each time."""
    codec = StateCodec(group)
    store: dict[TileKey, Tile] = {}
    for partition in (0, 1):
        mine = [event for event in events if event.partition == partition]
        edges = sorted({0, len(mine), *(cut % (len(mine) + 1) for cut in cuts)})
        for start, end in pairwise(edges):
            rows = rows_of(group, mine[start:end])
            if rows is not None:
                for tile in fold(group, codec, rows, lambda keys: [store.get(key) for key in keys]):
                    assert tile.seq > (store[tile.key].seq if tile.key in store else 0)
                    data = codec.encode(tile.state)  # a moment that overflowed is not equal to itself, its bytes are
                    assert codec.encode(codec.decode(data)) == data
                    store[tile.key] = tile
    return store


@pytest.fixture(scope="module")
def plan(group: CompiledGroup) -> GroupPlan:
    """The read plan of the group."""
    return GroupPlan(group, 1, None)


FIXTURES = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@settings(max_examples=60, deadline=None, suppress_health_check=FIXTURES)
@given(log=logs(), cuts=st.lists(st.integers(0, 30), max_size=5), query_ms=times())
def test_online_reads_equal_the_reference(
    group: CompiledGroup, plan: GroupPlan, log: list[SourceEvent], cuts: list[int], query_ms: int
) -> None:
    seen = [event for event in log if event.record["at_ms"] < query_ms]
    store = fold_all(group, seen, cuts)
    scale = magnitude_of(group, seen)
    for key in {(event.record["carrier"], event.record["gate"]) for event in seen} | {("UA", 0)}:
        expected = group_features(group, seen, key, query_ms)
        assert_same(read_tiles(plan, store, list(key), query_ms), expected, scale)


@settings(max_examples=30, deadline=None, suppress_health_check=FIXTURES)
@given(log=logs(), cuts=st.lists(st.integers(0, 30), max_size=5), again=st.integers(0, 30))
def test_applying_events_again_changes_nothing(
    group: CompiledGroup, log: list[SourceEvent], cuts: list[int], again: int
) -> None:
    store = fold_all(group, log, cuts)
    for partition in (0, 1):
        rows = rows_of(group, [event for event in log if event.partition == partition][: again + 1])
        if rows is not None:
            assert fold(group, StateCodec(group), rows, lambda keys: [store.get(key) for key in keys]) == []


@settings(max_examples=30, deadline=None, suppress_health_check=FIXTURES)
@given(log=logs(), left=st.lists(st.integers(0, 30), max_size=5), right=st.lists(st.integers(0, 30), max_size=5))
def test_bits_do_not_depend_on_batches(
    group: CompiledGroup, log: list[SourceEvent], left: list[int], right: list[int]
) -> None:
    codec = StateCodec(group)
    stores = (fold_all(group, log, left), fold_all(group, log, right))
    one, other = ({key: codec.encode(tile.state) for key, tile in store.items()} for store in stores)
    assert one == other
