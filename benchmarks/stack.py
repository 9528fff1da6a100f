"""A platform of its own for each benchmark, in a temporary folder on free ports, and processes beside it.

Whatever happens, nothing is left: the platform is stopped, processes are ended by their id, the folder is deleted.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import psutil

from bighead import config, health
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.local.platform import Platform
from bighead.local.ports import free_settings
from bighead.testing import eventually

_STOP_S = 30.0


@contextmanager
def stack(parts: Sequence[str]) -> Iterator[Platform]:
    """A platform with these parts running."""
    with tempfile.TemporaryDirectory(prefix="bighead-benchmark-") as folder:
        running = Platform(free_settings(Path(folder) / "home"))
        try:
            say(f"starting {', '.join(parts)}")
            running.up(parts)
            yield running
        finally:
            running.down()


@contextmanager
def process(
    settings: Settings, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """`python -m ARGUMENTS` with the platform's settings; its output can be read, its errors lie in the home.

    environment: variables beside those of the settings.
    """
    log = settings.home / f"{arguments[0]}.log"
    variables = config.inherited_environment() | config.variables(settings) | dict(environment or {})
    command = [sys.executable, "-m", *arguments]
    with log.open("a") as errors:
        started = subprocess.Popen(
            command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        yield started
    finally:
        stop(started)
        for stream in (started.stdin, started.stdout):
            if stream is not None:
                stream.close()


def stop(started: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Ends a process, by force where it takes too long."""
    if started.poll() is None:
        started.terminate()
    try:
        started.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()


def answer_of(running: subprocess.Popen[str], settings: Settings) -> Any:
    """The JSON object that a process prints next; raises PlatformError with its log where it ended instead."""
    for line in running.stdout or ():
        if line.startswith("{"):
            return json.loads(line)
    logs = "\n".join(path.read_text()[-2000:] for path in sorted(settings.home.glob("*.log")))
    raise PlatformError(f"{running.args!r} ended without an answer; its log:\n{logs}")


def worker_ready(settings: Settings) -> None:
    """Returns when a stream worker says that its services run."""
    eventually(lambda: health.check("worker", settings).ok, 60, 0.05)


def cpu_s(pid: int) -> float:
    """The processor time that a process has used."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def say(line: str) -> None:
    """Progress, on stderr: standard output is for figures."""
    click.echo(line, err=True)
