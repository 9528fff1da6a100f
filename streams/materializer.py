"""Writes tiles and marks from the state topic to the online store, which is a projection: drop it, and it comes back.

The store says which offsets it reflects, and each write checks that inside the store. Where it says something else
(FLUSHALL, an older snapshot, another materializer), nothing is written and reading goes on from what it says.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, TypeAlias, TypeVar

from mode import Service

from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import DeadlineExceeded, InvalidEvent, StoreError, UndecodableEvent
from bighead.events.codec import Codec
from bighead.events.guard import Guard
from bighead.events.times import believed
from bighead.events.topics import FEATURES_STATE, topic_name
from bighead.events.types import FeatureTile, PositionReached
from bighead.features.tiles import place_of_log_key, positions_key, store_field, store_key, store_value, visible_key
from bighead.features.windows import Level
from streams.catalog import CatalogService
from streams.fast_reader import FastReader
from streams.fence import Chunk
from streams.garbage import spare_what_is_loaded
from streams.kafka import Record, message_of, replay_stage
from streams.store_writer import writer_of

Fields: TypeAlias = Mapping[str, Any]
Reply = TypeVar("Reply")
MOST_RECORDS = 2_000
CHUNK_RECORDS = 500
POLL_MS = 200
PACE_S = 0.004
"""What a step of the lane writes arrives partition by partition: so long is waited for the rest of it."""
_LEVELS = {level.value: level for level in Level}
_TIMES = {FeatureTile.FULL_NAME: "latest_ms", PositionReached.FULL_NAME: "event_ms"}
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 2.0


class MaterializerService(Service):
    """One reader of all partitions of the state topic. `waiting` says why nothing is written, or is empty."""

    def __init__(self, settings: Settings, codec: Codec, guard: Guard, catalog: CatalogService) -> None:
        super().__init__()
        self.waiting = ""
        self._codec = codec
        self._max_future_ms = settings.max_future_ms
        self._prefix = settings.topic_prefix
        self._guard = guard
        self._catalog = catalog
        self._reader = FastReader(settings, topic_name(settings.topic_prefix, FEATURES_STATE))
        self._writer = writer_of(settings.redis, positions_key(self._prefix))
        self._positions: dict[int, int] = {}
        self._ttls_ms: dict[tuple[str, int], int | None] = {}
        self._writing: asyncio.Task[dict[int, int] | None] | None = None

    async def on_shutdown(self) -> None:
        """Disconnects."""
        if self._writing is not None:
            self._writing.cancel()
        await self._reader.stop()
        await self._writer.close()

    @Service.task
    async def _run(self) -> None:
        await self._catalog.maybe_start()
        await self._reader.start()
        await self._reader.assign()
        await self._go_on_from(await self._stored_positions())
        spare_what_is_loaded()
        while not self.should_stop:
            polled = await self._reader.poll(POLL_MS, MOST_RECORDS)
            if polled:
                await self._write(polled)
                if sum(map(len, polled.values())) < CHUNK_RECORDS:
                    await asyncio.sleep(PACE_S)
            elif await self._written() and (stored := await self._stored_positions()) != self._positions:
                await self._go_on_from(stored)

    async def _write(self, polled: Mapping[int, Sequence[Record]]) -> None:
        """Sends a poll to the store, chunk by chunk; while the store writes one, the next is made."""
        for part in _parts(polled):
            chunk = await self._chunk(part)
            if not await self._written():
                return
            self._positions |= {partition: following for partition, (_, following) in chunk.moves.items()}
            self._writing = asyncio.create_task(self._persistently(partial(self._writer.write, chunk)))
            await asyncio.sleep(0)  # it is sent before the next one is made

    async def _written(self) -> bool:
        """Waits for the chunk under way. False where the store does not follow: all is read again from what it has."""
        if self._writing is None:
            return True
        found = await self._writing
        self._writing = None
        if found is not None:
            await self._go_on_from(found)
        return found is None

    async def _chunk(self, part: Mapping[int, Sequence[Record]]) -> Chunk:
        chunk = Chunk()
        dead, now_ms = self._guard.counts.dead, wall_clock_ms()
        for partition, records in part.items():
            for record in records:
                if not self._taken(chunk, record, partition, now_ms):
                    await self._take(chunk, record, partition)
            chunk.moves[partition] = (self._positions.get(partition), records[-1].offset + 1)
        if self._guard.counts.dead > dead:
            await asyncio.to_thread(self._guard.flush)
        return chunk

    def _taken(self, chunk: Chunk, record: Record, partition: int, now_ms: int) -> bool:
        """Takes a message that needs no closer look, as nearly all do; False for one that does."""
        if record.value is None or not record.key or replay_stage(record) is not None:
            return False
        try:
            full_name, fields = self._codec.decode_record(record.value)
        except UndecodableEvent:
            return False
        time_ms = fields.get(_TIMES.get(full_name, ""))
        if not believed(time_ms, now_ms=now_ms, max_future_ms=self._max_future_ms):
            return False
        if full_name == PositionReached.FULL_NAME:
            self._put_marks(chunk, fields, partition)
            return True
        known = (fields["group"], fields["epoch"]) in self._ttls_ms and fields["level"] in _LEVELS
        if known:
            self._put_tile(chunk, fields)
        return known

    async def _take(self, chunk: Chunk, record: Record, partition: int) -> None:
        """Takes any message; one that is refused is put with the dead letters."""
        if self._erased(chunk, record):
            return
        message = message_of(self._reader.topic, partition, record)
        event = self._guard.accept(message)
        if isinstance(event, PositionReached):
            self._put_marks(chunk, event.to_record(), partition)
        elif isinstance(event, FeatureTile):
            try:
                await self._learn(event)
                self._put_tile(chunk, event.to_record())
            except InvalidEvent as error:
                self._guard.reject(message, error)

    def _erased(self, chunk: Chunk, record: Record) -> bool:
        """Takes a tile's key without a value, which is how a tile is forgotten."""
        place = place_of_log_key(record.key) if record.value is None and record.key else None
        if place is None:
            return False
        group, epoch, tile = place
        chunk.erase_tile(store_key(self._prefix, group, epoch, tile.entity), store_field(tile.level, tile.start_ms))
        return True

    def _put_tile(self, chunk: Chunk, fields: Fields) -> None:
        """Takes a tile of a known group and level."""
        group, epoch = fields["group"], fields["epoch"]
        key = store_key(self._prefix, group, epoch, fields["entity"])
        value = store_value(fields["rank"], fields["seq"], fields["state"])
        chunk.put_tile(key, _field(fields["level"], fields["start_ms"]), value, self._ttls_ms[group, epoch])

    def _put_marks(self, chunk: Chunk, fields: Fields, partition: int) -> None:
        marks = chunk.marks.setdefault(visible_key(self._prefix, fields["topic"]), {})
        for one in (fields, *fields["others"]):
            marks[f"{partition}:{one['partition']}"] = one["offset"]
            if one["event_ms"]:
                marks[f"latest:{one['partition']}"] = one["event_ms"]

    async def _learn(self, tile: FeatureTile) -> None:
        """Finds out how long a group keeps its entities; raises InvalidEvent for a group or a level that is unknown."""
        place = (tile.group, tile.epoch)
        if tile.level not in _LEVELS:
            raise InvalidEvent(f"a tile of level {tile.level!r}; there are {', '.join(Level)}")
        if place not in self._ttls_ms:
            applied = self._catalog.catalog.groups.get(place)
            if applied is None:  # it was applied before its first tile was written, so it is only a matter of reading
                applied = (await self._catalog.up_to_date()).groups.get(place)
            if applied is None:
                raise InvalidEvent(f"a tile of group {tile.group!r}, epoch {tile.epoch}, which was never applied")
            self._ttls_ms[place] = applied.group.kept_ms

    async def _stored_positions(self) -> dict[int, int]:
        return await self._persistently(self._writer.positions)

    async def _go_on_from(self, stored: dict[int, int]) -> None:
        if self._positions:
            self.log.warning("the online store reflects %s and not %s: going on from there", stored, self._positions)
        self._positions = stored
        self._reader.seek(await self._reader.beginnings() | stored)

    async def _persistently(self, ask: Callable[[], Awaitable[Reply]]) -> Reply:
        """Asks the store until it answers; meanwhile at most one more poll is read, so memory stays bounded."""
        wait_s = FIRST_WAIT_S
        while True:
            try:
                reply = await ask()
            except (StoreError, DeadlineExceeded) as error:
                self.waiting = str(error)
                self.log.warning("waiting for the online store: %s", error)
                await asyncio.sleep(wait_s)
                wait_s = min(LONGEST_WAIT_S, 2 * wait_s)
            else:
                self.waiting = ""
                return reply


@lru_cache(maxsize=100_000)
def _field(level: str, start_ms: int) -> bytes:
    return store_field(_LEVELS[level], start_ms)


def _parts(polled: Mapping[int, Sequence[Record]]) -> Iterator[dict[int, Sequence[Record]]]:
    """A poll in parts of bounded size, each partition in its order."""
    part: dict[int, Sequence[Record]] = {}
    size = 0
    for partition, records in polled.items():
        start = 0
        while start < len(records):
            taken = records[start : start + CHUNK_RECORDS - size]
            part[partition] = taken
            start, size = start + len(taken), size + len(taken)
            if size == CHUNK_RECORDS:
                yield part
                part, size = {}, 0
    if part:
        yield part
