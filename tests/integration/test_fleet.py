"""Two servers of one log: they converge on the same versions, and one of them may die without a lost request."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import grpc
import pytest

from bighead.client.fleet import live_servers
from bighead.client.predict import PredictionClient
from bighead.client.proto.prediction_pb2 import PredictRequest, PredictResponse
from bighead.config import Settings
from bighead.events.topics import SERVING_EVENTS
from bighead.events.types import ModelSwapped
from bighead.local.ports import free_settings
from bighead.testing import eventually
from tests.integration.serving_process import Registry, folder_of, serving
from tests.integration.steady_load import OPTIONS
from tests.unit.serving.models import times_stored


@pytest.fixture
def registry(ready_settings: Settings) -> Registry:
    return Registry(ready_settings)


def another(settings: Settings) -> Settings:
    """A second server of the same log, with ports and a name of its own."""
    own = free_settings(settings.home)
    return replace(settings, grpc=own.grpc, http=own.http, server_name="server-2")


def test_a_server_that_dies_behind_a_client_with_retries_loses_no_request(registry: Registry) -> None:
    first, second = registry.settings, another(registry.settings)
    registry.register("times", 1, times_stored(folder_of(first), 2.0))
    deployed = registry.deploy("times", 1)
    with serving(first) as victim, serving(second) as other:
        assert [beat.server for beat in live_servers(first)] == ["server-1", "server-2"]
        answered = asyncio.run(ask_while(f"ipv4:{first.grpc},{second.grpc}", victim.kill))
        eventually(lambda: [beat.server for beat in live_servers(first)] == ["server-2"], 10)
        assert live_servers(second)[0].live["times"] == [1, deployed]
        other.stop()
    assert live_servers(second) == [], "a server that is stopped says so"
    assert answered["before"] > 50 and answered["after"] > 50


async def ask_while(target: str, kill: Callable[[], None]) -> Counter[str]:
    """Asks with four clients at once, kills in the middle; every answer must be right."""
    answered: Counter[str] = Counter()
    phase, stop, enough = ["before"], asyncio.Event(), {name: asyncio.Event() for name in ("before", "after")}
    async with grpc.aio.insecure_channel(target, options=OPTIONS) as channel:
        predict = channel.unary_unary(
            "/bighead.v1.Prediction/Predict",
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=PredictResponse.FromString,
        )

        async def ask() -> None:
            request = PredictRequest(model="times")
            request.entities.add().inputs["x"].double_value = 4.0
            while not stop.is_set():
                answer = await predict(request, timeout=10)
                assert answer.predictions[0].outputs["y"].double_value == 8.0
                answered[phase[0]] += 1
                if answered[phase[0]] > 50:
                    enough[phase[0]].set()

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        await first_of(enough["before"], asking)
        await asyncio.to_thread(kill)
        phase[0] = "after"
        await first_of(enough["after"], asking)
        stop.set()
        await asyncio.gather(*asking)
    return answered


async def first_of(enough: asyncio.Event, asking: Sequence[asyncio.Task[None]]) -> None:
    """Waits for the event; the failure of a client ends the wait."""
    waiting = asyncio.create_task(enough.wait())
    await asyncio.wait([waiting, *asking], return_when=asyncio.FIRST_COMPLETED)
    for task in asking:
        if task.done():
            task.result()


def test_a_server_that_comes_late_serves_the_version_of_the_others_before_it_is_ready(registry: Registry) -> None:
    first, late = registry.settings, another(registry.settings)
    folder = folder_of(first)
    for version, factor in ((1, 2.0), (2, 3.0)):
        registry.register("times", version, times_stored(folder, factor))
    registry.deploy("times", 1)
    with serving(first):
        registry.deploy("times", 2)
        registry.await_told(SERVING_EVENTS, ModelSwapped, server=first.server_name, version=2)
        with serving(late) as server, PredictionClient(server.settings.grpc) as client:
            answer = client.predict("times", [{}], [{"x": 4.0}])
            assert (answer.version, answer.predictions[0].outputs["y"]) == (2, 12.0)
            registry.await_told(SERVING_EVENTS, ModelSwapped, server="server-2", version=2)  # before it is killed
