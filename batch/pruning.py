"""Deletes from the online store what no query can read any more. Knows Redis.

Readers may still go by the cut before the newest: call it with that one.
"""

from collections.abc import Callable

from batch.filling import needed_from_ms
from bighead.client.store import client_of, is_cluster
from bighead.config import Settings
from bighead.features.catalog import GroupEpoch
from bighead.features.compiled import CompiledGroup
from bighead.features.tiles import store_field, store_key
from bighead.features.windows import FIVE_MINUTES_MS, SIZES_MS, Level

_BATCH = 1_000
_LEVELS = {store_field(level, 0)[:1]: level for level in Level}


def prune_store(settings: Settings, applied: GroupEpoch, cut_ms: int) -> int:
    """Deletes the tiles of an epoch that queries at or after the cut cannot read; returns how many there were."""
    unread, deleted = unread_at(applied.group, cut_ms), 0
    shards = "{*}" if is_cluster(settings.redis) else ""
    pattern = shards + _escaped(store_key(settings.topic_prefix, applied.group.name, applied.epoch, "")) + "*"
    with client_of(settings.redis) as store:
        for key in store.scan_iter(pattern, _BATCH):
            old = [field for field in store.hkeys(key) if unread(field)]
            if old:
                deleted += store.hdel(key, *old)
    return deleted


def unread_at(group: CompiledGroup, cut_ms: int) -> Callable[[bytes], bool]:
    """Whether no query at or after the cut reads a field."""
    first = {level: needed_from_ms(group, level, cut_ms) for level in SIZES_MS} | {Level.BASE: cut_ms}

    def unread(field: bytes) -> bool:
        level, start_ms = _LEVELS.get(field[:1]), int.from_bytes(field[1:], "big") * FIVE_MINUTES_MS
        return level is not None and start_ms < first.get(level, 0)

    return unread


def _escaped(text: str) -> str:
    return "".join(f"\\{one}" if one in "*?[]\\" else one for one in text)
