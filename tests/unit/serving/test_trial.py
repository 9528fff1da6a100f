"""A candidate is loaded first in a process of its own: how that ends is said, and the server lives on."""

import os
import threading
from pathlib import Path

import psutil
import pytest

from bighead.errors import ArtifactError
from bighead.events.types import ModelRecord
from bighead.inference.loading import LoadFailed, load
from bighead.inference.trial import Trials, try_out
from bighead.testing import eventually
from tests.unit.serving.models import stored, times, times_record, times_stored


@pytest.fixture
def record(tmp_path: Path) -> ModelRecord:
    return times_stored(tmp_path, 2.0)


def test_a_good_model_is_weighed_and_loaded(record: ModelRecord) -> None:
    loaded, seconds = load("times", 1, record, try_out, room_bytes=1 << 30)
    assert 0 < loaded.memory_bytes < 1 << 30
    assert list(seconds) == ["fetch", "verify", "trial", "load", "golden", "warm"]


def test_a_model_beyond_the_budget_is_refused_with_both_figures(record: ModelRecord) -> None:
    with pytest.raises(LoadFailed, match=r"needs \d+ MB of memory and 0 MB of the budget are left") as refused:
        load("times", 1, record, try_out, room_bytes=1)
    assert refused.value.step == "trial"


def test_golden_rows_are_checked_before_the_server_holds_the_model(tmp_path: Path) -> None:
    wrong = times_record(stored(tmp_path, times(tmp_path / "m.onnx", 2.0)), 2.0, golden_factor=3.0)
    with pytest.raises(LoadFailed, match="ArtifactError: golden row 0") as refused:
        load("times", 1, wrong, try_out)
    assert refused.value.step == "golden"


def test_a_process_that_is_killed_while_it_loads_is_an_error_that_names_the_signal(
    tmp_path: Path, record: ModelRecord
) -> None:
    """The file is a pipe that nobody writes to, so that the child is surely loading when it is killed."""
    pipe = tmp_path / "model.onnx"
    os.mkfifo(pipe)
    found: list[Exception] = []

    def trying() -> None:
        try:
            try_out(pipe, record)
        except ArtifactError as error:
            found.append(error)

    thread = threading.Thread(target=trying)
    thread.start()
    writer = eventually(lambda: opened_by_a_reader(pipe), 30)
    (child,) = [one for one in psutil.Process().children() if "bighead.inference.trial" in one.cmdline()]
    child.kill()
    thread.join(30)
    os.close(writer)
    assert "was killed by SIGKILL" in str(found[0])


def test_small_models_are_tried_one_after_the_other_and_weighed_without_what_they_share(
    tmp_path: Path, record: ModelRecord
) -> None:
    """What ONNX Runtime itself takes is paid once by a server: five hundred models would not fit into it else."""
    wrong = times_record(stored(tmp_path, times(tmp_path / "m.onnx", 2.0)), 2.0, golden_factor=3.0)
    place = Path(record.artifact_uri.removeprefix("file://"))
    with Trials() as trials:
        weights = [trials.try_out(place, record) for _ in range(5)]
        with pytest.raises(LoadFailed, match="golden row 0"):
            trials.try_out(place, wrong)
        assert trials.try_out(place, record) < 4 << 20
    assert max(weights) < 4 << 20


def test_a_load_that_does_not_end_is_stopped(tmp_path: Path, record: ModelRecord) -> None:
    pipe = tmp_path / "model.onnx"
    os.mkfifo(pipe)
    with pytest.raises(ArtifactError, match=r"did not end within 0\.1 s and was stopped"):
        try_out(pipe, record, timeout_s=0.1)


def opened_by_a_reader(pipe: Path) -> int:
    """The pipe's other end, once somebody reads from it."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return 0
