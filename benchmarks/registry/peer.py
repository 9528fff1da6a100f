"""MLflow's own server as the peer: in an environment of its own, kept in .cache, over SQLite with the same content."""

import hashlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.registry.content import BEGIN_MS, Size, events, model_names
from benchmarks.stack import say, stop
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.types import ModelRegistered
from bighead.local.ports import free_settings
from bighead.testing import eventually

VERSION = "3.17.2"
_READY_S = 600.0
_TABLES = """
import sys
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Models
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs
Runs(sys.argv[1], sys.argv[2])
Models(sys.argv[1])
"""
_SPACE = "default"


@dataclass(frozen=True, slots=True)
class Served:
    """MLflow's address, and how long it took to answer."""

    address: str
    start_s: float


@contextmanager
def running(settings: Settings, size: Size) -> Iterator[Served]:
    """MLflow's server with the content, until the block ends."""
    python = _environment()
    folder = settings.home / "mlflow"
    folder.mkdir(parents=True)
    database = folder / "mlflow.db"
    arguments = [str(python), "-c", _TABLES, f"sqlite:///{database}", str(folder / "artifacts")]
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    say("filling MLflow's tables")
    fill(database, size)
    address = free_settings(folder).http
    host, _, port = address.rpartition(":")
    server = ["server", "--backend-store-uri", f"sqlite:///{database}", "--host", host, "--port", port]
    say("starting MLflow")
    started_s = time.monotonic()
    with (folder / "log").open("w") as log:
        started = subprocess.Popen(
            [str(python), "-m", "mlflow", *server, "--workers", "1"], cwd=folder, stdout=log, stderr=log
        )
    try:
        eventually(lambda: _ready(started, address, folder / "log"), _READY_S, 0.05)
        yield Served(address, time.monotonic() - started_s)
    finally:
        stop(started)


def run_id(name: str, version: int) -> str:
    """The run behind a version."""
    return hashlib.md5(f"{name}/{version}".encode(), usedforsecurity=False).hexdigest()


def fill(database: Path, size: Size) -> None:
    """Each version with its run: metrics, parameters and tags; each model with the alias of the live one."""
    with sqlite3.connect(database) as tables:
        names = [(name, BEGIN_MS, BEGIN_MS, "", _SPACE) for name in model_names(size)]
        tables.executemany("INSERT INTO registered_models VALUES (?,?,?,?,?)", names)
        champions = [("champion", size.versions, name, _SPACE) for name in model_names(size)]
        tables.executemany(
            "INSERT INTO registered_model_aliases (alias,version,name,workspace) VALUES (?,?,?,?)", champions
        )
        for event in events(size):
            if isinstance(event, ModelRegistered):
                _version(tables, event)


def _version(tables: sqlite3.Connection, event: ModelRegistered) -> None:
    record, run = event.record, run_id(event.model, event.version)
    tables.execute(
        "INSERT INTO runs (run_uuid,name,source_type,source_name,entry_point_name,user_id,status,start_time,end_time,"
        "source_version,lifecycle_stage,artifact_uri,experiment_id) VALUES (?,?,'LOCAL','','',?,'FINISHED',?,?,?,"
        "'active',?,0)",
        (run, run, record.trained_by, record.started_ms, record.finished_ms, record.code_version, record.artifact_uri),
    )
    tables.execute(
        "INSERT INTO model_versions (name,version,creation_time,last_updated_time,description,user_id,current_stage,"
        "source,run_id,status,storage_location,workspace) VALUES (?,?,?,?,?,?,'None',?,?,'READY',?,?)",
        (
            *(event.model, event.version, event.at_ms, event.at_ms, event.reason, event.actor),
            *(record.artifact_uri, run, record.artifact_uri, _SPACE),
        ),
    )
    metrics = [(name, value, event.at_ms, run, 0, 0) for name, value in record.metrics.items()]
    columns = "(key,value,timestamp,run_uuid,step,is_nan) VALUES (?,?,?,?,?,?)"
    tables.executemany(f"INSERT INTO metrics {columns}", metrics)
    tables.executemany(f"INSERT INTO latest_metrics {columns}", metrics)
    tables.executemany("INSERT INTO params (key,value,run_uuid) VALUES (?,?,?)", _parameters(record.config, run))
    tags = [(name, value, event.model, event.version, _SPACE) for name, value in record.tags.items()]
    tables.executemany("INSERT INTO model_version_tags (key,value,name,version,workspace) VALUES (?,?,?,?,?)", tags)


def _parameters(configuration: str, run: str) -> list[tuple[str, str, str]]:
    found: dict[str, Any] = json.loads(configuration)
    flat = {"estimator": found["estimator"], "features": ",".join(found["features"]), **found["parameters"]}
    return [(name, str(value), run) for name, value in flat.items()]


def _environment() -> Path:
    """The Python of MLflow's environment, made where it is not there yet."""
    folder = Path(".cache").absolute() / f"mlflow-{VERSION}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        say(f"installing MLflow {VERSION} into {folder}")
        uv = str(Path(sys.executable).with_name("uv"))
        try:
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
            subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), f"mlflow=={VERSION}"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise PlatformError(f"MLflow could not be installed into {folder}: {error}") from error
        (folder / "ready").touch()
    return python


def _ready(started: subprocess.Popen[bytes], address: str, log: Path) -> bool:
    if started.poll() is not None:
        raise PlatformError(f"MLflow ended with {started.returncode}: {log.read_text()[-2000:]}")
    try:
        return httpx.get(f"http://{address}/health", timeout=2).status_code == 200
    except httpx.TransportError:
        return False
