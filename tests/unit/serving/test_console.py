"""The console's page: what it shows, that it is escaped, and that nothing on it comes from elsewhere."""

import asyncio
import re
from collections.abc import Sequence
from html.parser import HTMLParser

import httpx
import pytest
from fastapi import FastAPI

from bighead.events.codec import Codec
from bighead.events.message import Message
from bighead.events.types import DeadLetter, DeadLetterReplayed, DeploymentChanged, ModelRegistered, ModelSwapped
from bighead.health import Health
from serving.console.app import HealthBoard, build
from serving.console.log_state import DeadLetterCount, LogState
from tests.unit.registry.samples import record

EVIL = "<script>alert(1)</script>"


class FakeCodec(Codec):
    """Decodes a message to the event that was handed in."""

    def __init__(self, *events: object) -> None:
        self._events = events

    def decode(self, value: bytes | None) -> object:  # type: ignore[override]
        return self._events[int(value or b"0")]


def state_of(*events: object, twice: bool = False) -> LogState:
    state, codec = LogState(), FakeCodec(*events)
    for index in list(range(len(events))) * (2 if twice else 1):
        state.apply(Message("t", 0, index, b"k", str(index).encode()), codec)
    return state


def stamped(**fields: object) -> dict[str, object]:
    return {"model": "late", "actor": "ada", "reason": EVIL, "command_id": "c1", "at_ms": 1_700_000_000_000} | fields


def events() -> list[object]:
    letter = {"topic": "orders", "partition": 0, "stage": "worker", "at_ms": 1}
    detail = {"error_class": "E", "error_message": "m", "key": None, "value": None, "timestamp_ms": 1}
    return [
        ModelRegistered(**stamped(version=1, record=record())),  # type: ignore[arg-type]
        DeploymentChanged(**stamped(version=1)),  # type: ignore[arg-type]
        ModelSwapped(server="s1", model="late", version=1, command_id="c1", swap_us=3, at_ms=1),
        DeadLetter(**letter, **detail, offset=7),  # type: ignore[arg-type]
        DeadLetter(**letter, **detail, offset=8),  # type: ignore[arg-type]
        DeadLetterReplayed(**letter, offset=8, actor="ada"),  # type: ignore[arg-type]
    ]


def healthy(*broken: str) -> list[Health]:
    parts = ("kafka", "redis")
    return [Health(part, part not in broken, 1.5, f"{part} {EVIL}", 1) for part in parts]


def get(app: FastAPI, path: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://console") as client:
            return await client.get(path)

    return asyncio.run(ask())


def page(state: LogState, parts: Sequence[Health], problem: str | None = None) -> httpx.Response:
    return get(build(lambda: state, lambda: problem, lambda: parts), "/")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_shows_parts_models_and_dead_letters() -> None:
    answer = page(state_of(*events()), healthy("redis"))
    assert answer.status_code == 200
    text = re.sub(r"<[^>]+>|\s+", " ", answer.text)
    text = re.sub(r" +", " ", text)
    assert "kafka works" in text
    assert "redis does not work" in text
    assert "late 1 none 1 2023-11-14 22:13:20 UTC ada" in text
    assert "s1: version 1" in text
    assert "worker 1 2" in text
    assert "<title>bighead: 1 not working</title>" in answer.text


def test_nothing_on_the_page_is_code_or_comes_from_elsewhere() -> None:
    answer = page(state_of(*events()), healthy())
    parser = _Tags()
    parser.feed(answer.text)
    assert not [tag for tag, _ in parser.tags if tag in ("script", "iframe", "object", "form")]
    for _, attributes in parser.tags:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        address = attributes.get("href") or attributes.get("src") or "/"
        assert address.startswith(("/", "data:"))
    assert EVIL not in answer.text
    assert "&lt;script&gt;" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_an_empty_platform_says_what_to_do() -> None:
    text = page(LogState(), healthy(), problem="Kafka does not answer").text
    assert "No model is registered" in text
    assert "The log cannot be read: Kafka does not answer" in text
    assert "all parts work" in text


def test_messages_that_come_twice_change_nothing() -> None:
    once, twice = state_of(*events()), state_of(*events(), twice=True)
    assert once.known_models == twice.known_models
    assert twice.dead_letters == [DeadLetterCount("worker", 2, 1)]


@pytest.mark.parametrize("path", ["/health", "/static/console.css"])
def test_what_the_page_needs_is_there(path: str) -> None:
    answer = get(build(LogState, lambda: None, healthy), path)
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_parts_are_probed_once_for_many_readers() -> None:
    probes: list[int] = []
    now_s = [0.0]

    def probe() -> list[Health]:
        probes.append(1)
        return healthy()

    board = HealthBoard(probe, lambda: now_s[0])
    await asyncio.gather(*(board.newest() for _ in range(5)))
    assert len(probes) == 1
    now_s[0] = 60.0
    await board.newest()
    assert len(probes) == 2
