"""Partitioned trainings without a platform: interrupted and resumed by segment, judged as served, made again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bighead.artifacts import read
from bighead.client.run_log import RunLog
from bighead.client.run_sinks import read_run
from bighead.errors import DefinitionError, ModelError
from bighead.events.types import RunArtifact
from bighead.pipeline.parity import Session
from bighead.registry.records import record_from_json
from bighead.training.fingerprint import EVIDENCE, Evidence
from bighead.training.making import make
from bighead.training.reproduction import reproduce
from bighead.training.running import SEGMENTS, Trained, Wanted, train
from bighead.training.specification import load_specification, run_specification
from bighead.training.steps import KEPT, Steps
from bighead.training.workspace import Workspace
from tests.unit.training.kit import PARTITIONED, Project, rows

FITTED = ["", "c=a", "c=b", "c=c"]


def run(project: Project, say: Callable[[str], None] = print) -> Trained:
    return train(load_specification(project.specification), project.settings, project.sink, Wanted(reason="test"), say)


def partitioned(folder: Path, text: str = PARTITIONED) -> Project:
    project = Project.made(folder)
    project.write(text)
    rows(400).to_parquet(folder / "rows.parquet")
    return project


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Trained]:
    project = partitioned(tmp_path_factory.mktemp("project"))
    return project, run(project)


def documents(project: Project, found: Trained) -> dict[str, bytes]:
    """What the run has stored, by name."""
    events = project.sink.events(found.run_id)
    stored = {one.name: one for one in events if isinstance(one, RunArtifact)}
    return {name: read(project.settings.artifacts, one.sha256, one.size) for name, one in stored.items()}


def answered(project: Project, found: Trained, tested: pd.DataFrame) -> "np.ndarray[Any, Any]":
    """The stored ONNX models' probabilities, each row's by the model of its segment."""
    models = json.loads((Path(found.folder) / SEGMENTS).read_text())["models"]
    record = record_from_json((Path(found.folder) / "record.json").read_text())
    tensors = record.signature.inputs
    given = np.zeros(len(tested))
    for value in tested.c.unique():
        here = (tested.c == value).to_numpy()
        model = models.get(f"c={value}", models[""])
        content = read(project.settings.artifacts, model["sha256"], model["size"])
        columns = tested.loc[here, [one.name for one in tensors]]
        given[here] = Session(content, tensors).predict(columns)["probability"]
    return given


def test_a_run_tells_and_keeps_its_segments_and_is_judged_by_what_they_answer(done: tuple[Project, Trained]) -> None:
    project, found = done
    kept = read_run(project.sink, found.run_id)
    assert kept is not None
    assert kept.newest is not None
    assert [one.step for one in kept.newest.steps] == ["read", "check", "segments", "evaluate", "record"]
    figures = {one.name: one.value for one in kept.newest.metrics}
    stored = documents(project, found)
    told = json.loads(stored[SEGMENTS])
    assert sorted(told["models"]) == FITTED
    assert {one["segment"] for one in told["grid"]["segments"]} == {*FITTED}
    own = {one["segment"]: one["metrics"]["roc_auc"] for one in told["grid"]["segments"]}
    assert (figures["segments"], figures["roc_auc of the worst segment"]) == (3, min(own[one] for one in FITTED[1:]))

    tested = rows(400).iloc[90:]
    routed = roc_auc_score(tested.late, answered(project, found, tested))
    assert found.metrics["auc"] == pytest.approx(routed, abs=1e-9)
    assert own[""] == pytest.approx(routed, abs=1e-9)
    record = json.loads((Path(found.folder) / "record.json").read_text())
    [beside] = [one for one in told["grid"]["segments"] if one["segment"] == ""]
    assert record["metrics"]["auc"] == pytest.approx(beside["all_rows"]["roc_auc"], abs=1e-9)
    assert record["tags"] == {"run": found.run_id, "segment": "all rows"}
    assert {"segments", "evaluation", "features", "card"} <= {one["name"] for one in record["attachments"]}


def test_made_again_from_what_was_kept_it_has_the_same_bytes(done: tuple[Project, Trained]) -> None:
    project, found = done
    again = reproduce(project.settings, project.sink, found.run_id)
    assert again.identical, again
    assert again.segments == ()


def test_over_processes_the_text_that_was_loaded_gives_the_same_bytes(
    tmp_path: Path, done: tuple[Project, Trained]
) -> None:
    project = partitioned(tmp_path, PARTITIONED.replace("jobs=1", "jobs=2"))
    specification = load_specification(project.specification)
    project.write("1 / 0")  # what lies there now is nobody's business
    found = train(specification, project.settings, project.sink, Wanted(reason="test"), print)
    assert found.sha256 == done[1].sha256


def test_an_interrupted_run_fits_the_missing_segments_alone(tmp_path: Path, done: tuple[Project, Trained]) -> None:
    project = partitioned(tmp_path)
    calls = tmp_path / "calls"
    (tmp_path / "interrupt").write_text("5")  # the checks, what is predicted, all rows and a segment come before
    with pytest.raises(KeyboardInterrupt):
        run(project)
    assert calls.read_text().count("made") == 5
    (tmp_path / "interrupt").unlink()
    calls.unlink()

    lines: list[str] = []
    found = run(project, lines.append)

    fitted = [line for line in lines if line.startswith("segments: ")]
    assert len(fitted) == 2
    assert calls.read_text().count("made") == 3
    kept = read_run(project.sink, found.run_id)
    assert kept is not None
    assert [one.status for one in kept.attempts] == ["cancelled", "succeeded"]
    assert kept.newest is not None
    [step] = [json.loads(one.outputs) for one in kept.newest.steps if one.step == "segments"]
    assert step[KEPT] == 2
    assert found.sha256 == done[1].sha256, "in two attempts: the bytes of one"


def test_only_the_segments_whose_rows_changed_are_others(tmp_path: Path, done: tuple[Project, Trained]) -> None:
    project = partitioned(tmp_path)
    changed = rows(400)
    place = int(np.flatnonzero(changed.c == "b")[0])
    changed.loc[place, "late"] = 1 - changed.late[place]
    changed.to_parquet(tmp_path / "rows.parquet")
    specification = load_specification(project.specification)
    log = RunLog(project.settings, "late", "train", specification.document, "again", sink=project.sink)
    now = make(specification, project.settings, Steps(log, Workspace(tmp_path / "run"), print), {}).evidence
    then = Evidence(**json.loads(documents(*done)[EVIDENCE]))
    assert now.artifact != then.artifact
    assert [name for name in FITTED if now.segments[name] != then.segments[name]] == ["", "c=b"]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (PARTITIONED.replace('levels=("c",)', 'levels=("d",)'), ModelError, r"the levels \['d'\] of the hierarchy"),
        (PARTITIONED.replace('"roc_auc"', '"auc"'), ModelError, "no metric is named 'auc'"),
        (PARTITIONED.replace("seed=7,", "seed=7, threads=2,"), DefinitionError, "each segment is fitted on one thread"),
        (
            "from bighead.pipeline import Task\n" + PARTITIONED.replace("seed=7,", "seed=7, task=Task.CLUSTERS,"),
            DefinitionError,
            "expected one with labels",
        ),
    ],
)
def test_what_cannot_be_partitioned_is_said_before_anything_is_fitted(
    tmp_path: Path, text: str, error: type[Exception], said: str
) -> None:
    project = partitioned(tmp_path, text)
    with pytest.raises(error, match=said):
        run(project)
    assert not (tmp_path / "calls").exists()


def test_the_partition_of_the_guide_is_one(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "training.md").read_text()
    plain, parted = (part.partition("```")[0] for part in guide.split("```python\n")[1:3])
    run_specification(plain, "spec.py", tmp_path)
    found = run_specification(parted, "by_carrier.py", tmp_path).training
    assert found.segments is not None
    assert (found.model, found.segments.levels) == ("delay_by_carrier", ("carrier",))
