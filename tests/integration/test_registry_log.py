"""The registry's log from a file and from Kafka: what was kept is not decoded again, and never believed blindly."""

from dataclasses import replace
from pathlib import Path

import pytest

from bighead.client import registry_log
from bighead.client.publish import Publisher
from bighead.client.registry_log import RegistryLog
from bighead.client.registry_rows import Fact
from bighead.config import Settings
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.message import Message
from bighead.events.topics import MODELS_EVENTS, topic_name
from bighead.registry import ModelState
from tests.unit.registry.samples import deploy, obey, register

MODELS = ("delay", "price", "eta")


class Reader:
    """A process that starts, reads everything, and counts what it had to decode."""

    def __init__(self, settings: Settings, path: Path) -> None:
        self._codec, self.decoded = Codec(settings.schema_registry), 0
        self.log = RegistryLog(settings, path, self._decode)

    def _decode(self, message: Message) -> Event:
        self.decoded += 1
        return self._codec.decode(message.value)

    def read(self) -> list[Fact]:
        return sorted(self.log.read(), key=lambda fact: fact[1])


def write(settings: Settings, run: str, versions: int) -> None:
    publisher, topic = Publisher(settings, "test"), topic_name(settings.topic_prefix, MODELS_EVENTS)
    for model in MODELS:
        commands = [register(f"{run}-{model}-{one}", model=model) for one in range(versions)]
        for event in obey(*commands, deploy(f"{run}-{model}-d", 1, model=model), state=ModelState(model))[1]:
            publisher.publish(event, key=model, topic=topic)
    publisher.flush()


def test_what_was_kept_is_not_decoded_again_and_counts_only_while_it_is_the_log(
    ready_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_log, "CHUNK", 10)
    settings, path = ready_settings, tmp_path / "state" / "events"
    write(settings, "a", 9)
    first = Reader(settings, path)
    everything = first.read()
    assert (len(everything), first.decoded) == (30, 30)
    assert first.read() == [], "there is nothing new"

    write(settings, "b", 1)
    second = Reader(settings, path)
    again = second.read()
    assert len(again) == 36
    assert [fact for fact in again if fact in everything] == everything
    assert second.decoded < 20, "each partition's last event is compared, and what is new is decoded"
    assert [event for event, _ in again] == [event for event, _ in Reader(settings, tmp_path / "none").read()]

    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    assert Reader(settings, path).read() == again

    twice = Reader(settings, tmp_path / "twice")
    for event, position in [*again, *again]:
        twice.log.add(event, position)
    assert Reader(settings, tmp_path / "twice").read() == again

    forged = Reader(settings, tmp_path / "forged")
    for event, position in again:
        forged.log.add(replace(event, reason="of another log of the same name"), position)
    assert (tmp_path / "forged").exists()
    assert Reader(settings, tmp_path / "forged").read() == again
