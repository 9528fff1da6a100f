"""Runs a part of the worker while this worker owns it; otherwise stands by, ready to take over."""

import asyncio
from collections.abc import Awaitable, Callable

from mode import Service

from bighead.config import Settings
from bighead.errors import PlatformError
from streams.ownership import Lease, Ownership

STANDBY_S = 10.0
"""How often a worker that stands by is brought up to date, so that taking over is a matter of the last seconds."""


class OwnedService(Service):
    """`make` makes the part anew each time that it is to run. `stand_by` is called now and then while it is not."""

    def __init__(
        self,
        settings: Settings,
        part: str,
        make: Callable[[Lease], Service],
        stand_by: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__()
        self.running: Service | None = None
        self._make = make
        self._stand_by = stand_by
        self._ownership = Ownership(settings, part)

    @property
    def waiting(self) -> str:
        """What keeps the part that runs here from its work, or empty."""
        if self.running is None:
            return ""
        state = str(self.running.state)
        return str(getattr(self.running, "waiting", "")) or ("" if state == "running" else state)

    async def on_start(self) -> None:
        """Joins the group of those who may run the part."""
        self._ownership.join()

    async def on_shutdown(self) -> None:
        """Leaves it, when nothing runs any more: another worker takes over at once."""
        await asyncio.to_thread(self._ownership.leave)

    @Service.task
    async def _run(self) -> None:
        while not self.should_stop:
            if await self._gained() and self._ownership.begin():
                await self._run_part()
            if self._ownership.failure:
                raise PlatformError(self._ownership.failure)

    async def _gained(self) -> bool:
        """Waits to become the owner, for as long as standing by takes or a little longer."""
        if self._ownership.gained.is_set():
            await asyncio.sleep(0)  # it may have been lost again
            return True
        try:
            await asyncio.wait_for(self._ownership.gained.wait(), STANDBY_S)
        except TimeoutError:
            await self._prepare()
            return False
        return True

    async def _prepare(self) -> None:
        if self._stand_by is not None:
            try:
                await self._stand_by()
            except PlatformError as error:
                self.log.warning("not brought up to date: %s", error)

    async def _run_part(self) -> None:
        part = self.running = self._make(self._ownership)
        try:
            await self.add_runtime_dependency(part)
            await self._ownership.lost.wait()
            await self.remove_dependency(part)
        finally:
            # A part that was not stopped is stopped with this service, before the group is left.
            self.running = None
        self._ownership.end()
