"""`bighead models` as people and scripts use it, on a real broker with a writer and a server that reports."""

import json
import tarfile
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
from bighead.client.models import ModelsClient
from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.log import follow
from bighead.events.message import Message
from bighead.events.topics import MODELS_EVENTS, SERVING_EVENTS, topic_name
from bighead.events.types import DeploymentChanged, DeployModel, ModelLoaded, ModelLoadFailed, ModelSwapped, RolledBack
from bighead.testing import eventually
from streams.registry import RegistryWriter, WriterState
from tests.unit.registry.samples import GOOD_RECORD

BROKEN = 3
STORES = Path(__file__).parents[1] / "unit" / "mlflow" / "stores.tar.xz"


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
    check_as_of(shell, third)


def test_a_version_is_approved_labelled_and_held_to_the_policy(shell: Shell, tmp_path: Path) -> None:
    shell.register()
    shell.said("deploy", "delay", "1", "--no-wait", "--reason", "first")
    shell.register()
    rules = tmp_path / "policies.toml"
    rules.write_text('production = ["approvals=1", "parity"]')
    stale = shell.run("policy", "apply", str(rules), "delay", "--expect", "2", "--reason", "audit")
    assert stale.exit_code != 0
    assert "revision" in stale.output
    assert "one model" in shell.run("policy", "apply", str(rules), "--expect", "3", "--reason", "audit").output
    applied = shell.said("policy", "apply", str(rules), "delay", "--expect", "3", "--reason", "audit")
    assert applied == f"delay: the policy of production is that of {rules}\n"
    assert "nothing to change" in shell.said("policy", "apply", str(rules), "--reason", "audit")
    refused = shell.run("deploy", "delay", "2", "--no-wait", "--reason", "now")
    assert refused.exit_code != 0
    assert "approvals=1: it has 0 of 1 approvals, 1 missing" in refused.output
    assert (
        "who cannot approve it as well" in shell.run("approve", "delay", "2", "--actor", "ada", "--reason", "x").output
    )
    approved = shell.said("approve", "delay", "2", "--actor", "bob", "--reason", "reviewed")
    assert approved == "delay: version 2 is approved for production by bob\n"

    looked = json.loads(shell.said("show", "delay", "--json"))["revision"]
    assert "version 2 is live" in shell.said(
        "deploy", "delay", "2", "--no-wait", "--expect", str(looked), "--reason", "now", "--actor", "ada"
    )
    late = shell.run("rollback", "delay", "--no-wait", "--expect", str(looked), "--reason", "I saw version 1")
    assert f"is at revision {looked + 1} since ada changed it at" in late.output

    assert (
        shell.said("label", "delay", "champion=2", "--reason", "won") == "delay: champion is version 2 in production\n"
    )
    shell.said("deploy", "delay", "1", "--no-wait", "--environment", "staging", "--reason", "try")
    assert "carries the label 'champion' in production" in shell.run("retire", "delay", "2", "--reason", "old").output
    texts = shell.said(
        "policy", "set", "delay", "auc>=live-0.005", "--environment", "staging", "--reason", "b", "--json"
    )
    assert json.loads(texts)["rules"] == ["auc>=live-0.005"]
    assert "staging      auc>=live-0.005" in shell.said("policy", "show", "delay")
    shown = shell.said("show", "delay")
    for text in ("labels: champion: version 2", "version 2 is approved by bob", "policy: parity", "staging: live 1"):
        assert text in shown


def check_as_of(shell: Shell, third: str) -> None:
    """What was in use then, who put it there, and why; what differs between two versions."""
    assert json.loads(shell.said("ls", "--as-of", third, "--json"))["live"] == 2
    assert shell.said("ls", "--as-of", "2020-01-01", "--json") == ""
    told = json.loads(shell.said("as-of", "delay", third, "--json"))
    assert (told["view"]["live"], told["as_of_ms"]) == (2, int(third))
    assert [(fact["fact"], fact["actor"], fact["reason"]) for fact in told["blame"]] == [("live", "bob", "newest")]
    assert "version 2  " in shell.said("as-of", "delay", third)
    unknown = shell.run("as-of", "delay", "2020-01-01")
    assert (unknown.exit_code, "no model is named 'delay' by then" in unknown.output) == (4, True)
    lines = [json.loads(line) for line in shell.said("history", "delay", "--json").splitlines()]
    assert [line["revision"] for line in lines] == list(range(1, len(lines) + 1))
    offsets = [int(line["position"].rpartition("/")[2]) for line in lines]
    assert offsets == sorted(set(offsets))
    assert len(shell.said("history", "delay", "--as-of", third).splitlines()) == 5
    blamed = {fact["fact"]: fact for fact in map(json.loads, shell.said("blame", "delay", "--json").splitlines())}
    assert (blamed["live"]["reason"], blamed["version 2"]["event"]) == ("all of it again", "ModelRetired")
    assert "all of it again" in shell.said("blame", "delay")
    shell.record.write_text(shell.record.read_text().replace("0.71", "0.76"))
    shell.register()
    found = {one["field"]: one for one in map(json.loads, shell.said("diff", "delay", "1", "3", "--json").splitlines())}
    assert round(found["metrics.auc"]["delta"], 9) == 0.05
    assert "+0.05" in shell.said("diff", "delay", "1", "3")
    assert shell.said("diff", "delay", "1", "1") == "versions 1 and 1 of delay do not differ\n"


def test_a_deployment_waits_for_every_server_that_lives_and_names_the_others(shell: Shell) -> None:
    for _ in range(BROKEN):
        shell.register()
    settings = shell.settings
    with redis.Redis.from_url(settings.redis) as store:
        for server, environment in (("s1", "production"), ("s2", "production"), ("elsewhere", "staging")):
            beat = Heartbeat(server, "127.0.0.1:1", {}, 0, environment)
            for name, *arguments in beat.commands(settings.topic_prefix):
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
        over_there = DeployModel(
            command_id="x", model="delay", version=1, environment="staging", actor="ada", reason="try", at_ms=1
        )
        answers = ModelsClient(settings, timeout_s=2).carry_out(over_there, wait=True)[1]
        assert [answer.server for answer in answers] == ["elsewhere"], "whatever the client means by default"
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


def test_models_of_an_mlflow_store_are_imported_once(shell: Shell, tmp_path: Path) -> None:
    with tarfile.open(STORES) as archive:
        archive.extractall(tmp_path / "mlflow", filter="data")
    store = f"mlflow+sqlite://{tmp_path / 'mlflow' / 'mlflow.db'}"
    command = ("import", store, "fare", "--reason", "moving", "--actor", "importer")
    dry = shell.said(*command, "--dry-run")
    assert "fare 1: would be imported, champion; golden rows: the logged input example" in dry
    assert "fare 1: imported as version 1, champion" in shell.said(*command)
    again = shell.said(*command)
    assert "fare 1: was imported before as version 1" in again
    assert "fare 2: was imported before as version 2" in again
    state = json.loads(shell.said("show", "fare", "--json"))
    assert [one["registered"]["actor"] for one in state["versions"]] == ["importer", "importer"]
    assert "card" in [one["name"] for one in state["versions"][0]["record"]["attachments"]]
    every = shell.run("import", store, "--reason", "moving")
    assert every.exit_code == 4
    assert "code 1: cannot be imported: its flavours are python_function" in every.output
