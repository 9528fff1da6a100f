"""Our side: the log on Kafka, and how long the writer and the console take from their start to their first answer."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from benchmarks.registry.content import Size, events
from benchmarks.stack import answer_of, process, say
from bighead.client.publish import Publisher
from bighead.config import Settings
from bighead.events import admin
from bighead.events.topics import MODELS_EVENTS, topic_name
from bighead.testing import eventually

KEPT = "with the file"
_BARE = "from Kafka alone"
_READY_S = 300.0


def fill(settings: Settings, size: Size) -> None:
    """Writes the events to the registry's topic."""
    say(f"filling {size.events:,} events")
    admin.ensure_topics(settings)
    admin.register_schemas(settings)
    publisher, topic = Publisher(settings, "benchmarks"), topic_name(settings.topic_prefix, MODELS_EVENTS)
    for event in events(size):
        publisher.publish(event, key=event.model, topic=topic)
    publisher.flush()


def starts(settings: Settings, size: Size) -> dict[str, float]:
    """Seconds from the start of a process until it decides or answers, without and with what an earlier one kept."""
    found = {}
    for how in (_BARE, KEPT):
        if how == _BARE:
            shutil.rmtree(settings.state, ignore_errors=True)
        say(f"starting the writer {how}")
        started_s = time.monotonic()
        with process(settings, "benchmarks.registry.writer") as running:
            answer_of(running, settings)
            found[f"writer {how}"] = time.monotonic() - started_s
        say(f"starting the console {how}")
        started_s = time.monotonic()
        with console(settings, size):
            found[f"console {how}"] = time.monotonic() - started_s
    return found


@contextmanager
def console(settings: Settings, size: Size) -> Iterator[str]:
    """The console's address, once it knows every model."""
    with process(settings, "serving.console"), httpx.Client(base_url=f"http://{settings.console}") as client:
        eventually(lambda: _knows(client, size.models), _READY_S, 0.05)
        yield settings.console


def _knows(client: httpx.Client, models: int) -> bool:
    try:
        answer = client.get("/api/v1/models?limit=1", timeout=10)
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and answer.json()["total"] == models
