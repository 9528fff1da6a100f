"""The platform that the rows are measured on: models that are deployed, model servers, and the servers beside them."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.request import urlopen

from benchmarks import purchases
from benchmarks.load import Target
from benchmarks.predictions import ask
from benchmarks.serving import models
from benchmarks.serving.counts import Counted, total
from benchmarks.stack import answer_of, process, say, stack
from benchmarks.trained import deploy
from bighead import health
from bighead.client.visibility import Visibility
from bighead.config import Settings
from bighead.events.types import ModelRecord
from bighead.local.parts import INFRASTRUCTURE
from bighead.local.ports import free_settings
from bighead.testing import eventually

PURCHASES = 20_000
_VISIBLE_S = 300.0
_READY_S = 90.0
Files = Mapping[str, tuple[Path, ModelRecord]]


@dataclass(frozen=True)
class Server:
    """A model server of one or several processes that share its ports."""

    settings: Settings
    pids: Sequence[int]
    what: str

    def asked(self, method: str, model: str, request: bytes) -> Counted:
        """The server with what is asked of it."""
        target = Target(self.settings.grpc, method, [request])
        return Counted(self.what, self.pids, target, lambda: self._answered(model))

    @property
    def tensors(self) -> Counted:
        """Asked for a row as a tensor."""
        return self.asked(models.INFER, models.TENSOR, models.infer_request(1))

    @property
    def columns(self) -> Counted:
        """Asked for a row of columns."""
        return self.asked(models.PREDICT, models.COLUMNS, models.columns_request())

    @property
    def features(self) -> Counted:
        """Asked for a row of features."""
        return self.asked(models.PREDICT, models.FEATURES, models.features_request())

    def _answered(self, model: str) -> int:
        """Requests for a model that its processes say they answered."""
        count = 0
        shared = self.settings.share_ports
        for index in range(len(self.pids)):
            address = self.settings.probe_of(index) if shared else self.settings.http
            with urlopen(f"http://{address}/metrics", timeout=10) as page:
                count += total(page.read().decode(), "bighead_requests_total", model=model, outcome="answered")
        return count


@dataclass(frozen=True)
class World:
    """A platform with deployed models, their files, and a model server of one process."""

    settings: Settings
    files: Files
    server: Server


@contextmanager
def world(wanted: Sequence[str]) -> Iterator[World]:
    """A platform that serves these models; what no row needs is stopped, so that it takes no time from the server."""
    with stack((*INFRASTRUCTURE, "worker", "materializer")) as platform:
        settings = platform.settings
        if models.FEATURES in wanted:
            _fill(settings)
        say(f"training and deploying {', '.join(wanted)}")
        (settings.home / "models").mkdir(parents=True, exist_ok=True)
        files = {name: _model(settings, name) for name in wanted}
        for name, file in files.items():
            deploy(settings, name, file, wait=False)
        platform.supervisor.stop_parts(["worker", "materializer"])
        with process(settings, "streams", "--only", "registry"), server(settings, "bighead") as one:
            yield World(settings, files, one)


@contextmanager
def server(
    settings: Settings, what: str, processes: int = 1, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A model server that follows the platform's log, ready, on ports of its own."""
    free = free_settings(settings.home)
    shared = replace(settings, grpc=free.grpc, http=free.http, probe=free.probe, share_ports=processes > 1)
    name = what.replace(" ", "-")
    with ExitStack() as running:
        started = [
            running.enter_context(
                process(
                    replace(shared, server_name=f"{name}-{index}", probe=shared.probe_of(index)),
                    "serving",
                    environment=environment,
                )
            )
            for index in range(processes)
        ]
        for index in range(processes):
            eventually(lambda index=index: _is_ready(shared, index), _READY_S, 0.1)  # type: ignore[misc]
        yield Server(shared, [one.pid for one in started], what)


@contextmanager
def bare(settings: Settings, files: Files, model: str) -> Iterator[Counted]:
    """The same model in a server without log, counts and platform."""
    path, record = files[model]
    address, folder = free_settings(settings.home).grpc, settings.home / "bare"
    folder.mkdir(exist_ok=True)
    text = folder / f"{model}.json"
    text.write_text(json.dumps(record.to_record()))
    with process(settings, "benchmarks.serving.bare", address, model, str(path), str(text)) as running:
        answer_of(running, settings)
        method, request = (
            (models.INFER, models.infer_request(1))
            if model == models.TENSOR
            else (models.PREDICT, models.columns_request())
        )
        target = Target(address, method, [request])
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


def _is_ready(settings: Settings, index: int) -> bool:
    """Only servers that share their ports have a listener of their own."""
    probed = (
        health.check_server("server", index, settings) if settings.share_ports else health.check("server", settings)
    )
    return probed.ok


def _model(settings: Settings, name: str) -> tuple[Path, ModelRecord]:
    if name == models.TENSOR:
        return models.tensor_model(settings.home / "models")
    return models.column_model(settings, purchases.JOIN.name if name == models.FEATURES else None)


def _fill(settings: Settings) -> None:
    say(f"filling {PURCHASES:,} purchases of a week")
    with closing(Visibility(settings)) as visibility:
        visibility.wait(purchases.create(settings).positions, _VISIBLE_S)
        visibility.wait(purchases.fill(settings, PURCHASES), _VISIBLE_S)
