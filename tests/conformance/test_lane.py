"""The Python lane, from Avro bytes to tiles, equals the reference, however the log is cut in batches."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bighead.features.compiled import CompiledGroup
from bighead.features.reference import SourceEvent, group_features
from bighead.features.tiles import StateCodec, TileKey
from bighead.testing import SchemaRegistryServer
from tests.conformance.cases import COLUMNS, SHAPES, assert_same, every_operation, logs, magnitude_of, times
from tests.lane_kit import NOW_MS, FakeRecord, LaneKit, MemoryTiles, avro_schema, member, read

pytestmark = pytest.mark.usefixtures("few_rows")
FIXTURES = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
FEW = settings(max_examples=8, deadline=None, suppress_health_check=FIXTURES)


@pytest.fixture(scope="module", params=SHAPES)
def group(request: pytest.FixtureRequest) -> CompiledGroup:
    """Every operation, one shape of inputs after the other."""
    return every_operation(shape=request.param)


@pytest.fixture(scope="module")
def kit() -> Iterator[LaneKit]:
    with SchemaRegistryServer() as registry:
        kit = LaneKit(registry, "conformance.events", avro_schema("Case", COLUMNS, ["at_ms", "carrier", "gate"]))
        yield kit
        kit.close()


def run(kit: LaneKit, group: CompiledGroup, events: list[SourceEvent], cuts: list[int]) -> MemoryTiles:
    """Steps both partitions together, batch by batch."""
    one, tiles = member(group), MemoryTiles()
    stepper = kit.stepper([one])
    edges = sorted({0, len(events), *(cut % (len(events) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        polled: dict[int, list[FakeRecord]] = {}
        for event in events[start:end]:
            polled.setdefault(event.partition, []).append(FakeRecord(event.offset, kit.encode(event.record)))
        outcome = stepper.step(polled, [tiles], NOW_MS)
        assert not outcome.failures
        for partition, records in polled.items():
            one.offsets[partition] = records[-1].offset + 1
    return tiles


@FEW
@given(log=logs(), cuts=st.lists(st.integers(0, 30), max_size=4), query_ms=times())
def test_the_lane_equals_the_reference(
    kit: LaneKit, group: CompiledGroup, log: list[SourceEvent], cuts: list[int], query_ms: int
) -> None:
    seen = [event for event in log if event.record["at_ms"] < query_ms]
    tiles = run(kit, group, seen, cuts)
    scale = magnitude_of(group, seen)
    for key in {(event.record["carrier"], event.record["gate"]) for event in seen} | {("UA", 0)}:
        expected = group_features(group, seen, key, query_ms)
        assert_same(read(group, tiles, list(key), query_ms), expected, scale)


@FEW
@given(log=logs(), cuts=st.lists(st.integers(0, 30), max_size=4))
def test_a_batch_of_all_groups_gives_each_what_it_gets_alone(
    kit: LaneKit, group: CompiledGroup, log: list[SourceEvent], cuts: list[int]
) -> None:
    polled: dict[int, list[FakeRecord]] = {}
    for event in log:
        polled.setdefault(event.partition, []).append(FakeRecord(event.offset, kit.encode(event.record)))
    alone = kit.step([member(group)], polled).tiles[0]
    both = kit.step([member(group), member(every_operation(["1h"]))], polled).tiles
    assert written(group, both[0]) == written(group, alone)


def written(group: CompiledGroup, tiles: MemoryTiles) -> dict[TileKey, tuple[int, bytes]]:
    codec = StateCodec(group)
    return {key: (tile.seq, codec.encode(tile.state)) for key, tile in tiles.tiles.items()}
