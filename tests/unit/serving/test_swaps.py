"""A thousand swaps under load, over real connections: no request fails, and each answer is of one version only."""

import asyncio
from collections import Counter
from pathlib import Path

from bighead.client.predict import AsyncPredictionClient
from bighead.events.types import ModelRecord
from bighead.inference.loading import load
from bighead.inference.model import LoadedModel
from bighead.registry.deployments import Deployment
from serving.host import ModelHost
from serving.predictor import Predictor
from tests.unit.serving.fakes import NOW_MS, FakeLog, FakeReader
from tests.unit.serving.models import times_stored
from tests.unit.serving.running import running

SWAPS, CLIENTS = 1_000, 4


async def test_a_thousand_swaps_fail_no_request_and_mix_no_versions(tmp_path: Path) -> None:
    records = {version: times_stored(tmp_path, version * 10.0) for version in (1, 2)}
    predictor = Predictor(FakeReader(), FakeLog(), lambda: NOW_MS)

    def loader(name: str, version: int, record: ModelRecord, _: int) -> tuple[LoadedModel, dict[str, float]]:
        return load(name, version, record)

    host = ModelHost(predictor, "server-1", lambda _: None, lambda: NOW_MS, loader, 1 << 30)

    def deploy(number: int) -> None:
        live = 1 + number % 2
        host.converge("times", Deployment("times", live, 3 - live, None, f"c{number}", records))

    deploy(0)
    host.declare_ready()
    seen, stop = Counter[int](), asyncio.Event()

    async def ask(address: str) -> None:
        async with AsyncPredictionClient(address) as client:
            while not stop.is_set():
                answer = await client.predict("times", [{"id": index} for index in range(3)], [{"x": 1.0}] * 3)
                assert [one.outputs["y"] for one in answer.predictions] == [answer.version * 10.0] * 3
                seen[answer.version] += 1

    with running(predictor) as at:
        asking = [asyncio.create_task(ask(at.grpc)) for _ in range(CLIENTS)]
        for number in range(1, SWAPS + 1):
            await asyncio.to_thread(deploy, number)
            answered = seen.total()
            while number % 20 == 0 and seen.total() == answered and not any(task.done() for task in asking):
                await asyncio.sleep(0)
        stop.set()
        await asyncio.gather(*asking)
    assert set(seen) == {1, 2}
    assert seen.total() >= SWAPS / 20
