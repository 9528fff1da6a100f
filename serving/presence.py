"""Tells the online store that this server lives and which versions answer here; see `bighead.client.fleet`."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bighead.client.fleet import Heartbeat, farewell
from bighead.errors import BigheadError

_log = logging.getLogger(__name__)
BEAT_S = 1.0


class Store(Protocol):
    """What is needed of the online store's pipelines."""

    async def execute(self, commands: Sequence[Any], timeout_s: float) -> Sequence[Any]: ...


class Presence:
    """`beat` says what there is to say. A store that is gone is told of the server when it is back."""

    def __init__(self, store: Store, prefix: str, server: str, beat: Callable[[], Heartbeat]) -> None:
        self._store = store
        self._prefix = prefix
        self._server = server
        self._beat = beat
        self._is_told = True
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """From now on the server counts as one that has to follow deployments."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Says that it is gone."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            await self._tell(farewell(self._prefix, self._server))

    async def _run(self) -> None:
        while True:
            await self._tell(self._beat().commands(self._prefix))
            await asyncio.sleep(BEAT_S)

    async def _tell(self, commands: Sequence[Any]) -> None:
        try:
            await self._store.execute(commands, BEAT_S)
        except BigheadError as error:
            if self._is_told:
                _log.warning("no heartbeat, so that deployments do not wait for this server: %s", error)
            self._is_told = False
        else:
            self._is_told = True
