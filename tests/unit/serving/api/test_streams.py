"""Following the log: what goes over the wire, and that whoever leaves, sleeps or is too many holds nothing up."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bighead.errors import InvalidInput, Overloaded, PlatformError
from serving.api import cursors
from serving.api.streams import MOST_OF_ONE, QUEUED, Sent, Streams


class Wire:
    """The other side of a connection: what was sent, whether it reads, and when it goes away."""

    def __init__(self) -> None:
        self.content = b""
        self.complete = False
        self.reads = asyncio.Event()
        self.reads.set()
        self.left = asyncio.Event()
        self._more = asyncio.Event()

    async def send(self, message: Any) -> None:
        await self.reads.wait()
        self.content += message.get("body", b"")
        self._more.set()
        self.complete |= message["type"] == "http.response.body" and not message.get("more_body")

    async def receive(self) -> Any:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def has(self, text: bytes) -> None:
        while text not in self.content:
            self._more.clear()
            await self._more.wait()


class Endless:
    """A source that goes on until it is stopped."""

    def __init__(self, pause_s: float = 0.0) -> None:
        self.ended = threading.Event()
        self._pause_s = pause_s

    def __call__(self, stop: Callable[[], bool]) -> Iterator[Sent]:
        number = 0
        try:
            while not stop():
                number += 1
                yield Sent(f"models:{number}", '{"a":1}')
                threading.Event().wait(self._pause_s)
        finally:
            self.ended.set()


def three(stop: Callable[[], bool]) -> Iterator[Sent]:
    yield Sent("models:1", '{"a":1}')
    yield Sent("models:2", None)
    yield Sent("models:3", "{}", "lost")


async def test_every_event_says_where_to_go_on_and_so_does_the_end() -> None:
    wire, streams = Wire(), Streams()
    await streams.open(three, "models:0")({}, wire.receive, wire.send)
    assert wire.content.decode().split("\n\n") == [
        "id: models:0",
        'id: models:1\ndata: {"a":1}',
        "id: models:2",
        "id: models:3\nevent: lost\ndata: {}",
        'id: models:3\nevent: end\ndata: {"why":"the log ended","from":"models:3"}',
        "",
    ]
    assert wire.complete and len(streams) == 0


async def test_a_client_that_goes_away_frees_its_reader() -> None:
    wire, streams, source = Wire(), Streams(), Endless(0.01)
    following = asyncio.create_task(streams.open(source, "models:0")({}, wire.receive, wire.send))
    await wire.has(b"models:2")
    wire.left.set()
    await following
    assert await asyncio.to_thread(source.ended.wait, 5) and len(streams) == 0


async def test_a_client_that_reads_too_slowly_is_told_where_to_go_on() -> None:
    wire, streams, source = Wire(), Streams(slow_s=0.2), Endless()
    following = asyncio.create_task(streams.open(source, "models:0")({}, wire.receive, wire.send))
    await wire.has(b"models:2")
    wire.reads.clear()
    assert await asyncio.to_thread(source.ended.wait, 5)
    wire.reads.set()
    await following
    *_, last, end, _ = wire.content.decode().split("\n\n")
    place = last.splitlines()[0].removeprefix("id: ")
    assert int(place.removeprefix("models:")) >= QUEUED
    assert f"{QUEUED} events waited" in end and f'"from":"{place}"' in end


async def test_a_client_that_never_reads_again_holds_nothing() -> None:
    wire, streams, source = Wire(), Streams(slow_s=0.05), Endless()
    following = asyncio.create_task(streams.open(source, "models:0")({}, wire.receive, wire.send))
    await wire.has(b"models:2")
    wire.reads.clear()
    await following
    assert await asyncio.to_thread(source.ended.wait, 5)
    assert len(streams) == 0 and not wire.complete


async def test_a_quiet_connection_says_that_it_lives() -> None:
    def quiet(stop: Callable[[], bool]) -> Iterator[Sent]:
        while not stop():
            threading.Event().wait(0.01)
        return iter(())

    wire, streams = Wire(), Streams(heartbeat_s=0.02)
    following = asyncio.create_task(streams.open(quiet, "models:0")({}, wire.receive, wire.send))
    await wire.has(b": here\n\n: here\n\n")
    streams.close()
    await following
    assert b'"why":"the console stops","from":"models:0"' in wire.content and wire.complete


async def test_a_log_that_breaks_says_why() -> None:
    def broken(stop: Callable[[], bool]) -> Iterator[Sent]:
        yield Sent("models:1", "{}")
        raise PlatformError("Kafka does not answer")

    wire = Wire()
    await Streams().open(broken, "models:0")({}, wire.receive, wire.send)
    assert b'event: end\ndata: {"why":"Kafka does not answer","from":"models:1"}' in wire.content


def test_there_are_only_so_many() -> None:
    streams = Streams()
    for _ in range(MOST_OF_ONE):
        streams.open(three, "models:0", "eve")
    with pytest.raises(Overloaded, match="eve follows the log 16 times already"):
        streams.open(three, "models:0", "eve")
    assert streams.open(three, "models:0", "ada")
    streams = Streams(most=1)
    streams.open(three, "models:0", "ada")
    with pytest.raises(Overloaded, match="1 clients follow the log already"):
        streams.open(three, "models:0")


PLACES = {("b.models.events.v1", 0): 12, ("b.models.events.v1", 1): 3, ("b.serving.events.v1", 0): 0}


def test_a_place_is_a_text_and_back() -> None:
    text = cursors.written("b", PLACES)
    assert text == "models:12.3,serving:0"
    assert cursors.read("b", text) == PLACES


@pytest.mark.parametrize("text", ["", "models", "models:", "models:x", "nothing:1", "models:1.", "models:1,,", "é:1"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="expected `beginning`, `end` or a position"):
        cursors.read("b", text)


def test_a_place_is_taken_up_where_the_log_still_has_it() -> None:
    one, two = ("b.models.events.v1", 0), ("b.models.events.v1", 1)
    ends = {one: (5, 20), two: (0, 9)}
    assert cursors.start_of("b", "beginning", ends) == ({one: 5, two: 0}, False)
    assert cursors.start_of("b", "end", ends) == ({one: 20, two: 9}, False)
    assert cursors.start_of("b", "models:7.3", ends) == ({one: 7, two: 3}, False)
    assert cursors.start_of("b", "models:7", ends) == ({one: 7, two: 0}, False)
    assert cursors.start_of("b", "models:2.3", ends) == ({one: 5, two: 3}, True)
    with pytest.raises(InvalidInput, match="lies beyond the end"):
        cursors.start_of("b", "models:21.0", ends)


def test_topics_are_named_as_they_are_here() -> None:
    assert cursors.chosen("serving, models") == ("models", "serving")
    assert cursors.chosen(None) == tuple(cursors.TOPICS)
    with pytest.raises(InvalidInput, match="predictions"):
        cursors.chosen("models,predictions")
