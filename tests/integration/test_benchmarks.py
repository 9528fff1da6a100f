"""Each benchmark runs from start to end on a platform of its own and leaves nothing behind; figures are not judged."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import flight_models, freshness, lane, load, online, predictions
from benchmarks.library import features
from benchmarks.report import Report, as_json, as_text
from benchmarks.serving import h2load, models
from benchmarks.serving.counts import in_turn
from benchmarks.serving.h2load import Load
from benchmarks.serving.rows import row
from benchmarks.serving.world import bare, echo
from bighead.local.ports import free_settings

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert list(tmp_path.glob("bighead-benchmark-*")) == []
    left = [one.cmdline() for one in psutil.process_iter() if one.pid != os.getpid() and mentions(one, tmp_path)]
    assert left == []


def mentions(process: psutil.Process, folder: Path) -> bool:
    try:
        return str(folder) in " ".join([*process.cmdline(), *process.environ().values()])
    except psutil.Error:
        return False


def check(report: Report, rows: int) -> None:
    assert len(report.rows) == rows
    figures = [value for row in report.rows for value in row.values() if not isinstance(value, str)]
    assert all(value >= 0 for value in figures)
    assert all(ratio > 0 for ratio in report.ratios.values())
    assert all(str(row["what"]) in as_text(report) for row in report.rows)
    assert json.loads(as_json([report], {}))["reports"][0]["name"] == report.name


def test_freshness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "WARM_S", 0.5)
    check(freshness.run(seconds=1), 2)


def test_lane() -> None:
    check(lane.run(events=5_000, agent_events=1_000), 3)


def test_online() -> None:
    check(online.run(seconds=1, events=2_000), 6)


def test_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "WARM_S", 0.2)
    monkeypatch.setattr(flight_models, "TRAINED_ROWS", 1_000)
    check(predictions.run(seconds=1, events=500), 3)


def test_the_feature_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "SHUFFLED_ROWS", 50)
    monkeypatch.setattr(features, "REPEATS", 1)
    monkeypatch.setattr(features, "TREES", 2)
    check(features.run(rows=400), 2)


@pytest.mark.skipif(shutil.which("h2load") is None, reason=h2load.HOW_TO_GET_IT)
def test_serving(tmp_path: Path) -> None:
    """The model server without a platform, beside the echo: what every row of the benchmark is made of."""
    settings = free_settings(tmp_path)
    model = models.tensor_model(tmp_path)
    with bare(settings, {models.TENSOR: model}, models.TENSOR) as server, echo(settings, server.target) as floor:
        measured = in_turn([server, floor], Load(1.0, clients=2), rounds=1)
    check(Report("serving", "", [row("1 row", one) for one in measured], {}), 2)


def test_training() -> None:
    """In a process of its own: it ends its Spark session, which other tests of this process may share."""
    command_line = [sys.executable, "-m", "benchmarks.training", "--events", "2000", "--queries", "200"]
    done = subprocess.run(command_line, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ratio ") >= 2


def test_the_command_says_what_it_can_do() -> None:
    shown = CliRunner().invoke(command.main, ["--help"])
    assert shown.exit_code == 0
    assert all(name in shown.output for name in command.RUNS)
    refused = CliRunner().invoke(command.main, ["fastness"])
    assert refused.exit_code == 2


def test_end(tmp_path: Path) -> None:
    """A benchmark that is told to end stops its platform. The name is short: a socket's path may have 107 bytes."""
    running = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "lane"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    said: list[str] = []
    while not any(line.startswith("filling") for line in said):
        said.append(running.stderr.readline())
        assert running.poll() is None, said
    running.terminate()
    running.communicate(timeout=60)  # read to its end: what it still says must not break its pipe
    assert running.returncode == 143
