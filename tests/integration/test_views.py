"""The rows of the models in Redis: what the log says, whatever is killed, flushed or taken back."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from confluent_kafka import Producer

from bighead import config
from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.dead_letters import read_dead_letters
from bighead.events.kafka import producer_config
from bighead.events.log import read_log
from bighead.events.sender import Sender
from bighead.events.topics import MODELS_EVENTS, SERVING_EVENTS, topic_name
from bighead.events.types import ModelLoaded, ModelRegistered, ModelSwapped, ServerStopped
from bighead.registry import ModelState, RegistryEvent
from bighead.registry.views import VIEWED_EVENTS, ModelView, concerns, project, to_json
from bighead.testing import eventually
from streams.views import INDEX_KEY, view_key
from tests.unit.registry.samples import deploy, obey, register, roll_back

MODELS = ("delay", "price")
GARBAGE = b"not an event"


@contextmanager
def worker(settings: Settings, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = os.environ | config.variables(settings)
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.views_process"], env=environment, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def store(ready_settings: Settings) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(ready_settings.redis) as client:
        yield client


class Log:
    """Writes a story of each model, and says what a row must be by folding the log once more."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._publisher = Publisher(settings, "test")
        self.topics = [topic_name(settings.topic_prefix, name) for name in (MODELS_EVENTS, SERVING_EVENTS)]
        self._states = {model: ModelState(model) for model in MODELS}
        self._number = 0

    def tell(self) -> None:
        """Registers, deploys and rolls back each model once more, with what a server says of it."""
        for model in MODELS:
            number = len(self._states[model].versions) + 1
            self._number += 4
            commands = (register("r"), deploy("d", number), deploy("again", max(1, number - 1)), roll_back("b"))
            named = [
                replace(command, model=model, command_id=f"{command.command_id}{self._number}") for command in commands
            ]
            state, events = obey(*named, state=self._states[model], now_ms=wall_clock_ms())
            self._states[model] = state
            for event in events:
                self._publisher.publish(event, key=model, topic=self.topics[0])
            self._report(model, number, events[1])
        self._publisher.flush()

    def _report(self, model: str, version: int, cause: RegistryEvent) -> None:
        common = {"server": "s1", "model": model, "version": version, "command_id": cause.command_id}
        at_ms = wall_clock_ms()
        for event in (
            ModelLoaded(**common, artifact_sha256="ab" * 32, steps={"load": 0.1}, at_ms=at_ms),  # type: ignore[arg-type]
            ModelSwapped(**common, swap_us=4, at_ms=at_ms),  # type: ignore[arg-type]
        ):
            self._publisher.publish(event, key="s1", topic=self.topics[1])

    def stop_server(self) -> None:
        event = ServerStopped(server="s1", address="127.0.0.1:1", at_ms=wall_clock_ms())
        self._publisher.publish(event, key="s1", topic=self.topics[1]).position()

    def rows(self) -> dict[str, bytes]:
        codec = Codec(self._settings.schema_registry)
        views = {model: ModelView(ModelState(model)) for model in MODELS}
        for topic in self.topics:
            for message in read_log(self._settings, topic):
                if message.value == GARBAGE:
                    continue
                event = codec.decode(message.value)
                for model in MODELS:
                    if isinstance(event, VIEWED_EVENTS) and concerns(event, model):
                        views[model] = project(views[model], event, message.position)
        return {model: to_json(view).encode() for model, view in views.items()}


def rows(store: "redis.Redis") -> dict[str, bytes | None]:
    return {model: store.get(view_key(model)) for model in MODELS}  # type: ignore[misc]


def test_rows_follow_the_log_and_are_rebuilt_from_it_byte_by_byte(
    ready_settings: Settings, store: "redis.Redis", tmp_path: Path
) -> None:
    log = Log(ready_settings)
    with worker(ready_settings, tmp_path):
        for _ in range(5):
            log.tell()
        eventually(lambda: rows(store) == log.rows(), 60)
        assert store.zrange(INDEX_KEY, 0, -1) == [b"delay", b"price"]
        log.stop_server()
        eventually(lambda: rows(store) == log.rows(), 30)

        store.flushdb()
        log.tell()
        eventually(lambda: rows(store) == log.rows(), 30)
    store.flushdb()
    old = json.loads(log.rows()["delay"])
    for line in old["history"]:  # as an earlier release kept it
        del line["position"], line["revision"], line["environment"]
    store.set(view_key("delay"), json.dumps(old))
    with worker(ready_settings, tmp_path):
        eventually(lambda: rows(store) == log.rows(), 60)


def test_a_worker_that_is_killed_leaves_no_gap(ready_settings: Settings, store: "redis.Redis", tmp_path: Path) -> None:
    log = Log(ready_settings)
    for _ in range(3):
        before = rows(store)
        with worker(ready_settings, tmp_path) as process:
            for _ in range(10):
                log.tell()
            eventually(lambda before=before: rows(store) != before, 60)  # type: ignore[misc]
            os.kill(process.pid, signal.SIGKILL)
    with worker(ready_settings, tmp_path):
        eventually(lambda: rows(store) == log.rows(), 60)


def test_what_was_taken_back_or_cannot_be_read_is_not_shown(
    ready_settings: Settings, store: "redis.Redis", tmp_path: Path
) -> None:
    log, codec = Log(ready_settings), Codec(ready_settings.schema_registry)
    topic = log.topics[0]
    registered = obey(register("x", model="delay"), state=ModelState("delay"), now_ms=wall_clock_ms())[1][0]
    assert isinstance(registered, ModelRegistered)
    value = codec.encode(replace(registered, version=99), topic)
    with worker(ready_settings, tmp_path):
        log.tell()
        eventually(lambda: rows(store) == log.rows(), 60)
        producer = Producer(producer_config(ready_settings) | {"transactional.id": "test-taken-back"})
        producer.init_transactions(10)
        producer.begin_transaction()
        producer.produce(topic, value, b"delay")
        producer.flush()
        producer.abort_transaction(10)
        Sender(ready_settings).send(topic, b"delay", GARBAGE, []).position()
        log.tell()
        eventually(lambda: rows(store) == log.rows(), 30)
    assert b'"number":99' not in (rows(store)["delay"] or b"")
    assert [stored.letter.value for stored in read_dead_letters(ready_settings, codec)] == [GARBAGE]
