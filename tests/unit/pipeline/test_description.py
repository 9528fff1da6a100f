"""What a record says of a model: scikit-learn's own figures, its own trees, its own columns."""

import json
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import auc, confusion_matrix, roc_auc_score, roc_curve
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from bighead.charts import draw_tree, feature_report_from_json, graph_from_json, trees_from_json
from bighead.charts.forms import HistogramChart, LineChart, MatrixChart, ScatterChart
from bighead.charts.trees import Tree
from bighead.errors import ModelError
from bighead.events.types import Tensor
from bighead.pipeline import feature, request
from bighead.pipeline.fitted_trees import MOST_NODES, trees_document, trees_of
from bighead.pipeline.origin import code_of, environment
from bighead.pipeline.reports.charts import binary_charts, learning_curve, multiclass_charts, regression_charts
from bighead.pipeline.reports.distributions import feature_report, importance
from bighead.pipeline.steps import graph_document, pipeline_graph
from bighead.pipeline.tensors import frame

RANDOM = np.random.default_rng(7)
ROWS = 400
INPUTS = [request("carrier", "BYTES"), request("hour"), feature("delay")]
TYPED = frame(
    INPUTS,
    pd.DataFrame(
        {
            "carrier": RANDOM.choice(np.array(["AA", "UA", None], object), ROWS, p=[0.6, 0.3, 0.1]),
            "hour": RANDOM.integers(5, 23, ROWS).astype(float),
            "delay": np.where(RANDOM.random(ROWS) < 0.1, np.nan, RANDOM.normal(0, 10, ROWS)),
        }
    ),
)
LATE = (TYPED.delay.fillna(0) + RANDOM.normal(0, 8, ROWS) > 3).astype(int).to_numpy()
MINUTES = TYPED.delay.fillna(0).to_numpy() * 2 + RANDOM.normal(0, 3, ROWS)


def fitted(model: Any, actual: Any = LATE) -> Pipeline:
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("categories", encode, ["carrier"])], remainder="passthrough")
    return Pipeline([("columns", columns), ("model", model)]).fit(TYPED, actual)


BOOSTED = fitted(HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=7, random_state=0))
PROBABILITY = BOOSTED.predict_proba(TYPED)[:, 1]


def test_the_curves_of_a_binary_classifier_are_scikit_learns() -> None:
    charts = binary_charts(LATE, PROBABILITY, 0.4, ("on time", "late"))
    roc, confusion, calibration, lift = (charts[name] for name in ("roc", "confusion", "calibration", "lift"))
    assert isinstance(roc, LineChart) and isinstance(confusion, MatrixChart)
    assert isinstance(calibration, LineChart) and isinstance(lift, LineChart)
    x, y = np.array(roc.series[0].points).T
    assert set(zip(x, y, strict=True)) <= {(a, b) for a, b in zip(*roc_curve(LATE, PROBABILITY)[:2], strict=True)}
    assert auc(x, y) == pytest.approx(roc_auc_score(LATE, PROBABILITY), abs=0.005)
    assert f"{roc_auc_score(LATE, PROBABILITY):.4f}" in roc.note
    assert confusion.labels == ("on time", "late")
    assert np.array_equal(confusion.counts, confusion_matrix(LATE, PROBABILITY >= 0.4))
    happened, predicted = calibration_curve(LATE, PROBABILITY, n_bins=10, strategy="quantile")
    assert calibration.series[0].points == tuple(zip(predicted, happened, strict=True))
    assert lift.series[0].points[-1] == pytest.approx((1.0, 1.0))
    first = np.argsort(-PROBABILITY, kind="stable")[: int(lift.series[0].points[0][0] * ROWS + 0.5)]
    assert lift.series[0].points[0][1] == pytest.approx(LATE[first].mean() / LATE.mean())
    recall_precision = charts["precision_recall"]
    assert isinstance(recall_precision, LineChart) and recall_precision.series[0].points[0][0] == 0.0


def test_a_curve_of_many_rows_is_thinned_to_what_can_be_seen() -> None:
    actual = RANDOM.integers(0, 2, 50_000)
    roc = binary_charts(actual, RANDOM.random(50_000))["roc"]
    assert isinstance(roc, LineChart)
    assert len(roc.series[0].points) < 450
    assert (roc.series[0].points[0], roc.series[0].points[-1]) == ((0.0, 0.0), (1.0, 1.0))


def test_labels_of_one_kind_have_no_curves() -> None:
    with pytest.raises(ModelError, match=r"the test rows have the labels \[1\]"):
        binary_charts(np.ones(3, int), np.ones(3))


def test_residuals_of_a_regression_and_confusion_of_classes() -> None:
    predicted = fitted(HistGradientBoostingRegressor(max_iter=5), MINUTES).predict(TYPED)
    charts = regression_charts(MINUTES, predicted)
    assert isinstance(charts["residuals"], HistogramChart) and isinstance(charts["predicted"], ScatterChart)
    assert sum(charts["residuals"].counts) == ROWS
    assert charts["predicted"].points[0] == (MINUTES[0], predicted[0])
    confusion = multiclass_charts(np.array([0, 1, 2, 2]), np.array([0, 2, 2, 2]), [0, 1, 2])["confusion"]
    assert isinstance(confusion, MatrixChart)
    assert confusion.counts == ((1, 0, 0), (0, 0, 1), (0, 0, 2))


def test_a_learning_curve_has_a_line_for_training_and_one_for_the_test() -> None:
    curve = learning_curve(fitted(DecisionTreeClassifier(max_depth=2)), TYPED, LATE, "roc_auc", sizes=3, folds=2)
    assert [one.name for one in curve.series] == ["training", "test"]
    assert [x for x, _ in curve.series[0].points] == [20, 110, 200]


def test_a_split_by_whether_a_value_is_there_has_no_threshold() -> None:
    missing = np.arange(ROWS) % 3 == 0
    rows = pd.DataFrame({"delay": np.where(missing, np.nan, 1.0)})
    model = Pipeline([("model", HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=5))]).fit(rows, missing)
    found = trees_of(model)
    assert found is not None
    read = trees_from_json(json.dumps(trees_document(found), allow_nan=False))
    root = read.trees[0].nodes[0]
    assert (root.feature, root.threshold, root.missing_yes) == ("delay", None, False)
    assert "delay is there" in draw_tree(read, read.trees[0])


def test_importance_is_scikit_learns_and_distributions_hold_every_row() -> None:
    found = importance(BOOSTED, TYPED, LATE, "roc_auc", repeats=2, seed=3)
    expected = permutation_importance(BOOSTED, TYPED, LATE, scoring="roc_auc", n_repeats=2, random_state=3)
    assert [mean for mean, _ in found.values()] == expected.importances_mean.tolist()
    report = feature_report_from_json(feature_report(INPUTS, TYPED, TYPED[:100], found, "AUC lost"))
    assert report.ranked[0].name == "delay"
    carrier, hour, delay = report.features
    assert carrier.train is not None and hour.train is not None and delay.train is not None and delay.test is not None
    assert dict(carrier.train.top) == TYPED.carrier[TYPED.carrier != ""].value_counts().to_dict()
    assert (carrier.train.missing, carrier.train.distinct) == (int((TYPED.carrier == "").sum()), 2)
    assert len(hour.edges) - 1 == TYPED.hour.nunique()
    assert (delay.train.missing, delay.test.rows) == (int(TYPED.delay.isna().sum()), 100)
    assert sum(delay.train.counts) + delay.train.missing == ROWS
    assert delay.train.quantiles["p50"] == pytest.approx(TYPED.delay.median())


def test_a_column_that_is_empty_or_the_same_everywhere_has_a_report() -> None:
    same, empty = TYPED.assign(delay=1.0), TYPED.assign(delay=np.nan)
    large, close = TYPED.assign(delay=1e18), TYPED.assign(delay=1e18 + 256 * (np.arange(ROWS) % 2))
    for rows in (same, large, close, empty):
        report = feature_report_from_json(feature_report(INPUTS, rows, rows, {}, ""))
        assert report.features[2].importance is None
    assert report.features[2].edges == ()


def score(tree: Tree, row: pd.Series) -> float:
    """What the drawn tree says of a row."""
    node = tree.nodes[0]
    while node.feature is not None:
        value = row[node.feature]
        is_yes = bool(node.missing_yes) if np.isnan(value) else value <= node.threshold
        node = tree.nodes[node.yes if is_yes else node.no]
    return node.value


@pytest.mark.parametrize(
    ("model", "actual"),
    [
        (HistGradientBoostingClassifier(max_iter=3, random_state=0), LATE),
        (HistGradientBoostingRegressor(max_iter=3, random_state=0), MINUTES),
        (RandomForestClassifier(n_estimators=3, max_depth=4, random_state=0), LATE),
        (RandomForestRegressor(n_estimators=3, max_depth=4, random_state=0), MINUTES),
        (DecisionTreeClassifier(max_depth=4, random_state=0), LATE),
        (DecisionTreeRegressor(max_depth=4, random_state=0), MINUTES),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_drawn_trees_answer_as_the_model_does(model: Any, actual: Any) -> None:
    pipeline = fitted(model, actual)
    found = trees_of(pipeline)
    assert found is not None
    read = trees_from_json(json.dumps(trees_document(found)))
    assert read == found
    rows = pd.DataFrame(
        pipeline[:-1].transform(TYPED),
        columns=[name.rpartition("__")[2] for name in pipeline[:-1].get_feature_names_out()],
    )
    for index in range(0, ROWS, 40):
        parts = [score(tree, rows.iloc[index]) for tree in read.trees]
        one = TYPED.iloc[[index]]
        if isinstance(model, HistGradientBoostingClassifier):
            raw = pipeline.decision_function(one)[0]
            assert sum(parts) + model._baseline_prediction.ravel()[0] == pytest.approx(raw)
        elif isinstance(model, HistGradientBoostingRegressor):
            assert sum(parts) + model._baseline_prediction.ravel()[0] == pytest.approx(pipeline.predict(one)[0])
        else:
            answer = pipeline.predict_proba(one)[0, 1] if hasattr(model, "classes_") else pipeline.predict(one)[0]
            assert np.mean(parts) == pytest.approx(answer)


@pytest.mark.parametrize(
    ("model", "total", "outputs"),
    [
        (GradientBoostingClassifier(n_estimators=2), 6, ["0", "1", "2"]),
        (HistGradientBoostingClassifier(max_iter=2), 6, ["0", "1", "2"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_of_several_classes_each_tree_says_for_which_it_votes(model: Any, total: int, outputs: list[str]) -> None:
    filled = TYPED.assign(delay=TYPED.delay.fillna(0))
    three = np.digitize(filled.delay, [-5, 5])
    found = trees_of(
        fitted(model, three) if isinstance(model, HistGradientBoostingClassifier) else _numbers(model, three)
    )
    assert found is not None and found.total == total
    assert [tree.output for tree in found.trees[:3]] == outputs


def _numbers(model: Any, actual: Any) -> Pipeline:
    return Pipeline([("model", model)]).fit(TYPED[["hour", "delay"]].fillna(0), actual)


def test_a_large_tree_is_cut_and_a_model_without_trees_has_none() -> None:
    noise = pd.DataFrame({"x": RANDOM.random(3000)})
    found = trees_of(Pipeline([("model", DecisionTreeRegressor())]).fit(noise, RANDOM.random(3000)))
    assert found is not None and len(found.trees[0].nodes) == MOST_NODES
    assert trees_of(_numbers(GradientBoostingRegressor(n_estimators=2), MINUTES)) is not None
    assert trees_of(_numbers(LogisticRegression(), LATE)) is None


def test_the_graph_shows_which_columns_go_where() -> None:
    outputs = (Tensor(name="probability", type="FP64"), Tensor(name="label", type="INT64"))
    graph = pipeline_graph(BOOSTED, INPUTS, outputs, "flight")
    assert graph_from_json(json.dumps(graph_document(graph))) == graph
    titles = {node.id: node.title for node in graph.nodes}
    edges = {(titles[start], titles[end]) for start, end in graph.edges}
    assert edges == {
        ("the request", "columns: categories"),
        ("the request", "columns: remainder"),
        ("Join flight", "columns: remainder"),
        ("columns: categories", "model"),
        ("columns: remainder", "model"),
        ("model", "the answer"),
    }
    model = next(node for node in graph.nodes if node.kind == "model")
    assert (model.detail, model.items[:2]) == ("HistGradientBoostingClassifier", ("max_iter = 5", "max_leaf_nodes = 7"))


def test_the_environment_names_every_package() -> None:
    packages = json.loads(environment())["packages"]
    assert packages["scikit-learn"] == version("scikit-learn")


def test_code_is_a_commit_and_a_hash_of_what_is_not_committed(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with pytest.raises(ModelError, match=r"git rev-parse in .* says: "):
        code_of(tmp_path)
    git("init", "-q")
    (tmp_path / "train.py").write_text("fit()\n")
    git("add", ".")
    git("commit", "-qm", "first")
    clean = code_of(tmp_path)
    assert (clean.version, clean.dirty_sha256) == (git("rev-parse", "HEAD"), "")
    (tmp_path / "train.py").write_text("fit(2)\n")
    changed = code_of(tmp_path)
    (tmp_path / "new.py").write_text("")
    added = code_of(tmp_path)
    assert len({clean.dirty_sha256, changed.dirty_sha256, added.dirty_sha256}) == 3
    assert len(added.dirty_sha256) == 64
    git("add", ".")
    git("commit", "-qm", "second")
    assert code_of(tmp_path).dirty_sha256 == ""
