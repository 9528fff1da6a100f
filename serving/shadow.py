"""Work beside the answers that nobody waits for: a few at a time, what finds no room is dropped and counted."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)
MOST = 16
"""Requests that are computed by shadows at the same time, at the most."""
_LOGGED_EVERY = 1000


class Shadows:
    """`dropped` counts requests for which there was no room, `failed` those that a shadow could not answer."""

    def __init__(self, most: int = MOST) -> None:
        self.dropped = 0
        self.failed = 0
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    def offer(self, work: Callable[[], Awaitable[None]]) -> None:
        """Starts it where there is room. Called from the event loop only."""
        if len(self._tasks) >= self._most:
            self.dropped += 1
            return
        task = asyncio.create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Returns when what was started has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - a shadow that fails is counted; it may hurt nobody
            self.failed += 1
            if self.failed % _LOGGED_EVERY == 1:
                _log.warning("shadows failed %d times so far: %s", self.failed, error)
