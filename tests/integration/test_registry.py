"""The registry on a real broker: nothing lost, nothing decided twice, whatever is repeated, killed or replaced."""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from bighead import config
from bighead.client.models import ModelsClient
from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import CommandRefused, DeadlineExceeded, PlatformError, UnknownModel
from bighead.events.codec import Codec
from bighead.events.dead_letters import read_dead_letters
from bighead.events.kafka import consumer_config
from bighead.events.log import end_offsets, read_log
from bighead.events.sender import Sender
from bighead.events.topics import MODELS_COMMANDS, MODELS_EVENTS, topic_name
from bighead.events.types import DeploymentChanged, ModelRegistered, PolicyChanged
from bighead.registry import REGISTRY_EVENTS, Command, RegistryEvent
from bighead.testing import eventually
from streams.registry import RegistryService, WriterState
from tests.integration.hosted_registry import Hosted, hosted
from tests.integration.registry_process import FAULTS
from tests.unit.registry.samples import deploy, record, register, roll_back


@pytest.fixture
def writer(ready_settings: Settings) -> Iterator[Hosted]:
    with hosted(ready_settings) as running:
        yield running


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not really a model")
    return path


def commands_topic(settings: Settings) -> str:
    return topic_name(settings.topic_prefix, MODELS_COMMANDS)


def send(publisher: Publisher, settings: Settings, command: Command) -> None:
    command = replace(command, at_ms=wall_clock_ms())
    publisher.publish(command, key=command.model, topic=commands_topic(settings))


def events(settings: Settings) -> list[RegistryEvent]:
    codec = Codec(settings.schema_registry)
    decoded = [
        codec.decode(message.value) for message in read_log(settings, topic_name(settings.topic_prefix, MODELS_EVENTS))
    ]
    return [event for event in decoded if isinstance(event, REGISTRY_EVENTS)]


def everything_consumed(settings: Settings) -> bool:
    """Whether the writers' committed offsets are the ends of the commands."""
    topic = commands_topic(settings)
    ends = end_offsets(settings, topic)
    consumer = Consumer(consumer_config(settings, topic_name(settings.topic_prefix, "registry")))
    try:
        committed = consumer.committed([TopicPartition(topic, partition) for partition in ends], timeout=10)
    finally:
        consumer.close()
    return all(max(part.offset, 0) == ends[part.partition] for part in committed)


def dense(versions: list[int]) -> bool:
    return versions == list(range(1, len(versions) + 1))


def test_a_model_is_registered_deployed_and_rolled_back(
    writer: Hosted, ready_settings: Settings, model_file: Path
) -> None:
    client = ModelsClient(ready_settings, "ada")
    blank = record(artifact_uri="", artifact_sha256="", artifact_size=0)
    assert [client.register("delay", blank, model_file, "try") for _ in range(2)] == [1, 2]
    client.deploy("delay", 1, "first", wait=False)
    deployed_ms = client.show("delay").state.at_ms
    eventually(lambda: wall_clock_ms() > deployed_ms)
    assert client.deploy("delay", None, "newest", wait=False).previous_version == 1
    client.set_traffic("delay", {1: 10, 2: 90}, "canary")
    assert client.rollback("delay", "worse", wait=False).version == 1
    client.retire("delay", "leak", 2)

    view = client.show("delay")
    assert (view.state.live, view.live_as_of(deployed_ms)) == (1, 1)
    assert client.show("delay", as_of_ms=deployed_ms).state.live == 1
    assert [(line.what, line.actor, line.reason) for line in client.history("delay")][2:] == [
        ("DeploymentChanged", "ada", "first"),
        ("DeploymentChanged", "ada", "newest"),
        ("TrafficChanged", "ada", "canary"),
        ("RolledBack", "ada", "worse"),
        ("ModelRetired", "ada", "leak"),
    ]
    assert [view.state.name for view in client.ls()] == ["delay"]


def test_what_is_refused_is_raised_with_the_reason(writer: Hosted, ready_settings: Settings, model_file: Path) -> None:
    client = ModelsClient(ready_settings, "ada")
    client.register("delay", record(artifact_sha256=""), model_file, "try")
    with pytest.raises(CommandRefused, match="did you mean 'delay'"):
        client.deploy("dellay", 1, "typo", wait=False)
    with pytest.raises(CommandRefused, match="no version 7"):
        client.deploy("delay", 7, "typo", wait=False)
    with pytest.raises(CommandRefused, match="no reason"):
        client.deploy("delay", 1, " ", wait=False)
    with pytest.raises(UnknownModel, match="did you mean 'delay'"):
        client.show("dellay")
    assert writer.writer.health()["counts"]["rejected"] == 3
    assert [line.refused is None for line in client.history("delay")] == [True, False, False]


def test_without_a_writer_the_client_says_what_to_look_at(ready_settings: Settings) -> None:
    with pytest.raises(DeadlineExceeded, match="is the stream worker running"):
        ModelsClient(ready_settings, timeout_s=0.5).retire("delay", "test")


def test_without_a_server_a_deployment_stands_and_the_wait_ends(
    writer: Hosted, ready_settings: Settings, model_file: Path
) -> None:
    client = ModelsClient(ready_settings, timeout_s=3)
    client.register("delay", record(artifact_sha256=""), model_file, "try")
    with pytest.raises(DeadlineExceeded, match="no report came from any server"):
        client.deploy("delay", 1, "go")
    assert client.show("delay").state.live == 1


def test_concurrent_commands_are_decided_one_after_the_other_and_duplicates_once(
    writer: Hosted, ready_settings: Settings
) -> None:
    def many(model: str) -> list[str]:
        publisher, ids = Publisher(ready_settings, "test"), []
        for _ in range(20):
            ids.append(uuid.uuid4().hex)
            for _ in range(2):
                send(publisher, ready_settings, register(ids[-1], model=model))
        publisher.flush()
        return ids

    with ThreadPoolExecutor(6) as pool:
        sent = [id for ids in pool.map(many, ["a", "b", "c"] * 2) for id in ids]
    eventually(lambda: everything_consumed(ready_settings), 60)

    answered = events(ready_settings)
    assert Counter(event.command_id for event in answered) == Counter(sent)
    for model in ("a", "b", "c"):
        versions = [event.version for event in answered if isinstance(event, ModelRegistered) and event.model == model]
        assert dense(versions)
        assert len(versions) == 40
    assert writer.writer.health()["counts"] == {
        "accepted": 120, "rejected": 0, "repeated": 120, "dead": 0, "aborted": 0
    }  # fmt: skip


def test_what_is_no_command_becomes_a_dead_letter_and_the_rest_is_decided(
    writer: Hosted, ready_settings: Settings
) -> None:
    sender, codec = Sender(ready_settings), Codec(ready_settings.schema_registry)
    topic = commands_topic(ready_settings)
    now_ms = wall_clock_ms()
    valid = codec.encode(replace(register("a", model="delay"), at_ms=now_ms), topic)
    unnamed = codec.encode(replace(register("", model="delay"), at_ms=now_ms), topic)
    home = sender.send(topic, b"delay", valid, []).position().partition
    sender.send(topic, b"delay", b'{"model": "delay"}', [])
    sender.send(topic, b"other", valid, [])
    sender.send(topic, None, valid, [])
    sender.send(topic, b"delay", unnamed, [])
    sender.send(
        topic, b"delay", codec.encode(replace(deploy("b", 1, model="delay"), at_ms=now_ms), topic), [], home ^ 1
    )
    sender.flush()
    publisher = Publisher(ready_settings, "test")
    send(publisher, ready_settings, deploy("z", 1, model="delay"))
    publisher.flush()
    eventually(lambda: everything_consumed(ready_settings), 30)

    assert sorted(event.command_id for event in events(ready_settings)) == ["a", "z"]
    reasons = sorted(stored.letter.error_message for stored in read_dead_letters(ready_settings, codec))
    assert len(reasons) == 5
    for reason in ("looks like JSON", "has the key 'other'", "has no key", "empty command_id", "its place is"):
        assert any(reason in text for text in reasons), reason
    assert writer.writer.health()["counts"]["dead"] == 5


def test_a_writer_that_is_killed_again_and_again_loses_nothing_and_repeats_nothing(ready_settings: Settings) -> None:
    ids = [f"{number:03}" for number in range(120)]
    models = ("a", "b", "c", "d", "e")
    publisher = Publisher(ready_settings, "test")

    def feed(chosen: list[str]) -> None:
        for id in chosen:
            number = int(id)
            model = models[number % len(models)]
            command: Command = register(id, model=model)
            if number >= 30 and number % 3:
                command = replace(deploy(id, 1 + number % 7) if number % 3 == 1 else roll_back(id), model=model)
            send(publisher, ready_settings, command)
            if number % 4 == 0:
                send(publisher, ready_settings, command)
        publisher.flush()

    def answers() -> int:
        return sum(end_offsets(ready_settings, topic_name(ready_settings.topic_prefix, MODELS_EVENTS)).values())

    for kill in range(3):
        before = answers()
        feed(ids[kill * 40 : kill * 40 + 40])
        process = writer_process(ready_settings)
        try:
            eventually(lambda before=before: answers() > before + 10, 60)  # type: ignore[misc]
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    with hosted(ready_settings):
        eventually(lambda: everything_consumed(ready_settings), 60)

    answered = events(ready_settings)
    assert Counter(event.command_id for event in answered) == Counter(ids)
    for model in models:
        assert dense(
            [event.version for event in answered if isinstance(event, ModelRegistered) and event.model == model]
        )


def test_a_writer_killed_at_any_step_of_a_decision_leaves_it_whole_or_undone(
    ready_settings: Settings, tmp_path: Path
) -> None:
    rules = tmp_path / "policies.toml"
    rules.write_text('production = ["parity"]\nstaging = ["parity"]')
    settings = replace(ready_settings, policies=str(rules))
    publisher = Publisher(settings, "test")
    models = [f"m{number}" for number in range(3 * len(FAULTS))]
    for model in models:
        for _ in range(2):
            send(publisher, settings, register(f"register {model}", model=model))
        send(publisher, settings, deploy(f"deploy {model}", 1, model=model))
    publisher.flush()

    killed = writer_process(settings, "faults")
    assert killed.stdin is not None and killed.stdout is not None
    try:
        for fault in FAULTS:
            killed.stdin.write(f"{fault}\n".encode())
            killed.stdin.flush()
            assert int(killed.stdout.readline()) == signal.SIGKILL, fault
            assert all(map(is_whole, decisions(settings).values())), fault
    finally:
        killed.stdin.close()
        killed.wait()
    assert len(decisions(settings)) < 2 * len(models), "the killed ones have left something to do"
    with hosted(settings):
        eventually(lambda: everything_consumed(settings), 60)

    decided = decisions(settings)
    assert set(decided) == {f"{what} {model}" for what in ("register", "deploy") for model in models}
    assert all(map(is_whole, decided.values()))


def decisions(settings: Settings) -> dict[str, list[RegistryEvent]]:
    """What a consumer that reads only what is committed sees of each command."""
    found: dict[str, list[RegistryEvent]] = {}
    for event in events(settings):
        found.setdefault(event.command_id, []).append(event)
    return found


def is_whole(decided: list[RegistryEvent]) -> bool:
    """Whether they are all the events of one decision, each of them once."""
    kinds = [type(event) for event in decided]
    return kinds in ([ModelRegistered, PolicyChanged, PolicyChanged], [DeploymentChanged])


def writer_process(settings: Settings, *arguments: str) -> "subprocess.Popen[bytes]":
    environment = os.environ | config.variables(settings)
    command = [sys.executable, "-m", "tests.integration.registry_process", *arguments]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_the_newer_of_two_writers_of_one_state_folder_fences_the_older(ready_settings: Settings) -> None:
    publisher = Publisher(ready_settings, "test")
    older = Hosted(ready_settings).ready()
    try:
        with hosted(ready_settings) as newer:
            for number in range(20):
                send(publisher, ready_settings, register(str(number), model=f"m{number}"))
            eventually(older.ended, 30)
            eventually(lambda: everything_consumed(ready_settings), 30)
            assert newer.error is None
    finally:
        older.stop()
    assert isinstance(older.error, PlatformError)
    assert older.writer.state is WriterState.FAILED
    assert sorted(Counter(event.command_id for event in events(ready_settings)).values()) == [1] * 20


def test_two_writers_share_the_partitions(ready_settings: Settings, tmp_path: Path) -> None:
    publisher = Publisher(ready_settings, "test")
    other = replace(ready_settings, state=tmp_path / "other")

    def shared(one: Hosted, two: Hosted) -> bool:
        owned = [writer.writer.health()["partitions"] for writer in (one, two)]
        return all(owned) and sorted(owned[0] + owned[1]) == list(range(ready_settings.partitions))

    with hosted(ready_settings) as one, hosted(other) as two:
        eventually(lambda: shared(one, two), 30)
        for number in range(40):
            send(publisher, ready_settings, register(str(number), model=f"m{number % 8}"))
        publisher.flush()
        eventually(lambda: everything_consumed(ready_settings), 30)
        assert all(hosted.writer.counts.accepted for hosted in (one, two))
    assert len(events(ready_settings)) == 40


async def test_the_service_hosts_a_writer_in_an_event_loop(ready_settings: Settings) -> None:
    service = RegistryService(ready_settings)
    await service.start()
    try:
        await asyncio_eventually(lambda: service.writer.state is WriterState.DECIDING)
    finally:
        await service.stop()
    assert service.writer.state is WriterState.STOPPED
    assert not service.crashed


async def test_a_failing_writer_crashes_its_service(settings: Settings) -> None:
    service = RegistryService(settings)
    await service.start()
    await asyncio_eventually(lambda: service.crashed)
    await service.stop()
    assert isinstance(service.crash_reason, PlatformError)
    assert "bighead up" in str(service.crash_reason)


async def asyncio_eventually(fn: Callable[[], bool]) -> None:
    await asyncio.to_thread(eventually, fn, 30)
