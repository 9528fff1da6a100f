"""Brings the lane's local state up to the state topic, which may be ahead of it: after a crash by a little, after the
loss of the disk by everything. Knows the topic and the store; runs before the first step.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from bighead.config import Settings
from bighead.errors import UndecodableEvent
from bighead.events.codec import Codec
from bighead.events.log import read_log
from bighead.events.message import Message
from bighead.events.topics import FEATURES_STATE, topic_name
from bighead.events.types import FeatureTile, PositionReached, SourcePosition
from bighead.features.tiles import STREAM_RANK
from streams.tile_log import LANE
from streams.tile_store import TileStore

_CHUNK = 5000
_log = logging.getLogger(__name__)
Item = TypeVar("Item")


@dataclass
class Marks:
    """How far the state topic says that each source is included: by topic, source partition and state partition."""

    state_partitions: int
    reached: dict[str, dict[int, dict[int, int]]] = field(default_factory=dict)

    def take(self, event: PositionReached, state_partition: int) -> None:
        """Takes one mark; later ones replace earlier ones."""
        if event.lane == LANE:
            of_topic = self.reached.setdefault(event.topic, {})
            named: list[PositionReached | SourcePosition] = [event, *event.others]
            for one in named:
                of_topic.setdefault(one.partition, {})[state_partition] = one.offset

    def included(self, topic: str) -> dict[int, int]:
        """For each source partition the offset below which everything is in every partition of the state topic."""
        return {
            partition: min(offsets.values())
            for partition, offsets in self.reached.get(topic, {}).items()
            if len(offsets) == self.state_partitions
        }


def restore(settings: Settings, codec: Codec, store: TileStore) -> Marks:
    """Copies what is newer on the state topic into the store; the marks that it found, all of them for an empty one."""
    topic = topic_name(settings.topic_prefix, FEATURES_STATE)
    known = store.state_offsets()
    reached = dict(known or {})
    marks = Marks(settings.partitions)
    count = 0
    for chunk in _chunks(read_log(settings, topic, start=known)):
        tiles: list[tuple[bytes, FeatureTile | None, bytes]] = []
        for message in chunk:
            reached[message.partition] = message.offset + 1
            if message.value is None and message.key:
                tiles.append((message.key, None, b""))
                continue
            event = _decoded(codec, message)
            if isinstance(event, PositionReached):
                marks.take(event, message.partition)
            elif isinstance(event, FeatureTile) and event.rank == STREAM_RANK and message.key and message.value:
                tiles.append((message.key, event, message.value))
        store.restore(tiles, reached)
        count += len(tiles)
    store.restore([], reached)
    _log.info("restored %d tiles from %s (%s)", count, topic, "an empty folder" if known is None else "the newest")
    return marks


def _decoded(codec: Codec, message: Message) -> object:
    try:
        return codec.decode(message.value)
    except UndecodableEvent as error:
        # The materializer reads the same topic and puts it with the dead letters.
        _log.warning("%s is not restored: %s", message.position, error)
        return None


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
