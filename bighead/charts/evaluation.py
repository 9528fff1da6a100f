"""An evaluation as data: metrics with intervals, what they are compared with, the worst slices, the threshold. Pure.

Written by `bighead.pipeline.reports`, kept beside the model, shown by the console; read from JSON of anybody.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bighead.charts.forms import Bar, BarChart
from bighead.charts.reading import Reader
from bighead.charts.svg import number
from bighead.charts.words import Table

MOST_MEASURES, MOST_BASELINES, MOST_SLICES, MOST_NOTES = 60, 12, 40, 20
_MOST_BARS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A figure with its confidence interval; None where there is none."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    higher_is_better: bool | None = None

    @property
    def better(self) -> bool | None:
        """Of a difference: whether it is one for the better; None where the interval holds 0 or is not known."""
        if self.low is None or self.high is None or self.higher_is_better is None or self.low <= 0 <= self.high:
            return None
        return (self.low > 0) == self.higher_is_better


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Other answers for the same rows. differences: the model's figure less the baseline's, on common resamples."""

    name: str
    what: str
    measures: tuple[Measure, ...]
    differences: tuple[Measure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows with one value of a column. difference: the mean loss in it less that of all other rows; bias: the mean of
    what is predicted less what was so, None where that has no meaning."""

    column: str
    value: str
    rows: int
    loss: float
    difference: Measure
    bias: float | None = None

    @property
    def is_worse(self) -> bool:
        """Whether the interval, which holds for all slices at once, says so."""
        return self.difference.low is not None and self.difference.low > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """The worst of the slices that were looked at. measured: the mean loss that they are compared by."""

    measured: str
    looked_at: int
    least_rows: int
    worst: tuple[Slice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The threshold with the least cost on rows that are not those of the test. costs: each a row, on the test."""

    value: float
    false_positive: float
    false_negative: float
    chosen_on: str
    cost: Measure
    cost_at_half: Measure
    saved: Measure


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """How good a model is on rows that it was not trained on. how: the split; intervals: how they were found, in words;
    calibration_error: the expected one, of probabilities of two classes."""

    task: str
    rows: int
    how: str
    intervals: str
    measures: tuple[Measure, ...]
    baselines: tuple[Baseline, ...] = ()
    slices: Slices | None = None
    threshold: Threshold | None = None
    calibration_error: float | None = None
    notes: tuple[str, ...] = ()


def evaluation_json(report: EvaluationReport) -> str:
    """The report's JSON, the same for equal reports."""
    return json.dumps(asdict(report), sort_keys=True, allow_nan=False)


def evaluation_from_json(content: bytes | str) -> EvaluationReport:
    """The report; raises InvalidInput naming the field that is not as it must be."""
    reader = Reader.of_json(content, "the evaluation")
    return EvaluationReport(
        task=reader.text("task"),
        rows=reader.count("rows"),
        how=reader.text("how", ""),
        intervals=reader.text("intervals", ""),
        measures=_measures(reader, "measures"),
        baselines=tuple(
            Baseline(
                name=one.text("name"),
                what=one.text("what", ""),
                measures=_measures(one, "measures"),
                differences=_measures(one, "differences"),
            )
            for one in (reader.objects("baselines", MOST_BASELINES) if reader.has("baselines") else ())
        ),
        slices=_slices(reader.child("slices")) if reader.has("slices") else None,
        threshold=_threshold(reader.child("threshold")) if reader.has("threshold") else None,
        calibration_error=reader.number("calibration_error") if reader.has("calibration_error") else None,
        notes=reader.texts("notes", MOST_NOTES) if reader.has("notes") else (),
    )


def _measures(reader: Reader, name: str) -> tuple[Measure, ...]:
    return tuple(map(_measure, reader.objects(name, MOST_MEASURES)))


def _measure(reader: Reader) -> Measure:
    return Measure(
        name=reader.text("name"),
        value=reader.number("value"),
        low=reader.number("low") if reader.has("low") else None,
        high=reader.number("high") if reader.has("high") else None,
        higher_is_better=reader.flag("higher_is_better") if reader.has("higher_is_better") else None,
    )


def _slices(reader: Reader) -> Slices:
    worst = tuple(
        Slice(
            column=one.text("column"),
            value=one.text("value"),
            rows=one.count("rows"),
            loss=one.number("loss"),
            difference=_measure(one.child("difference")),
            bias=one.number("bias") if one.has("bias") else None,
        )
        for one in reader.objects("worst", MOST_SLICES)
    )
    return Slices(
        measured=reader.text("measured"),
        looked_at=reader.count("looked_at"),
        least_rows=reader.count("least_rows"),
        worst=worst,
    )


def _threshold(reader: Reader) -> Threshold:
    return Threshold(
        value=reader.number("value"),
        false_positive=reader.number("false_positive"),
        false_negative=reader.number("false_negative"),
        chosen_on=reader.text("chosen_on", ""),
        cost=_measure(reader.child("cost")),
        cost_at_half=_measure(reader.child("cost_at_half")),
        saved=_measure(reader.child("saved")),
    )


def in_words(one: Measure) -> str:
    """A figure and its interval."""
    return number(one.value) if one.low is None or one.high is None else f"{number(one.value)} {between(one)}"


def between(one: Measure) -> str:
    """The interval alone; a dash where there is none."""
    return "–" if one.low is None or one.high is None else f"({number(one.low)} to {number(one.high)})"


def measures_table(report: EvaluationReport) -> Table:
    """Each metric of the model, and of what it is compared with."""
    others = [{one.name: one for one in baseline.measures} for baseline in report.baselines]
    rows = tuple(
        (
            one.name,
            number(one.value),
            between(one),
            *(number(other[one.name].value) if one.name in other else "–" for other in others),
        )
        for one in report.measures
    )
    return Table(("metric", "model", "interval", *(one.name for one in report.baselines)), rows)


def differences_table(report: EvaluationReport) -> Table:
    """What the model gains or loses against each baseline, on the same resamples of the same rows."""
    verdicts = {True: "better", False: "worse", None: "not told apart"}
    rows = tuple(
        (baseline.name, one.name, number(one.value), between(one), verdicts[one.better])
        for baseline in report.baselines
        for one in baseline.differences
    )
    return Table(("beside", "metric", "difference", "interval", "the model is"), rows)


def slices_table(slices: Slices) -> Table:
    """The worst slices, with what their loss is beyond that of all other rows."""
    rows = tuple(
        (
            one.column,
            one.value or "(empty)",
            number(one.rows),
            number(one.loss),
            number(one.difference.value),
            between(one.difference),
            "–" if one.bias is None else number(one.bias),
            "worse" if one.is_worse else "not told apart",
        )
        for one in slices.worst
    )
    heads = ("column", "value", "rows", slices.measured, "beyond the rest", "for all slices at once", "bias", "it is")
    return Table(heads, rows)


def threshold_table(threshold: Threshold) -> Table:
    """What the threshold costs on the test, beside one half."""
    return Table(
        ("threshold", "cost of a row", "interval"),
        (
            (number(threshold.value), number(threshold.cost.value), between(threshold.cost)),
            ("0.5", number(threshold.cost_at_half.value), between(threshold.cost_at_half)),
            ("saved", number(threshold.saved.value), between(threshold.saved)),
        ),
    )


def threshold_in_words(threshold: Threshold) -> str:
    """What was chosen, for which costs, and on which rows."""
    return (
        f"From a probability of {number(threshold.value)} on it is decided for the positive class: the least cost on "
        f"{threshold.chosen_on}, where a false positive costs {number(threshold.false_positive)} and a false negative "
        f"{number(threshold.false_negative)}."
    )


def slices_in_words(slices: Slices) -> str:
    """How many were looked at, and what the intervals hold for."""
    found = sum(one.is_worse for one in slices.worst)
    return (
        f"Of {slices.looked_at} slices with at least {slices.least_rows} rows the {len(slices.worst)} that are worst, "
        f"by the mean {slices.measured} in it less that of all other rows. Intervals hold for all of them at once, so "
        f"looking at many finds no slice by chance: {found or 'none'} of these {'is' if found == 1 else 'are'} worse."
    )


def slices_chart(slices: Slices) -> BarChart:
    """The worst slices as bars, half an interval to each side."""
    bars = tuple(
        Bar(
            name=f"{one.column} = {one.value or '(empty)'}",
            value=one.difference.value,
            spread=_half(one.difference),
        )
        for one in slices.worst[:_MOST_BARS]
    )
    return BarChart(
        title="Worst slices",
        x_label=f"{slices.measured} beyond that of all other rows",
        bars=bars,
        note="Lines are intervals that hold for all slices at once.",
    )


def _half(one: Measure) -> float:
    return 0.0 if one.low is None or one.high is None else (one.high - one.low) / 2


def sections(report: EvaluationReport) -> Sequence[tuple[str, str, Table]]:
    """The whole report as (title, words, table), in the order in which it is read."""
    split = [report.how, report.intervals]
    if report.calibration_error is not None:
        split.append(f"The expected calibration error is {number(report.calibration_error)}")
    found = [("Metrics", "".join(f"{one}. " for one in split if one).strip(), measures_table(report))]
    if report.baselines:
        told = "; ".join(f"{one.name}: {one.what}" for one in report.baselines if one.what)
        found.append(("Baselines", f"{told}. The model's figure less the other's.", differences_table(report)))
    if report.slices is not None and report.slices.worst:
        found.append(("Worst slices", slices_in_words(report.slices), slices_table(report.slices)))
    if report.threshold is not None:
        found.append(("Threshold by cost", threshold_in_words(report.threshold), threshold_table(report.threshold)))
    return found
