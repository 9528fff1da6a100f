"""Clients that ask one model all the time, over gRPC and HTTP, and remember everything that was not a right answer."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable

import grpc
import httpx

from bighead.client.proto.prediction_pb2 import PredictRequest, PredictResponse
from bighead.config import Settings

# The standard retry policy of gRPC, as any client may set it: another try where a server is not there.
RETRIES = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": "bighead.v1.Prediction"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.02s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
OPTIONS = [("grpc.service_config", json.dumps(RETRIES)), ("grpc.enable_retries", 1)]
X = 4.0


class SteadyLoad:
    """`answered` by transport; `wrong` holds what failed. `factor_of`: what a version of `times` multiplies by."""

    def __init__(self, settings: Settings, factor_of: Callable[[int], float], pause_s: float = 0.01) -> None:
        self.answered: Counter[str] = Counter()
        self.versions: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.stopped = asyncio.Event()
        self._settings = settings
        self._factor_of = factor_of
        self._pause_s = pause_s

    @contextlib.asynccontextmanager
    async def running(self, grpc_clients: int = 4) -> AsyncIterator["SteadyLoad"]:
        """Asks until the block ends: by so many gRPC connections, one HTTP connection, and a new one each time."""
        asking = [self._over_grpc() for _ in range(grpc_clients)] + [self._over_http(False), self._over_http(True)]
        tasks = [asyncio.create_task(one) for one in asking]
        try:
            yield self
        finally:
            self.stopped.set()
            await asyncio.gather(*tasks)

    async def more(self, count: int, timeout_s: float = 30.0) -> None:
        """Returns when each transport has answered so many more."""
        wanted = {name: self.answered[name] + count for name in ("grpc", "http", "new http")}
        async with asyncio.timeout(timeout_s):
            while any(self.answered[name] < least for name, least in wanted.items()):
                await asyncio.sleep(0.02)

    async def _over_grpc(self) -> None:
        # Connections of their own: channels to one address share one otherwise.
        options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self._settings.grpc, options=options) as channel:
            predict = channel.unary_unary(
                "/bighead.v1.Prediction/Predict",
                request_serializer=PredictRequest.SerializeToString,
                response_deserializer=PredictResponse.FromString,
            )
            request = PredictRequest(model="times")
            request.entities.add().inputs["x"].double_value = X
            while not self.stopped.is_set():
                try:
                    answer = await predict(request, timeout=10)
                    self._check("grpc", answer.version, answer.predictions[0].outputs["y"].double_value)
                except grpc.RpcError as error:
                    self.wrong.append(f"grpc: {error}")
                await asyncio.sleep(self._pause_s)

    async def _over_http(self, new: bool) -> None:
        name, url = "new http" if new else "http", f"http://{self._settings.http}/predict"
        body = {"model": "times", "entities": [{"keys": {}, "inputs": {"x": X}}]}
        headers = {"connection": "close"} if new else {}
        async with httpx.AsyncClient(timeout=10) as client:
            while not self.stopped.is_set():
                try:
                    answer = (await client.post(url, json=body, headers=headers)).raise_for_status().json()
                    self._check(name, answer["version"], answer["predictions"][0]["outputs"]["y"])
                except httpx.HTTPError as error:
                    self.wrong.append(f"{name}: {type(error).__name__} {error}")
                await asyncio.sleep(self._pause_s)

    def _check(self, name: str, version: int, y: float) -> None:
        self.answered[name] += 1
        self.versions[version] += 1
        if y != X * self._factor_of(version):
            self.wrong.append(f"{name}: version {version} answered {y}")
