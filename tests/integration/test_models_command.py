"""`bighead models` as people and scripts use it, on a real broker with a writer and a server that reports."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result

from bighead import config
from bighead.cli import main
from bighead.client.fleet import Heartbeat
from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.log import follow
from bighead.events.message import Message
from bighead.events.topics import MODELS_EVENTS, SERVING_EVENTS, topic_name
from bighead.events.types import DeploymentChanged, ModelLoaded, ModelLoadFailed, ModelSwapped, RolledBack
from bighead.testing import eventually
from streams.registry import RegistryWriter, WriterState
from tests.unit.registry.samples import GOOD_RECORD

BROKEN = 3


@pytest.fixture
def shell(ready_settings: Settings, tmp_path: Path) -> Iterator["Shell"]:
    stop, writer = threading.Event(), RegistryWriter(ready_settings)
    following = follow(ready_settings, [topic_name(ready_settings.topic_prefix, MODELS_EVENTS)], stop=stop.is_set)
    threads = [
        threading.Thread(target=writer.run, args=(stop,)),
        threading.Thread(target=report_as_a_server, args=(ready_settings, following)),
    ]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: writer.state is WriterState.DECIDING, 30)
        yield Shell(ready_settings, tmp_path)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def report_as_a_server(settings: Settings, following: Iterator[Message]) -> None:
    """Loads every version but BROKEN, and says so."""
    codec, publisher = Codec(settings.schema_registry), Publisher(settings, "test")
    topic = topic_name(settings.topic_prefix, SERVING_EVENTS)
    for message in following:
        event = codec.decode(message.value)
        if not isinstance(event, DeploymentChanged | RolledBack):
            continue
        common: dict[str, Any] = {
            "server": "s1",
            "model": event.model,
            "version": event.version,
            "command_id": event.command_id,
        }
        at_ms = wall_clock_ms()
        reports = [
            ModelLoaded(**common, artifact_sha256="ab", steps={"load": 0.25}, at_ms=at_ms),
            ModelSwapped(**common, swap_us=7, at_ms=at_ms),
        ]
        if event.version == BROKEN:
            reports = [ModelLoadFailed(**common, step="golden", error="row 0", kept_version=2, at_ms=at_ms)]
        for report in reports:
            publisher.publish(report, key="s1", topic=topic)
        publisher.flush()


class Shell:
    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self._environment = config.variables(settings)
        self.record, self.artifact = folder / "record.json", folder / "model.onnx"
        fields = {name: value for name, value in GOOD_RECORD.to_record().items() if not name.startswith("artifact_")}
        self.record.write_text(json.dumps(fields | {"metrics": {"auc": 0.71}}))
        self.artifact.write_bytes(b"not really a model")

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["models", *arguments], env=self._environment)

    def said(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.output

    def register(self, name: str = "delay") -> str:
        files = ("--artifact", str(self.artifact), "--record", str(self.record))
        return self.said("register", name, *files, "--reason", "trained anew", "--actor", "ada")


def test_a_model_goes_live_back_and_is_explained(shell: Shell) -> None:
    assert shell.register() == "delay version 1 is registered\n"
    shell.register()
    first = shell.said("deploy", "delay", "1", "--reason", "first")
    assert first.startswith("delay version 1 is live\ns1 answers with it, swapped in 7 us (load 250 ms)")
    newest = json.loads(shell.said("deploy", "delay", "--reason", "newest", "--actor", "bob", "--json"))
    assert (newest["version"], newest["previous_version"], newest["server"]) == (2, 1, "s1")
    assert "1 is live, before it version 2" in shell.said("rollback", "delay", "--reason", "worse")
    assert shell.said("traffic", "delay", "1=90", "2=10", "--reason", "canary").startswith("delay: 90% to version 1")
    rules = ("--rule", "error_rate<=0.01", "--rule", "auc>=0.7")
    assert shell.said("rollout", "delay", "--stages", "5,50", *rules, "--reason", "try again") == (
        "stage 1 of 2: version 2 of delay answers 5%\n"
    )
    shown = shell.said("show", "delay")
    assert "roll-out of version 2: stage 1 of 2, 5% since" in shown
    assert "rules: error_rate <= 0.01, auc >= 0.7" in shown
    assert "rolled back: it was stopped at stage 1 of 2 (5%)" in shell.said(
        "rollout", "delay", "--stop", "--reason", "complaints"
    )
    assert "RolloutEnded 2: rolled back, it was stopped" in shell.said("show", "delay")
    assert "version 1 is live" in shell.said("deploy", "delay", "1", "--reason", "all of it again", "--no-wait")
    assert shell.said("retire", "delay", "2", "--reason", "leak") == "delay: version 2 is retired\n"

    row = json.loads(shell.said("ls", "--json"))
    assert (row["model"], row["live"], row["versions"], row["servers"]) == ("delay", 1, 2, {"s1": 1})
    assert "delay  1" in shell.said("ls")
    shown = shell.said("show", "delay")
    for text in ("s1: answers with version 1", "auc 0.71", "RolledBack 1", "worse", "retired", "bob"):
        assert text in shown
    assert "sha256" in shell.said("show", "delay", "1")
    history = json.loads(shell.said("show", "delay", "--json"))["history"]
    third = str(history[3]["at_ms"])
    assert json.loads(shell.said("show", "delay", "--as-of", third, "--json"))["live"] == 2


def test_a_deployment_waits_for_every_server_that_lives_and_names_the_others(shell: Shell) -> None:
    for _ in range(BROKEN):
        shell.register()
    settings = shell.settings
    with redis.Redis.from_url(settings.redis) as store:
        for server in ("s1", "s2"):
            for name, *arguments in Heartbeat(server, "127.0.0.1:1", {}, 0).commands(settings.topic_prefix):
                store.execute_command(name, *arguments)
            store.persist(f"bh:{settings.topic_prefix}:server:{server}")
        late = shell.run("deploy", "delay", "1", "--reason", "first", "--timeout", "2", "--json")
        assert late.exit_code == 3
        assert "within 2 s no report came from s2; servers that answer with it: s1" in late.stderr
        assert [(one["server"], one["serves"]) for one in json.loads(late.stdout)["servers"]] == [
            ("s1", True),
            ("s2", False),
        ]
        broken = shell.run("deploy", "delay", str(BROKEN), "--reason", "untested", "--timeout", "2")
        assert broken.exit_code == 4
        assert "s1 does NOT answer with it, version 2 answers on: step 'golden' failed: row 0" in broken.stdout
        store.delete(f"bh:{settings.topic_prefix}:server:s2")
    assert "s1 answers with it" in shell.said("deploy", "delay", "1", "--reason", "s2 is gone")


def test_a_model_is_signed_and_partitioned(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "models.key"
    public = json.loads(shell.said("keygen", str(path), "--json"))["public_key"]
    shell.register()
    monkeypatch.setenv("BIGHEAD_SIGNING_KEY_FILE", str(path))
    shell.register()
    assert f"signed by      {public}" in shell.said("show", "delay", "2")
    assert "signed by      nobody" in shell.said("show", "delay", "1")
    shell.said("deploy", "delay", "1", "--reason", "first", "--no-wait")
    shell.said("segments", "delay", "carrier=AA:2", "region=EU:1", "--reason", "by carrier")
    shown = shell.said("show", "delay")
    assert "segments: carrier=AA: version 2, region=EU: version 1, else the live version" in shown
    assert "SegmentsChanged: carrier=AA to version 2, region=EU to version 1" in shown
    refused = shell.run("segments", "delay", "carrier=AA:9", "--reason", "typo")
    assert (refused.exit_code, "has no version 9" in refused.output) == (4, True)
    shell.said("segments", "delay", "--none", "--reason", "one again")
    assert "segments:" not in shell.said("show", "delay")


def test_failures_have_a_reason_and_an_exit_code(shell: Shell) -> None:
    for _ in range(BROKEN):
        shell.register()
    shell.said("deploy", "delay", "2", "--reason", "good")
    broken = shell.run("deploy", "delay", str(BROKEN), "--reason", "untested")
    assert (broken.exit_code, "step 'golden' failed: row 0. Version 2 still answers" in broken.output) == (4, True)
    unknown = shell.run("deploy", "dellay", "1", "--reason", "typo")
    assert (unknown.exit_code, "did you mean 'delay'" in unknown.output) == (4, True)
    assert shell.run("show", "nothing").exit_code == 4
    assert shell.run("show", "delay", "9").exit_code == 4
    assert shell.run("show", "delay", "--as-of", "yesterday").exit_code == 2
    assert shell.run("traffic", "delay", "all", "--reason", "typo").exit_code == 2
    missing = shell.run("deploy", "delay", "1")
    assert (missing.exit_code, "--reason" in missing.output) == (2, True)
    shell.record.write_text("{}")
    files = ("--artifact", str(shell.artifact), "--record", str(shell.record))
    refused = shell.run("register", "delay", *files, "--reason", "x")
    assert (refused.exit_code, "record.json: the record lacks" in refused.output) == (2, True)
