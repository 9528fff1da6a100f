"""A lean asyncio connection to Redis: pipelined commands, parsed by hiredis, a future per pipeline.

The general client costs several times the CPU of a feature read; this one does nothing but send and receive.
Errors of the connection and replies that are errors are StoreError; the next call connects again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import hiredis
from redis.asyncio.connection import parse_url

from bighead.errors import BigheadError, DeadlineExceeded, StoreError


class Packed(NamedTuple):
    """A command as it is sent, and its key."""

    key: bytes
    data: bytes


Command: TypeAlias = tuple[Any, ...] | Packed
"""A command and its arguments (text, bytes or numbers), or the bytes of one."""
MOST_UNSENT_BYTES = 32 * 1024 * 1024
"""What may wait to be sent to a store that does not read; more is refused, so that memory stays bounded."""


Take: TypeAlias = Callable[[int, Any], Any]
"""What is made of the reply to the command at an index, as soon as it is there; not called for errors."""


class _Pipeline:
    """Commands under way: replies so far, and a future that is done when all are there."""

    __slots__ = ("_take", "done", "replies", "size")

    def __init__(self, size: int, done: asyncio.Future[None], take: Take | None) -> None:
        self.size = size
        self.done = done
        self.replies: list[Any] = []
        self._take = take

    def add(self, reply: Any) -> None:
        if isinstance(reply, hiredis.ReplyError):
            reply = _refused(str(reply))
        elif self._take is not None and not self.done.done():
            try:
                reply = self._take(len(self.replies), reply)
            except Exception as error:  # noqa: BLE001 - it belongs to whoever asked, and the connection goes on
                self.fail(error)
        self.replies.append(reply)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class _Protocol(asyncio.Protocol):
    """One connection: replies arrive in the order of the commands, so waiting pipelines form a queue."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[_Pipeline] = deque()
        self._transport: asyncio.Transport | None = None

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream connection's transport is a Transport

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        reader.feed(data)
        while (reply := reader.gets()) is not False:
            pipeline = self._waiting[0]
            pipeline.add(reply)
            if len(pipeline.replies) == pipeline.size:
                self._waiting.popleft()
                if not pipeline.done.done():
                    pipeline.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        while self._waiting:
            error = StoreError(f"the online store closed the connection ({exc or 'end of stream'})")
            self._waiting.popleft().fail(error)

    def send(self, commands: Sequence[Command], take: Take | None = None) -> _Pipeline:
        pipeline = _Pipeline(len(commands), asyncio.get_running_loop().create_future(), take)
        if self._transport is None:
            pipeline.fail(StoreError("the connection to the online store is closed"))
        elif (unsent := self._transport.get_write_buffer_size()) > MOST_UNSENT_BYTES:
            pipeline.fail(StoreError(f"the online store reads nothing: {unsent} bytes wait to be sent to it"))
        else:
            self._waiting.append(pipeline)
            pack = hiredis.pack_command
            self._transport.write(b"".join([one.data if isinstance(one, Packed) else pack(one) for one in commands]))
        return pipeline

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class RedisPipeline:
    """Pipelines to one Redis, on one connection that is opened when first needed and again after a failure."""

    def __init__(self, url: str) -> None:
        self._address = parse_url(url)
        self._protocol: _Protocol | None = None
        self._opening = asyncio.Lock()

    def key_of(self, key: str) -> str:
        """Where a hash of tiles lies: the key itself, as there is one node."""
        return key

    async def execute(self, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        """The replies, in order. Raises StoreError, or DeadlineExceeded after `timeout_s` seconds."""
        replies = await self.ask(commands, timeout_s)
        for reply in replies:
            if isinstance(reply, BigheadError):
                raise reply
        return replies

    async def ask(self, commands: Sequence[Command], timeout_s: float, take: Take | None = None) -> list[Any]:
        """The replies, in order, or what `take` made of them while others were under way.

        Where one did not come in time or is an error, a BigheadError stands in its place.
        """
        if not commands:
            return []
        pipeline = None
        failure: BigheadError | None = None
        try:
            async with asyncio.timeout(timeout_s):
                protocol = self._protocol
                if protocol is None or not protocol.open:
                    protocol = await self._connected()
                pipeline = protocol.send(commands, take)
                await pipeline.done
        except TimeoutError:
            failure = DeadlineExceeded(f"the online store did not answer within {timeout_s * 1000:.0f} ms")
        except StoreError as error:
            failure = error
        replies = [] if pipeline is None else list(pipeline.replies)
        return replies if failure is None else replies + [failure] * (len(commands) - len(replies))

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
        pipeline = protocol.send(greeting)
        await pipeline.done
        for reply in pipeline.replies:
            if isinstance(reply, Refused):
                protocol.close()
                raise StoreError(f"the online store at {host}:{port} refused the connection: {reply}")
        return protocol


class Refused(StoreError):
    """A command was answered with an error."""


class Redirected(Refused):
    """Another node of the cluster answers: for good, or while a slot moves, when the command has to follow ASKING."""

    def __init__(self, reply: str) -> None:
        kind, _, self.address = reply.split()
        self.asking = kind == "ASK"
        super().__init__(f"the online store is a cluster ({reply}); name it as redis+cluster://host:port,host:port")


def _refused(text: str) -> Refused:
    if text.startswith(("MOVED ", "ASK ")):
        return Redirected(text)
    return Refused(f"the online store refused a command: {text}")


class HashFields:
    """HMGET of the same fields of many hashes, packed once."""

    def __init__(self, fields: Sequence[bytes]) -> None:
        self._head = b"*%d\r\n$5\r\nHMGET\r\n$" % (len(fields) + 2)
        self._tail = b"\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(field), field) for field in fields)

    def of(self, key: str) -> Packed:
        """The command for one hash."""
        name = key.encode()
        return Packed(name, b"%b%d\r\n%b%b" % (self._head, len(name), name, self._tail))
