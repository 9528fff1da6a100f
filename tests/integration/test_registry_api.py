"""The REST API of a real console on the real log: commands, roles, who wins, who did what, and the log as a stream."""

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from bighead import config, health
from bighead.client.registry_api import RegistryApi
from bighead.client.registry_documents import EventDocument, Outcome
from bighead.config import Settings
from bighead.errors import CommandRefused, PermissionDenied, StaleRevision, Unauthenticated, UnknownModel
from bighead.events import admin
from bighead.events.log import follow
from bighead.events.topics import MODELS_EVENTS, topic_name
from bighead.local.platform import Platform
from bighead.local.ports import free_settings
from bighead.testing import eventually
from streams.registry import RegistryWriter, WriterState
from tests.integration.test_models_command import report_as_a_server
from tests.unit.registry.samples import GOOD_RECORD

ADA, BOB, EVE = "ada-has-a-token-of-many-characters", "bob-has-a-token-of-many-characters", "eve-has-one-of-many-more"
MAX = "max-has-a-token-of-many-characters"
TOKENS = f"deployer:ada:{ADA},deployer:bob:{BOB},viewer:eve:{EVE},admin:max:{MAX}"
MODELS = (f"delay-{number}" for number in itertools.count(1))


@dataclass
class Console:
    """A console's process, and what it wrote."""

    settings: Settings
    process: subprocess.Popen[bytes]
    output: Path

    def api(self, token: str) -> RegistryApi:
        return RegistryApi(f"http://{self.settings.console}", token)


@pytest.fixture(scope="module")
def console(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """The console beside a registry's writer and a server that reports, for all tests of this file."""
    folder = tmp_path_factory.mktemp("console")
    shared = config.variables(platform.settings)
    own = {name: shared[name] for name in ("BIGHEAD_KAFKA", "BIGHEAD_SCHEMA_REGISTRY", "BIGHEAD_REDIS")}
    settings = free_settings(folder / "home", own | {"BIGHEAD_TOPIC_PREFIX": "testapi"})
    settings.home.mkdir()
    admin.ensure_topics(settings)
    admin.register_schemas(settings)
    stop, writer = threading.Event(), RegistryWriter(settings)
    events = follow(settings, [topic_name(settings.topic_prefix, MODELS_EVENTS)], stop=stop.is_set)
    threads = [
        threading.Thread(target=writer.run, args=(stop,)),
        threading.Thread(target=report_as_a_server, args=(settings, events)),
    ]
    for thread in threads:
        thread.start()
    environment = {**os.environ, **config.variables(settings), "BIGHEAD_CONSOLE_TOKENS": TOKENS}
    with (folder / "output").open("wb") as output:
        command = [sys.executable, "-m", "serving.console"]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        eventually(lambda: writer.state is WriterState.DECIDING, 30)
        eventually(lambda: health.check("console", settings, 1).ok, 60)
        running = Console(settings, process, folder / "output")
        eventually(lambda: answers(lambda: running.api(ADA).models()), 30)
        yield running
    finally:
        process.kill()
        stop.set()
        for thread in threads:
            thread.join()


def answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except Exception:  # noqa: BLE001 - not yet
        return False
    return True


def registered(api: RegistryApi, name: str, versions: int = 2) -> str:
    """A model with some versions, of bytes that were stored over HTTP."""
    stored = api.store_artifact(b"not really a model")
    fields = {key: value for key, value in GOOD_RECORD.to_record().items() if not key.startswith("artifact_")}
    for number in range(1, versions + 1):
        record = fields | {"artifact_sha256": stored.sha256, "metrics": {"auc": 0.7 + number / 100}}
        assert api.register(name, record, f"trained {number}").event["version"] == number
    return name


def test_a_model_goes_live_and_back_over_http(console: Console) -> None:
    with console.api(ADA) as ada, console.api(BOB) as bob:
        name = registered(ada, next(MODELS))
        deployed = ada.deploy(name, None, "AUC 0.72", expected_revision=2)
        assert (deployed.event["version"], deployed.revision) == (2, 3)
        bob.deploy(name, 1, "safer", expected_revision=3)
        assert bob.rollback(name, "no need").event["version"] == 2
        divided = ada.set_traffic(name, [{"version": 2, "percent": 90}, {"version": 1, "percent": 10}], "canary")
        assert ada.model(name).traffic == {
            "arms": [
                {"arm": "v2", "version": 2, "percent": 90.0, "shadow": False},
                {"arm": "v1", "version": 1, "percent": 10.0, "shadow": False},
            ],
            "labels": {},
            "unit": None,
            "salt": "",
        }
        assert divided.revision == ada.model(name).revision
        history = ada.history(name).items
        assert [(line.what, line.actor, line.reason) for line in history[2:]] == [
            ("DeploymentChanged", "ada", "AUC 0.72"),
            ("DeploymentChanged", "bob", "safer"),
            ("RolledBack", "bob", "no need"),
            ("TrafficChanged", "ada", "canary"),
        ]
        past = ada.model(name, as_of=history[2].at_ms)
        assert (past.live, past.traffic, past.revision) == (2, None, 3)
        assert {one.fact for one in ada.blame(name)} >= {"live", "arm v1"}
        assert [one.delta for one in ada.diff(name, 1, 2) if one.field == "metrics.auc"] == [pytest.approx(0.01)]
        eventually(lambda: [one.serving for one in ada.servers(name)] == [2])


def test_who_may_set_rules_sets_them_for_everybody(console: Console) -> None:
    with console.api(ADA) as ada, console.api(BOB) as bob, console.api(MAX) as admin:
        name = registered(ada, next(MODELS))
        with pytest.raises(PermissionDenied, match="ada has the role deployer; expected admin"):
            ada.set_policy(name, ["approvals=1"], "me alone")
        admin.set_policy(name, ["approvals=1"], "two pairs of eyes")
        assert ada.policies(name) == {"production": ("approvals=1",)}
        with pytest.raises(CommandRefused, match="approvals=1"):
            ada.deploy(name, 2, "AUC")
        with pytest.raises(CommandRefused, match="was registered by ada"):
            ada.approve(name, 2, "I trust myself")
        bob.approve(name, 2, "read the report")
        ada.promote_label(name, "champion", 2, "won")
        assert ada.deploy(name, 2, "AUC").event["version"] == 2
        assert (ada.model(name).labels, list(ada.model(name).approvals)) == ({"champion": 2}, ["2"])
        assert ada.model(name, environment="staging").labels == {}


def test_of_two_deployers_at_once_one_wins_and_one_is_told_who_did(console: Console) -> None:
    with console.api(ADA) as ada, console.api(BOB) as bob:
        name = registered(ada, next(MODELS))
        revision = ada.model(name).revision
        outcomes: list[Outcome | StaleRevision] = []

        def deploy(api: RegistryApi, version: int) -> None:
            try:
                outcomes.append(api.deploy(name, version, f"mine is {version}", expected_revision=revision))
            except StaleRevision as told:
                outcomes.append(told)

        both = [threading.Thread(target=deploy, args=pair) for pair in ((ada, 1), (bob, 2))]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()

        won = next(one for one in outcomes if isinstance(one, Outcome))
        lost = next(one for one in outcomes if isinstance(one, StaleRevision))
        assert f"{won.event['actor']} changed it" in str(lost) and won.event["reason"] in str(lost)
        assert ada.model(name).live == won.event["version"]
        assert [line.refused is None for line in ada.history(name).items] == [True, True, True, False]


def test_roles_decide_and_every_command_is_on_the_log_in_its_senders_name(console: Console) -> None:
    with console.api(ADA) as ada, console.api(EVE) as eve, console.api("nobody-has-this-token") as nobody:
        name = registered(ada, next(MODELS), 1)
        assert (eve.me().actor, eve.me().role, eve.model(name).live) == ("eve", "viewer", None)
        with pytest.raises(PermissionDenied, match="eve has the role viewer; expected deployer"):
            eve.deploy(name, 1, "I want it")
        with pytest.raises(Unauthenticated):
            nobody.model(name)
        with pytest.raises(UnknownModel, match=f"did you mean '{name}'"):
            ada.deploy(f"{name}x", 1, "a slip")
        with pytest.raises(CommandRefused, match="has no version 7"):
            ada.deploy(name, 7, "too early")
        once = ada.deploy(name, 1, "first", command_id=f"deploy-{name}")
        again = ada.deploy(name, 1, "first", command_id=f"deploy-{name}")
        assert (once.replayed, again.replayed, once.event) == (False, True, again.event)
        asked = ada.event_page(topics=["models"], model=name).items
        assert [(one.type, one.event["actor"]) for one in asked] == [
            ("ModelRegistered", "ada"),
            ("CommandRejected", "ada"),
            ("DeploymentChanged", "ada"),
        ]
    written = console.output.read_text()
    assert not [secret for secret in (ADA, BOB, EVE, "nobody-has-this-token") if secret in written]


def test_a_stream_that_is_cut_goes_on_without_loss_or_repetition(console: Console) -> None:
    with console.api(ADA) as ada:
        name = registered(ada, next(MODELS))
        for number in range(6):
            ada.deploy(name, 1 + number % 2, f"deployment {number}")
        expected = ada.event_page(topics=["models"], model=name).items
        assert len(expected) == 8

        seen: list[EventDocument] = []
        place = "beginning"
        while len(seen) < len(expected):  # three events a connection, each cut off by the client
            with console.api(EVE) as eve:
                following = eve.events(place, topics=["models"], model=name)
                for event in itertools.islice(following, min(3, len(expected) - len(seen))):
                    seen.append(event)
                    place = event.next
        assert [one.position for one in seen] == [one.position for one in expected]
        assert [one.event for one in seen] == [one.event for one in expected]
        pages = paged(ada, name)
        assert [one.position for one in pages] == [one.position for one in expected]

        ending = ada.events("end", topics=["models"], model=name)
        heard: list[EventDocument] = []
        listening = threading.Thread(target=lambda: heard.append(next(ending)))
        listening.start()
        ada.model(name)
        eventually(lambda: deployed_and_heard(ada, name, heard), 20)
        listening.join()


def paged(api: RegistryApi, name: str) -> list[EventDocument]:
    """The same events two at a time."""
    found: list[EventDocument] = []
    place = "beginning"
    while page := api.event_page(place, topics=["models"], model=name, limit=2):
        if not page.items:
            return found
        found, place = [*found, *page.items], page.next
    return found


def deployed_and_heard(api: RegistryApi, name: str, heard: list[EventDocument]) -> bool:
    """The stream begins at the end as of when it is there: until then nothing is heard."""
    api.deploy(name, 1, "for the stream")
    return bool(heard) and heard[0].event["reason"] == "for the stream"


def test_a_browser_follows_with_the_last_id_that_it_has(console: Console) -> None:
    with console.api(ADA) as ada:
        name = registered(ada, next(MODELS), 1)
        last = ada.event_page(topics=["models"], model=name).items[-1].next
        deployed = ada.deploy(name, 1, "first")
    asked: Any = {"authorization": f"Bearer {EVE}", "last-event-id": last}
    address = f"http://{console.settings.console}/api/v1/stream?topics=models&from=beginning&model={name}"
    with httpx.stream("GET", address, headers=asked, timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        data = next(line for line in answer.iter_lines() if line.startswith("data: "))
    assert deployed.command_id in data


def test_the_console_tells_its_clients_where_to_go_on_when_it_stops(console: Console) -> None:
    """The last one: the console is gone after it."""
    address = f"http://{console.settings.console}/api/v1/stream?topics=models"
    with httpx.stream("GET", address, headers={"authorization": f"Bearer {EVE}"}, timeout=20) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("id: models:")
        console.process.send_signal(signal.SIGTERM)
        told = list(lines)
    assert "event: end" in told and any('"why":"the console stops"' in line for line in told)
    assert console.process.wait(20) == 0
