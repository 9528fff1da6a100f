"""Server-sent events of the log: one reader of Kafka for each client, in a thread, and a bounded queue between them.

The id of each event is the place behind it in every partition that is followed: who comes back with it misses nothing
and gets nothing twice. Knows ASGI and threads; what a message says is handed in.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from bighead.errors import BigheadError, Overloaded
from serving.http_body import as_json

MOST_STREAMS, MOST_OF_ONE = 32, 16
QUEUED = 500
HEARTBEAT_S = 10.0
SLOW_S = 15.0
"""How long a client may leave the queue full. One that reads again in four times that is told that it was let go."""
_UNREAD = 4
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


@dataclass(frozen=True, slots=True)
class Sent:
    """One event: `place` is the position behind it, `data` its JSON; without data it only moves the position on."""

    place: str
    data: str | None
    kind: str | None = None

    def text(self) -> bytes:
        """As it goes over the wire. Neither JSON nor a position has a line feed."""
        kind = f"event: {self.kind}\n" if self.kind else ""
        data = f"data: {self.data}\n" if self.data is not None else ""
        return f"id: {self.place}\n{kind}{data}\n".encode()


Source = Callable[[Callable[[], bool]], Iterator[Sent]]
"""Given whether to stop, gives events as they come; ends soon after it is to stop."""


class Streams:
    """Every client that follows the log."""

    def __init__(self, *, most: int = MOST_STREAMS, heartbeat_s: float = HEARTBEAT_S, slow_s: float = SLOW_S) -> None:
        self._most = most
        self._heartbeat_s = heartbeat_s
        self._slow_s = slow_s
        self._open: dict[Stream, str] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, source: Source, start: str, actor: str = "") -> "Stream":
        """An ASGI answer that follows a source from the place `start`; raises Overloaded where there are too many.

        Nobody has so many that others have none.
        """
        if len(self._open) >= self._most:
            raise Overloaded(f"{self._most} clients follow the log already; try again later, or read pages of /events")
        if sum(one == actor for one in self._open.values()) >= MOST_OF_ONE:
            raise Overloaded(f"{actor or 'somebody'} follows the log {MOST_OF_ONE} times already; end one of them")
        stream = Stream(source, start, self._heartbeat_s, self._slow_s, lambda one: self._open.pop(one, None))
        self._open[stream] = actor
        return stream

    def close(self) -> None:
        """Ends them all: each client is told where to go on."""
        for stream in list(self._open):
            stream.end("the console stops")


class Stream:
    """One client. Whatever ends it (client, source, slowness, the console's end) ends its thread too."""

    def __init__(
        self, source: Source, start: str, heartbeat_s: float, slow_s: float, closed: Callable[["Stream"], object]
    ) -> None:
        self._source = source
        self._place = start
        self._heartbeat_s = heartbeat_s
        self._slow_s = slow_s
        self._closed = closed
        self._queue: asyncio.Queue[Sent | None] = asyncio.Queue(QUEUED)
        self._stopped = threading.Event()
        self._why = "the log ended"

    def end(self, why: str) -> None:
        """Ends it after what is queued."""
        self._why = why
        self._stopped.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers until one side has enough."""
        loop = asyncio.get_running_loop()
        reader = threading.Thread(target=self._read, args=(loop,), name="console-stream", daemon=True)
        reader.start()
        tasks = [asyncio.create_task(self._write(send)), asyncio.create_task(_gone(receive))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except (TimeoutError, OSError):
            pass  # the client has stopped reading: nothing can be told to it
        finally:
            self._stopped.set()
            for task in tasks:
                task.cancel()
            self._closed(self)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        """The thread: hands on what the source gives, and waits a while for a client that does not read it."""
        try:
            for sent in self._source(self._stopped.is_set):
                if not self._hand(loop, sent):
                    break
        except BigheadError as error:
            self.end(str(error))
        self._hand(loop, None)

    def _hand(self, loop: asyncio.AbstractEventLoop, sent: Sent | None) -> bool:
        putting = self._queue.put(sent)
        try:
            handed = asyncio.run_coroutine_threadsafe(putting, loop)
        except RuntimeError:  # the loop is closed
            putting.close()
            return False
        try:
            handed.result(self._slow_s)
        except CancelledError:  # the loop ends
            return False
        except TimeoutError:
            handed.cancel()
            self.end(f"it was read too slowly: {QUEUED} events waited for {self._slow_s:g} s")
            return False
        return not self._stopped.is_set()

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await self._send(send, Sent(self._place, None).text())
        while True:
            try:
                sent = await asyncio.wait_for(self._queue.get(), self._heartbeat_s)
            except TimeoutError:
                await self._send(send, b": here\n\n")
                if self._stopped.is_set():
                    break
                continue
            if sent is None:
                break
            self._place = sent.place
            await self._send(send, sent.text())
            if self._stopped.is_set() and self._queue.empty():
                break
        await self._send(send, self._farewell().text())
        await send({"type": "http.response.body", "body": b""})

    def _farewell(self) -> Sent:
        return Sent(self._place, as_json({"why": self._why, "from": self._place}).decode(), "end")

    async def _send(self, send: Send, content: bytes) -> None:
        """Raises TimeoutError where the client does not read for too long."""
        sending = send({"type": "http.response.body", "body": content, "more_body": True})
        await asyncio.wait_for(sending, _UNREAD * self._slow_s)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
