"""A lean asyncio connection to Redis: pipelined commands, parsed by hiredis, a future per pipeline.

The general client costs several times the CPU of a feature read; this one does nothing but send and receive.
Errors of the connection and replies that are errors are StoreError; the next call connects again.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeAlias

import hiredis
from redis.asyncio.connection import parse_url

from bighead.errors import DeadlineExceeded, StoreError

Command: TypeAlias = tuple[Any, ...]
"""A command and its arguments: text, bytes or numbers."""


class _Protocol(asyncio.Protocol):
    """One connection: replies arrive in the order of the commands, so waiting pipelines form a queue."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[asyncio.Future[list[Any]], int]] = deque()
        self._replies: list[Any] = []
        self._transport: asyncio.Transport | None = None

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream connection's transport is a Transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._replies.append(reply)
            future, size = self._waiting[0]
            if len(self._replies) == size:
                self._waiting.popleft()
                replies, self._replies = self._replies, []
                if not future.done():
                    future.set_result(replies)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(StoreError(f"the online store closed the connection ({exc or 'end of stream'})"))

    def send(self, commands: Sequence[Command]) -> asyncio.Future[list[Any]]:
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        if self._transport is None:
            future.set_exception(StoreError("the connection to the online store is closed"))
            return future
        self._waiting.append((future, len(commands)))
        self._transport.write(b"".join(hiredis.pack_command(command) for command in commands))
        return future

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class RedisPipeline:
    """Pipelines to one Redis, on one connection that is opened when first needed and again after a failure."""

    def __init__(self, url: str) -> None:
        self._address = parse_url(url)
        self._protocol: _Protocol | None = None
        self._opening = asyncio.Lock()

    async def execute(self, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        """The replies, in order. Raises StoreError, or DeadlineExceeded after `timeout_s` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                protocol = self._protocol
                if protocol is None or not protocol.open:
                    protocol = await self._connected()
                replies = await protocol.send(commands)
        except TimeoutError:
            raise DeadlineExceeded(f"the online store did not answer within {timeout_s * 1000:.0f} ms") from None
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                raise StoreError(f"the online store refused a command: {reply}")
        return replies

    async def close(self) -> None:
        """Closes the connection."""
        if self._protocol is not None:
            self._protocol.close()

    async def _connected(self) -> _Protocol:
        async with self._opening:
            if self._protocol is None or not self._protocol.open:
                self._protocol = await self._open()
            return self._protocol

    async def _open(self) -> _Protocol:
        host, port = self._address.get("host", "127.0.0.1"), self._address.get("port", 6379)
        loop = asyncio.get_running_loop()
        try:
            _, protocol = await loop.create_connection(_Protocol, host, port)
        except OSError as error:
            raise StoreError(f"no online store at {host}:{port} ({error.strerror or error})") from None
        greeting: list[Command] = [("SELECT", self._address.get("db", 0))]
        if "password" in self._address:
            greeting.insert(0, ("AUTH", self._address.get("username", "default"), self._address["password"]))
        for reply in await protocol.send(greeting):
            if isinstance(reply, hiredis.ReplyError):
                protocol.close()
                raise StoreError(f"the online store at {host}:{port} refused the connection: {reply}")
        return protocol
