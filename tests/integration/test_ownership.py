"""Two workers and one part: Kafka's group says whose it is, and the broker refuses what comes late from who had it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from confluent_kafka import KafkaError, Message, Producer

from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.codec import Codec
from bighead.events.kafka import producer_config
from bighead.events.sender import Sender
from bighead.events.topics import FEATURES_STATE, OLDEST_MS, topic_name
from bighead.events.types import FeatureTile
from bighead.features.tiles import STREAM_RANK, TileKey, log_key
from bighead.features.windows import Level
from streams import restore as restoring
from streams.ownership import FRESH_S, NotOwner, Ownership
from streams.restore import TRUSTED_MS, Marks, restore
from streams.tile_store import TileStore

PART = "lane"


def tile(entity: str) -> FeatureTile:
    return FeatureTile(
        group="g",
        epoch=1,
        level=Level.ALL.value,
        start_ms=0,
        entity=entity,
        rank=STREAM_RANK,
        seq=1,
        latest_ms=1,
        state=b"",
    )


def worker(settings: Settings, folder: Path) -> Ownership:
    return Ownership(replace(settings, state=folder), PART)


def test_a_part_has_one_owner_and_the_next_one_follows_at_once(ready_settings: Settings, tmp_path: Path) -> None:
    async def run() -> None:
        first, second = worker(ready_settings, tmp_path / "first"), worker(ready_settings, tmp_path / "second")
        first.join()
        await asyncio.wait_for(first.gained.wait(), 20)
        second.join()
        with pytest.raises(PlatformError, match="a state folder of its own"):
            worker(ready_settings, tmp_path / "first").join()
        await asyncio.wait_for(first.held(), 5)
        assert abs(first.stamp_ms() - (wall_clock_ms() - OLDEST_MS + FRESH_S * 1000)) < 1000
        assert first.begin()
        with pytest.raises(NotOwner):
            second.stamp_ms()
        assert not second.begin()

        leaving = asyncio.create_task(asyncio.to_thread(first.leave))
        await asyncio.wait_for(second.gained.wait(), 5)
        await leaving
        with pytest.raises(NotOwner):
            first.stamp_ms()
        await asyncio.wait_for(second.held(), 5)
        await asyncio.to_thread(second.leave)

    asyncio.run(run())


def test_the_broker_refuses_what_was_stamped_too_long_ago(ready_settings: Settings) -> None:
    refused: list[KafkaError | None] = []

    def heard(error: KafkaError | None, _: Message) -> None:
        refused.append(error)

    producer = Producer(producer_config(ready_settings))
    topic = topic_name(ready_settings.topic_prefix, FEATURES_STATE)
    stamped_ms = wall_clock_ms() - OLDEST_MS + int(FRESH_S * 1000)
    for age_s in (0, FRESH_S + 1):
        producer.produce(topic, b"", b"key", 0, heard, timestamp=stamped_ms - round(age_s * 1000))
        producer.flush(10)
    taken, late = refused
    assert taken is None
    assert late is not None and late.code() == KafkaError.INVALID_TIMESTAMP


def test_a_disk_that_was_away_for_longer_than_the_log_remembers_is_restored_as_a_whole(
    ready_settings: Settings, tmp_path: Path
) -> None:
    codec, topic = Codec(ready_settings.schema_registry), topic_name(ready_settings.topic_prefix, FEATURES_STATE)
    sender = Sender(ready_settings)

    def publish(entity: str) -> bytes:
        key = log_key("g", 1, TileKey(entity, Level.ALL, 0), STREAM_RANK).encode()
        sender.send(topic, key, codec.encode(tile(entity), topic), [])
        sender.flush()
        return key

    def keys_after(now: Callable[[], int]) -> set[str]:
        with patch.object(restoring, "wall_clock_ms", now):
            restore(ready_settings, codec, store, Marks(ready_settings.partitions))
        return set(store.keys("g"))

    there = publish('["UA"]')
    store = TileStore(tmp_path / "lane", codec, topic, 1_000)
    gone = log_key("g", 1, TileKey('["gone"]', Level.ALL, 0), STREAM_RANK)
    assert keys_after(wall_clock_ms) == {there.decode()}
    reached = store.state_offsets()
    assert reached is not None
    store.restore([(gone.encode(), tile('["gone"]'), b"")], reached)
    assert keys_after(lambda: wall_clock_ms() + TRUSTED_MS + 1) == {there.decode(), gone}, "it missed nothing"
    added = publish('["AA"]')
    assert keys_after(lambda: wall_clock_ms() + TRUSTED_MS - 1000) == {there.decode(), added.decode(), gone}
    more = publish('["DL"]')
    assert keys_after(lambda: wall_clock_ms() + TRUSTED_MS + 1) == {there.decode(), added.decode(), more.decode()}
    store.close()
    codec.close()
