"""Online reads from a real Redis: equal to the reference, honest about what they could not read."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import hiredis
import pytest
import redis

from bighead.client.online import OnlineReader
from bighead.client.redis import RedisPipeline, Refused
from bighead.config import Settings
from bighead.errors import DeadlineExceeded, DefinitionError, InvalidInput, StoreError
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op, Part
from bighead.features.catalog import Catalog, GroupEpoch, JoinEpoch
from bighead.features.compiled import CompiledGroup, compile_group, compile_join
from bighead.features.fold import fold
from bighead.features.reference import SourceEvent, join_features
from bighead.features.tiles import BATCH_RANK, StateCodec, Tile, TileKey, store_field, store_key, store_value
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS, HOUR_MS, Level
from tests.conformance.cases import MIDNIGHT_MS, rows_of

COLUMNS = {"at_ms": ValueType.LONG, "carrier": ValueType.STRING, "gate": ValueType.LONG, "delay": ValueType.LONG}
SOURCE = EventSource(topic="flights", table="flights", time="at_ms")
AGGREGATIONS = [Aggregation("delay", Op.SUM, ["1h", "7d"]), Aggregation("delay", Op.LAST)]
CARRIER = compile_group(GroupBy("carrier", SOURCE, ["carrier"], AGGREGATIONS), COLUMNS)
GATE = compile_group(GroupBy("gate", SOURCE, ["gate"], AGGREGATIONS), COLUMNS)
JOIN = compile_join(
    Join("flight", Keys("carrier", "gate"), ["carrier", "gate"], {"late": "carrier_delay_last > 15"}),
    {"carrier": CARRIER, "gate": GATE},
)


def catalog(cut_ms: int | None = None) -> Catalog:
    return Catalog(
        groups={(group.name, 1): GroupEpoch(1, group, cut_ms) for group in JOIN.groups},
        active={group.name: 1 for group in JOIN.groups},
        joins={"flight": JoinEpoch(1, JOIN.to_json(), JOIN.hash)},
    )


def event(at_ms: int, carrier: str, gate: int, delay: int, offset: int) -> SourceEvent:
    return SourceEvent({"at_ms": at_ms, "carrier": carrier, "gate": gate, "delay": delay}, 0, offset)


EVENTS = [
    event(MIDNIGHT_MS - 6 * DAY_MS, "UA", 1, 5, 0),
    event(MIDNIGHT_MS, "UA", 2, 20, 1),
    event(MIDNIGHT_MS + 1, "AA", 1, 7, 2),
    event(MIDNIGHT_MS + 2 * HOUR_MS, "UA", 1, 30, 3),
]


def store(settings: Settings, group: CompiledGroup, tiles: Sequence[Tile]) -> None:
    codec = StateCodec(group)
    with redis.Redis.from_url(settings.redis) as client:
        for tile in tiles:
            key = store_key(settings.topic_prefix, group.name, 1, tile.key.entity)
            value = store_value(tile.rank, tile.seq, codec.encode(tile.state))
            client.hset(key, store_field(tile.key.level, tile.key.start_ms), value)


def fold_into(settings: Settings, events: Sequence[SourceEvent]) -> None:
    for group in JOIN.groups:
        rows = rows_of(group, events)
        assert rows is not None
        store(settings, group, fold(group, StateCodec(group), rows, lambda keys: [None for _ in keys]))


def read(settings: Settings, entities: list[dict[str, Any]], query_ms: int, known: Catalog | None = None) -> Any:
    known = known or catalog()

    async def run() -> Any:
        pipeline = RedisPipeline(settings.redis)
        try:
            reader = OnlineReader(pipeline, settings.topic_prefix, lambda: known)
            return await reader.read("flight", entities, query_ms, 5.0)
        finally:
            await pipeline.close()

    return asyncio.run(run())


def test_rows_equal_the_reference_for_known_repeated_and_unknown_keys(settings: Settings) -> None:
    fold_into(settings, EVENTS)
    query_ms = MIDNIGHT_MS + 2 * HOUR_MS + 1
    entities = [{"carrier": carrier, "gate": gate} for carrier in ("UA", "AA", "ZZ") for gate in (1, 2, 9)]
    rows = read(settings, [*entities, entities[0]], query_ms)
    for entity, row in zip(entities, rows, strict=False):
        assert row.values == join_features(JOIN, {"flights": EVENTS}, entity, query_ms)
    assert rows[-1] == rows[0]
    assert rows[0].statuses["carrier_delay_sum_1h"] == "OK"
    assert rows[-2].statuses["carrier_delay_sum_1h"] == "EMPTY"
    assert rows[0].epochs == {"carrier": 1, "gate": 1}


def test_a_group_under_two_prefixes_and_columns_of_the_request_equal_the_reference(settings: Settings) -> None:
    fold_into(settings, EVENTS)
    pair = compile_join(
        Join(
            "pair",
            Keys("ours", "theirs"),
            [Part("carrier", "ours", {"carrier": "ours"}), Part("carrier", "theirs", {"carrier": "theirs"})],
            {"wide": "gap > limit_min", "gap": "ours_carrier_delay_last - theirs_carrier_delay_last"},
            request={"limit_min": "double"},
        ),
        {"carrier": CARRIER},
    )
    known = replace(catalog(), joins={"flight": JoinEpoch(1, pair.to_json(), pair.hash)})
    query_ms = MIDNIGHT_MS + 3 * HOUR_MS
    limits = [("UA", "AA", 20), ("UA", "ZZ", 20.5), ("AA", "UA", None)]
    entities = [{"ours": ours, "theirs": theirs, "limit_min": limit} for ours, theirs, limit in limits]
    rows = read(settings, entities, query_ms, known)
    for entity, row in zip(entities, rows, strict=True):
        assert row.values == join_features(pair, {"flights": EVENTS}, entity, query_ms)
        assert list(row.values) == list(pair.kinds)
    assert (rows[0].values["gap"], rows[0].values["wide"]) == (23, True)
    assert rows[0].epochs == {"carrier": 1}
    with pytest.raises(InvalidInput, match="'limit_min' of join 'pair' is double; received '20'"):
        read(settings, [entities[0] | {"limit_min": "20"}], query_ms, known)


def test_a_null_key_has_no_events(settings: Settings) -> None:
    fold_into(settings, EVENTS)
    (row,) = read(settings, [{"carrier": None, "gate": 1}], MIDNIGHT_MS + 3 * HOUR_MS)
    assert row.values["carrier_delay_last"] is None
    assert row.statuses["carrier_delay_last"] == "EMPTY"
    assert row.statuses["gate_delay_last"] == "OK"


def test_below_the_cut_batch_answers_and_a_query_before_it_is_an_error(settings: Settings) -> None:
    fold_into(settings, [one for one in EVENTS if one.record["at_ms"] >= MIDNIGHT_MS])
    base = Tile(TileKey('["UA"]', Level.BASE, MIDNIGHT_MS), BATCH_RANK, 1, 0, (), (1, 5, 1, 1, 0, 0, 5))
    store(settings, CARRIER, [base])
    entities = [{"carrier": "UA", "gate": 1}]
    (row,) = read(settings, entities, MIDNIGHT_MS, catalog(cut_ms=MIDNIGHT_MS))
    assert row.values["carrier_delay_last"] == 5
    (row,) = read(settings, entities, MIDNIGHT_MS + 1, catalog(cut_ms=MIDNIGHT_MS))
    assert row.values["carrier_delay_last"] == 20
    (row,) = read(settings, entities, MIDNIGHT_MS - 1, catalog(cut_ms=MIDNIGHT_MS))
    assert set(row.statuses.values()) == {"ERROR"}


def test_a_store_that_does_not_answer_gives_errors_not_empty_values(settings: Settings) -> None:
    nowhere = settings.redis.replace(settings.redis.split(":")[2].split("/")[0], "1")

    async def run() -> Any:
        reader = OnlineReader(RedisPipeline(nowhere), "none", lambda: known)
        return await reader.read("flight", [{"carrier": "UA", "gate": 1}], MIDNIGHT_MS, 1.0), reader.failures

    known = catalog()
    (row,), failures = asyncio.run(run())
    assert set(row.statuses.values()) == {"ERROR"}
    assert set(row.values.values()) == {None}
    assert failures == 1


class Relay:
    """Passes everything to a real store, and of its replies only the first `most`, as a store that stalls would."""

    def __init__(self, settings: Settings, most: int) -> None:
        self._address = urlsplit(settings.redis)
        self._left, self._replies = most, hiredis.Reader()
        self._ended = asyncio.Event()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"redis://127.0.0.1:{port}{self._address.path}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._ended.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        store_reader, store_writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        passing = asyncio.create_task(self._pass_replies(store_reader, writer))
        while data := await reader.read(65536):
            store_writer.write(data)
        await passing
        for one in (store_writer, writer):
            one.close()
        self._ended.set()

    async def _pass_replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self._left and (byte := await reader.read(1)):
            writer.write(byte)
            self._replies.feed(byte)
            self._left -= self._replies.gets() is not False


def test_what_came_in_time_is_answered_and_the_rest_is_an_error(settings: Settings) -> None:
    fold_into(settings, EVENTS)
    entities = [{"carrier": carrier, "gate": 1} for carrier in ("UA", "AA")]  # three hashes: gate 1 is read once
    query_ms = MIDNIGHT_MS + 2 * HOUR_MS + 1

    async def run() -> tuple[Any, int]:
        async with Relay(settings, most=3) as address:  # the reply to SELECT, and those of UA and gate 1
            store = RedisPipeline(address)
            reader = OnlineReader(store, settings.topic_prefix, lambda: known)
            rows = await reader.read("flight", entities, query_ms, 0.3)
            await store.close()
            return rows, reader.failures

    known = catalog()
    (first, second), failures = asyncio.run(run())
    assert failures == 1
    assert first.values == join_features(JOIN, {"flights": EVENTS}, entities[0], query_ms)
    assert "ERROR" not in first.statuses.values()
    broken = {name for name, status in second.statuses.items() if status == "ERROR"}
    assert broken == {*(feature.name for feature in CARRIER.features), "late"}
    assert {second.values[name] for name in broken} == {None}
    assert second.values["gate_delay_last"] == first.values["gate_delay_last"]


async def test_a_pipeline_gives_the_replies_that_came_and_an_error_for_each_other(settings: Settings) -> None:
    store = RedisPipeline(settings.redis)
    replies = await store.ask([("PING",), ("NOSUCH",), ("BLPOP", "nothing", "0.3"), ("PING",)], 0.1)
    assert replies[0] == b"PONG"
    assert [type(reply) for reply in replies[1:]] == [Refused, DeadlineExceeded, DeadlineExceeded]
    assert await store.execute([("ECHO", "after")], 5.0) == [b"after"]  # late replies are not taken for newer ones
    with pytest.raises(StoreError, match="refused a command: ERR unknown command"):
        await store.execute([("NOSUCH",)], 5.0)
    await store.close()


def test_features_are_stale_where_the_stream_is_behind(settings: Settings) -> None:
    fold_into(settings, EVENTS)

    async def run(topics: set[str]) -> Any:
        store = RedisPipeline(settings.redis)
        reader = OnlineReader(store, settings.topic_prefix, lambda: known, lambda: topics)
        rows = await reader.read("flight", [{"carrier": "UA", "gate": 9}], MIDNIGHT_MS + 3 * HOUR_MS, 5.0)
        await store.close()
        return rows[0]

    known = catalog()
    fresh, stale = asyncio.run(run({"weather"})), asyncio.run(run({"flights"}))
    assert set(fresh.statuses.values()) == {"OK", "EMPTY"}
    assert set(stale.statuses.values()) == {"STALE"}
    assert stale.values == fresh.values


def test_kept_tiles_are_not_taken_for_newer_ones(settings: Settings) -> None:
    known, entity = catalog(), {"carrier": "UA", "gate": 1}
    late = event(MIDNIGHT_MS - DAY_MS, "UA", 1, 100, 9)
    query_ms = MIDNIGHT_MS + 2 * HOUR_MS + 1

    async def run() -> None:
        store = RedisPipeline(settings.redis)
        reader = OnlineReader(store, settings.topic_prefix, lambda: known)
        for events in (EVENTS[:1], EVENTS[:3], EVENTS, [*EVENTS, late]):
            fold_into(settings, events)
            for _ in range(2):
                (row,) = await reader.read("flight", [entity], query_ms, 5.0)
                assert row.values == join_features(JOIN, {"flights": events}, entity, query_ms)
        await store.close()

    asyncio.run(run())


def test_a_broken_tile_is_an_error_of_its_group_only(settings: Settings) -> None:
    fold_into(settings, EVENTS)
    with redis.Redis.from_url(settings.redis) as client:
        key = store_key(settings.topic_prefix, "carrier", 1, '["UA"]')
        client.hset(key, store_field(Level.ALL, 0), store_value(0, 9, b"\x01\x02"))
    (row,) = read(settings, [{"carrier": "UA", "gate": 1}], MIDNIGHT_MS + 3 * HOUR_MS)
    assert row.statuses["carrier_delay_last"] == "ERROR"
    assert row.statuses["late"] == "ERROR"
    assert row.statuses["gate_delay_last"] == "OK"


@pytest.mark.parametrize(
    ("entity", "message"),
    [
        ({"carrier": "UA"}, "needs 'gate'; received \\['carrier'\\]"),
        ({"carrier": "UA", "gate": "1"}, "'gate' of join 'flight' is long; received '1'"),
        ({"carrier": "UA", "gate": True}, "is long; received True"),
    ],
)
def test_a_wrong_key_is_refused_by_name(settings: Settings, entity: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(settings, [entity], MIDNIGHT_MS)


def test_an_unknown_join_is_refused_with_those_that_exist(settings: Settings) -> None:
    reader = OnlineReader(RedisPipeline(settings.redis), "none", catalog)
    with pytest.raises(DefinitionError, match="join 'fligt' is not applied; did you mean 'flight'"):
        reader.join("fligt")
