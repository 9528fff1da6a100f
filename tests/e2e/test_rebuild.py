"""Projections come back from the log as they were: the online store after FLUSHALL, the lane after a lost disk."""

import random
import shutil
from typing import Any

import pytest
import redis
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from bighead.client.models import ModelsClient
from bighead.config import Settings
from bighead.events.log import end_offsets
from bighead.events.topics import FEATURES_STATE, topic_name
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op
from bighead.features.tiles import positions_key
from bighead.features.windows import DAY_MS
from bighead.health import HEARTBEAT_KEY, MATERIALIZER_HEARTBEAT_KEY
from bighead.local.platform import Platform
from bighead.testing import eventually
from tests.conformance.cases import COLUMNS, MIDNIGHT_MS
from tests.e2e.kit import Source, catalog_of, check_tiles, read_online, reference
from tests.lane_kit import avro_schema
from tests.unit.serving.models import times, times_stored

FLIGHTS = EventSource(topic="rebuild.flights.v1", table="rebuild/flights", time="at_ms")
OPS = [Op.COUNT, Op.SUM, Op.MIN, Op.MAX, Op.LAST]
SPANS: list[list[str]] = [["1h", "7d"], []]
CARRIER = GroupBy(
    "rebuild_carrier", FLIGHTS, ["carrier"], [Aggregation("delay", op, one) for op in OPS for one in SPANS]
)
RECENT = GroupBy("rebuild_recent", FLIGHTS, ["carrier"], [Aggregation("fuel", op, ["1d"]) for op in OPS])
FLIGHT = Join("rebuild_flight", Keys("carrier"), [CARRIER, RECENT])
ENTITIES = [{"carrier": f"C{index}"} for index in range(10)]
END_MS = MIDNIGHT_MS + DAY_MS


def flights(seed: int, count: int) -> list[dict[str, Any]]:
    chooser = random.Random(seed)
    nothing = {"gate": None, "tail": "N1", "late": None}
    return [
        {
            "at_ms": MIDNIGHT_MS + chooser.randrange(-2 * DAY_MS, DAY_MS),
            "carrier": f"C{chooser.randrange(10)}",
            "delay": chooser.randrange(-20, 200),
            "fuel": chooser.randrange(400) / 4,
            **nothing,
        }
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def source(breakable: Platform) -> Source:
    source = Source(breakable.settings, FLIGHTS.topic, avro_schema("Departed", COLUMNS, ["at_ms"]), key="carrier")
    source.apply([CARRIER, RECENT], FLIGHT)
    source.await_visible(source.publish(flights(1, 2_000)))
    return source


def test_a_store_that_was_flushed_comes_back_byte_by_byte(
    breakable: Platform, source: Source, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("model")
    models = ModelsClient(breakable.settings, "test", timeout_s=60)
    models.register("rebuild_times", times_stored(folder, 2.0), times(folder / "times.onnx", 2.0), "a test")
    with redis.Redis.from_url(breakable.settings.redis) as store:
        eventually(lambda: store.exists("bh:view:model:rebuild_times"), 30)
        eventually(lambda: reflects_all(breakable.settings, store), 30)
        before = dump(store)
        assert len([key for key in before if b":f:rebuild_" in key]) == 20

        store.flushall()

        eventually(lambda: before == dump(store), 60)
    source.await_visible(source.publish(flights(2, 500)))
    check_everything(source)


def test_a_lane_that_lost_its_disk_goes_on_from_the_tiles_of_the_log(breakable: Platform, source: Source) -> None:
    breakable.supervisor.stop_parts(["worker"])
    shutil.rmtree(breakable.settings.state / "lane")
    # Without the events themselves nothing but the state topic can tell what was in them.
    forget(breakable.settings, source)
    sent = source.publish(flights(3, 700))
    breakable.supervisor.start_part("worker")
    source.await_visible(sent)
    check_everything(source)


def check_everything(source: Source) -> None:
    (rows,) = read_online(source.settings, catalog_of(source.settings), FLIGHT.name, ENTITIES, [END_MS])
    assert rows == reference(source, FLIGHT.name, ENTITIES, END_MS)
    check_tiles(source, FLIGHT.name)


def reflects_all(settings: Settings, store: "redis.Redis") -> bool:
    """Whether the store has the whole state topic."""
    found = store.hgetall(positions_key(settings.topic_prefix))
    stored = {int(partition): int(offset) for partition, offset in found.items()}
    ends = end_offsets(settings, topic_name(settings.topic_prefix, FEATURES_STATE))
    return stored == {partition: offset for partition, offset in ends.items() if offset}


def dump(store: "redis.Redis") -> dict[bytes, Any]:
    """All keys but the signs of life, which say nothing of the log."""
    found: dict[bytes, Any] = {}
    for key in store.scan_iter(count=1000):
        if b":server:" in key:
            continue
        match store.type(key):
            case b"hash":
                found[key] = sorted(store.hgetall(key).items())
            case b"zset":
                found[key] = store.zrange(key, 0, -1, withscores=True)
            case b"string" if key.decode() not in (HEARTBEAT_KEY, MATERIALIZER_HEARTBEAT_KEY):
                found[key] = store.get(key)
    return found


def forget(settings: Settings, source: Source) -> None:
    """Deletes every event that was published so far from the source's topic."""
    ends = [TopicPartition(one.topic, one.partition, one.offset + 1) for one in source.ends]
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    for deleted in admin.delete_records(ends).values():
        deleted.result(30)
