"""One source topic in the lane: reads it, steps its groups, and says how far they are.

Groups that are about equally far share one reader. One that lags, because it was applied later, is read for apart until
it has come near; then it joins the others. Each member's own offsets keep it from taking an event twice.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.codec import Codec
from bighead.events.guard import DeadLetterSink
from bighead.events.types import SourcePosition
from streams.commits import Commits
from streams.fast_reader import FastReader
from streams.flink.follower import Followed
from streams.kafka import Record, message_of
from streams.member import Member, Outcome, stage_of
from streams.statistics import LaneStatistics
from streams.step import Stepper
from streams.tile_log import TileLog
from streams.tile_store import Changes, MemberTiles, TileStore

NEAR = 5_000
"""Messages that a member may lag behind the others to be read for together with them."""
POLL_MS = 50
MOST_RECORDS = 10_000
SMALL = 500
"""Steps of fewer messages run on the event loop: handing them to a thread costs more than they do."""
PACE_S = 0.008
"""How often steps are taken at most: each has a cost of its own, in the lane, in the broker and in the materializer."""
RETRY_S = 1.0
MISSING_TOPIC_S = 0.5
_log = logging.getLogger(__name__)


@dataclass
class Parts:
    """What all sources of a lane share. One step at a time holds `turn`: what it queues lies together on the topic."""

    settings: Settings
    codec: Codec
    store: TileStore
    log: TileLog
    commits: Commits
    statistics: LaneStatistics
    dead_letters: DeadLetterSink
    duck: duckdb.DuckDBPyConnection
    turn: asyncio.Lock


class _Crew:
    """Members that are read for together."""

    def __init__(self, parts: Parts, topic: str) -> None:
        self.reader = FastReader(parts.settings, topic)
        self.members: list[Member] = []
        self.stepper = Stepper(parts.codec, parts.duck, (), 0, True)
        self._parts = parts
        self._next_s = 0.0

    def take(self, members: Sequence[Member], beginnings: Mapping[int, int], one_time: bool) -> None:
        """Adds members and goes back to the first offset that one of them needs."""
        self._read_for([*self.members, *members], one_time)
        first = {
            partition: min(member.offsets.get(partition, beginning) for member in self.members)
            for partition, beginning in beginnings.items()
        }
        self.reader.seek(first)

    def release(self, one_time: bool) -> None:
        """Goes on without the members that were retired."""
        self._read_for([member for member in self.members if not member.retired], one_time)

    def _read_for(self, members: list[Member], one_time: bool) -> None:
        self.members, parts = members, self._parts
        self.stepper = Stepper(parts.codec, parts.duck, members, parts.settings.max_future_ms, one_time)

    async def pace(self) -> None:
        """Returns when the last call was long enough ago."""
        now_s = time.monotonic()
        if self._next_s > now_s:
            await asyncio.sleep(self._next_s - now_s)
            now_s = self._next_s
        self._next_s = now_s + PACE_S


class SourceLane:
    """The groups of one topic. `active` tells whether a member's progress counts for what is visible.

    settled: is set when the groups that there were at the start are read for, or the topic does not exist yet.
    """

    def __init__(self, parts: Parts, topic: str, active: Callable[[Member | Followed], bool]) -> None:
        self.topic = topic
        self.members: list[Member] = []
        self.followed: list[Followed] = []
        self.settled = asyncio.Event()
        self._parts = parts
        self._active = active
        self._arriving: list[Member] = []
        self._arrival = asyncio.Event()
        self._newest_ms: dict[int, int] = {}
        self._marked: dict[int, int] = {}
        self._beginnings: dict[int, int] = {}

    def add(self, member: Member) -> None:
        """Takes a new group; it is read for from its own offsets."""
        self.members.append(member)
        self._arriving.append(member)
        self._arrival.set()

    async def run(self) -> None:
        """Reads on and on, until cancelled."""
        live = _Crew(self._parts, self.topic)
        try:
            await live.reader.start()
            while not await live.reader.assign():
                self.settled.set()
                await asyncio.sleep(MISSING_TOPIC_S)
            self._beginnings = await live.reader.beginnings()
            async with self._parts.turn:
                self.mark()
                acknowledged = await self._parts.commits.add({}, ())
            await acknowledged
            self.settled.set()
            async with asyncio.TaskGroup() as tasks:
                while True:
                    for behind in await self._admit(live):
                        tasks.create_task(self._catch_up(behind))
                    if live.members:
                        await self._advance(live)
                    else:
                        await self._arrived()
        finally:
            await live.reader.stop()

    def mark(self) -> None:
        """Queues a mark where the visible offset of a partition changed; to be called under `turn`."""
        everyone: list[Member | Followed] = [*self.members, *self.followed]
        counted = [one for one in everyone if self._active(one)]
        if not counted:
            return
        reached = {
            partition: min(member.offsets.get(partition, beginning) for member in counted)
            for partition, beginning in self._beginnings.items()
        }
        if reached and reached != self._marked:
            self._marked = reached
            self._parts.log.mark(
                self.topic,
                [
                    SourcePosition(partition=one, offset=offset, event_ms=self._newest(one))
                    for one, offset in reached.items()
                ],
            )

    def _newest(self, partition: int) -> int:
        """The time of a partition's newest event, as any of the groups has met it; 0 for none."""
        return max([self._newest_ms.get(partition, 0), *(one.newest_ms.get(partition, 0) for one in self.followed)])

    async def _arrived(self) -> None:
        """Waits for a group to read for, where all groups are Flink's; returns to look for new partitions as well."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._arrival.wait(), RETRY_S)
        self._arrival.clear()

    async def _admit(self, live: _Crew) -> list[Member]:
        """Lets arriving members that are near the others join them, and returns those that are not."""
        if live.reader.grown() and await live.reader.assign():
            self._beginnings = await live.reader.beginnings()
            live.take((), self._beginnings, self._one_time)
        arriving, self._arriving = self._arriving, []
        if not arriving:
            return []
        front = _front([*live.members, *arriving])
        lags = [self._lag(member, front) for member in arriving]
        limit = NEAR if live.members else max(NEAR, min(lags))
        near = [member for member, lag in zip(arriving, lags, strict=True) if lag <= limit]
        if near:
            live.take(near, self._beginnings, self._one_time)
        return [member for member, lag in zip(arriving, lags, strict=True) if lag > limit]

    async def _catch_up(self, member: Member) -> None:
        """Reads for a member that lags until it is near the others, and hands it over."""
        crew = _Crew(self._parts, self.topic)
        try:
            await crew.reader.start()
            await crew.reader.assign()
            crew.take([member], self._beginnings, self._one_time)
            while not member.retired and self._lag(member, _front(self.members)) > NEAR:
                await self._advance(crew)
            self._arriving.append(member)
        finally:
            await crew.reader.stop()

    async def _advance(self, crew: _Crew) -> None:
        """One micro-batch, in the order that makes a crash harmless after each step."""
        if self._release_retired(crew):
            return
        # 1. Poll, so often at most: what arrives meanwhile is one step.
        await crew.pace()
        polled = await crew.reader.poll(POLL_MS, MOST_RECORDS)
        if not polled:
            return
        await self._learn_schemas(crew, polled)
        async with self._parts.turn:
            self._release_retired(crew)  # one may have been retired while this step waited for messages
            # 2. Fold: pure; it reads what the steps before it changed, whether or not that is on the disk.
            tiles = [MemberTiles(self._parts.store, member) for member in crew.members]
            outcome, changes = await self._fold(crew, polled, tiles)
            # 3. Dead letters, until they are safe: who lost the disk goes on at the marks and never meets them again.
            await self._bury(outcome)
            # 4. Tiles to the state topic, each with its whole state: writing one again changes nothing. Marks behind
            #    them, on every partition.
            for key, (tile, value) in changes.items():
                if tile is not None and value is not None:
                    self._parts.log.tile(key, value, tile.latest_ms)
            self._move(crew.members, polled, outcome)
            self.mark()
            self._count(crew.members, outcome)
            # 5. When all is acknowledged, tiles and next offsets go to the disk, all or none and in the order of steps.
            await self._parts.commits.add(changes, crew.members)

    def _release_retired(self, crew: _Crew) -> bool:
        """Whether a member was retired, without which the crew then goes on from the others' offsets."""
        if not any(member.retired for member in crew.members):
            return False
        self.members = [member for member in self.members if not member.retired]
        crew.release(self._one_time)
        return True

    async def _learn_schemas(self, crew: _Crew, polled: Mapping[int, Sequence[Record]]) -> None:
        """Asks for schemas that were not seen yet, away from the event loop, for as long as it takes."""
        while new := crew.stepper.decoder.unknown(polled):
            try:
                await asyncio.to_thread(crew.stepper.decoder.learn, new)
            except PlatformError as error:
                _log.warning("%s waits: %s", self.topic, error)
                await asyncio.sleep(RETRY_S)

    async def _fold(
        self, crew: _Crew, polled: Mapping[int, Sequence[Record]], tiles: Sequence[MemberTiles]
    ) -> tuple[Outcome, Changes]:
        def work() -> tuple[Outcome, Changes]:
            outcome = crew.stepper.step(polled, tiles, wall_clock_ms())
            return outcome, {key: value for one in tiles for key, value in one.encoded().items()}

        if sum(len(records) for records in polled.values()) < SMALL:
            return work()
        return await asyncio.to_thread(work)

    def _move(self, members: Sequence[Member], polled: Mapping[int, Sequence[Record]], outcome: Outcome) -> None:
        for partition, records in polled.items():
            for member in members:
                member.offsets[partition] = max(member.offsets.get(partition, 0), records[-1].offset + 1)
        for member in members:
            if late := outcome.late.get(member.place, 0):
                member.late += late
                _log.info(
                    "%d events below the cut of group %s are left to batch, %d so far",
                    late,
                    member.place[0],
                    member.late,
                )
        for partition, newest_ms in outcome.newest_ms.items():
            self._newest_ms[partition] = max(self._newest_ms.get(partition, 0), newest_ms)

    def _count(self, members: Sequence[Member], outcome: Outcome) -> None:
        """Statistics are of active epochs: one that is being filled would count its events again."""
        for member in members:
            if member.place in outcome.folded and self._active(member):
                folded = outcome.folded[member.place]
                self._parts.statistics.take(member.group.name, member.group.input_kinds, folded)

    async def _bury(self, outcome: Outcome) -> None:
        for failure in outcome.failures.values():
            message = message_of(self.topic, failure.partition, failure.record)
            self._parts.dead_letters.send(message, failure.error, stage_of(failure.group))
        if outcome.failures:
            await asyncio.to_thread(self._parts.dead_letters.flush)

    @property
    def _one_time(self) -> bool:
        return len({member.group.definition.source.time for member in self.members}) == 1

    def _lag(self, member: Member, front: Mapping[int, int]) -> int:
        """How many messages a member is behind."""
        return sum(
            max(0, offset - member.offsets.get(partition, self._beginnings.get(partition, 0)))
            for partition, offset in front.items()
        )


def _front(members: Sequence[Member]) -> dict[int, int]:
    """The furthest offset that any of the members has reached, in each partition."""
    front: dict[int, int] = {}
    for member in members:
        for partition, offset in member.offsets.items():
            front[partition] = max(front.get(partition, 0), offset)
    return front
