"""`evaluate`: how good a fitted pipeline is on rows that it has not seen, beside what it has to beat, and on whom not.

Figures are scikit-learn's; intervals come from resampling whole days, entities or rows (`bootstrap`). Fits only copies.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import clone

from bighead.charts.evaluation import (
    Baseline,
    EvaluationReport,
    Measure,
    evaluation_json,
    sections,
    slices_chart,
)
from bighead.charts.forms import Chart, LineChart, Series
from bighead.errors import ModelError
from bighead.notebook import display
from bighead.notebook.progress import progress
from bighead.pipeline.reports.answers import Answers, answers_of
from bighead.pipeline.reports.baselines import Beside, baselines_of
from bighead.pipeline.reports.bootstrap import FEW_UNITS, ROWS, Resampling, Units, units_of
from bighead.pipeline.reports.charts import binary_charts, multiclass_charts, regression_charts
from bighead.pipeline.reports.costs import Costs, threshold_by_cost
from bighead.pipeline.reports.measured import Found, Judged, differences, measures
from bighead.pipeline.reports.metrics import losses, metrics_of
from bighead.pipeline.reports.out_of_fold import out_of_fold
from bighead.pipeline.reports.ranking import ndcg
from bighead.pipeline.reports.slices import worst_slices
from bighead.pipeline.splits import Split, check_split
from bighead.pipeline.training_set import Task
from bighead.pipeline.wrapped import FittedPipeline

MODEL = "model"
CALIBRATION_BINS = 10
MOST_COLUMNS = 40
LEAST_ROWS = 50
LEARNING = (0.1, 0.25, 0.5)
USUAL = Resampling()


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(display.Displayed):
    """A report with its charts by name; `str` gives it as text."""

    report: EvaluationReport
    charts: Mapping[str, Chart]

    @property
    def figures(self) -> dict[str, float]:
        """The metrics by name, as a record has them."""
        return {one.name: one.value for one in self.report.measures}

    def measure(self, name: str) -> Measure:
        """One metric with its interval."""
        return next(one for one in self.report.measures if one.name == name)

    def to_json(self) -> str:
        """The report as `bighead.charts.evaluation_from_json` reads it; charts are documents of their own."""
        return evaluation_json(self.report)

    def __str__(self) -> str:
        return "\n\n".join([self._title, *display.text_sections(sections(self.report)), *self.report.notes])

    def _repr_html_(self) -> str:
        drawn = display.folded("Charts", *map(display.chart, self.charts.values()))
        notes = map(display.paragraph, self.report.notes)
        return display.shown(self._title, *display.sections(sections(self.report)), *notes, drawn)

    @property
    def _title(self) -> str:
        rows = "1 row" if self.report.rows == 1 else f"{self.report.rows:,} rows"
        return f"Evaluation: {self.report.task.replace('_', ' ')} on {rows}"


@progress("evaluation")
def evaluate(
    model: FittedPipeline,
    split: Split,
    *,
    threshold: float = 0.5,
    baselines: Mapping[str, Any] | None = None,
    slices: Sequence[str] | None = None,
    costs: Costs | None = None,
    rank_within: str = "",
    learning: Sequence[float] = LEARNING,
    least_rows: int = LEAST_ROWS,
    resampling: Resampling = USUAL,
) -> Evaluation:
    """Judges the model, which was fitted to `split.train`, on `split.test`.

    threshold: two classes are told apart at it; `costs` finds the cheapest without a look at the test.
    baselines: by name a column (the last value), a FittedPipeline (the live model), or answers for each test row;
    a constant is always among them. slices: the columns to look within, all inputs if left out; a slice, and the
    rows beside it, have at least `least_rows`. rank_within: the column whose groups are ranked (NDCG).
    learning: shares of the training rows that a copy is fitted to for the learning curve; none where it is empty.
    """
    check_split(split)
    if isinstance(slices, str):
        raise ModelError(f"slices is {slices!r}; expected a list of columns, such as [{slices!r}]")
    if not 0 <= threshold <= 1:
        raise ModelError(f"the threshold is {threshold}; expected a probability, from 0 to 1")
    answers = answers_of(model, split.test).decided(threshold)
    units = units_of(split.test, resampling)
    beside = baselines_of(model, split, answers, baselines or {})
    found = measures(
        [Judged(MODEL, answers), *(Judged(one.name, one.answers) for one in beside)], metrics_of, units, resampling
    )
    ranked = (ndcg(answers, split.test, rank_within, resampling),) if rank_within else ()
    columns = [tensor.name for tensor in model.inputs][:MOST_COLUMNS] if slices is None else list(slices)
    worst = worst_slices(answers, split.test, columns, units, resampling, least_rows)
    chosen, cost_chart = None, None
    if costs is not None:
        rows, told = _to_choose_on(model, split, costs)
        chosen, cost_chart = threshold_by_cost(rows, told, answers, costs, units, resampling)
    charts: dict[str, Chart | None] = {
        **_charts(answers, threshold),
        "worst_slices": slices_chart(worst) if worst else None,
        "cost": cost_chart,
        "learning_curve": _learning(model, split, answers, learning) if learning else None,
    }
    report = EvaluationReport(
        task=model.task,
        rows=len(answers),
        how=split.how,
        intervals=_told(units, resampling),
        measures=(*found.of(MODEL), *ranked),
        baselines=tuple(_baseline(one, found) for one in beside),
        slices=worst,
        threshold=chosen,
        calibration_error=calibration_error(answers),
        notes=(*_lacking(answers), *_notes(model, split, units, slices)),
    )
    return Evaluation(report, {name: chart for name, chart in charts.items() if chart is not None})


def _baseline(one: Beside, found: Found) -> Baseline:
    differing = differences(found, MODEL, one.name)
    return Baseline(name=one.name, what=one.what, measures=found.of(one.name), differences=differing)


def calibration_error(answers: Answers, bins: int = CALIBRATION_BINS) -> float | None:
    """The expected calibration error over bins of equally many rows (Nixon et al. 2019); None of other tasks.

    How far the share that happened is from the mean probability, in the mean over the rows. It is never below what
    chance alone gives, so it has no interval.
    """
    if answers.task is not Task.BINARY or answers.probability is None:
        return None
    order = np.argsort(answers.probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [abs(answers.probability[part].mean() - answers.actual[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(answers))


def _charts(answers: Answers, threshold: float) -> dict[str, Chart]:
    names = [str(one) for one in answers.classes]
    several = len(np.unique(answers.actual)) > 1
    if answers.task is Task.BINARY and answers.probability is not None and several:
        return binary_charts(answers.actual, answers.probability, threshold, names)
    if answers.task is Task.REGRESSION:
        return regression_charts(answers.actual, answers.predicted)
    named = np.array(names, np.object_)
    return multiclass_charts(named[answers.actual], named[answers.predicted], names)


def _to_choose_on(model: FittedPipeline, split: Split, costs: Costs) -> tuple[Answers, str]:
    if costs.validation is not None:
        return answers_of(model, costs.validation), f"the {len(costs.validation):,} rows of {costs.validation.name}"
    return out_of_fold(model, split.train)


def _learning(model: FittedPipeline, split: Split, tested: Answers, shares: Sequence[float]) -> LineChart:
    """The mean loss of copies fitted to evenly chosen parts of the training rows, and of the model to all of them."""
    every, filled = len(split.train), split.train.columns.notna().any()
    lines: dict[str, list[tuple[float, float]]] = {"training": [], "test": []}
    name = losses(tested)[0]
    for count in sorted({max(2, round(share * every)) for share in shares if share < 1}):
        kept = np.zeros(every, np.bool_)
        kept[np.linspace(0, every - 1, count).astype(np.int64)] = True
        part = split.train.only(kept)
        if model.task is not Task.REGRESSION and len(np.unique(part.labels)) < len(model.classes):
            continue
        if (part.columns.isna().all() & filled).any():  # boosting cannot be fitted to a column of nothing
            continue
        fitted = replace(model, estimator=clone(model.estimator).fit(part.columns, part.labels))
        lines["training"].append((float(count), _loss(answers_of(fitted, part))))
        lines["test"].append((float(count), _loss(answers_of(fitted, split.test))))
    lines["training"].append((float(every), _loss(answers_of(model, split.train))))
    lines["test"].append((float(every), _loss(tested)))
    return LineChart(
        title="Learning curve",
        x_label="training rows",
        y_label=name,
        series=tuple(Series(name=line, points=tuple(points)) for line, points in lines.items()),
        note="Copies fitted to evenly chosen parts of the training rows, all tried on the same test.",
    )


def _loss(answers: Answers) -> float:
    return float(losses(answers)[1].mean())


def _told(units: Units, how: Resampling) -> str:
    return (
        f"Intervals hold {how.level:.0%} of the time: percentiles of {how.resamples:,} resamples of whole {units.what} "
        f"({units.count:,} of them, seed {how.seed})"
    )


def _lacking(answers: Answers) -> Iterator[str]:
    """What is not measured, and why, where the test lacks a class."""
    gone = [str(answers.classes[place]) for place in answers.places if not (answers.actual == place).any()]
    if gone and answers.probability is not None:
        lost = "average precision and the AUC are" if answers.task is Task.BINARY else "the AUC is"
        yield f"No row of the test is {' or '.join(gone)}, so {lost} not measured."


def _notes(model: FittedPipeline, split: Split, units: Units, slices: Sequence[str] | None) -> tuple[str, ...]:
    notes = []
    if split.test.time and units.what == "rows":
        notes.append(
            "Rows were drawn one by one although they have a time: those of one day depend on each other, so the "
            "intervals are too narrow."
        )
    if units.count < 2:
        alone = "The test has one row" if units.what == ROWS else f"All rows are of one of the {units.what}"
        notes.append(f"{alone}, so there is no interval.")
    elif units.count < FEW_UNITS:
        notes.append(f"There are {units.count} {units.what}: intervals of so few are rough.")
    if slices is None and len(model.inputs) > MOST_COLUMNS:
        notes.append(
            f"Slices are of the first {MOST_COLUMNS} of {len(model.inputs)} inputs; name others to look at them."
        )
    return tuple(notes)
