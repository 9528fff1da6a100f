"""Brings steps to the disk once they are acknowledged, in the order in which they were taken.

While a step is under way the next ones are taken; what they read is what the steps before them changed, on disk or not.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bighead.features.tiles import Tile
from streams.member import Member
from streams.tile_log import Flight, TileLog
from streams.tile_store import Changes, TileStore

CATALOG = ("", 0)
"""Under this name, which no group can have, lies how far the catalog's requests to forget were carried out."""
MOST_UNDER_WAY = 8
MOST_TILES_UNDER_WAY = 30_000
"""Steps, and their tiles, that wait for Kafka; one step may go beyond. What they hold does not grow while it stands."""
WRITE_S = 0.05
"""How long acknowledged tiles may wait for the disk: many steps are one write. A crash loses none of them: they are on
the state topic, and a tile knows which events it has."""
MANY = 5_000
"""So many tiles are written away from the event loop."""


@dataclass
class _Step:
    """What one step changed."""

    flight: Flight
    changes: Changes
    offsets: Mapping[tuple[str, int], Mapping[int, int]]
    done: asyncio.Future[None]


class Commits:
    """The steps under way of one store and one log."""

    def __init__(self, store: TileStore, log: TileLog) -> None:
        self._store = store
        self._log = log
        self._steps: asyncio.Queue[_Step] = asyncio.Queue()
        self._under_way = self._tiles_under_way = 0
        self._landed = asyncio.Event()
        self._changes: dict[str, tuple[Tile | None, bytes | None]] = {}
        self._offsets: dict[tuple[str, int], Mapping[int, int]] = {}
        self._state_offsets = store.state_offsets() or {}
        self._written_s = time.monotonic()
        self._writing = asyncio.Lock()

    async def add(
        self, changes: Changes, members: Iterable[Member], catalog_offset: int | None = None
    ) -> asyncio.Future[None]:
        """Takes a step whose tiles and marks were queued; waits while too many are under way.

        The future is done when all of it is acknowledged. `catalog_offset`: what the catalog says below it is done.
        """
        while self._under_way >= MOST_UNDER_WAY or self._tiles_under_way >= MOST_TILES_UNDER_WAY:
            self._landed.clear()
            await self._landed.wait()
        self._under_way += 1
        self._tiles_under_way += len(changes)
        self._store.stage(changes)
        offsets = {member.place: dict(member.offsets) for member in members}
        if catalog_offset is not None:
            offsets[CATALOG] = {0: catalog_offset}
        done = asyncio.get_running_loop().create_future()
        self._steps.put_nowait(_Step(self._log.send_off(), changes, offsets, done))
        return done

    async def settle(self) -> None:
        """Returns when all that was added is on the disk; nothing may be added meanwhile."""
        await (await self.add({}, ()))
        await self._write()

    async def run(self) -> None:
        """Until cancelled; raises PlatformError where Kafka did not take a message."""
        while True:
            step = await self._next()
            if step is None:
                await self._write()
                continue
            self._state_offsets = {**self._state_offsets, **await step.flight.landed()}
            self._changes.update(step.changes)
            self._offsets.update(step.offsets)
            self._under_way -= 1
            self._tiles_under_way -= len(step.changes)
            self._landed.set()
            if not step.done.done():
                step.done.set_result(None)
            if time.monotonic() - self._written_s >= WRITE_S:
                await self._write()

    async def _next(self) -> _Step | None:
        """The next step; None when what waits for the disk has waited long enough."""
        if not self._changes and not self._offsets:
            return await self._steps.get()
        try:
            return await asyncio.wait_for(self._steps.get(), max(0.0, self._written_s + WRITE_S - time.monotonic()))
        except TimeoutError:
            return None

    async def _write(self) -> None:
        async with self._writing:
            changes, self._changes = self._changes, {}
            offsets, self._offsets = self._offsets, {}
            if len(changes) < MANY:
                self._store.commit(changes, offsets, self._state_offsets)
            else:
                await asyncio.to_thread(self._store.commit, changes, offsets, self._state_offsets)
            self._written_s = time.monotonic()
