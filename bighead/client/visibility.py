"""Waiting until published events are visible in the online store, without sleeping.

The stream marks how far each source partition has come (PositionReached); the materializer keeps the marks in Redis and
tells whoever listens on the channel named like the topic's key.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from bighead.client.store import client_of, marks_key
from bighead.config import Settings
from bighead.errors import NotReady
from bighead.events.message import Position
from bighead.features.tiles import visible_key


class Visibility:
    """Answers whether the online store reflects given positions of source topics."""

    def __init__(self, settings: Settings, store_timeout_s: float | None = None) -> None:
        """store_timeout_s: how long one operation of the store may take; with one, nobody can `wait`."""
        self._prefix = settings.topic_prefix
        self._state_partitions = settings.partitions
        self._url = settings.redis
        self._redis = client_of(settings.redis, store_timeout_s)

    def wait(self, positions: Iterable[Position], timeout_s: float = 30.0) -> None:
        """Returns when the tiles of every group reflect all of `positions`; raises NotReady after `timeout_s`."""
        wanted = _next_offsets(positions)
        if not self._missing(wanted):
            return
        deadline = time.monotonic() + timeout_s
        with self._redis.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(*(self._key(topic) for topic in wanted))
            while missing := self._missing(wanted):
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise NotReady(
                        f"not visible in the online store after {timeout_s:g} s: {', '.join(missing)}; "
                        "is the stream worker running, and does a group read this topic?"
                    )
                channel.get_message(timeout=left_s)

    def close(self) -> None:
        """Closes the connection."""
        self._redis.close()

    def reached(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """For each of some partitions of a source topic the offset below which everything is visible."""
        fields = [(state, source) for source in partitions for state in range(self._state_partitions)]
        if not fields:
            return {}
        marks = self._redis.hmget(self._key(topic), [f"{one}:{other}" for one, other in fields])
        reached: dict[int, int] = {}
        for (_, source), mark in zip(fields, marks, strict=True):
            reached[source] = min(reached.get(source, 2**63), int(mark or 0))
        return reached

    def newest_ms(self, topic: str) -> int | None:
        """The time of the newest event of a source topic that is visible; None where none is."""
        marks: dict[Any, Any] = self._redis.hgetall(self._key(topic))
        return max((int(mark) for name, mark in marks.items() if name.startswith(b"latest:")), default=None)

    def _key(self, topic: str) -> str:
        return marks_key(self._url, visible_key(self._prefix, topic))

    def _missing(self, wanted: Mapping[str, Mapping[int, int]]) -> list[str]:
        """What is not visible yet, as text for people."""
        missing: list[str] = []
        for topic, offsets in wanted.items():
            reached = self.reached(topic, offsets)
            missing += [
                f"{topic}/{source} below offset {offset} (visible below {reached[source]})"
                for source, offset in offsets.items()
                if reached[source] < offset
            ]
        return missing


def _next_offsets(positions: Iterable[Position]) -> dict[str, dict[int, int]]:
    wanted: dict[str, dict[int, int]] = defaultdict(dict)
    for position in positions:
        offsets = wanted[position.topic]
        offsets[position.partition] = max(offsets.get(position.partition, 0), position.offset + 1)
    return dict(wanted)
