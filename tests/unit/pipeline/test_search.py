"""The search: the same trials however it is run, folds that do not see the future, an honest figure at the end."""

import multiprocessing
import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, create_trial
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from bighead.charts import chart_from_json
from bighead.charts.forms import chart_json
from bighead.errors import ModelError
from bighead.pipeline import feature
from bighead.pipeline.search import Choice, Real, Search, Trial, Whole, search
from bighead.pipeline.search.folds import folds
from bighead.pipeline.search.run import _importance
from bighead.pipeline.search.space import Space
from bighead.pipeline.splits import Split, by_time
from bighead.pipeline.training_set import TrainingSet

SPACE: Space = {"depth": Whole(1, 6), "share": Real(0.01, 0.5, log=True), "criterion": Choice(("gini", "entropy"))}
TRIALS = 18


def rows_of(count: int = 240) -> TrainingSet:
    source = np.random.default_rng(5)
    numbers = source.normal(size=(count, 2))
    late = numbers[:, 0] + 0.5 * numbers[:, 1] ** 2 + source.normal(scale=0.7, size=count) > 0.4
    asked = np.sort(source.integers(0, 100_000, count))
    frame = pd.DataFrame({"a": numbers[:, 0], "b": numbers[:, 1], "late": late, "asked_ms": asked})
    frame["known_ms"] = asked + source.integers(1, 5_000, count)
    inputs = (feature("a"), feature("b"))
    return TrainingSet(name="rows", rows=frame, inputs=inputs, label="late", time="asked_ms", known="known_ms")


def split_of() -> Split:
    return by_time(rows_of(), 75_000)


def tree(parameters: Mapping[str, Any], seed: int) -> DecisionTreeClassifier:
    if parameters["depth"] == 5:
        raise ValueError("a depth that this estimator does not like")
    return DecisionTreeClassifier(
        max_depth=parameters["depth"],
        min_samples_leaf=parameters["share"],
        criterion=parameters["criterion"],
        max_features=1,
        random_state=seed,
    )


def found(trials: int = TRIALS, seed: int = 3, **more: Any) -> Search:
    return search(tree, SPACE, split_of(), metric="roc_auc", trials=trials, seed=seed, **more)


def die_in_the_middle(path: Path) -> None:
    """Begins the search and is killed, as by the system, when it tells of its eleventh trial."""
    told: list[Trial] = []

    def tell(trial: Trial) -> None:
        told.append(trial)
        if len(told) == 11:
            os.kill(os.getpid(), signal.SIGKILL)

    found(journal_path=path, tell=tell)


@pytest.fixture(scope="module")
def unbroken() -> Search:
    return found()


def test_a_killed_search_goes_on_where_it_was(unbroken: Search, tmp_path: Path) -> None:
    path = tmp_path / "search.journal"
    killed = multiprocessing.get_context("fork").Process(target=die_in_the_middle, args=(path,))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    with path.open("ab") as torn:
        torn.write(b'{"op_code":4,"torn":')

    resumed = found(journal_path=path)

    assert (resumed.trials, resumed.outer) == (unbroken.trials, unbroken.outer)
    ran = path.read_bytes().count(b"distributions")
    again = found(journal_path=path)
    assert (again.trials, path.read_bytes().count(b"distributions")) == (unbroken.trials, ran)  # nothing is run anew
    assert found(trials=8, seed=4).trials != unbroken.trials[:8]


def test_a_journal_is_of_one_search_and_of_one_process(tmp_path: Path) -> None:
    path = tmp_path / "search.journal"
    found(trials=2, journal_path=path)

    with pytest.raises(ModelError, match="another seed"):
        found(trials=2, seed=4, journal_path=path)
    with pytest.raises(ModelError, match="another process searches"):
        found(trials=2, journal_path=path, tell=lambda trial: found(trials=2, journal_path=path) and None)


def test_the_outer_score_is_that_of_the_chosen_parameters_on_rows_that_no_trial_saw(unbroken: Search) -> None:
    split = split_of()
    chosen = tree(unbroken.parameters, unbroken.best.seed).fit(split.train.columns, split.train.labels)

    expected = roc_auc_score(split.test.labels, chosen.predict_proba(split.test.columns)[:, 1])

    assert unbroken.outer == pytest.approx(expected, abs=1e-12)
    assert unbroken.best.score == max(trial.score for trial in unbroken.trials if trial.ended == "complete")
    assert {trial.ended for trial in unbroken.trials} == {"complete", "pruned", "failed"}
    assert all("a depth that this" in trial.error for trial in unbroken.trials if trial.ended == "failed")
    assert sum(unbroken.importance.values()) == pytest.approx(1)


def test_the_choice_is_explained_in_text_html_and_json(unbroken: Search) -> None:
    text, page, document = str(unbroken), unbroken._repr_html_(), unbroken.document

    assert f"trial {unbroken.best.number} with depth" in text
    assert "on the test that no trial has seen" in page
    assert document["outer"]["score"] == unbroken.outer
    assert "null" in unbroken.to_json()
    assert len(document["trials"]) == TRIALS
    for chart in unbroken.charts.values():
        assert chart_from_json(chart_json(chart).encode()) == chart


@settings(max_examples=60)
@given(
    asked=st.lists(st.integers(0, 500), min_size=12, max_size=60),
    lag=st.integers(0, 80),
    count=st.integers(2, 5),
)
def test_no_row_of_a_fold_s_training_was_asked_or_known_after_its_test_began(
    asked: list[int], lag: int, count: int
) -> None:
    frame = pd.DataFrame({"a": 0.0, "y": 1, "asked_ms": asked})
    frame["known_ms"] = frame.asked_ms + lag
    rows = TrainingSet(name="r", rows=frame, inputs=(feature("a"),), label="y", time="asked_ms", known="known_ms")
    try:
        parts = folds(rows, count, 1).parts
    except ModelError:
        return  # a fold without rows is refused, with its number
    for fold in parts:
        begins = frame.asked_ms.iloc[fold.test].min()
        assert frame.asked_ms.iloc[fold.train].max() < begins
        assert frame.known_ms.iloc[fold.train].max() <= begins
    tested = np.concatenate([fold.test for fold in parts])
    assert len(set(tested)) == len(tested)


def test_the_guide_runs_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = Path(__file__).parents[3] / "docs" / "search-and-segments.md"
    blocks = re.findall(r"```python\n(.*?)```", guide.read_text(), re.DOTALL)
    names: dict[str, Any] = {"__name__": "guide"}
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(block, names)
    assert set(names["trained"].models) == {"city=Basel", "city=Bern", "country=CH"}
    assert -1 < names["found"].outer < 0


def test_what_cannot_be_searched_is_refused_with_what_to_do() -> None:
    split = split_of()
    with pytest.raises(ModelError, match="did you mean 'roc_auc'"):
        search(tree, SPACE, split, metric="roc-auc", trials=2, seed=1)
    with pytest.raises(ModelError, match="space of the search is empty"):
        search(tree, {}, split, metric="roc_auc", trials=2, seed=1)
    with pytest.raises(ModelError, match=r"parameter 'depth' is \(1, 9\); expected Real, Whole or Choice"):
        search(tree, {"depth": (1, 9)}, split, metric="roc_auc", trials=2, seed=1)  # type: ignore[dict-item]
    with pytest.raises(ModelError, match="logarithmic scale"):
        Real(0, 1, log=True)
    with pytest.raises(ModelError, match=r"none of 2 trials has a roc_auc: fold 1: InvalidParameterError"):
        search(lambda parameters, seed: LogisticRegression(C=-1), SPACE, split, metric="roc_auc", trials=2, seed=1)
    with pytest.raises(ModelError, match="fold 1 of 3 of 'rows' has nothing to train on"):
        frame = split.train.rows.assign(known_ms=10**9)
        late = TrainingSet(
            name="rows", rows=frame, inputs=split.train.inputs, label="late", time="asked_ms", known="known_ms"
        )
        search(tree, SPACE, Split(late, split.test, ""), metric="roc_auc", trials=2, seed=1)


def test_where_no_parameter_tells_the_scores_apart_none_is_important() -> None:
    def scored(number: int, value: float) -> FrozenTrial:
        choice = CategoricalDistribution(["a", "b"])
        return create_trial(params={"kind": "a"}, distributions={"kind": choice}, value=value)

    assert _importance([scored(0, 0.5), scored(1, 0.6)], seed=1) == {}
