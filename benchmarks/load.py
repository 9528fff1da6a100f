"""Puts a gRPC server under load: closed loop with h2load where it is on PATH, else with client processes of ours.

Open loop is always ours: h2load counts a latency from when it sent, not from when a call was due.
"""

import base64
import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.stack import answer_of, process
from bighead.config import Settings
from bighead.errors import PlatformError

PROCESSES = 2
WARM_S = 1.0
_FRAME_BYTES = 4


@dataclass(frozen=True)
class Target:
    """A method of a server, and the requests that are sent to it in turn."""

    address: str
    method: str
    requests: Sequence[bytes]


@dataclass(frozen=True)
class Loaded:
    """What the clients saw. `sent` counts warm-up calls as well; errors are those that the client can see."""

    tool: str
    seconds: float
    sent: int
    latencies_ms: Sequence[float]
    errors: Sequence[str]
    client_cpu_s: float


def closed(settings: Settings, target: Target, in_flight: int, seconds: float) -> Loaded:
    """That many calls under way at all times."""
    h2load = shutil.which("h2load")
    if h2load:
        return _h2load(h2load, target, in_flight, seconds)
    return _clients(settings, target, {"in_flight": in_flight // PROCESSES}, seconds)


def open_loop(settings: Settings, target: Target, rate: float, seconds: float) -> Loaded:
    """Calls on a fixed schedule; latency counts from when each was due."""
    return _clients(settings, target, {"rate": rate / PROCESSES}, seconds)


def _clients(settings: Settings, target: Target, how: dict[str, float], seconds: float) -> Loaded:
    requests = [base64.b64encode(one).decode() for one in target.requests]
    plan = {"address": target.address, "method": target.method, "requests": requests, **how}
    with tempfile.NamedTemporaryFile("w", dir=settings.home, suffix=".json") as file, ExitStack() as running:
        json.dump(plan | {"seconds": seconds, "warm_s": WARM_S}, file)
        file.flush()
        command = ("benchmarks.load_client", file.name)
        clients = [running.enter_context(process(settings, *command)) for _ in range(PROCESSES)]
        for client in clients:
            answer_of(client, settings)
        for client in clients:
            if client.stdin is not None:
                client.stdin.write("\n")
                client.stdin.flush()
        found = [answer_of(client, settings) for client in clients]
    return Loaded(
        f"{PROCESSES} Python clients",
        max(one["seconds"] for one in found),
        sum(one["warm"] + len(one["latencies_ms"]) for one in found),
        [latency for one in found for latency in one["latencies_ms"]],
        [error for one in found for error in one["errors"]],
        sum(one["cpu_s"] for one in found),
    )


def _h2load(h2load: str, target: Target, in_flight: int, seconds: float) -> Loaded:
    """One request again and again: h2load has one body. It ignores grpc-status: look at the server's own count."""
    whole_s = math.ceil(seconds)
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder) / "body", Path(folder) / "log"
        message = target.requests[0]
        body.write_bytes(b"\0" + len(message).to_bytes(_FRAME_BYTES, "big") + message)
        headers = ("-H", "content-type: application/grpc", "-H", "te: trailers")
        load = ("-c", str(in_flight), "-m", "1", "-t", "1", "-D", str(whole_s), "-d", str(body), f"--log-file={log}")
        before_s = _children_s()
        run = subprocess.run(
            [h2load, *load, *headers, f"http://{target.address}{target.method}"], capture_output=True, text=True
        )
        if run.returncode:
            raise PlatformError(f"h2load failed: {run.stderr or run.stdout}")
        lines = [line.split("\t") for line in log.read_text().splitlines()]
    latencies_ms = [float(line[2]) / 1000 for line in lines if line[1] == "200"]
    errors = [f"HTTP {line[1]}" for line in lines if line[1] != "200"]
    return Loaded("h2load", whole_s, len(latencies_ms), latencies_ms, errors, _children_s() - before_s)


def _children_s() -> float:
    """The processor time of the processes that this one has waited for."""
    times = psutil.Process().cpu_times()
    return float(times.children_user + times.children_system)
