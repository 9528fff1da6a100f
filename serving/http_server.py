"""Runs an ASGI application beside others in one event loop. Knows uvicorn; signals stay with whoever wires."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from time import monotonic
from typing import Any

import uvicorn

from bighead.config import split_address
from bighead.errors import ConfigError

LEAVE_S = 1.0
"""How long clients with an open connection have to hear, with an answer, that it closes: a request on its way to a
closed one would be lost."""
_PAUSE_S = 0.02
_CLOSE = (b"connection", b"close")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._accepting: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop_listening(self, listener: socket.socket) -> None:
        """Takes who waits to be accepted, then nobody: the system resets those that a closing listener has left."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # nobody waits any more, or no descriptor is left
            while True:
                accepted, _ = listener.accept()
                accepted.setblocking(False)
                self._accepting.add(loop.create_task(self._accept(accepted)))
        for server in self.servers:
            server.close()

    async def leave(self, timeout_s: float) -> None:
        """Asks every client to close its connection, and waits until they have, or the time is over."""
        self.config.encoded_headers.append(_CLOSE)
        self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
        deadline = monotonic() + timeout_s
        while (self._accepting or self.server_state.connections) and monotonic() < deadline:
            await asyncio.sleep(_PAUSE_S)
            self._accepting = {task for task in self._accepting if not task.done()}

    async def _accept(self, accepted: socket.socket) -> None:
        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        with contextlib.suppress(OSError):  # who waited may be gone
            await asyncio.get_running_loop().connect_accepted_socket(protocol, accepted, ssl=self.config.ssl)


class HttpServer:
    """One listener. `variable` names the setting that its address comes from; `options` are more of uvicorn's.

    share_port: whether other processes may listen on the address too.
    """

    def __init__(self, app: Any, address: str, variable: str, *, share_port: bool = False, **options: Any) -> None:
        self._address = address
        self._variable = variable
        self._share_port = share_port
        self._listening: socket.socket | None = None
        self._server = _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", **options))
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens; raises ConfigError where the address cannot be had."""
        self._listening = listener = self._listener()
        self._task = asyncio.create_task(self._server.serve([listener]))

    async def stop(self, grace_s: float) -> None:
        """Takes no new connection, says so on those there are, and lets requests under way end within the time."""
        if self._listening is not None and self._server.started:
            self._server.stop_listening(self._listening)
            await self._server.leave(min(LEAVE_S, grace_s))
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
        if self._share_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
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
