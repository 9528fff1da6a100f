"""The Python lane: turns the events of source topics into tiles, for every group that the feature catalog holds.

A service beside the Faust agents and not an agent: micro-batches, Arrow and one disk write for each are what make it
fast. State is local, so one worker owns a source topic whole.
"""

import asyncio

from mode import Service

from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.guard import DeadLetterSink
from bighead.events.types import SourcePosition
from bighead.features.catalog import FLINK, Catalog, GroupEpoch
from streams.catalog import CatalogService
from streams.commits import Commits
from streams.evaluate import connect
from streams.flink.follower import FlinkFollower, Followed
from streams.forgetting import Forgetter
from streams.garbage import spare_what_is_loaded
from streams.member import Member
from streams.restore import Marks, restore
from streams.source import Parts, SourceLane
from streams.statistics import LaneStatistics, publish_statistics
from streams.tile_log import TileLog
from streams.tile_store import TileStore

CACHED_BYTES = 64 * 1024 * 1024
"""Of decoded tiles."""


class LaneService(Service):
    """All source topics of the catalog. A group that is applied while it runs is taken in without a restart."""

    def __init__(self, settings: Settings, codec: Codec, dead_letters: DeadLetterSink, catalog: CatalogService) -> None:
        super().__init__()
        self.sources: dict[str, SourceLane] = {}
        self._settings = settings
        self._codec = codec
        self._dead_letters = dead_letters
        self._catalog = catalog
        self._members: dict[tuple[str, int], Member] = {}
        self._flink = FlinkFollower(settings, codec)
        self._restored = Marks(settings.partitions)
        self._parts: Parts | None = None

    async def on_start(self) -> None:
        """Opens the local state and brings it up to the state topic."""
        log = TileLog(self._settings, self._codec)
        store = TileStore(self._settings.state / "lane", self._codec, log.topic, CACHED_BYTES)
        self._restored = await asyncio.to_thread(restore, self._settings, self._codec, store)
        commits, statistics = Commits(store, log), LaneStatistics()
        self._parts = Parts(
            self._settings, self._codec, store, log, commits, statistics, self._dead_letters, connect(), asyncio.Lock()
        )
        reached = self._restored.included(self._catalog.topic).get(0, 0)
        self._forgetter = Forgetter(self._catalog, store, log, commits, reached)
        self.add_future(commits.run())
        self.add_future(publish_statistics(self._settings, self._codec, statistics))
        self.add_future(self._flink.run(self._mark))
        spare_what_is_loaded()

    async def on_shutdown(self) -> None:
        """Closes the local state, when nothing uses it any more."""
        if self._parts is not None:
            self._parts.log.close()
            self._parts.store.close()
            self._parts.duck.close()

    @Service.task
    async def _follow_catalog(self) -> None:
        await self._catalog.maybe_start()
        while not self.should_stop:
            offset = self._catalog.offset
            await self._apply(self._catalog.catalog, offset)
            await self._catalog.beyond(offset)

    async def _apply(self, catalog: Catalog, offset: int) -> None:
        """Takes in what the catalog has, and then says so with a mark of the catalog's own topic."""
        parts = self._opened
        flinks = [applied for applied in catalog.groups.values() if applied.engine == FLINK and not applied.retired]
        followed = await self._flink.take(flinks)
        async with parts.turn:
            for one in followed:
                self._source(parts, catalog.groups[one.place]).followed.append(one)
            for place, applied in catalog.groups.items():
                if applied.engine == FLINK or (applied.retired and place not in self._members):
                    continue
                if place not in self._members:
                    self._add(parts, applied)
                self._members[place].cut_ms = applied.cut_ms
                self._members[place].retired = applied.retired
        for source in self.sources.values():
            await source.settled.wait()
        async with parts.turn:
            for source in self.sources.values():
                source.mark()
            await self._forgetter.catch_up(offset)
            reached = SourcePosition(partition=0, offset=offset, event_ms=self._catalog.newest_ms)
            parts.log.mark(self._catalog.topic, [reached])
            acknowledged = await parts.commits.add({}, ())
        await acknowledged

    def _add(self, parts: Parts, applied: GroupEpoch) -> None:
        place = (applied.group.name, applied.epoch)
        topic = applied.group.definition.source.topic
        known = parts.store.offsets(place)
        offsets = self._marked_offsets(place, topic) if known is None else known
        member = self._members[place] = Member(applied.group, applied.epoch, applied.cut_ms, offsets)
        self._source(parts, applied).add(member)
        self.log.info("group %s, epoch %d, is read from %s at %s", *place, topic, offsets or "its beginning")

    def _source(self, parts: Parts, applied: GroupEpoch) -> SourceLane:
        topic = applied.group.definition.source.topic
        if topic not in self.sources:
            self.sources[topic] = SourceLane(parts, topic, self._is_active)
            self.add_future(self.sources[topic].run())
        return self.sources[topic]

    async def _mark(self) -> None:
        """Says how far Flink's groups have come."""
        parts = self._opened
        async with parts.turn:
            for source in self.sources.values():
                source.mark()
            acknowledged = await parts.commits.add({}, ())
        await acknowledged

    def _marked_offsets(self, place: tuple[str, int], topic: str) -> dict[int, int]:
        """Where a group goes on whose offsets were lost with the disk: at the marks, if they were made with it.

        Reading from the beginning would be right as well, since tiles know what they include.
        """
        included = self._restored.included(self._catalog.topic).get(0, 0)
        activated = self._catalog.activated_at.get(place)
        return self._restored.included(topic) if activated is not None and activated < included else {}

    def _is_active(self, member: Member | Followed) -> bool:
        name, epoch = member.place
        return self._catalog.catalog.active.get(name) == epoch

    @property
    def _opened(self) -> Parts:
        if self._parts is None:
            raise RuntimeError("the lane was not started")
        return self._parts
