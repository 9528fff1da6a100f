"""A model server as a process of its own, and a registry that the test plays: it writes the registry's events."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from bighead import config, health
from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.log import read_log
from bighead.events.topics import FEATURES_EVENTS, MODELS_EVENTS, topic_name
from bighead.events.types import (
    DeploymentChanged,
    ModelRecord,
    ModelRegistered,
    RolledBack,
    SegmentsChanged,
    TrafficArm,
    TrafficChanged,
)
from bighead.registry.state import RegistryEvent
from bighead.testing import eventually

Kind = TypeVar("Kind", bound=Event)


class ServerProcess:
    """`python -m serving`, started and stopped by its process id."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.output = settings.home / f"server-{uuid.uuid4().hex}.log"
        environment = os.environ | config.variables(settings)
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serving"], env=environment, stdout=output, stderr=subprocess.STDOUT
            )

    def ready(self) -> "ServerProcess":
        """Waits until health says SERVING."""
        eventually(lambda: self.alive() and health.check("server", self.settings).ok, 60, 0.1)
        return self

    def alive(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended with {self.process.returncode}: {self.output.read_text()[-4000:]}")
        return True

    def stop(self) -> int:
        """Asks it to end; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(40)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@contextmanager
def serving(settings: Settings) -> Iterator[ServerProcess]:
    """A server that is ready, and gone afterwards."""
    server = ServerProcess(settings)
    try:
        yield server.ready()
    finally:
        if server.process.poll() is None:
            server.kill()


class Registry:
    """Writes what the registry would decide, and reads what the servers report."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.codec = Codec(settings.schema_registry)
        self._publisher = Publisher(settings, "test", codec=self.codec)
        self._live: dict[str, list[int]] = {}

    def register(self, model: str, version: int, record: ModelRecord) -> None:
        self._write(ModelRegistered(**_stamp(model), version=version, record=record))

    def deploy(self, model: str, version: int) -> str:
        """Returns the command's id."""
        path = self._live.setdefault(model, [])
        event = DeploymentChanged(**_stamp(model), version=version, previous_version=path[-1] if path else None)
        path.append(version)
        self._write(event)
        return event.command_id

    def roll_back(self, model: str) -> str:
        """Returns the command's id."""
        path = self._live[model]
        left = path.pop()
        event = RolledBack(**_stamp(model), version=path[-1], from_version=left)
        self._write(event)
        return event.command_id

    def label(self, model: str, version: int, labels: dict[str, int]) -> None:
        """Gives names to versions; one of them has all of the traffic."""
        arms = (TrafficArm(arm=f"v{version}", version=version, percent=100.0),)
        self._write(TrafficChanged(**_stamp(model), arms=arms, labels=labels))

    def partition(self, model: str, keys: tuple[str, ...], versions: dict[str, int]) -> None:
        """Gives segments to versions."""
        self._write(SegmentsChanged(**_stamp(model), keys=keys, versions=versions))

    def apply(self, *events: Event) -> None:
        """Writes events of the feature log."""
        topic = topic_name(self.settings.topic_prefix, FEATURES_EVENTS)
        for event in events:
            self._publisher.publish(event, key="features", topic=topic)
        self._publisher.flush()

    def told(self, topic: str, kind: type[Kind], **fields: Any) -> list[Kind]:
        """Events of a topic so far, of one type and with these fields."""
        name = topic_name(self.settings.topic_prefix, topic)
        events = [self.codec.decode(message.value) for message in read_log(self.settings, name)]
        return [
            event
            for event in events
            if isinstance(event, kind) and all(getattr(event, field) == value for field, value in fields.items())
        ]

    def await_told(self, topic: str, kind: type[Kind], **fields: Any) -> Kind:
        """The first such event, as soon as it is there."""
        return eventually(lambda: self.told(topic, kind, **fields), 30, 0.05)[0]

    def _write(self, event: RegistryEvent) -> None:
        topic = topic_name(self.settings.topic_prefix, MODELS_EVENTS)
        self._publisher.publish(event, key=event.model, topic=topic)
        self._publisher.flush()


def _stamp(model: str) -> dict[str, Any]:
    return {
        "model": model,
        "command_id": uuid.uuid4().hex,
        "actor": "test",
        "reason": "a test",
        "at_ms": wall_clock_ms(),
    }


def folder_of(settings: Settings) -> Path:
    """Where a test keeps model files."""
    folder = settings.home / f"models-{time.monotonic_ns()}"
    folder.mkdir(parents=True)
    return folder
