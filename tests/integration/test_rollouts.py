"""A roll-out on a real broker: metrics carry it through its stages to live, and a broken rule takes it back."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from typing import Any

import pytest

from bighead.client.fleet import Heartbeat
from bighead.client.publish import Publisher
from bighead.client.rollouts import RolloutsClient
from bighead.client.store import client_of
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.dead_letters import DeadLetters
from bighead.events.guard import Guard
from bighead.events.topics import MODELS_COMMANDS, MONITORING, SERVING_EVENTS, topic_name
from bighead.events.types import MetricComputed, ModelLoadFailed, RolloutEnded, RolloutRule, RolloutStage
from bighead.registry import ModelState
from bighead.testing import eventually
from streams.registry import RegistryWriter
from streams.rollouts import RolloutsService
from tests.integration.hosted_registry import hosted
from tests.unit.registry.samples import MODEL, deploy, register

RULES = (RolloutRule(metric="error_rate", at_most=0.01), RolloutRule(metric="auc", at_least=0.7))
STAGES = tuple(RolloutStage(percent=percent, hold_ms=50, predictions=200) for percent in (1, 10, 100))


@pytest.fixture
def writer(ready_settings: Settings) -> Iterator[RegistryWriter]:
    """A registry that decides; version 1 of the model is live and version 2 is registered."""
    with hosted(ready_settings) as running:
        publisher = Publisher(ready_settings, "test")
        for command in (register("a"), register("b"), deploy("c", 1)):
            now = replace(command, at_ms=wall_clock_ms())
            publisher.publish(now, key=MODEL, topic=topic_name(ready_settings.topic_prefix, MODELS_COMMANDS))
        publisher.flush()
        eventually(lambda: running.writer.models.get(MODEL, ModelState(MODEL)).live == 1, 30)
        yield running.writer


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[RolloutsService]:
    codec = Codec(settings.schema_registry)
    running = RolloutsService(settings, codec, Guard(codec, DeadLetters(settings, codec), "rollouts", settings))
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


class Server:
    """Reports of version 2 as a model server and the monitoring do."""

    def __init__(self, settings: Settings) -> None:
        self._publisher = Publisher(settings, "test")
        self._topic = topic_name(settings.topic_prefix, MONITORING)

    def report(self, error_rate: float = 0.0) -> None:
        """150 predictions; the stages ask for 200."""
        now_ms = wall_clock_ms()
        self._say(now_ms, "predictions", 150.0, "server-1")
        self._say(now_ms, "error_rate", error_rate, "server-1")
        self._say(now_ms, "auc", 0.8, "")
        self._publisher.flush()

    def _say(self, now_ms: int, metric: str, value: float, segment: str) -> None:
        about: dict[str, Any] = {"model": MODEL, "version": 2, "metric": metric, "segment": segment, "window": "5s"}
        known: dict[str, Any] = {"count": 150, "predictions": 150, "coverage": 1.0}
        event = MetricComputed(**about, **known, value=value, from_ms=now_ms, to_ms=now_ms + 1, at_ms=now_ms)
        self._publisher.publish(event, key=MODEL, topic=self._topic)


async def until_stage(writer: RegistryWriter, stage: int) -> None:
    def reached() -> bool:
        rollout = writer.models[MODEL].rollout
        assert rollout is not None
        return rollout.stage == stage

    await asyncio.to_thread(eventually, reached, 20)


async def test_a_roll_out_goes_live_stage_by_stage_through_a_restart_and_beside_a_double(
    writer: RegistryWriter, ready_settings: Settings
) -> None:
    client, server = RolloutsClient(ready_settings, "ada"), Server(ready_settings)
    async with service(ready_settings):
        started = await asyncio.to_thread(client.start, MODEL, 2, STAGES, "better AUC", rules=RULES)
        server.report()
        server.report()
        await until_stage(writer, 1)
    server.report()
    server.report()
    # What was reported while no service ran is known to those that come, and what both command is done once.
    async with service(ready_settings), service(ready_settings):
        await until_stage(writer, 2)
        server.report()
        server.report()
        await asyncio.to_thread(eventually, lambda: writer.models[MODEL].live == 2, 20)
    told = list(client.follow(MODEL, started.rollout_id))
    assert isinstance(told[-1], RolloutEnded)
    assert (told[-1].outcome, told[-1].stage, told[-1].actor) == ("completed", 2, "bighead/rollouts")
    assert [type(event).__name__ for event in told[:-1]] == ["RolloutStarted", "RolloutAdvanced", "RolloutAdvanced"]
    assert told[1].reason == (
        "stage 1 of 3 (1%) passed with 300 predictions; error_rate is 0 over 300; auc is 0.8 over 150"
    )
    answered = [key for key, _ in itertools.groupby(event.command_id for event in told)]
    assert answered == [started.rollout_id, *(f"{started.rollout_id}/stage-{number}" for number in (1, 2, 3))]
    assert writer.counts.rejected == 0


async def test_a_broken_rule_takes_the_roll_out_back(writer: RegistryWriter, ready_settings: Settings) -> None:
    client, server = RolloutsClient(ready_settings, "ada"), Server(ready_settings)
    async with service(ready_settings):
        started = await asyncio.to_thread(client.start, MODEL, 2, STAGES, "better AUC", rules=RULES)
        server.report()
        server.report()
        await until_stage(writer, 1)
        server.report(error_rate=0.4)
        *_, ended = await asyncio.to_thread(lambda: list(client.follow(MODEL, started.rollout_id)))
    assert isinstance(ended, RolloutEnded)
    assert (ended.outcome, ended.stage, ended.reason) == (
        "rolled back",
        1,
        "error_rate is 0.4 over 150; allowed is error_rate <= 0.01",
    )
    state = writer.models[MODEL]
    assert state.traffic is not None
    assert (state.live, [(arm.version, arm.percent) for arm in state.traffic.arms]) == (1, [(1, 100.0)])


async def test_a_roll_out_that_no_server_can_load_ends(writer: RegistryWriter, ready_settings: Settings) -> None:
    client, publisher = RolloutsClient(ready_settings, "ada"), Publisher(ready_settings, "test")
    with closing(client_of(ready_settings.redis)) as store:
        run: Any = store.execute_command
        for command in Heartbeat("server-1", "", {}, wall_clock_ms()).commands(ready_settings.topic_prefix):
            run(*command)
        store.persist(f"bh:{ready_settings.topic_prefix}:server:server-1")  # it lives for the time of this test
    about: dict[str, Any] = {"server": "server-1", "model": MODEL, "version": 2, "command_id": "", "step": "golden"}
    async with service(ready_settings):
        started = await asyncio.to_thread(client.start, MODEL, 2, STAGES, "better AUC", rules=RULES)
        failed = ModelLoadFailed(**about, error="row 3 differs", at_ms=wall_clock_ms())
        publisher.publish(failed, key="server-1", topic=topic_name(ready_settings.topic_prefix, SERVING_EVENTS))
        publisher.flush()
        *_, ended = await asyncio.to_thread(lambda: list(client.follow(MODEL, started.rollout_id)))
    assert isinstance(ended, RolloutEnded)
    assert (ended.outcome, ended.stage, ended.reason) == (
        "rolled back",
        0,
        "no server could load version 2; server-1: golden: row 3 differs",
    )
