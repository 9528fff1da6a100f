"""Training runs without a platform: killed and resumed, made again to the same bytes, and what names a difference."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bighead.artifacts import read
from bighead.client.run_log import RunLog
from bighead.client.run_sinks import read_run, read_runs
from bighead.client.run_state import SILENCE_S
from bighead.clock import wall_clock_ms
from bighead.errors import BigheadError, Conflict, DefinitionError, ModelError
from bighead.events.types import RunArtifact, StepFinished
from bighead.training.fingerprint import EVIDENCE, Evidence, Hashes, causes, row_hashes
from bighead.training.making import make
from bighead.training.reproduction import CHANCE, Reproduced
from bighead.training.running import Wanted, train
from bighead.training.specification import load_specification, run_specification
from bighead.training.steps import KEPT, Steps
from bighead.training.workspace import Workspace
from tests.unit.training.kit import SPECIFICATION, Project, rows

SILENT_MS = (SILENCE_S + 1) * 1000


def test_a_killed_run_has_failed_for_whoever_reads_and_is_resumed_and_made_again(tmp_path: Path) -> None:
    project = Project.made(tmp_path)
    (tmp_path / "kill").touch()
    assert project.bighead("train", "spec.py").returncode == -9

    state, now_ms = read_runs(project.sink), wall_clock_ms()
    [alive], [lost] = state.runs(None, now_ms), state.runs(None, now_ms + SILENT_MS)
    assert (alive.status, lost.status) == ("running", "failed")
    assert lost.newest is not None
    assert "no sign of life" in str(lost.newest.error)

    trained = project.said("train", "spec.py")
    [run] = project.said("runs", "list")["runs"]
    assert [one["status"] for one in run["attempts"]] == ["failed", "succeeded"]
    assert [one["step"] for one in run["attempts"][0]["steps"]] == ["read", "check"]
    assert [one["step"] for one in run["attempts"][1]["steps"]] == [
        "read",
        "check",
        "fit",
        "prove",
        "evaluate",
        "record",
    ]
    assert all(one["resources"]["wall_s"] >= 0 for one in run["attempts"][1]["steps"])
    record = json.loads((Path(trained["folder"]) / "record.json").read_text())
    assert record["artifact_sha256"] == trained["sha256"]
    assert record["tags"] == {"run": trained["run_id"]}

    again = project.said("runs", "reproduce", trained["run_id"][:10])
    assert again["identical"], again
    assert (again["then"], again["now"]) == (trained["sha256"], trained["sha256"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    project = Project.made(tmp_path_factory.mktemp("project"))
    found = train(
        load_specification(project.specification), project.settings, project.sink, Wanted(reason="test"), print
    )
    return project, found.run_id


def evidence(project: Project, run_id: str) -> Evidence:
    """What the run has kept."""
    kept = [one for one in project.sink.events(run_id) if isinstance(one, RunArtifact) and one.name == EVIDENCE][-1]
    return Evidence(**json.loads(read(project.settings.artifacts, kept.sha256, kept.size)))


def made_now(project: Project, tmp_path: Path) -> tuple[Evidence, Hashes]:
    """The same as `reproduce` makes it, in this process."""
    specification = load_specification(project.specification)
    log = RunLog(project.settings, "late", "train", specification.document, "again", sink=project.sink)
    made = make(specification, project.settings, Steps(log, Workspace(tmp_path / "run"), print), {})
    return Evidence(**json.loads(json.dumps(made.evidence.document()))), made.rows


def test_a_run_that_is_done_does_nothing_twice(trained: tuple[Project, str]) -> None:
    project, run_id = trained
    lines: list[str] = []
    train(load_specification(project.specification), project.settings, project.sink, Wanted(reason="x"), lines.append)
    run = read_run(project.sink, run_id)
    assert run is not None
    first, second = run.attempts[0], run.attempts[-1]
    assert [one.name for one in first.artifacts] == [one.name for one in second.artifacts]
    kept = {one.step: json.loads(one.outputs).get(KEPT, False) for one in second.steps if isinstance(one, StepFinished)}
    assert kept == {"read": False, "check": True, "fit": True, "prove": True, "evaluate": True, "record": True}


def test_a_run_that_another_process_is_at_is_left_to_it(trained: tuple[Project, str]) -> None:
    project, run_id = trained
    specification = load_specification(project.specification)
    log = RunLog(project.settings, "late", "train", specification.document, "still at it", sink=project.sink)
    assert log.id == run_id
    with log.running(), pytest.raises(Conflict, match="is under way in process"):
        train(specification, project.settings, project.sink, Wanted(reason="x"), print)


def test_a_changed_row_is_named(trained: tuple[Project, str], tmp_path: Path) -> None:
    project, run_id = trained
    other = Project.made(tmp_path)
    changed = rows()
    changed.loc[17, "x"] += 1.0
    changed.to_parquet(tmp_path / "rows.parquet")
    now, rows_now = made_now(other, tmp_path)
    then = evidence(project, run_id)
    assert now.artifact != then.artifact
    [cause] = causes(then, now, row_hashes(rows()), rows_now)
    assert cause.kind == "data"
    assert "values differ in x; 1 of 120 rows differ, the first is row 17" in cause.text


def test_a_row_that_is_gone_is_named(trained: tuple[Project, str], tmp_path: Path) -> None:
    project, run_id = trained
    other = Project.made(tmp_path)
    rows().drop(index=5).to_parquet(tmp_path / "rows.parquet")
    now, rows_now = made_now(other, tmp_path)
    [cause] = causes(evidence(project, run_id), now, row_hashes(rows()), rows_now)
    assert "it had 120 rows and has 119" in cause.text
    assert "the first is row 5" in cause.text


def test_a_changed_seed_parameter_and_library_are_named(trained: tuple[Project, str], tmp_path: Path) -> None:
    project, run_id = trained
    other = Project.made(tmp_path)
    other.write(SPECIFICATION.replace("seed=7", "seed=8").replace('{"learning_rate": 0.5}', '{"learning_rate": 0.25}'))
    now, rows_now = made_now(other, tmp_path)
    then = evidence(project, run_id)
    packages = {**then.environment["packages"], "scikit-learn": "1.8.0"}
    then = replace(then, environment={**then.environment, "packages": packages})
    found = {(one.kind, one.text) for one in causes(then, now, row_hashes(rows()), rows_now)}
    assert ("seed", "the seed was 7 and is 8") in found
    assert ("parameter", "trees__learning_rate was 0.5 and is 0.25") in found
    assert ("library", f"scikit-learn was 1.8.0 and is {now.environment['packages']['scikit-learn']}") in found
    assert not [text for kind, text in found if kind in ("data", "code", "machine")]


def test_without_any_difference_it_is_chance() -> None:
    assert Reproduced("r", "a", "b", ()).causes == (CHANCE,)
    assert Reproduced("r", "a", "a", ()).causes == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training = 3", "defines training as 3"),
        ("\n1 / 0", r"spec.py, line 2: it fails: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", r"spec.py, line 1: it fails: SystemExit: 3"),
        ("def make(", r"spec.py: it fails: SyntaxError: .*line 1"),
        (SPECIFICATION.replace("seed=7", "seed='7'"), "seed is '7'; expected a whole number"),
        (SPECIFICATION.replace("seed=7", "seed=7, task='binary'"), "task is 'binary'; expected one of Task.BINARY, "),
        (SPECIFICATION.replace('"FP64"', '"DOUBLE"'), "unknown datatypes"),
        (SPECIFICATION.replace("make=make", "make=None"), "expected a function of parameters and a seed"),
    ],
)
def test_a_wrong_specification_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    project = Project.made(tmp_path)
    project.write(text)
    with pytest.raises(DefinitionError, match=said):
        load_specification(project.specification)


def test_what_is_no_text_is_no_specification(tmp_path: Path) -> None:
    (tmp_path / "spec.py").write_bytes("# \xe9".encode("latin1"))
    with pytest.raises(DefinitionError, match=r"spec.py is no text in UTF-8: .*; save it as UTF-8"):
        load_specification(tmp_path / "spec.py")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            SPECIFICATION.replace('"learning_rate"', '"learning"'),
            r"spec.py, line \d+: make\({'learning': 0.5}, 7\) fails: TypeError: .* argument 'learning'",
        ),
        (SPECIFICATION.replace("make=make", "make=OrdinalEncoder"), "fails: TypeError: .* takes 1 positional argument"),
        (SPECIFICATION.replace("rows.parquet", "gone.parquet"), r"there is no file .*gone.parquet; expected"),
        (SPECIFICATION.replace("seed=7", "seed=7, slices=['gone']"), "no column for slices 'gone'; it has x, c, late"),
        (SPECIFICATION.replace("data=", "data=lambda: 1 / 0 or "), "the function that is its data fails: ZeroDivis"),
    ],
    ids=["parameter", "make", "file", "slice", "function"],
)
def test_a_specification_that_goes_wrong_later_is_an_error_of_one_sentence(
    tmp_path: Path, text: str, said: str
) -> None:
    project = Project.made(tmp_path)
    project.write(text)
    with pytest.raises(BigheadError, match=said):
        train(load_specification(project.specification), project.settings, project.sink, Wanted(reason="x"), print)


def test_a_failed_step_is_told_with_where_it_failed(tmp_path: Path) -> None:
    project = Project.made(tmp_path)
    rows().assign(late=1).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ModelError):
        train(load_specification(project.specification), project.settings, project.sink, Wanted(reason="x"), print)
    [run] = read_runs(project.sink).runs(None, wall_clock_ms())
    assert run.newest is not None
    assert run.newest.status == "failed"
    assert run.newest.end is not None
    assert "Traceback" in run.newest.end.traceback
    assert [(one.step, one.status) for one in run.newest.steps] == [("read", "succeeded"), ("check", "failed")]
    assert "BH" in run.newest.steps[-1].outputs


def test_the_specification_of_the_guide_is_one(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "training.md").read_text()
    source = guide.partition("```python\n")[2].partition("```")[0]
    found = run_specification(source, "guide_spec.py", tmp_path).training
    assert (found.model, found.seed) == ("delay", 7)
    assert found.make(found.parameters, found.seed).get_params()["trees__max_iter"] == 60


def test_a_search_tells_its_trials_and_its_choice_is_fitted(tmp_path: Path) -> None:
    project = Project.made(tmp_path)
    tuning = 'Tuning(space={"learning_rate": Real(0.05, 0.9)}, metric="neg_log_loss", trials=2, folds=2)'
    text = SPECIFICATION.replace("    seed=7,", f"    seed=7,\n    search={tuning},")
    text = text.replace("ParquetRows,", "ParquetRows, Tuning,")
    project.write("from bighead.pipeline.search import Real\n" + text)
    found = train(load_specification(project.specification), project.settings, project.sink, Wanted(reason="x"), print)
    run = read_run(project.sink, found.run_id)
    assert run is not None
    assert run.newest is not None
    assert [one.trial for one in run.newest.metrics if one.step == "search"] == [0, 1]
    [searched] = [json.loads(one.outputs) for one in run.newest.steps if one.step == "search"]
    kept = evidence(project, found.run_id).parameters
    assert float(kept["trees__learning_rate"]) == searched["chosen"]["learning_rate"]
