"""How the tests of the console's pages fill a log state, ask for a page and read it."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import httpx
from fastapi import FastAPI

from bighead.errors import CommandRefused
from bighead.events.codec import Codec
from bighead.events.message import Message, Position
from bighead.events.types import Attachment, CommandRejected, DeadLetter
from bighead.features.catalog import Catalog
from bighead.features.plan import FeatureRow
from bighead.health import Health
from bighead.registry import Command, decide
from serving.api.security import Access, ConsoleTokens
from serving.console.app import build
from serving.console.log_state import LogState
from serving.console.reach import Reach, Tail

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
START_MS = 1_700_000_000_000
"""2023-11-14 22:13:20 UTC."""


class FakeCodec(Codec):
    """Decodes a message to the event that was handed in."""

    def __init__(self, *events: object) -> None:
        self._events = events

    def decode(self, value: bytes | None) -> object:  # type: ignore[override]
        return self._events[int(value or b"0")]


def state_of(*events: object, twice: bool = False, topic: str = "t") -> LogState:
    """A log state that read these events of one topic, in their order."""
    state, codec = LogState(), FakeCodec(*events)
    for index in list(range(len(events))) * (2 if twice else 1):
        state.apply(Message(topic, 0, index, b"k", str(index).encode()), codec)
    return state


def stamped(**fields: object) -> dict[str, Any]:
    """The fields of an event that say which model, who, why and when."""
    return {"model": "late", "actor": "ada", "reason": EVIL, "command_id": "c1", "at_ms": START_MS} | fields


def healthy(*broken: str) -> list[Health]:
    """Two probed parts."""
    return [Health(part, part not in broken, 1.5, f"{part} {EVIL}", 1) for part in ("kafka", "redis")]


class MemoryDesk:
    """Decides commands as the registry does and writes what follows into the log state, and holds attachments."""

    def __init__(self, state: LogState) -> None:
        self._state = state
        self.attachments: dict[str, bytes] = {}

    def ask(self, command: Command) -> object:
        events = decide(self._state.model(command.model).state, command, START_MS + 60_000)
        for event in events:
            append(self._state, event)
        if isinstance(events[0], CommandRejected):
            raise CommandRefused(events[0].reason_rejected)
        return events[0]

    def attachment(self, attachment: Attachment) -> bytes:
        return self.attachments[attachment.sha256]


def append(state: LogState, *events: object) -> None:
    """Writes events behind those that the state has read."""
    for event in events:
        offset = state._next.get(("t", 0), 0)
        state.apply(Message("t", 0, offset, b"k", b"0"), FakeCodec(event))


class FakeReach(Reach):
    """A platform of dictionaries. `replayed` are the dead letters that were sent back, with who and why."""

    def __init__(self) -> None:
        self.tails: dict[str, list[dict[str, Any]]] = {}
        self.stored: dict[Position, DeadLetter] = {}
        self.replayed: list[tuple[DeadLetter, str, str]] = []
        self.rows: dict[str, FeatureRow] = {}
        self.newest: dict[str, int] = {}
        self.asked_ms: list[int] = []
        self.alive: dict[str, str] | None = None

    @property
    def prefix(self) -> str:
        return "bighead"

    def servers(self) -> dict[str, str] | None:
        return self.alive

    async def topics(self) -> list[str]:
        return sorted(self.tails)

    async def tail(self, topic: str, until_ms: int | None) -> Tail:
        return [one for one in self.tails[topic] if until_ms is None or one["timestamp_ms"] <= until_ms]

    async def letters(self, positions: Sequence[Position]) -> dict[Position, DeadLetter]:
        return {one: self.stored[one] for one in positions if one in self.stored}

    async def replay(self, letters: Sequence[DeadLetter], actor: str, reason: str) -> list[Position]:
        self.replayed += [(letter, actor, reason) for letter in letters]
        return [Position(letter.topic, letter.partition, 100) for letter in letters]

    async def features(self, catalog: Catalog, join: str, entity: Mapping[str, Any], as_of_ms: int) -> FeatureRow:
        self.asked_ms.append(as_of_ms)
        return replace(self.rows[join], as_of_ms=as_of_ms)

    async def newest_ms(self, topics: Sequence[str]) -> dict[str, int | None]:
        return {topic: self.newest.get(topic) for topic in topics}


def console(
    state: LogState,
    parts: Sequence[Health] = (),
    problem: str | None = None,
    tokens: str = "",
    actor: str = "ada",
    reach: Reach | None = None,
) -> FastAPI:
    """The console over that state."""
    access = Access(ConsoleTokens(tokens), actor)
    return build(lambda: state, lambda: problem, lambda: parts, access, MemoryDesk(state), reach or FakeReach())


def ask(app: FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    """What the console answers; redirects are not followed."""

    async def asking() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.request(method, path, **options)

    return asyncio.run(asking())


def get(app: FastAPI, path: str, **options: Any) -> httpx.Response:
    """What the console answers to a GET."""
    return ask(app, "GET", path, **options)


def field_of(answer: httpx.Response, name: str) -> str:
    """The value of the first field of that name, e.g. of `csrf`."""
    found = (one for tag, one in Tags(answer.text).tags if tag in ("input", "textarea") and one.get("name") == name)
    return str(next(found)["value"])


def words_of(answer: httpx.Response) -> str:
    """The page without its tags, on one line."""
    text = re.sub(r"<(script|style|head)\b.*?</\1>", " ", answer.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def check_inert(answer: httpx.Response) -> None:
    """Fails where a page holds code, a style or an address of elsewhere, whatever was written into the log."""
    assert "<img src=x" not in answer.text
    assert "<script>alert" not in answer.text
    for tag, attributes in Tags(answer.text).tags:
        assert tag not in ("iframe", "object", "embed", "base", "style")
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "script":
            assert str(attributes.get("src")).startswith("/static/")
        for name in ("href", "src", "action", "hx-get"):
            assert (attributes.get(name) or "/").startswith(("/", "#", "data:image/")), (tag, attributes)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
