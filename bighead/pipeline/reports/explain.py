"""`explain`: what a fitted pipeline looks at: importance, contributions, dependence, drift, inputs that go together."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, roc_auc_score
from threadpoolctl import threadpool_limits

from bighead import charts
from bighead.charts.feature_report import feature_sections, report_charts
from bighead.charts.forms import chart_document
from bighead.charts.svg import number
from bighead.errors import ModelError
from bighead.notebook import display
from bighead.notebook.progress import progress
from bighead.pipeline.drift import of_categories, of_numbers
from bighead.pipeline.foreign import Foreign
from bighead.pipeline.reports.answers import JUDGED, Values
from bighead.pipeline.reports.clusters import TOGETHER, clusters, together
from bighead.pipeline.reports.contributions import Contributions, contributions, explainable
from bighead.pipeline.reports.dependence import dependence
from bighead.pipeline.reports.distributions import feature_document, importance
from bighead.pipeline.splits import Split, check_split
from bighead.pipeline.training_set import Task, TrainingSet
from bighead.pipeline.wrapped import FittedPipeline, Rows

SHUFFLED_ROWS, REPEATS, DEPENDED = 4_000, 3, 8
_EXPLAINED_ROWS, _DEPENDENCE_ROWS, _RANKED_ROWS, _EXAMPLES = 1_000, 500, 10_000, 5
_MOST_TEXT = 200

Score = Callable[[Any, pd.DataFrame, Values], float]


@dataclass(frozen=True, eq=False, repr=False)
class FeatureReport(display.Displayed):
    """The report of a model's inputs; `to_json` is what the record keeps."""

    model: FittedPipeline
    document: dict[str, Any]

    @cached_property
    def facts(self) -> charts.FeatureReport:
        """The report as the console reads it."""
        return charts.feature_report_from_json(self.to_json())

    @property
    def importances(self) -> dict[str, tuple[float, float]]:
        """What the metric loses when an input is shuffled, with its standard deviation, the largest first."""
        return {one.name: one.importance for one in self.facts.ranked if one.importance is not None}

    def contributions(self, rows: Rows) -> Contributions:
        """What each column adds to the answers for these rows; ModelError for models that are not trees."""
        return contributions(self.model, rows)

    def to_json(self) -> str:
        """The report as `bighead.charts.feature_report_from_json` reads it."""
        return json.dumps(self.document, allow_nan=False)

    def __str__(self) -> str:
        return "\n\n".join([*display.text_sections(feature_sections(self.facts)), *self.facts.notes])

    def _repr_html_(self) -> str:
        parts = display.sections(feature_sections(self.facts))
        drawn = display.folded("Charts", *map(display.chart, report_charts(self.facts)))
        return display.shown("Features", *parts, *map(display.paragraph, self.facts.notes), drawn)


def explain(
    model: FittedPipeline,
    split: Split,
    *,
    shuffled_rows: int = SHUFFLED_ROWS,
    repeats: int = REPEATS,
    depended: int = DEPENDED,
    examples: pd.DataFrame | None = None,
    seed: int = 0,
) -> FeatureReport:
    """What the model, fitted to `split.train`, looks at on `split.test`.

    Columns are shuffled `repeats` times on evenly chosen `shuffled_rows` of the test; distributions and drift are of
    all rows. depended: of so many of the most important inputs the dependence is drawn. examples: rows whose answers
    are explained one by one, the golden rows for one; left out, some of the test.
    """
    check_split(split)
    if model.task not in JUDGED:
        raise ModelError(f"a model for {model.task} has no labels that importance could be measured by")
    few = _evenly(split.test, shuffled_rows)
    measured, score = _score(model, few.labels)
    # On few rows two threads mostly wait for each other.
    with threadpool_limits(1, user_api="openmp"), progress("feature report", 5) as bar:
        found = importance(model.estimator, few.columns, few.labels, score, repeats, seed)
        bar.advance(note="distributions")
        told = f"{measured} lost when shuffled {repeats} times on {len(few):,} rows of the test"
        train, test = split.train.columns, split.test.columns
        document = feature_document(model.inputs, train, test, found, told)
        facts = {one["name"]: one for one in document["features"]}
        for name, one in facts.items():
            one["drift"] = _drift(train[name], test[name])
        bar.advance(note="contributions")
        notes = _explained(model, split.test, examples, document, facts)
        bar.advance(note="dependence")
        notes += _dependences(model, test, sorted(found, key=lambda name: -found[name][0])[:depended], facts)
        bar.advance(note="inputs that go together")
        document["clusters"] = [
            {"names": names, "correlation": least, "importance": _together(names, model, few, score, repeats, seed)}
            for names, least in clusters(_numbers(split.train))
        ]
    document["notes"] = [*notes, f"Inputs are joined by a mean rank correlation of {TOGETHER:g} or more; texts never."]
    return FeatureReport(model, document)


def _together(
    names: Sequence[str], model: FittedPipeline, rows: TrainingSet, score: Score, repeats: int, seed: int
) -> dict[str, float]:
    mean, spread = together(
        names, rows.columns, lambda columns: score(model.estimator, columns, rows.labels), repeats, seed
    )
    return {"mean": mean, "std": spread}


def _score(model: FittedPipeline, labels: Values) -> tuple[str, Score]:
    """What importance is measured by, the larger the better, and its name. One class alone has no AUC."""
    if model.task is Task.REGRESSION:
        return "Mean absolute error", lambda one, rows, actual: -float(mean_absolute_error(actual, one.predict(rows)))
    if not hasattr(model.estimator, "predict_proba"):
        return "Accuracy", lambda one, rows, actual: float(accuracy_score(actual, one.predict(rows)))
    if model.task is Task.MULTICLASS or len(np.unique(labels)) < 2:
        classes = list(model.classes)
        return "Log loss", lambda one, rows, actual: -float(log_loss(actual, one.predict_proba(rows), labels=classes))
    positive = model.classes[1]
    return "AUC", lambda one, rows, actual: float(roc_auc_score(actual == positive, one.predict_proba(rows)[:, 1]))


def _evenly(rows: TrainingSet, most: int) -> TrainingSet:
    kept = np.zeros(len(rows), np.bool_)
    kept[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)] = True
    return rows.only(kept)


def _numbers(rows: TrainingSet) -> pd.DataFrame:
    return _evenly(rows, _RANKED_ROWS).columns.select_dtypes("number").replace([np.inf, -np.inf], np.nan)


def _drift(train: pd.Series, test: pd.Series) -> float | None:
    """The index of the values that are there; what is missing is told apart."""
    if train.dtype == np.object_:
        found = of_categories(train[train != ""].to_numpy(), test[test != ""].to_numpy())
    else:
        before, after = (one.to_numpy(np.float64) for one in (train, test))
        found = of_numbers(before[np.isfinite(before)], after[np.isfinite(after)])
    return None if found is None else found.psi


def _dependences(
    model: FittedPipeline, test: pd.DataFrame, names: Sequence[str], facts: dict[str, dict[str, Any]]
) -> list[str]:
    """Puts the dependence on these inputs to their facts; returns what has to be said."""
    if isinstance(model.model, Foreign):
        return ["Partial dependence is left out: scikit-learn takes it of its own kind of estimators alone."]
    some = test.iloc[np.linspace(0, len(test) - 1, min(_DEPENDENCE_ROWS, len(test))).astype(np.int64)]
    for name in names:
        chart = dependence(model, some, name)
        if chart is not None:
            facts[name]["dependence"] = chart_document(chart)
    return []


def _explained(
    model: FittedPipeline,
    test: TrainingSet,
    examples: pd.DataFrame | None,
    document: dict[str, Any],
    facts: dict[str, dict[str, Any]],
) -> list[str]:
    """Puts contributions into the document where the model is made of trees; returns what has to be said."""
    if not explainable(model):
        return [f"Contributions are left out: {type(model.model).__name__} is not made of trees."]
    try:
        found = contributions(model, _evenly(test, _EXPLAINED_ROWS)).of_inputs(model)
        rows = _evenly(test, _EXAMPLES).rows if examples is None else examples
        document["examples"] = _examples(model, rows, "Test row" if examples is None else "Example")
    except ModelError as error:
        return [f"Contributions are left out: {error}"]
    document["contributed"] = f"mean size of the contribution to the {found.output}"
    for name, size in found.mean_size.items():
        if name in facts:
            facts[name]["contribution"] = size
    return []


def _examples(model: FittedPipeline, rows: pd.DataFrame, what: str) -> list[dict[str, Any]]:
    found, typed = contributions(model, rows).of_inputs(model), model.typed(rows)
    documents = []
    for place in range(len(rows)):
        column = int(found.score[place].argmax()) if found.score.shape[1] > 1 else 0
        named = f" of {model.classes[column]}" if found.score.shape[1] > 1 else ""
        documents.append(
            {
                "title": f"{what} {place + 1}",
                "output": f"{found.output}{named}",
                "base": float(found.base[column]),
                "score": float(found.score[place, column]),
                "inputs": [{"name": str(name), "value": _text(value)} for name, value in typed.iloc[place].items()],
                "contributions": [
                    {"name": name, "value": float(value)}
                    for name, value in zip(found.names, found.values[place, :, column], strict=True)
                ],
            }
        )
    return documents


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value[:_MOST_TEXT] or "(empty)"
    return "missing" if pd.isna(value) else number(float(value))
