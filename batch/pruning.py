"""Deletes from the state topic and the online store what no query can read any more. Knows Kafka and Redis.

Readers may still go by the cut before the newest: call it with that one.
"""

from collections.abc import Callable, Iterator
from itertools import islice

from batch.filling import needed_from_ms
from bighead.client.store import client_of, is_cluster
from bighead.config import Settings
from bighead.events.sender import Sender
from bighead.events.topics import FEATURES_STATE, topic_name
from bighead.features.catalog import GroupEpoch
from bighead.features.compiled import CompiledGroup
from bighead.features.tiles import BATCH_RANK, STREAM_RANK, TileKey, log_key, store_field, store_key
from bighead.features.windows import FIVE_MINUTES_MS, SIZES_MS, Level

_BATCH = 1_000
_FLUSH_S = 60.0
_LEVELS = {store_field(level, 0)[:1]: level for level in Level}


def prune_store(settings: Settings, applied: GroupEpoch, cut_ms: int) -> int:
    """Deletes the tiles of an epoch that queries at or after the cut cannot read; returns how many there were.

    First from the state topic, by tombstones for what batch and stream wrote, so that no replay brings them back.
    """
    unread, deleted = unread_at(applied.group, cut_ms), 0
    begin = store_key(settings.topic_prefix, applied.group.name, applied.epoch, "")
    shards = "{*}" if is_cluster(settings.redis) else ""
    sender, topic = Sender(settings), topic_name(settings.topic_prefix, FEATURES_STATE)
    with client_of(settings.redis) as store:
        for keys in _batched(store.scan_iter(shards + _escaped(begin) + "*", _BATCH), _BATCH):
            found = {key: [field for field in store.hkeys(key) if unread(field)] for key in keys}
            for key, fields in found.items():
                entity = key.decode().partition(begin)[2]
                for tile in (TileKey(entity, *_place(field)) for field in fields):
                    for rank in (BATCH_RANK, STREAM_RANK):
                        sender.send(topic, log_key(applied.group.name, applied.epoch, tile, rank).encode(), None, [])
            sender.flush(_FLUSH_S)
            deleted += sum(store.hdel(key, *fields) for key, fields in found.items() if fields)
    return deleted


def _batched(keys: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """The keys, some at a time."""
    while some := list(islice(keys, size)):
        yield some


def unread_at(group: CompiledGroup, cut_ms: int) -> Callable[[bytes], bool]:
    """Whether no query at or after the cut reads a field."""
    first = {level: needed_from_ms(group, level, cut_ms) for level in SIZES_MS} | {Level.BASE: cut_ms}

    def unread(field: bytes) -> bool:
        level, start_ms = _place(field)
        return start_ms < first.get(level, 0)

    return unread


def _place(field: bytes) -> tuple[Level, int]:
    """Level and start of a field."""
    return _LEVELS[field[:1]], int.from_bytes(field[1:], "big") * FIVE_MINUTES_MS


def _escaped(text: str) -> str:
    return "".join(f"\\{one}" if one in "*?[]\\" else one for one in text)
