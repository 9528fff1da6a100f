"""Runs an ASGI application beside others in one event loop. Knows uvicorn; signals stay with whoever wires."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from bighead.config import split_address
from bighead.errors import ConfigError


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """One listener. `variable` names the setting that its address comes from; `options` are more of uvicorn's."""

    def __init__(self, app: Any, address: str, variable: str, **options: Any) -> None:
        self._address = address
        self._variable = variable
        self._server = _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", **options))
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens; raises ConfigError where the address cannot be had."""
        listener = self._listener()
        self._task = asyncio.create_task(self._server.serve([listener]))

    async def stop(self, grace_s: float) -> None:
        """Takes no new connection and lets requests under way end within the time."""
        self._server.config.timeout_graceful_shutdown = max(1, int(grace_s))
        self._server.should_exit = True
        if self._task is not None:
            await self._task

    def _listener(self) -> socket.socket:
        host, port = split_address(self._address, self._variable)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Without the protocol's name asyncio leaves Nagle's algorithm on, which costs 40 ms an answer.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host.strip("[]"), port))
        except OSError as error:
            listener.close()
            raise ConfigError(
                f"{self._variable} is {self._address}, which cannot be listened on ({error.strerror}); stop what uses "
                "that port or choose another"
            ) from error
        listener.listen(1024)
        return listener
