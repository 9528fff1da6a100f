"""Writes tiles and marks to the state topic; what was written before `flush` returned is safe.

Per-partition order makes a mark a promise about all tiles before it.
"""

import asyncio
import json

from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.headers import cloud_event
from bighead.events.sender import Sender
from bighead.events.topics import FEATURES_STATE, topic_name
from bighead.events.types import FeatureTile, PositionReached

LANE = "python"
"""The id of this lane in marks. It is not a host's: a lane that moves goes on with its marks."""
_SOURCE = f"bighead/lane/{LANE}"


class TileLog:
    """The state topic, to write to."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self.topic = topic_name(settings.topic_prefix, FEATURES_STATE)
        self.offsets: dict[int, int] = {}
        self._partitions = settings.partitions
        self._codec = codec
        self._sender = Sender(settings)

    def tile(self, key: str, value: bytes, latest_ms: int) -> None:
        """Queues the bytes of a FeatureTile."""
        headers = cloud_event(event_type=FeatureTile.FULL_NAME, source=_SOURCE, subject=key, time_ms=latest_ms)
        self._sender.send(self.topic, key.encode(), value, headers)

    def mark(self, topic: str, partition: int, offset: int, event_ms: int) -> None:
        """Queues a mark to every partition: below `offset`, everything of a source partition is included."""
        event = PositionReached(lane=LANE, topic=topic, partition=partition, offset=offset, event_ms=event_ms)
        value = self._codec.encode(event, self.topic)
        key = json.dumps([LANE, topic, partition], separators=(",", ":"))
        headers = cloud_event(event_type=event.FULL_NAME, source=_SOURCE, subject=key, time_ms=event_ms)
        for state_partition in range(self._partitions):
            self._sender.send(self.topic, key.encode(), value, headers, state_partition)

    async def flush(self) -> None:
        """Waits for all acknowledgements; `offsets` is then behind everything that this lane wrote."""
        for position in await asyncio.to_thread(self._sender.flush):
            self.offsets[position.partition] = position.offset + 1
