"""Files that are not what was registered, by chance or by design: none is served, and none brings a server down."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from bighead.events.types import ModelRecord
from bighead.inference.loading import LoadFailed, load
from tests.unit.serving.models import external, stored, times_record, times_stored

COUNT = int(os.environ.get("BIGHEAD_TEST_MUTANTS", "500"))
"""How many of each kind; `BIGHEAD_TEST_MUTANTS=10000` is the full proof, which takes minutes."""


def mutated(content: bytes, chooser: random.Random) -> bytes:
    """The file with one thing wrong: a flipped bit, a cut end, a piece twice or gone, two pieces exchanged, noise."""
    data, at = bytearray(content), chooser.randrange(len(content))
    size = chooser.randint(1, 16)
    match chooser.randrange(6):
        case 0:
            data[at] ^= 1 << chooser.randrange(8)
        case 1:
            del data[at:]
        case 2:
            data[at:at] = data[at : at + size] or b"\0"
        case 3:
            del data[at : at + size]
        case 4:
            other = chooser.randrange(len(content))
            data[at : at + 1], data[other : other + 1] = data[other : other + 1], data[at : at + 1]
        case _:
            data[at : at + size] = chooser.randbytes(size)
    return bytes(data)


def test_a_file_that_changed_after_it_was_registered_is_never_served(tmp_path: Path) -> None:
    record, chooser = times_stored(tmp_path, 2.0), random.Random(2013)
    path = Path(record.artifact_uri.removeprefix("file://"))
    original = path.read_bytes()
    refused = 0
    for _ in range(COUNT):
        changed = mutated(original, chooser)
        path.write_bytes(changed)
        if changed == original:  # two equal bytes were exchanged
            continue
        with pytest.raises(LoadFailed) as failed:
            load("m", 1, record)
        assert failed.value.step == "fetch"
        refused += 1
    assert refused > COUNT * 0.8
    path.write_bytes(original)
    assert load("m", 1, record)[0].version == 1


def test_a_damaged_file_that_was_registered_so_is_refused_or_proves_itself(tmp_path: Path) -> None:
    """In a process of its own, as servers do it: here it may die, and the exit code would say so."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(tmp_path), str(COUNT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = Counter(json.loads(done.stdout.splitlines()[-1]))  # ONNX Runtime may print before
    assert found["wrong"] == 0
    assert found.total() == COUNT
    assert found["verify"] and found["load"], found


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/hostname", "sub/../../weights.bin"])
def test_tensors_in_other_files_are_refused_wherever_they_lie(tmp_path: Path, location: str) -> None:
    model = onnx.load(external(tmp_path, 2.0), load_external_data=False)
    model.graph.initializer[0].external_data[0].value = location
    path = tmp_path / "traversing.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(LoadFailed, match="lies outside the model") as failed:
        load("m", 1, times_record(stored(tmp_path, path), 2.0))
    assert failed.value.step == "verify"


def outcome(record: ModelRecord) -> str:
    """The step that refused it; `served`, or `wrong` where a served one does not compute what was registered."""
    try:
        model, _ = load("m", 1, record)
    except LoadFailed as failed:
        return failed.step
    answer = model.run({"x": np.array([[3.0]], np.float32)})[0]
    return "served" if np.allclose(answer, [[6.0]], rtol=1e-5) else "wrong"


def main(folder: Path, count: int) -> None:
    """Registers damaged files as if they were good ones, and prints how each ended."""
    record, chooser = times_stored(folder, 2.0), random.Random(2014)
    original = Path(record.artifact_uri.removeprefix("file://")).read_bytes()
    found: Counter[str] = Counter()
    for _ in range(count):
        path = folder / "mutant.onnx"
        path.write_bytes(mutated(original, chooser))
        artifact = stored(folder, path)
        found[
            outcome(replace(record, **{f"artifact_{k}": getattr(artifact, k) for k in ("uri", "sha256", "size")}))
        ] += 1
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
