"""Tiles of batch to the state topic: encoded and sent by Spark's workers, each until its last acknowledgement.

Knows Kafka through bighead.events, and Spark through Arrow batches alone.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from bighead import config
from bighead.client.store import Client, client_of, positions_of
from bighead.compile.spark import ENTITY, LATEST, SEQ, START
from bighead.config import Settings
from bighead.errors import NotReady
from bighead.events.codec import Codec
from bighead.events.headers import cloud_event
from bighead.events.message import Position
from bighead.events.sender import Sender
from bighead.events.topics import FEATURES_STATE, topic_name
from bighead.events.types import FeatureTile
from bighead.features.compiled import group_of_json
from bighead.features.tiles import BATCH_RANK, StateCodec, TileKey, log_key, positions_key
from bighead.features.windows import Level

LEVEL = "level"
SENT_SCHEMA = "level STRING, sent BIGINT, events BIGINT, partition INT, next_offset BIGINT"
_SOURCE = "bighead/batch/backfill"
_FLUSH_S = 300.0
_POLL_S = 0.05


def sender_task(
    settings: Settings, definition: str, epoch: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """For `mapInArrow` over tiles: sends them.

    Gives one row a level (how many, and how many events they sum up) and one a state partition (the offset after).
    """
    variables = config.variables(settings)
    return lambda batches: _send(config.load(variables), definition, epoch, batches)


def _send(
    settings: Settings, definition: str, epoch: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    codec, sender = Codec(settings.schema_registry), Sender(settings)
    topic = topic_name(settings.topic_prefix, FEATURES_STATE)
    sent, events = Counter[str](), Counter[str]()
    for key, event in _events(definition, epoch, batches):
        headers = cloud_event(event_type=FeatureTile.FULL_NAME, source=_SOURCE, subject=key, time_ms=event.latest_ms)
        sender.send(topic, key.encode(), codec.encode(event, topic), headers)
        sent[event.level] += 1
        events[event.level] += event.seq
    positions = sender.flush(_FLUSH_S)
    codec.close()
    rows: list[tuple[Any, ...]] = [(level, count, events[level], None, None) for level, count in sent.items()]
    rows += [(None, None, None, one.partition, one.offset + 1) for one in positions]
    yield pa.RecordBatch.from_pylist([dict(zip(_SENT.names, row, strict=True)) for row in rows], _SENT)


_SENT = pa.schema(
    [
        ("level", pa.string()),
        ("sent", pa.int64()),
        ("events", pa.int64()),
        ("partition", pa.int32()),
        ("next_offset", pa.int64()),
    ]
)


def _events(definition: str, epoch: int, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[str, FeatureTile]]:
    """Key and event of each tile."""
    group = group_of_json(definition)
    codec = StateCodec(group)
    names = [ENTITY, LEVEL, START, SEQ, LATEST, *(name for name, _ in group.state_columns)]
    for batch in batches:
        columns = [batch.column(name).to_pylist() for name in names]
        for entity, level, start_ms, seq, latest_ms, *state in zip(*columns, strict=True):
            key = log_key(group.name, epoch, TileKey(entity, Level(level), start_ms), BATCH_RANK)
            tile = FeatureTile(
                group=group.name,
                epoch=epoch,
                level=level,
                start_ms=start_ms,
                entity=entity,
                rank=BATCH_RANK,
                seq=seq,
                latest_ms=latest_ms,
                state=codec.encode_row(tuple(state)),
            )
            yield key, tile


def wait_until_stored(settings: Settings, next_offsets: Mapping[int, int], timeout_s: float) -> None:
    """Returns when the online store reflects the state topic below these offsets; raises NotReady after the time."""
    store = client_of(settings.redis)
    deadline_s = time.monotonic() + timeout_s
    pause = threading.Event()
    try:
        while missing := _missing(store, settings, next_offsets):
            if time.monotonic() > deadline_s:
                raise NotReady(
                    f"the online store does not hold the tiles after {timeout_s:g} s: {', '.join(missing)}. Is the "
                    "stream worker running? Run the same command again, or with `--wait 0` to leave the store alone"
                )
            pause.wait(_POLL_S)
    finally:
        store.close()


def _missing(store: Client, settings: Settings, next_offsets: Mapping[int, int]) -> list[str]:
    found = positions_of(store, settings.redis, positions_key(settings.topic_prefix))
    topic = topic_name(settings.topic_prefix, FEATURES_STATE)
    return [
        f"{Position(topic, partition, offset)} (it is at {found.get(partition, 0)})"
        for partition, offset in sorted(next_offsets.items())
        if found.get(partition, 0) < offset
    ]
