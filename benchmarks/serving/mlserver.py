"""MLServer as the peer: in an environment of its own, kept in .cache, with the same model on the same ONNX Runtime."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from urllib.request import urlopen

import grpc

from benchmarks.load import Target
from benchmarks.serving import models
from benchmarks.serving.counts import Counted, total
from benchmarks.stack import say, stop
from bighead.client.proto.inference_pb2 import ModelReadyRequest, ModelReadyResponse
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.local.ports import free_settings
from bighead.testing import eventually

VERSION = "1.7.1"
_SUCCESS = "model_infer_request_success_total"
_READY_S = 90.0


@contextmanager
def running(settings: Settings, model: Path) -> Iterator[Counted]:
    """MLServer with the model of one tensor, until the block ends."""
    python = _environment()
    free = free_settings(settings.home)
    folder = settings.home / "mlserver"
    (folder / models.TENSOR).mkdir(parents=True, exist_ok=True)
    ports = [int(address.rpartition(":")[2]) for address in (free.grpc, free.http, free.console)]
    server = {"host": "127.0.0.1", "debug": False, "parallel_workers": 0}
    server |= dict(zip(("grpc_port", "http_port", "metrics_port"), ports, strict=True))
    (folder / "settings.json").write_text(json.dumps(server))
    runtime = {
        "name": models.TENSOR,
        "implementation": "mlserver_runtime.Onnx",
        "parameters": {"uri": str(model), "version": "1"},
    }
    (folder / models.TENSOR / "model-settings.json").write_text(json.dumps(runtime))
    shutil.copy(Path(__file__).with_name("mlserver_runtime.py"), folder)
    with (folder / "log").open("w") as log:
        started = subprocess.Popen(
            [str(python.with_name("mlserver")), "start", str(folder)], cwd=folder, stdout=log, stderr=log
        )
    try:
        eventually(lambda: _ready(started, free.grpc, folder / "log"), _READY_S, 0.2)
        target = Target(free.grpc, models.INFER, [models.infer_request(1)])
        yield Counted(f"MLServer {VERSION}", [started.pid], target, lambda: _answered(ports[2]))
    finally:
        stop(started)


def _environment() -> Path:
    """The Python of MLServer's environment, made where it is not there yet."""
    folder = Path(".cache").absolute() / f"mlserver-{VERSION}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        say(f"installing MLServer {VERSION} into {folder}")
        uv = str(Path(sys.executable).with_name("uv"))
        # Its own server of HTTP fails with newer versions of uvloop.
        packages = [f"mlserver=={VERSION}", f"onnxruntime=={version('onnxruntime')}", "uvloop<0.22"]
        try:
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
            subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *packages], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise PlatformError(f"MLServer could not be installed into {folder}: {error}") from error
        (folder / "ready").touch()
    return python


def _ready(started: subprocess.Popen[bytes], address: str, log: Path) -> bool:
    if started.poll() is not None:
        raise PlatformError(f"MLServer ended with {started.returncode}: {log.read_text()[-2000:]}")
    with grpc.insecure_channel(address) as channel:
        call: Callable[..., bytes] = channel.unary_unary("/inference.GRPCInferenceService/ModelReady")
        try:
            answer = call(ModelReadyRequest(name=models.TENSOR).SerializeToString(), timeout=1)
        except grpc.RpcError:
            return False
    return ModelReadyResponse.FromString(answer).ready


def _answered(port: int) -> int:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        return total(page.read().decode(), _SUCCESS, model=models.TENSOR)
