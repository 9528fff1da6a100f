"""How fast the online store comes back from the log after it was lost, and whether it is the same, byte by byte.

The log holds what a lane would have written; the materializer starts with an empty store.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from typing import Any

import redis
from confluent_kafka import Producer

from benchmarks import payments
from benchmarks.report import Report
from benchmarks.stack import say, stack
from bighead.client.catalog import read_catalog
from bighead.client.visibility import Visibility
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.headers import cloud_event
from bighead.events.kafka import LOGGER, producer_config
from bighead.events.log import end_offsets
from bighead.events.topics import FEATURES_STATE, topic_name
from bighead.events.types import FeatureTile, SourceOffset
from bighead.features.tiles import STREAM_RANK, StateCodec, TileKey, log_key, positions_key, store_key
from bighead.features.windows import DAY_MS, Level
from bighead.local.parts import INFRASTRUCTURE
from bighead.testing import eventually

TILES = 1_000_000
TILES_A_KEY = 10
FLOOR_KEYS = 10_000
GOAL_TILES_S = 100_000
_LATEST_S = 600.0


def run(tiles: int = TILES) -> Report:
    """Fills the log, lets the materializer write the store twice, and compares."""
    with stack((*INFRASTRUCTURE, "worker", "materializer")) as platform:
        settings = platform.settings
        payments.create(settings)
        with closing(Visibility(settings)) as visibility:
            visibility.wait(payments.apply(settings).positions, _LATEST_S)
        platform.supervisor.stop_parts(["worker"])
        say(f"writing {tiles:,} tiles to the log")
        fill(settings, tiles)
        with redis.Redis.from_url(settings.redis) as store:
            eventually(lambda: _reflects_all(settings, store), _LATEST_S, 0.1)
            before = digest(settings, store)
            say("flushing the store")
            store.flushall()
            started = time.perf_counter()
            eventually(lambda: _reflects_all(settings, store), _LATEST_S, 0.05)
            seconds = time.perf_counter() - started
            same = digest(settings, store) == before
            written, floor_s = floor(settings, store)
    rate, most = tiles / seconds, written / floor_s
    return Report(
        "rebuild",
        f"{tiles:,} tiles of {tiles // TILES_A_KEY:,} keys",
        [
            {"what": "Redis from the log", "tiles": tiles, "seconds": seconds, "tiles/s": rate},
            {"what": "the same hashes by pipelined HSET", "tiles": written, "seconds": floor_s, "tiles/s": most},
        ],
        {"of what Redis takes in from one client": rate / most},
        {f"{GOAL_TILES_S:,} tiles/s": rate >= GOAL_TILES_S, "byte-identical": same},
        [
            "the time runs from FLUSHALL until the store says that it reflects the whole log",
            "HSET neither reads a log nor compares what it replaces",
        ],
    )


def fill(settings: Settings, tiles: int) -> None:
    """Tiles of days, as the lane writes them."""
    topic = topic_name(settings.topic_prefix, FEATURES_STATE)
    settled = {"linger.ms": 50, "queue.buffering.max.messages": 200_000}
    producer = Producer(producer_config(settings) | settled, logger=LOGGER)
    for key, value in _messages(settings, topic, tiles):
        headers = cloud_event(event_type=FeatureTile.FULL_NAME, source="benchmarks", subject=key, time_ms=0)
        while True:
            try:
                producer.produce(topic, value, key.encode(), headers=list(headers))
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()


def _messages(settings: Settings, topic: str, tiles: int) -> Iterator[tuple[str, bytes]]:
    with closing(Codec(settings.schema_registry)) as codec:
        group = read_catalog(settings, codec).group(payments.GROUP.name).group
        state = StateCodec(group).encode((5, 5, 1234.5, 5, 999.0))
        midnight_ms = wall_clock_ms() // DAY_MS * DAY_MS
        for number in range(tiles):
            start_ms = midnight_ms - (number % TILES_A_KEY) * DAY_MS
            key = TileKey(f'["account-{number // TILES_A_KEY}"]', Level.DAY, start_ms)
            tile = FeatureTile(
                group=group.name,
                epoch=1,
                level=key.level,
                start_ms=start_ms,
                entity=key.entity,
                rank=STREAM_RANK,
                seq=5,
                latest_ms=start_ms,
                positions=(SourceOffset(partition=0, offset=number),),
                state=state,
            )
            yield log_key(group.name, 1, key, STREAM_RANK), codec.encode(tile, topic)


def _reflects_all(settings: Settings, store: "redis.Redis") -> bool:
    ends = end_offsets(settings, topic_name(settings.topic_prefix, FEATURES_STATE))
    stored = store.hgetall(positions_key(settings.topic_prefix))
    return {int(one): int(offset) for one, offset in stored.items()} == {one: end for one, end in ends.items() if end}


def digest(settings: Settings, store: "redis.Redis") -> int:
    """Of all tiles, independent of their order."""
    found, names = 0, store_key(settings.topic_prefix, payments.GROUP.name, 1, "*")
    for keys in _chunks(set(store.scan_iter(names, count=1_000))):
        pipeline = store.pipeline(transaction=False)
        for key in keys:
            pipeline.hgetall(key)
        for key, fields in zip(keys, pipeline.execute(), strict=True):
            found ^= hash((key, tuple(sorted(fields.items()))))
    return found


def floor(settings: Settings, store: "redis.Redis") -> tuple[int, float]:
    """Some of the hashes written again to an empty store, without any check: how many tiles, and the seconds."""
    names = store_key(settings.topic_prefix, payments.GROUP.name, 1, "*")
    some = islice(dict.fromkeys(store.scan_iter(names, count=1_000)), FLOOR_KEYS)
    hashes: dict[Any, Any] = {key: store.hgetall(key) for key in some}
    store.flushall()
    started = time.perf_counter()
    for keys in _chunks(hashes):
        pipeline = store.pipeline(transaction=False)
        for key in keys:
            pipeline.hset(key, mapping=hashes[key])
        pipeline.execute()
    return sum(map(len, hashes.values())), time.perf_counter() - started


def _chunks(keys: Iterable[bytes], size: int = 1_000) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for key in keys:
        chunk.append(key)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
