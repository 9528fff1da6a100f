"""What a read asks for depends on windows and time alone, however many events an entity has."""

import pytest

from bighead.errors import UndecodableEvent
from bighead.features import Aggregation, EventSource, GroupBy, Op
from bighead.features.cache import ByteCache
from bighead.features.compiled import CompiledGroup, compile_group
from bighead.features.definition import Accuracy
from bighead.features.plan import GroupPlan, Status
from bighead.features.tiles import StateCodec, store_value
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS, FIVE_MINUTES_MS, HOUR_MS, MINUTE_MS, Level
from tests.conformance.cases import MIDNIGHT_MS

COLUMNS = {"at_ms": ValueType.LONG, "carrier": ValueType.STRING, "delay": ValueType.LONG}


def group(windows: list[str], accuracy: Accuracy = Accuracy.TEMPORAL, op: Op = Op.SUM) -> CompiledGroup:
    source = EventSource(topic="flights", table="flights", time="at_ms")
    args = {"k": 2} if op is Op.LAST_K else {}
    aggregations = [Aggregation("delay", op, windows, args), Aggregation("delay", op, (), args)]
    return compile_group(GroupBy("g", source, ["carrier"], aggregations, accuracy=accuracy), COLUMNS)


def value(plan: GroupPlan, *parts: int) -> bytes:
    """A stored tile of a group with one cell: n and sum."""
    return store_value(0, parts[0], StateCodec(plan.group).encode(parts))


def test_the_fields_of_a_read_are_bounded() -> None:
    plan = GroupPlan(group(["1h", "1d", "7d", "30d"]), 1, None)
    times = range(MIDNIGHT_MS, MIDNIGHT_MS + DAY_MS, 7 * MINUTE_MS)
    assert max(len(plan.at(time_ms).fields) for time_ms in times) < 30 + 3 * 24 + 2 * 12 + 2


def test_what_still_grows_is_read_apart_from_what_is_closed() -> None:
    plan = GroupPlan(group(["1h"]), 1, None)
    read = plan.at(MIDNIGHT_MS + 2 * HOUR_MS + 1)
    assert set(read.tiles[read.closed :]) == {
        (Level.FIVE_MINUTES, MIDNIGHT_MS + 2 * HOUR_MS),
        (Level.ALL, 0),
    }
    on_edge = plan.at(MIDNIGHT_MS + 2 * HOUR_MS)
    assert on_edge.tiles[on_edge.closed :] == ((Level.ALL, 0),)
    snapshot = GroupPlan(group(["1d"], Accuracy.SNAPSHOT), 1, MIDNIGHT_MS)
    assert snapshot.at(MIDNIGHT_MS + 5 * HOUR_MS).grows == ()


def test_each_change_of_a_tile_changes_the_answer() -> None:
    plan = GroupPlan(group(["1h"]), 1, None)
    now_ms = MIDNIGHT_MS + 2 * HOUR_MS + FIVE_MINUTES_MS
    read = plan.at(now_ms + 1)
    values: list[bytes | None] = [None] * len(read.fields)
    assert plan.answer(read, values) == ((None, None), (Status.EMPTY, Status.EMPTY))
    places = {tile: index for index, tile in enumerate(read.tiles)}
    values[places[Level.ALL, 0]] = value(plan, 4, 100)
    values[places[Level.FIVE_MINUTES, now_ms - FIVE_MINUTES_MS]] = value(plan, 1, 7)
    assert plan.answer(read, values).values == (7, 100)
    values[places[Level.FIVE_MINUTES, now_ms]] = value(plan, 2, 20)
    assert plan.answer(read, values).values == (27, 100)
    values[places[Level.FIVE_MINUTES, now_ms - FIVE_MINUTES_MS]] = value(plan, 2, 8)  # a late event
    assert plan.answer(read, values) == ((28, 100), (Status.OK, Status.OK))


def test_lists_that_were_answered_may_be_changed_by_who_asked() -> None:
    plan = GroupPlan(group(["1h"], op=Op.LAST_K), 1, None)
    read = plan.at(MIDNIGHT_MS + 1)
    state = (1, ((MIDNIGHT_MS, 0, 0, 0, 5),))
    values: list[bytes | None] = [store_value(0, 1, plan.codec.encode(state))] * len(read.fields)
    plan.answer(read, values).values[0].append(6)
    assert plan.answer(read, values).values[0] == [5, 5]


def test_a_broken_tile_is_broken_each_time() -> None:
    plan = GroupPlan(group(["1h"]), 1, None)
    read = plan.at(MIDNIGHT_MS + 1)
    for _ in range(2):
        with pytest.raises(UndecodableEvent, match="state of group 'g'"):
            plan.answer(read, [store_value(0, 1, b"\x02")] * len(read.fields))


def test_a_cache_keeps_what_was_used_lately_within_its_bytes() -> None:
    cache: ByteCache[int] = ByteCache(200)
    for key in range(100):
        cache.put(key, key, 10)
        assert cache.get(0) == 0
    kept = [key for key in range(100) if cache.get(key) is not None]
    assert 10 <= len(kept) <= 20
    assert 99 in kept
