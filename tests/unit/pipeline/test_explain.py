"""What a feature report says: scikit-learn's and scipy's own figures, and contributions that add up to the answer."""

import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline as Steps
from sklearn.preprocessing import OneHotEncoder

from bighead.charts import feature_report_from_json
from bighead.charts.feature_report import report_charts
from bighead.charts.forms import BarChart, LineChart
from bighead.errors import ModelError
from bighead.pipeline import feature, request
from bighead.pipeline.drift import of_numbers
from bighead.pipeline.reports import contributions as contributions_module
from bighead.pipeline.reports.clusters import clusters
from bighead.pipeline.reports.explain import FeatureReport, explain
from bighead.pipeline.splits import Split, at_random
from bighead.pipeline.training_set import TrainingSet
from bighead.pipeline.wrapped import FittedPipeline, Pipeline

ROWS = 600
EVIL = "<b>&"


def rows(label: str = "late") -> TrainingSet:
    """Wind and its copy decide, with the carrier; noise does not."""
    random = np.random.default_rng(3)
    table = pd.DataFrame({"wind": random.normal(size=ROWS), "noise": random.normal(size=ROWS)})
    table["gusts"] = table.wind + random.normal(0, 0.2, ROWS)
    table["carrier"] = random.choice(np.array(["AA", "UA", EVIL], np.object_), ROWS)
    table.loc[random.random(ROWS) < 0.1, ["wind", "carrier"]] = [np.nan, ""]
    score = 2 * table.gusts + (table.carrier == "UA") + random.normal(0, 0.5, ROWS)
    table["late"], table["minutes"] = (score > 0.3).astype(int), score * 10
    table["kind"] = np.digitize(score, [-1, 1])
    inputs = (feature("wind"), feature("gusts"), feature("noise"), request("carrier", "BYTES"))
    return TrainingSet(name="flights", rows=table, inputs=inputs, label=label)


@cache
def fitted(kind: str) -> tuple[FittedPipeline, Split]:
    label, model = {
        "two classes": ("late", HistGradientBoostingClassifier(max_iter=15, random_state=1)),
        "three classes": ("kind", HistGradientBoostingClassifier(max_iter=5, random_state=1)),
        "values": ("minutes", HistGradientBoostingRegressor(max_iter=15, random_state=1)),
        "forest": ("late", RandomForestClassifier(8, max_depth=4, random_state=1)),
        "line": ("late", LogisticRegression()),
    }[kind]
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("carriers", encode, ["carrier"])], remainder="passthrough")
    split = at_random(rows(label).only(rows().rows.wind.notna().to_numpy()), 0.3, seed=1)
    return Pipeline(Steps([("columns", columns), ("model", model)])).fit(split.train), split


@cache
def report() -> FeatureReport:
    return explain(*fitted("two classes"), repeats=2, depended=4)


@pytest.mark.parametrize("kind", ["two classes", "three classes", "values", "forest"])
def test_base_and_contributions_are_the_raw_score(kind: str) -> None:
    model, split = fitted(kind)
    found = contributions_module.contributions(model, split.test)
    raw: Any = {"values": model.estimator.predict, "forest": lambda one: model.estimator.predict_proba(one)[:, 1]}
    scores = raw.get(kind, getattr(model.estimator, "decision_function", None))(split.test.columns)
    added = (found.base + found.values.sum(axis=1)).reshape(scores.shape)
    np.testing.assert_allclose(added, scores, rtol=1e-6, atol=1e-6)
    by_input = found.of_inputs(model)
    assert set(by_input.names) == {"carrier", "wind", "gusts", "noise"}
    np.testing.assert_allclose(by_input.values.sum(axis=1), found.values.sum(axis=1))


def test_contributions_that_do_not_add_up_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model, split = fitted("two classes")
    monkeypatch.setattr(contributions_module, "_APART", -1.0)
    with pytest.raises(ModelError, match="do not add up to its scores"):
        contributions_module.contributions(model, split.test)


def test_other_models_have_a_report_without_contributions() -> None:
    model, split = fitted("line")
    found = explain(model, split, repeats=1, depended=1)
    assert "Contributions are left out: LogisticRegression is not made of trees." in found.facts.notes
    assert found.facts.examples == ()
    with pytest.raises(ModelError, match="is not made of trees"):
        found.contributions(split.test)


def test_importance_is_that_of_scikit_learn() -> None:
    model, split = fitted("two classes")
    theirs = permutation_importance(
        model.estimator, split.test.columns, split.test.labels, scoring="roc_auc", n_repeats=2, random_state=0
    )
    found = report().importances
    assert [found[name][0] for name in split.test.columns] == pytest.approx(theirs.importances_mean.tolist())
    assert [found[name][1] for name in split.test.columns] == pytest.approx(theirs.importances_std.tolist())
    assert next(iter(found)) == "gusts"


def test_dependence_is_that_of_scikit_learn_on_the_values_that_are_shown() -> None:
    model, split = fitted("two classes")
    charts = {one.name: one.dependence for one in report().facts.features}
    line, bars = charts["gusts"], charts["carrier"]
    assert isinstance(line, LineChart)
    grid = np.array([x for x, _ in line.series[0].points])
    theirs = partial_dependence(
        model.estimator, split.test.columns, ["gusts"], custom_values={"gusts": grid}, kind="average", method="brute"
    )
    assert [y for _, y in line.series[0].points] == pytest.approx(theirs["average"][0].tolist())
    assert isinstance(bars, BarChart)
    means = {bar.name: bar.value for bar in bars.bars}
    for value, mean in means.items():
        assert mean == pytest.approx(model.probability(split.test.rows.assign(carrier=value)).mean())


def test_inputs_that_say_the_same_are_joined_by_scipys_rank_correlation() -> None:
    _, split = fitted("two classes")
    (cluster,) = report().facts.clusters
    assert cluster.names == ("wind", "gusts")
    columns = split.train.columns
    assert cluster.correlation == pytest.approx(stats.spearmanr(columns.wind, columns.gusts).statistic)
    assert cluster.importance is not None
    assert cluster.importance[0] > max(report().importances["wind"][0], 0)
    assert clusters(pd.DataFrame({"a": [1.0, 1.0], "b": [1.0, 2.0]})) == []


def test_truth_values_have_a_dependence_and_a_test_of_one_class_an_importance() -> None:
    table = rows().rows.assign(windy=rows().rows.gusts > 0)
    inputs = (request("windy", "BOOL"), feature("noise"))
    split = at_random(TrainingSet(name="flights", rows=table, inputs=inputs, label="late"), 0.3, seed=1)
    one = Split(split.train, split.test.only(split.test.labels == 1), "")
    model = Pipeline(HistGradientBoostingClassifier(max_iter=5, random_state=1)).fit(split.train)
    found = explain(model, one, repeats=1, depended=2)
    drawn = {feature["name"]: feature["dependence"] for feature in found.document["features"]}
    assert [point[0] for point in drawn["windy"]["series"][0]["points"]] == [0, 1]
    assert found.facts.measured.startswith("Log loss lost when shuffled")
    assert found.importances["windy"][0] > found.importances["noise"][0]


def test_drift_is_told_by_input() -> None:
    model, split = fitted("two classes")
    rows = split.test.rows.assign(noise=split.test.rows.noise + 3)
    moved = Split(split.train, TrainingSet(name="moved", rows=rows, inputs=split.test.inputs, label="late"), "")
    facts = {one.name: one.drift for one in explain(model, moved, repeats=1, depended=0).facts.features}
    theirs = of_numbers(split.train.rows.noise.to_numpy(), rows.noise.to_numpy())
    assert theirs is not None
    assert facts["noise"] == theirs.psi > 1
    assert (facts["gusts"] or 0.0) < 0.25


def test_examples_are_explained_one_by_one_and_text_stays_text() -> None:
    model, split = fitted("two classes")
    golden = pd.DataFrame([{"wind": None, "gusts": 1.5, "noise": 0, "carrier": EVIL}])
    found = explain(model, split, repeats=1, depended=0, examples=golden)
    (example,) = found.facts.examples
    assert dict(example.inputs) == {"wind": "missing", "gusts": "1.5", "noise": "0", "carrier": EVIL}
    raw = model.estimator.decision_function(model.typed(golden))[0]
    assert example.score == pytest.approx(raw)
    assert example.base + sum(value for _, value in example.contributions) == pytest.approx(raw)
    page = found._repr_html_()
    assert EVIL not in page
    assert "carrier = &lt;b&gt;&amp;" in page
    assert "gusts" in str(found)


def test_an_old_report_is_read_and_a_new_one_is_the_same_after_json() -> None:
    assert feature_report_from_json(report().to_json()) == report().facts
    old = {"measured": "", "features": [{"name": "wind"}]}
    (facts,) = feature_report_from_json(json.dumps(old)).features
    assert (facts.drift, facts.contribution, facts.dependence) == (None, None, None)
    assert report_charts(feature_report_from_json(json.dumps(old))) == []
