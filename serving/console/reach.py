"""What pages ask of the platform beside the folded log: topics, messages by position, the online store, replays.

Everything blocks elsewhere: in threads, each with a bound on what it reads. Knows Kafka through the log, and Redis.
"""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from bighead.client.fleet import live_servers
from bighead.client.online import OnlineReader
from bighead.client.store import pipeline_of
from bighead.client.visibility import Visibility
from bighead.config import Settings
from bighead.errors import StoreError
from bighead.events import admin
from bighead.events.codec import Codec
from bighead.events.dead_letters import dead_letters_at, replay
from bighead.events.log import read_last
from bighead.events.message import Position
from bighead.events.shown import shown
from bighead.events.types import DeadLetter
from bighead.features.catalog import Catalog
from bighead.features.plan import FeatureRow

MOST_MESSAGES = 500
"""How many messages of each partition the tail reads, the newest."""
MOST_TAIL_BYTES = 8 << 20
"""Of the messages that the tail reads: the newest ones that are no larger together."""
TAIL_AGE_S = 1.0
SERVERS_AGE_S = 1.0
_TAILS_KEPT = 16
_READ_TIMEOUT_S = 2.0

Tail = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Kept:
    tail: Tail
    until_s: float


class Reach:
    """The running platform as the console needs it. Errors are BigheadErrors that say what does not answer."""

    def __init__(self, settings: Settings, codec: Codec, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._codec = codec
        self._clock_s = clock_s
        self._reading = asyncio.Lock()
        self._tails: OrderedDict[tuple[str, int | None], _Kept] = OrderedDict()
        self._visibility: Visibility | None = None
        self._counting = threading.Lock()
        self._servers: Mapping[str, str] | None = None
        self._servers_until_s: float | None = None

    @property
    def prefix(self) -> str:
        """The first part of the names of the platform's topics."""
        return self._settings.topic_prefix

    def servers(self) -> Mapping[str, str] | None:
        """The model servers that live with the environment of each; None where the online store does not say.

        Blocks; what it says is at most a second old, and asked once for all who look at once.
        """
        with self._counting:
            if self._servers_until_s is None or self._clock_s() > self._servers_until_s:
                try:
                    self._servers = {beat.server: beat.environment for beat in live_servers(self._settings)}
                except StoreError:
                    self._servers = None
                self._servers_until_s = self._clock_s() + SERVERS_AGE_S
            return self._servers

    async def topics(self) -> list[str]:
        """The names of all topics but Kafka's own, on the broker."""
        found = await asyncio.to_thread(admin.list_topics, self._settings)
        return sorted(name for name in found if not name.startswith("_"))

    async def tail(self, topic: str, until_ms: int | None) -> Tail:
        """The newest messages of a topic as `shown` gives them, the newest first; none written after `until_ms`.

        Many who look at once share one reading; what is now is at most a second old.
        """
        async with self._reading:
            kept = self._tails.get((topic, until_ms))
            if kept is None or self._clock_s() > kept.until_s:
                for place in [place for place, one in self._tails.items() if self._clock_s() > one.until_s]:
                    del self._tails[place]  # what is too old to be shown is not held either
                tail = await asyncio.to_thread(self._tail, topic, until_ms)
                kept = self._tails[topic, until_ms] = _Kept(tail, self._clock_s() + TAIL_AGE_S)
                if len(self._tails) > _TAILS_KEPT:
                    self._tails.popitem(last=False)
            return kept.tail

    async def letters(self, positions: Sequence[Position]) -> dict[Position, DeadLetter]:
        """Dead letters with their bytes; what is not in the log any more is left out."""
        return await asyncio.to_thread(dead_letters_at, self._settings, self._codec, positions)

    async def replay(self, letters: Sequence[DeadLetter], actor: str, reason: str) -> list[Position]:
        """Sends dead letters back to their topics; where each came to lie."""
        return await asyncio.to_thread(replay, self._settings, self._codec, letters, actor, reason)

    async def features(self, catalog: Catalog, join: str, entity: Mapping[str, Any], as_of_ms: int) -> FeatureRow:
        """One entity's features from the online store; raises InvalidInput and DefinitionError as the reader does."""
        store = pipeline_of(self._settings.redis)
        try:
            reader = OnlineReader(store, self._settings.topic_prefix, lambda: catalog)
            (row,) = await reader.read(join, [entity], as_of_ms, _READ_TIMEOUT_S)
            return row
        finally:
            await store.close()

    async def newest_ms(self, topics: Sequence[str]) -> dict[str, int | None]:
        """For each source topic the time of the newest event that the online store reflects."""
        return await asyncio.to_thread(self._newest_ms, topics)

    def _tail(self, topic: str, until_ms: int | None) -> Tail:
        messages = read_last(self._settings, topic, MOST_MESSAGES, MOST_TAIL_BYTES, until_ms=until_ms)
        return [shown(self._codec, message) for message in reversed(messages)]

    def _newest_ms(self, topics: Sequence[str]) -> dict[str, int | None]:
        self._visibility = self._visibility or Visibility(self._settings, _READ_TIMEOUT_S)
        try:
            return {topic: self._visibility.newest_ms(topic) for topic in topics}
        except redis.RedisError as error:
            raise StoreError(f"the online store does not answer: {error}") from error
