"""h2load, a native load generator: closed loop, or requests at a fixed rate; latencies of every request.

It ignores grpc-status: whoever uses it has to compare with what the server says that it answered.
"""

import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Target
from bighead.errors import PlatformError

HOW_TO_GET_IT = "h2load is not on PATH; it is in Debian's and Ubuntu's package nghttp2-client and in Homebrew's nghttp2"
_FRAME_BYTES = 4
_LONGEST_S = 300


@dataclass(frozen=True)
class Load:
    """What is offered: `clients` connections with up to `streams` calls each, as fast as they are answered or at `rate`
    calls a second for all of them together. deadline_ms: what each call says that it may take."""

    seconds: float
    clients: int = 32
    streams: int = 1
    rate: float | None = None
    deadline_ms: int | None = None


@dataclass(frozen=True)
class Seen:
    """What was answered within the time, whatever the answer, and how long each call took from when it was sent."""

    seconds: float
    latencies_ms: Sequence[float]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies_ms) / self.seconds


def executable() -> str:
    """Where h2load is; raises PlatformError that says how to get it."""
    found = shutil.which("h2load")
    if found is None:
        raise PlatformError(HOW_TO_GET_IT)
    return found


def run(target: Target, load: Load) -> Seen:
    """Loads a server with the target's first request: h2load has one body."""
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder) / "body", Path(folder) / "log"
        message = target.requests[0]
        body.write_bytes(b"\0" + len(message).to_bytes(_FRAME_BYTES, "big") + message)
        command = [executable(), *_options(load), f"--data={body}", f"--log-file={log}"]
        command.append(f"http://{target.address}{target.method}")
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
        if done.returncode:
            raise PlatformError(f"{' '.join(command)} failed: {done.stderr or done.stdout}")
        lines = [line.split("\t") for line in log.read_text().splitlines()]
    if failed := [line for line in lines if line[1] != "200"]:
        raise PlatformError(f"{target.address}: {len(failed)} calls ended with HTTP {failed[0][1]}; expected 200")
    if not lines:
        raise PlatformError(f"{target.address} answered nothing within {load.seconds:g} s: {done.stdout[-1000:]}")
    return Seen(math.ceil(load.seconds), [int(line[2]) / 1e3 for line in lines])


def _options(load: Load) -> list[str]:
    options = [f"--clients={load.clients}", f"--max-concurrent-streams={load.streams}", "--threads=1"]
    options.append(f"--duration={math.ceil(load.seconds)}")
    if load.rate is not None:
        options.append(f"--rps={load.rate / load.clients:g}")
    headers = ["content-type: application/grpc", "te: trailers"]
    if load.deadline_ms is not None:
        headers.append(f"grpc-timeout: {load.deadline_ms}m")
    return options + [f"--header={header}" for header in headers]
