"""bighead's server with nothing around its answers: no log of predictions, no counts, no platform.

`python -m benchmarks.serving.bare ADDRESS NAME MODEL RECORD`: by how much the whole server is slower is their cost.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from bighead import artifacts
from bighead.clock import wall_clock_ms
from bighead.errors import DefinitionError
from bighead.features.plan import FeatureRow
from bighead.inference.loading import load
from bighead.inference.signature import Row
from bighead.registry.records import record_from_json
from serving.answers import Answer
from serving.grpc_server import GrpcServer
from serving.measures import Measures, VersionMeasures
from serving.predictor import Predictor
from serving.snapshot import Served, Snapshot


class NoLog:
    """Forgets predictions."""

    def offer(self, answer: Answer) -> None:
        """Takes no note."""


class NoStore:
    """Knows no feature."""

    def request_columns(self, join: str) -> frozenset[str]:
        """There is no Join."""
        raise DefinitionError(f"there is no join {join!r}")

    async def read(self, join: str, entities: Sequence[Row], as_of_ms: int, timeout_s: float) -> Sequence[FeatureRow]:
        """There is no Join."""
        raise DefinitionError(f"there is no join {join!r}")


class _Uncounted(VersionMeasures):
    def answered(self, rows: int, latency_us: int) -> None:
        """Counts nothing."""


class NoMeasures(Measures):
    """Counts nothing."""

    _none = _Uncounted()

    def of(self, model: str, version: int) -> VersionMeasures:
        """The same for all."""
        return self._none


async def serve(address: str, name: str, path: Path, record: str) -> None:
    """Serves one model until it is ended."""
    artifact = artifacts.put(str(path.parent / "bare"), path)
    stored = replace(
        record_from_json(record),
        artifact_uri=artifact.uri,
        artifact_sha256=artifact.sha256,
        artifact_size=artifact.size,
    )
    loaded, _ = load(name, 1, stored)
    predictor = Predictor(NoStore(), NoLog(), wall_clock_ms)
    predictor.measures = NoMeasures()
    served = Served(loaded, MappingProxyType({1: loaded}))
    predictor.snapshot = Snapshot(MappingProxyType({name: served}), ready=True)
    server = GrpcServer(predictor, address)
    await server.start()
    await server.declare_ready()
    print("{}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]).read_text()))
