"""The platform that the rows are measured on: a model server with its models, and the servers beside it."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import purchases
from benchmarks.load import Target
from benchmarks.predictions import ask
from benchmarks.serving import models
from benchmarks.serving.counts import Counted, answers_of
from benchmarks.stack import answer_of, process, say, stack
from bighead.client.models import ModelsClient
from bighead.client.visibility import Visibility
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.types import ModelRecord
from bighead.local.parts import INFRASTRUCTURE
from bighead.local.platform import Platform
from bighead.local.ports import free_settings

PURCHASES = 20_000
_VISIBLE_S = 300.0


@dataclass(frozen=True)
class World:
    """A platform, the processes of its model server, and the files of its models with their records."""

    settings: Settings
    pids: Sequence[int]
    files: dict[str, tuple[Path, ModelRecord]]

    def server(self, what: str, method: str, model: str, request: bytes) -> Counted:
        """The platform's model server, asked for one model."""
        target = Target(self.settings.grpc, method, [request])
        return Counted(what, self.pids, target, answers_of(self.settings, model))

    def two_versions(self) -> list[int]:
        """The numbers of two versions of the model of columns that are in memory, the one that answers first."""
        view = ModelsClient(self.settings, "benchmarks").show(models.COLUMNS)
        numbers = [version.number for version in view.state.versions]
        if len(numbers) == 1:
            numbers += models.deploy(self.settings, models.COLUMNS, [models.column_model(self.settings, None, seed=8)])
        return numbers[::-1]

    @property
    def tensors(self) -> Counted:
        """Asked for a row as a tensor."""
        return self.server("bighead", models.INFER, models.TENSOR, models.infer_request(1))

    @property
    def columns(self) -> Counted:
        """Asked for a row of columns."""
        return self.server("bighead", models.PREDICT, models.COLUMNS, models.columns_request())

    @property
    def features(self) -> Counted:
        """Asked for a row of features."""
        return self.server("bighead", models.PREDICT, models.FEATURES, models.features_request())


@contextmanager
def world(wanted: Sequence[str]) -> Iterator[World]:
    """A platform that serves these models; what no row needs is stopped, so that it takes no time from the server."""
    with stack((*INFRASTRUCTURE, "worker", "materializer", "server")) as platform:
        settings = platform.settings
        if models.FEATURES in wanted:
            _fill(settings)
        say(f"training and deploying {', '.join(wanted)}")
        (settings.home / "models").mkdir(parents=True, exist_ok=True)
        files = {name: _model(settings, name) for name in wanted}
        for name, file in files.items():
            models.deploy(settings, name, [file])
        platform.supervisor.stop_parts(["worker", "materializer"])
        with process(settings, "streams", "--only", "registry"):
            yield World(settings, _pids(platform), files)


@contextmanager
def bare(found: World, model: str) -> Iterator[Counted]:
    """The same model in a server without log, counts and platform."""
    path, record = found.files[model]
    address, folder = free_settings(found.settings.home).grpc, found.settings.home / "bare"
    folder.mkdir(exist_ok=True)
    text = folder / f"{model}.json"
    text.write_text(json.dumps(record.to_record()))
    with process(found.settings, "benchmarks.serving.bare", address, model, str(path), str(text)) as running:
        answer_of(running, found.settings)
        asked = found.tensors if model == models.TENSOR else found.columns
        target = Target(address, asked.target.method, asked.target.requests)
        ask(target)  # raises where it is answered with an error, which nobody counts here
        yield Counted("bighead without log and counts", [running.pid], target, None)


@contextmanager
def echo(settings: Settings, asked: Target) -> Iterator[Counted]:
    """A server that gives a ready answer of the same size to the same request."""
    address, answer = free_settings(settings.home).grpc, settings.home / "answer"
    answer.write_bytes(ask(asked))
    with process(settings, "benchmarks.echo", address, str(answer)) as running:
        answer_of(running, settings)
        target = Target(address, asked.method, asked.requests)
        yield Counted("grpc.aio echo", [running.pid], target, None)


@contextmanager
def bare_onnx(found: World, rows: int) -> Iterator[subprocess.Popen[str]]:
    """ONNX Runtime without a server."""
    path, _ = found.files[models.TENSOR]
    with process(found.settings, "benchmarks.serving.bare_onnx", str(path), str(rows)) as running:
        answer_of(running, found.settings)
        yield running


def _model(settings: Settings, name: str) -> tuple[Path, ModelRecord]:
    if name == models.TENSOR:
        return models.tensor_model(settings.home / "models")
    return models.column_model(settings, purchases.JOIN.name if name == models.FEATURES else None)


def _fill(settings: Settings) -> None:
    say(f"filling {PURCHASES:,} purchases of a week")
    with closing(Visibility(settings)) as visibility:
        visibility.wait(purchases.create(settings).positions, _VISIBLE_S)
        visibility.wait(purchases.fill(settings, PURCHASES), _VISIBLE_S)


def _pids(platform: Platform) -> list[int]:
    (server,) = platform.status(["server"])
    if server.pid is None:
        raise PlatformError(f"the model server has no process: {server.health.detail}")
    return [server.pid]
