"""The feature catalog inside the worker: one reader of its log, for everybody who must know when it changes.

Knows when a group was activated, so that whoever restores state can tell which marks already stand for it.
"""

import asyncio

from mode import Service

from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.base import Event
from bighead.events.guard import Guard
from bighead.events.message import Message
from bighead.events.topics import FEATURES_EVENTS, topic_name
from bighead.events.types import GroupByActivated, KeyForgotten
from bighead.features.catalog import Catalog, evolve
from streams.kafka import TopicReader, message_of

_POLL_MS = 200
_MOST = 500


class CatalogService(Service):
    """Keeps `catalog` current; `offset` is the next one of its log. Each change is a new value."""

    def __init__(self, settings: Settings, guard: Guard) -> None:
        super().__init__()
        self.catalog = Catalog()
        self.offset = 0
        self.newest_ms = 0
        self.activated_at: dict[tuple[str, int], int] = {}
        self.forgotten: list[tuple[int, KeyForgotten]] = []
        self._guard = guard
        self._moved = asyncio.Condition()
        self._reader = TopicReader(settings, topic_name(settings.topic_prefix, FEATURES_EVENTS))

    @property
    def topic(self) -> str:
        """The catalog's log."""
        return self._reader.topic

    async def on_start(self) -> None:
        """Returns when everything that was applied before is in the catalog."""
        await self._reader.start()
        if not await self._reader.assign():
            raise PlatformError(f"topic {self.topic} does not exist; `bighead up` creates the platform's topics")
        end = sum((await self._reader.ends()).values())
        while self.offset < end:
            await self._poll()

    async def on_shutdown(self) -> None:
        """Disconnects."""
        await self._reader.stop()

    @Service.task
    async def _follow(self) -> None:
        while not self.should_stop:
            await self._poll()

    async def beyond(self, offset: int) -> None:
        """Returns when the log has been read beyond `offset`."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.offset > offset)

    async def up_to_date(self) -> Catalog:
        """The catalog with everything that was applied before the call."""
        end = sum((await self._reader.ends()).values())
        if self.offset < end:
            await self.beyond(end - 1)
        return self.catalog

    async def _poll(self) -> None:
        polled = await self._reader.poll(_POLL_MS, _MOST)
        for partition, records in polled.items():
            for record in records:
                self._guard.run(message_of(self.topic, partition, record), self._take)
        if polled:
            async with self._moved:
                self.offset = sum((await self._reader.positions()).values())
                self._moved.notify_all()

    def _take(self, event: Event, message: Message) -> None:
        self.catalog = evolve(self.catalog, event)
        self.newest_ms = max(self.newest_ms, event.time_ms)
        if isinstance(event, GroupByActivated):
            self.activated_at[event.group, event.epoch] = message.offset
        if isinstance(event, KeyForgotten):
            self.forgotten.append((message.offset, event))
