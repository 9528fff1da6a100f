"""What one step does with messages that it cannot use: who refuses them, why, and that the others count."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from bighead.errors import InvalidEvent, UndecodableEvent
from bighead.events.headers import REPLAY_STAGE
from bighead.events.schemas import subject_of
from bighead.features import Aggregation, EventSource, GroupBy, Op
from bighead.features.compiled import CompiledGroup, compile_group
from bighead.features.definition import EntitySource
from bighead.features.tiles import Tile
from bighead.features.types import ValueType
from bighead.testing import SchemaRegistryServer
from streams import step as step_module
from tests.lane_kit import DAY_MS, NOW_MS, FakeRecord, LaneKit, MemoryTiles, Stepped, avro_schema, member, read

COLUMNS = {
    "at_ms": ValueType.LONG,
    "seen_ms": ValueType.LONG,
    "carrier": ValueType.STRING,
    "tail": ValueType.STRING,
    "delay": ValueType.LONG,
}
TOPIC = "flights.v1"
AT_MS = NOW_MS - DAY_MS


def group(name: str, key: str = "carrier", time: str = "at_ms", delay: str = "delay", **more: Any) -> CompiledGroup:
    source = EventSource(TOPIC, "flights", time, {"carrier": "carrier", "tail": "tail", "delay": delay}, **more)
    return compile_group(
        GroupBy(name, source, [key], [Aggregation("delay", Op.COUNT), Aggregation("delay", Op.SUM)]), COLUMNS
    )


CARRIER, PLANE = group("by_carrier"), group("by_plane", key="tail")


def flight(**fields: Any) -> dict[str, Any]:
    return {"at_ms": AT_MS, "seen_ms": AT_MS, "carrier": "UA", "tail": "N1", "delay": 5} | fields


@pytest.fixture(scope="module")
def kit() -> Iterator[LaneKit]:
    with SchemaRegistryServer() as registry:
        kit = LaneKit(registry, TOPIC, avro_schema("Departed", COLUMNS))
        yield kit
        kit.close()


def step(kit: LaneKit, groups: Sequence[CompiledGroup], *records: dict[str, Any] | FakeRecord) -> Stepped:
    """One step over one partition; plain records are encoded."""
    messages = [
        one if isinstance(one, FakeRecord) else FakeRecord(offset, kit.encode(one))
        for offset, one in enumerate(records)
    ]
    return kit.step([member(one) for one in groups], {0: messages})


def total(group: CompiledGroup, tiles: MemoryTiles, key: str) -> tuple[int, int | None]:
    """Count and sum."""
    found = read(group, tiles, [key], NOW_MS)
    return found[f"{group.name}_delay_count"], found[f"{group.name}_delay_sum"]


def test_bytes_that_nobody_can_read_are_one_dead_letter_for_all_groups(kit: LaneKit) -> None:
    done = step(
        kit, [CARRIER, PLANE], flight(), FakeRecord(1, b"\x01\x02\x03\x04\x05\x06"), FakeRecord(2, None), flight()
    )

    assert [(offset, name) for offset, name, _ in done.dead()] == [(1, None), (2, None)]
    assert all(isinstance(one.error, UndecodableEvent) for one in done.outcome.failures.values())
    assert total(CARRIER, done.tiles[0], "UA") == total(PLANE, done.tiles[1], "N1") == (2, 10)


@pytest.mark.parametrize(
    ("at_ms", "reason"),
    [
        (AT_MS // 1000, "This looks like seconds"),
        (AT_MS * 1000, "This looks like microseconds"),
        (-1, "It lies before 1970"),
        (NOW_MS + DAY_MS + 1, "24.0 hours in the future"),
        (None, "is no time: send a long"),
    ],
)
def test_a_time_that_is_not_believed_is_refused_for_all_groups(kit: LaneKit, at_ms: int | None, reason: str) -> None:
    done = step(kit, [CARRIER, PLANE], flight(at_ms=at_ms), flight(at_ms=NOW_MS + DAY_MS))

    ((offset, name, message),) = done.dead()
    assert (offset, name) == (0, None)
    assert "'at_ms'" in message and reason in message
    assert total(PLANE, done.tiles[1], "N1")[0] == 1


def test_groups_that_read_other_times_refuse_each_for_itself(kit: LaneKit) -> None:
    seen = group("by_seen", time="seen_ms")
    done = step(kit, [CARRIER, seen], flight(seen_ms=AT_MS // 1000), flight(at_ms=3, seen_ms=AT_MS))

    assert [(offset, name) for offset, name, _ in done.dead()] == [(0, "by_seen")]
    assert total(CARRIER, done.tiles[0], "UA")[0] == 2
    assert total(seen, done.tiles[1], "UA")[0] == 1


def test_when_kafka_took_the_message_decides_what_was_the_future_then(kit: LaneKit) -> None:
    early = AT_MS - 10 * DAY_MS
    done = step(kit, [CARRIER], FakeRecord(0, kit.encode(flight()), timestamp=early))

    ((_, _, message),) = done.dead()
    assert f"after now ({early})" in message


def test_a_null_key_is_refused_by_the_group_that_needs_it(kit: LaneKit) -> None:
    done = step(kit, [CARRIER, PLANE], flight(carrier=None), flight(carrier=""))

    ((offset, name, message),) = done.dead()
    assert (offset, name) == (0, "by_carrier")
    assert message.startswith("key 'carrier' of group 'by_carrier' is null; expected a value")
    assert total(CARRIER, done.tiles[0], "") == (1, 5)
    assert total(PLANE, done.tiles[1], "N1") == (2, 10)


def test_what_where_leaves_out_is_nobodys_error(kit: LaneKit) -> None:
    kept = group("by_kept", where="carrier IS NOT NULL AND delay < 100", delay="delay * 4611686018427387904")
    done = step(kit, [kept], flight(carrier=None), flight(delay=200), flight(delay=1))

    assert done.dead() == []
    assert total(kept, done.tiles[0], "UA") == (1, 4611686018427387904)


def test_a_field_of_another_type_is_refused_by_the_groups_that_read_it(kit: LaneKit) -> None:
    changed = avro_schema("Departed", COLUMNS | {"tail": ValueType.LONG})
    kit.registry.add(subject_of(TOPIC, "conformance.Departed2"), changed | {"name": "Departed2"})
    value = kit.codec.encode_record(TOPIC, "conformance.Departed2", flight(tail=17))
    done = step(kit, [CARRIER, PLANE], flight(), FakeRecord(1, value))

    ((offset, name, message),) = done.dead()
    assert (offset, name) == (1, "by_plane")
    assert (
        "field 'tail' of schema id" in message
        and "is long; the definition that was applied reads it as string" in message
    )
    assert total(CARRIER, done.tiles[0], "UA") == (2, 10)


def test_a_field_that_an_older_schema_lacks_is_null(kit: LaneKit) -> None:
    older = {name: kind for name, kind in COLUMNS.items() if name != "delay"}
    kit.registry.add(subject_of(TOPIC, "conformance.Older"), avro_schema("Older", older))
    record = {name: value for name, value in flight().items() if name != "delay"}
    done = step(kit, [CARRIER], flight(), FakeRecord(1, kit.codec.encode_record(TOPIC, "conformance.Older", record)))

    assert done.dead() == []
    assert total(CARRIER, done.tiles[0], "UA") == (1, 5)


def test_a_row_on_which_an_expression_fails_is_found_among_many(kit: LaneKit) -> None:
    huge = group("by_huge", delay="delay * 4611686018427387904")
    rows = [flight(delay=0) for _ in range(37)]
    rows[11], rows[30] = flight(delay=2), flight(delay=-3)
    done = step(kit, [CARRIER, huge], *rows)

    assert [(offset, name) for offset, name, _ in done.dead()] == [(11, "by_huge"), (30, "by_huge")]
    assert "an expression of group 'by_huge' cannot be evaluated" in done.dead()[0][2]
    assert {type(one.error) for one in done.outcome.failures.values()} == {InvalidEvent}
    assert total(huge, done.tiles[1], "UA") == (35, 0)
    assert total(CARRIER, done.tiles[0], "UA") == (37, -1)


def test_an_event_that_makes_a_sum_overflow_is_refused_alone(kit: LaneKit) -> None:
    done = step(kit, [CARRIER], flight(delay=2**62), flight(delay=2**62 - 1), flight(delay=7), flight(delay=-7))

    assert [offset for offset, _, _ in done.dead()] == [2]
    assert "does not fit in 64 bits" in done.dead()[0][2]
    assert total(CARRIER, done.tiles[0], "UA") == (3, 2**63 - 8)


def test_events_below_the_cut_are_counted_and_left_to_batch(kit: LaneKit) -> None:
    one = member(CARRIER, cut_ms=AT_MS)
    messages = [FakeRecord(0, kit.encode(flight(at_ms=AT_MS - 1))), FakeRecord(1, kit.encode(flight()))]
    done = kit.step([one, member(PLANE)], {0: messages})

    assert done.dead() == []
    assert done.outcome.late == {("by_carrier", 1): 1}
    assert {tile.seq for tile in done.tiles[0].tiles.values()} == {1}
    assert total(PLANE, done.tiles[1], "N1") == (2, 10)


def test_a_member_takes_nothing_below_its_own_offsets(kit: LaneKit) -> None:
    ahead = member(CARRIER)
    ahead.offsets[0] = 1
    messages = [FakeRecord(0, kit.encode(flight(carrier=None))), FakeRecord(1, kit.encode(flight()))]
    done = kit.step([ahead, member(PLANE)], {0: messages})

    assert done.dead() == [], "what was refused once is not refused again"
    assert total(CARRIER, done.tiles[0], "UA") == (1, 5)
    assert total(PLANE, done.tiles[1], "N1") == (2, 10)


@pytest.mark.parametrize(
    ("stage", "counted"), [("lane", (1, 1)), ("lane:by_plane", (0, 1)), ("monitoring", (0, 0)), ("lane:gone", (0, 0))]
)
def test_a_replayed_letter_reaches_the_stage_that_refused_it(
    kit: LaneKit, stage: str, counted: tuple[int, int]
) -> None:
    again = FakeRecord(0, kit.encode(flight()), headers=[(REPLAY_STAGE, stage.encode())])
    done = step(kit, [CARRIER, PLANE], again)

    assert done.dead() == []
    assert (total(CARRIER, done.tiles[0], "UA")[0], total(PLANE, done.tiles[1], "N1")[0]) == counted


@pytest.mark.parametrize("few_rows", [0, 1_000])
def test_rows_that_take_others_back_are_deleted_from_the_state(
    kit: LaneKit, few_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_module, "FEW_ROWS", few_rows)
    planes = EntitySource(TOPIC, "planes", "at_ms", {"carrier": "carrier", "delay": "delay"}, reversal="tail = 'gone'")
    ops = (Op.COUNT, Op.SUM, Op.HISTOGRAM, Op.LAST)
    changing = compile_group(GroupBy("g", planes, ["carrier"], [Aggregation("delay", op) for op in ops]), COLUMNS)
    rows = [flight(delay=5), flight(delay=7), flight(delay=5, tail="gone"), flight(delay=9, tail=None)]
    done = step(kit, [changing], *(row | {"at_ms": AT_MS + index} for index, row in enumerate(rows)))

    assert done.dead() == []
    assert read(changing, done.tiles[0], ["UA"], NOW_MS) == {
        "g_delay_count": 2,
        "g_delay_sum": 16,
        "g_delay_histogram": {"7": 1, "9": 1},
        "g_delay_last": 9,
    }


@pytest.mark.parametrize("many", [0, 40])
def test_an_event_that_any_kind_of_sum_cannot_take_is_refused_alone(kit: LaneKit, many: int) -> None:
    source = EventSource(TOPIC, "flights", "at_ms")
    aggregations = [Aggregation("delay", Op.SUM, bucket="tail"), Aggregation("delay", Op.VARIANCE)]
    bucketed = compile_group(GroupBy("g", source, ["carrier"], aggregations), COLUMNS)
    fine = [flight(tail=f"N{index}") for index in range(many)]
    done = step(kit, [bucketed], flight(delay=2**62), *fine, flight(delay=2**62), flight(delay=-1), flight(tail="N2"))

    ((offset, name, message),) = done.dead()
    assert (offset, name) == (1 + many, "g")
    assert "SUM of 'delay'" in message and "does not fit in 64 bits" in message
    sums = read(bucketed, done.tiles[0], ["UA"], NOW_MS)["g_delay_sum_by_tail"]
    assert (sums["N1"], sums["N2"]) == (2**62 - 1 + (5 if many else 0), 10 if many else 5)


class SmallTiles(MemoryTiles):
    """Tiles that take histograms of at most two values."""

    def change(self, tiles: Sequence[Tile]) -> None:
        if any(len(tile.state[1]) > 2 for tile in tiles):
            raise InvalidEvent("too large")
        super().change(tiles)


@pytest.mark.parametrize("few_rows", [0, 1_000])
def test_events_that_would_make_a_tile_too_large_are_refused_alone(
    kit: LaneKit, few_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_module, "FEW_ROWS", few_rows)
    source = EventSource(TOPIC, "flights", "at_ms")
    seen = compile_group(GroupBy("g", source, ["carrier"], [Aggregation("tail", Op.HISTOGRAM)]), COLUMNS)
    rows = [flight(tail=tail) for tail in ("N1", "N2", "N3", "N1", "N4", "N2")]
    messages = [FakeRecord(offset, kit.encode(row)) for offset, row in enumerate(rows)]
    one, tiles = member(seen), SmallTiles()
    outcome = kit.stepper([one]).step({0: messages}, [tiles], NOW_MS)

    assert [failure.record.offset for failure in outcome.failures.values()] == [2, 4]
    assert read(seen, tiles, ["UA"], NOW_MS) == {"g_tail_histogram": {"N1": 2, "N2": 2}}
