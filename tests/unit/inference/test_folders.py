"""A process that dies while it loads a model leaves a folder, which the next one removes; no other is touched."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bighead.inference.folders import loading_folder, sweep

DIES = """
import os, signal
from bighead.inference.folders import loading_folder
with loading_folder() as folder:
    (folder / "model.onnx").write_bytes(b"half of it")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_only_the_folders_of_dead_processes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    died = subprocess.run([sys.executable, "-c", DIES], capture_output=True, text=True)
    left = Path(died.stdout.strip())
    assert (left / "model.onnx").exists()
    others = [tmp_path / name for name in ("bighead-model-x", "bighead-model-my-models", "model-1-a")]
    for folder in others:
        folder.mkdir()
    (tmp_path / "bighead-model-999999999-link").symlink_to(others[0])
    with loading_folder() as mine:
        assert sweep() == [left]
        namesake = tmp_path / f"bighead-model-{os.getpid()}-before"  # in a container each server has the same number
        namesake.mkdir()
        os.utime(namesake, (0, 0))
        assert sweep() == [namesake]
        assert mine.exists()
    assert not left.exists()
    assert not mine.exists()
    assert all(folder.exists() for folder in others)
    assert sweep() == []
