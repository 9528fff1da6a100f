"""What an evaluation says: scikit-learn's and scipy's own figures, intervals that hold, slices that are bad indeed."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as sk
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bighead.charts.evaluation import evaluation_from_json
from bighead.errors import ModelError
from bighead.pipeline import feature
from bighead.pipeline.reports.answers import Answers, Numbers, answers_of
from bighead.pipeline.reports.bootstrap import DAY_MS, Resampling, Units, interval, units_of
from bighead.pipeline.reports.costs import Costs, cheapest
from bighead.pipeline.reports.evaluation import Evaluation, evaluate
from bighead.pipeline.reports.measured import Judged, measures
from bighead.pipeline.reports.metrics import metrics_of
from bighead.pipeline.splits import Split, at_random, by_time
from bighead.pipeline.training_set import Task, TrainingSet
from bighead.pipeline.wrapped import FittedPipeline, Pipeline

DATA: dict[str, tuple[Callable[..., Any], Any]] = {
    "two classes": (load_breast_cancer, make_pipeline(StandardScaler(), LogisticRegression())),
    "three classes": (load_wine, make_pipeline(StandardScaler(), LogisticRegression(C=0.01))),
    "values": (load_diabetes, LinearRegression()),
}
FEW = Resampling(resamples=200)


@cache
def public(name: str) -> tuple[FittedPipeline, Split]:
    """A model of scikit-learn's own data, and the split that it knows one part of."""
    load, estimator = DATA[name]
    rows = load(as_frame=True).frame.rename(columns={"target": "label"})
    inputs = tuple(feature(str(column)) for column in rows.columns if column != "label")
    split = at_random(TrainingSet(name=name, rows=rows, inputs=inputs, label="label"), 0.4, seed=1)
    return Pipeline(estimator).fit(split.train), split


def of_task(name: str) -> tuple[FittedPipeline, TrainingSet, Answers]:
    model, split = public(name)
    return model, split.test, answers_of(model, split.test)


def flights(rows: int = 4_000, days: int = 40, seed: int = 5) -> TrainingSet:
    """Flights of some days, late more often on bad ones; at one airport what the model learns does not hold."""
    random = np.random.default_rng(seed)
    day = np.sort(random.integers(0, days, rows))
    wind = random.normal(size=rows)
    origin = random.choice(np.array(["EWR", "JFK", "LGA", "<b>&"], np.object_), rows, p=[0.4, 0.3, 0.2, 0.1])
    turned = np.where(origin == "<b>&", -1.0, 1.0)
    late = random.random(rows) < 1 / (1 + np.exp(-(2 * wind * turned + random.normal(0, 0.5, days)[day] - 0.5)))
    table = pd.DataFrame({"wind": wind, "hour": random.integers(5, 9, rows) * 1.0, "origin": origin, "late": late})
    table["asked_ms"] = day * DAY_MS + random.integers(0, DAY_MS, rows)
    table["last_late"] = np.where(random.random(rows) < 0.2, np.nan, np.where(late, 0.6, 0.3))
    return TrainingSet(
        name="flights",
        rows=table.sort_values("asked_ms"),
        inputs=(feature("wind"), feature("hour")),
        label="late",
        time="asked_ms",
        entities=("origin",),
    )


@cache
def judged_flights() -> tuple[FittedPipeline, Split, Evaluation]:
    split = by_time(flights(), 25 * DAY_MS)
    model = Pipeline(LogisticRegression()).fit(split.train)
    found = evaluate(
        model,
        split,
        slices=("origin", "hour"),
        baselines={"last value": "last_late", "live": model, "given": np.full(len(split.test), 0.4)},
        costs=Costs(false_positive=1, false_negative=5),
        rank_within="origin",
        learning=(0.2,),
        resampling=FEW,
    )
    return model, split, found


def test_figures_are_those_of_scikit_learn_for_two_classes() -> None:
    model, rows, _ = of_task("two classes")
    chances = model.estimator.predict_proba(rows.columns)[:, 1]
    found = evaluate(*public("two classes"), learning=(), resampling=FEW).figures
    assert found == {
        "log_loss": sk.log_loss(rows.labels, chances),
        "brier": sk.brier_score_loss(rows.labels, chances),
        "auc": sk.roc_auc_score(rows.labels, chances),
        "average_precision": sk.average_precision_score(rows.labels, chances),
        "accuracy": sk.accuracy_score(rows.labels, chances >= 0.5),
        "precision": sk.precision_score(rows.labels, chances >= 0.5),
        "recall": sk.recall_score(rows.labels, chances >= 0.5),
        "f1": sk.f1_score(rows.labels, chances >= 0.5),
    }


def test_figures_are_those_of_scikit_learn_for_values() -> None:
    model, rows, _ = of_task("values")
    said = model.predict(rows)
    found = evaluate(*public("values"), learning=(), resampling=FEW).figures
    assert found == {
        "mae": sk.mean_absolute_error(rows.labels, said),
        "rmse": sk.root_mean_squared_error(rows.labels, said),
        "r2": sk.r2_score(rows.labels, said),
        "rmsle": sk.root_mean_squared_log_error(rows.labels, said),
        "mape": sk.mean_absolute_percentage_error(rows.labels, said),
    }


def test_figures_are_those_of_scikit_learn_for_three_classes() -> None:
    model, rows, _ = of_task("three classes")
    chances, said = model.estimator.predict_proba(rows.columns), model.predict(rows)
    found = evaluate(*public("three classes"), learning=(), resampling=FEW).figures
    assert found == {
        "log_loss": sk.log_loss(rows.labels, chances),
        "brier": sk.brier_score_loss(rows.labels, chances),
        "auc_ovr": sk.roc_auc_score(rows.labels, chances, multi_class="ovr"),
        "accuracy": sk.accuracy_score(rows.labels, said),
        "precision_macro": sk.precision_score(rows.labels, said, average="macro"),
        "recall_macro": sk.recall_score(rows.labels, said, average="macro"),
        "f1_macro": sk.f1_score(rows.labels, said, average="macro"),
    }


@pytest.mark.parametrize("name", DATA)
def test_a_resample_is_measured_as_scikit_learn_measures_the_rows_that_it_drew(name: str) -> None:
    _, _, answers = of_task(name)
    ties = answers if answers.probability is None else rounded(answers)
    how = Resampling(resamples=100)
    drawn = next(Units(np.arange(len(ties)), len(ties), "rows").weights(how))[:4]
    for metric in metrics_of(ties):
        taken = [ties.only(np.repeat(np.arange(len(ties)), line.astype(int))) for line in drawn]
        expected = [metric.figure(one) for one in taken]
        np.testing.assert_allclose(metric.weighted(ties, drawn), expected, rtol=1e-10, err_msg=metric.name)


def rounded(answers: Answers) -> Answers:
    """With many rows of the same probability."""
    kept = np.round(answers.chances, 1)
    return Answers(
        task=answers.task,
        classes=answers.classes,
        actual=answers.actual,
        predicted=answers.predicted,
        probability=kept if kept.ndim == 1 else kept / kept.sum(axis=1, keepdims=True),
    )


def test_intervals_are_those_of_scipy() -> None:
    """With many rows the widened percentiles are the plain ones; two random sources differ by what chance gives."""
    _, rows, answers = of_task("values")
    error = np.abs(answers.actual - answers.predicted)
    how = Resampling(resamples=4_000)
    found = measures([Judged("model", answers)], metrics_of, units_of(rows, how), how).of("model")[0]
    theirs = stats.bootstrap((error,), np.mean, n_resamples=4_000, method="percentile", rng=1).confidence_interval
    assert found.name == "mae"
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=0.01)


def test_widened_percentiles_of_normal_resamples_are_students_interval() -> None:
    """What Hesterberg's correction is for: s / sqrt(n) from n instead of n - 1, and Student's t instead of z."""
    n, resamples = 8, stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    low, high = interval(resamples * np.sqrt((n - 1) / n), n, 0.95) or (0.0, 0.0)
    assert (low, high) == pytest.approx((-stats.t.ppf(0.975, n - 1), stats.t.ppf(0.975, n - 1)), rel=1e-3)


@pytest.mark.parametrize("metric", ["auc", "log_loss"])
def test_intervals_cover_the_truth_as_often_as_they_say(metric: str) -> None:
    """200 data sets of 120 rows, seeded: coverage within what 200 tosses of a coin of 95 % give in 999 of 1,000."""
    random, sets, rows = np.random.default_rng(11), 200, 120
    how = Resampling(resamples=300)
    truth = of_model(random, 400_000)
    measured = next(one for one in metrics_of(truth) if one.name == metric)
    expected = float(measured.figure(truth))
    weights = np.concatenate(list(Units(np.arange(rows), rows, "rows").weights(how)))
    held = 0
    for _ in range(sets):
        low, high = interval(measured.weighted(of_model(random, rows), weights), rows, 0.95) or (0.0, 0.0)
        held += low <= expected <= high
    assert stats.binom.ppf(0.0005, sets, 0.95) <= held <= stats.binom.ppf(0.9995, sets, 0.95)


def test_rows_of_one_day_are_drawn_together_or_the_interval_is_too_narrow() -> None:
    """200 data sets of 30 days whose rows share a day's luck: by days the mean is covered, by rows it is not."""
    random, sets, days, each = np.random.default_rng(3), 200, 30, 10
    held = {"days": 0, "rows": 0}
    units = {"days": Units(np.repeat(np.arange(days), each), days, ""), "rows": Units(np.arange(300), 300, "")}
    how = Resampling(resamples=300)
    weights = {name: np.concatenate(list(one.weights(how))) for name, one in units.items()}
    for _ in range(sets):
        errors = np.repeat(random.normal(size=days), each) + random.normal(size=days * each)
        for name, one in units.items():
            low, high = interval(weights[name] @ errors / weights[name].sum(axis=1), one.count, 0.95) or (0.0, 0.0)
            held[name] += low <= 0 <= high
    assert stats.binom.ppf(0.0005, sets, 0.95) <= held["days"] <= stats.binom.ppf(0.9995, sets, 0.95)
    assert held["rows"] < 0.75 * sets


def of_model(random: np.random.Generator, rows: int) -> Answers:
    """Labels that happen as often as the model says, or a little less."""
    score = random.normal(size=rows)
    chance: Numbers = 1 / (1 + np.exp(-score))
    actual = (random.random(rows) < 1 / (1 + np.exp(-(score - 0.2)))).astype(np.int64)
    return Answers(
        task=Task.BINARY, classes=(0, 1), actual=actual, predicted=(chance >= 0.5).astype(np.int64), probability=chance
    )


def test_a_test_that_lacks_a_class_says_what_is_not_measured() -> None:
    model, split, _ = judged_flights()
    late = Split(split.train, split.test.only(split.test.labels == 1), "")
    found = evaluate(model, late, learning=(), resampling=FEW)
    assert "auc" not in found.figures
    assert found.report.notes[0] == "No row of the test is 0, so average precision and the AUC are not measured."
    with pytest.raises(ModelError, match="the threshold is 2; expected a probability, from 0 to 1"):
        evaluate(model, split, threshold=2)


def test_days_are_drawn_where_the_rows_have_a_time_and_it_is_said() -> None:
    model, split, found = judged_flights()
    assert units_of(split.test, FEW).count == 15
    assert "whole days (15 of them, seed 0)" in found.report.intervals
    assert "There are 15 days: intervals of so few are rough." in found.report.notes
    by_row = evaluate(model, split, learning=(), resampling=Resampling(by="rows", resamples=100))
    assert "Rows were drawn one by one although they have a time" in by_row.report.notes[0]
    one_day = Split(split.train, split.test.only(split.test.rows.asked_ms.to_numpy() < 26 * DAY_MS), "")
    alone = evaluate(model, one_day, learning=(), least_rows=10, resampling=FEW)
    assert alone.measure("auc").low is None
    assert alone.report.notes == ("All rows are of one of the days, so there is no interval.",)
    assert units_of(split.test, Resampling(by="origin")).count == 4
    assert units_of(split.test, Resampling(block_days=5)).count == 3


def test_the_planted_bad_slice_is_the_worst_and_no_other_is_called_so() -> None:
    slices = judged_flights()[2].report.slices
    assert slices is not None
    assert [(one.column, one.value) for one in slices.worst if one.is_worse] == [("origin", "<b>&")]
    assert slices.worst[0].value == "<b>&"
    rows = flights().rows
    rows = rows[rows.asked_ms >= 25 * DAY_MS]
    assert slices.worst[0].rows == int((rows.origin == "<b>&").sum())


def test_no_slice_is_found_where_there_is_none() -> None:
    """60 columns of noise, 300 slices: looking at many finds none by chance."""
    random = np.random.default_rng(1)
    table = pd.DataFrame(random.normal(size=(3_000, 60)), columns=[f"n{place}" for place in range(60)])
    table["label"] = (random.random(3_000) < 0.3).astype(int)
    inputs = tuple(feature(name) for name in table.columns if name != "label")
    split = at_random(TrainingSet(name="noise", rows=table, inputs=inputs, label="label"), 0.5, seed=1)
    found = evaluate(
        Pipeline(LogisticRegression(C=1e-4)).fit(split.train),
        split,
        slices=[one.name for one in inputs],
        learning=(),
        resampling=FEW,
    )
    assert found.report.slices is not None
    assert found.report.slices.looked_at == 300
    assert not any(one.is_worse for one in found.report.slices.worst)


def test_baselines_are_on_the_same_rows_and_the_same_resamples() -> None:
    model, split, found = judged_flights()
    beside = {one.name: one for one in found.report.baselines}
    share = split.train.labels.mean()
    constant = {one.name: one.value for one in beside["constant"].measures}
    assert constant["log_loss"] == pytest.approx(sk.log_loss(split.test.labels, np.full(len(split.test), share)))
    assert constant["auc"] == 0.5
    # The live model is the same one: what moves one moves the other, so nothing is between them.
    assert {(one.value, one.low, one.high) for one in beside["live"].differences} == {(0.0, 0.0, 0.0)}
    last = split.test.rows.last_late.fillna(share)
    assert {one.name: one.value for one in beside["last value"].measures}["brier"] == pytest.approx(
        sk.brier_score_loss(split.test.labels, last)
    )
    by_loss = next(one for one in beside["constant"].differences if one.name == "log_loss")
    assert by_loss.better is True
    assert by_loss.value == found.measure("log_loss").value - constant["log_loss"]
    with pytest.raises(ModelError, match="has no column 'nope' for a baseline"):
        evaluate(model, split, baselines={"last": "nope"})
    with pytest.raises(ModelError, match="one for each row of the test"):
        evaluate(model, split, baselines={"given": [0.5]})


@pytest.mark.parametrize("seed", range(5))
def test_the_cheapest_threshold_is_that_of_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    chance = np.round(random.random(60), 1)
    actual = (random.random(60) < chance).astype(int)
    costs = Costs(false_positive=float(random.integers(0, 4)), false_negative=float(random.integers(1, 9)))

    def cost(threshold: float) -> float:
        said = chance >= threshold
        wrongly, missed = (said & (actual == 0)).sum(), (~said & (actual == 1)).sum()
        return float(costs.false_positive * wrongly + costs.false_negative * missed)

    assert cost(cheapest(actual, chance, costs)) == min(cost(one) for one in [*chance, 2.0])


def test_the_threshold_is_chosen_on_rows_before_the_test() -> None:
    model, split, found = judged_flights()
    threshold = found.report.threshold
    assert threshold is not None
    assert threshold.value < 0.5
    assert threshold.saved.value == pytest.approx(threshold.cost_at_half.value - threshold.cost.value)
    chances, actual = model.probability(split.test), split.test.labels
    said = chances >= threshold.value
    wrong = (said & (actual == 0)).sum() + 5 * (~said & (actual == 1)).sum()
    assert threshold.cost.value == pytest.approx(wrong / len(actual))
    assert "answered by models that had not seen them" in threshold.chosen_on
    given = evaluate(
        model,
        split,
        learning=(),
        costs=Costs(false_positive=1, false_negative=5, validation=split.train),
        resampling=FEW,
    ).report.threshold
    assert given is not None
    assert given.value == cheapest(
        split.train.labels, model.probability(split.train), Costs(false_positive=1, false_negative=5)
    )


def test_groups_are_ranked_as_scikit_learn_ranks_them() -> None:
    model, split, found = judged_flights()
    chances, actual, origin = model.probability(split.test), split.test.labels, split.test.rows.origin.to_numpy()
    each = [sk.ndcg_score([actual[origin == one]], [chances[origin == one]]) for one in np.unique(origin)]
    assert found.measure("ndcg_by_origin").value == pytest.approx(np.mean(each))


def test_a_report_is_read_back_and_shown_as_text_and_as_a_page() -> None:
    found = judged_flights()[2]
    assert evaluation_from_json(found.to_json()) == found.report
    assert "log_loss" in str(found)
    chances, actual = judged_flights()[0].probability(judged_flights()[1].test), judged_flights()[1].test.labels
    parts = np.array_split(np.argsort(chances, kind="stable"), 10)
    gaps = [abs(chances[part].mean() - actual[part].mean()) * len(part) / len(actual) for part in parts]
    assert found.report.calibration_error == pytest.approx(sum(gaps))
    assert "The expected calibration error is 0.0" in str(found)
    assert "<b>&" in str(found)
    page = found._repr_html_()
    assert "<b>&" not in page
    assert "&lt;b&gt;&amp;" in page
    assert {"roc", "calibration", "cost", "learning_curve", "worst_slices"} <= set(found.charts)


def test_what_cannot_be_judged_is_said() -> None:
    model, split = public("two classes")
    with pytest.raises(ModelError, match="has no column 'nope' to slice by"):
        evaluate(model, split, slices=("nope",))
    with pytest.raises(ModelError, match="has no column 'nope' to resample by"):
        evaluate(model, split, resampling=Resampling(by="nope"))
    with pytest.raises(ModelError, match="names no time"):
        evaluate(model, split, resampling=Resampling(by="days"))
    with pytest.raises(ModelError, match="expected numbers that are not negative"):
        Costs(false_positive=0, false_negative=0)
    with pytest.raises(ModelError, match="tells two classes apart"):
        evaluate(*public("values"), costs=Costs(false_positive=1, false_negative=1))
