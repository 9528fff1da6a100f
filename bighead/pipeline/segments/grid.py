"""The grid of a partitioned model: how well each segment is answered, beside the model of all rows; the worst first."""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer

from bighead.charts.forms import Bar, BarChart
from bighead.pipeline.parallel import each
from bighead.pipeline.search.folds import Places
from bighead.pipeline.segments.hierarchy import WHOLE, answering, members
from bighead.pipeline.splits import Split
from bighead.registry.segments import ALL_ROWS

if TYPE_CHECKING:
    from bighead.pipeline.segments.result import SegmentModel

Numbers = npt.NDArray[np.float64]
_DRAWN = 20
_SHOWN, _SHOWN_HTML = 30, 1_000
"""Segments, the worst first, that a terminal and a notebook show."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model answered to the test rows at these places."""

    places: Places
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class GridRow:
    """One segment, or (WHOLE) all rows.

    answered_by: who answers its test rows, itself or higher levels; of all rows it is left out. metrics: of those
    answers, and whole: of the model of all rows on the same rows; not a number where they cannot be computed, as with
    one class.
    """

    segment: str
    answered_by: tuple[str, ...]
    train_rows: int
    test_rows: int
    metrics: Mapping[str, float]
    whole: Mapping[str, float]


@dataclass(frozen=True)
class Grid:
    """Segments x metrics, beside the model of all rows; by the first metric, the worst segment first.

    versions: the registered version of each segment's model, once there is one.
    """

    metrics: tuple[str, ...]
    rows: tuple[GridRow, ...]
    versions: Mapping[str, int]

    @property
    def table(self) -> pd.DataFrame:
        """A row for each segment; the columns of the model of all rows end in `(all rows)`."""
        return pd.DataFrame([self._cells(row) for row in self.rows])

    @property
    def document(self) -> dict[str, Any]:
        """The grid as JSON holds it; what could not be computed is null."""
        return {
            "metrics": list(self.metrics),
            "segments": [
                {
                    "segment": row.segment,
                    "answered_by": list(row.answered_by),
                    "versions": [self.versions[name] for name in row.answered_by if name in self.versions],
                    "train_rows": row.train_rows,
                    "test_rows": row.test_rows,
                    "metrics": _finite(row.metrics),
                    "all_rows": _finite(row.whole),
                }
                for row in self.rows
            ],
        }

    @property
    def chart(self) -> BarChart:
        """The worst segments by the first metric, each beside the model of all rows; for the model's record."""
        metric = self.metrics[0]
        known = [row for row in self.rows if row.segment and math.isfinite(row.metrics[metric])]
        bars = [
            Bar(name=name, value=value)
            for row in known[:_DRAWN]
            for name, value in ((row.segment, row.metrics[metric]), (f"{row.segment}, {ALL_ROWS}", row.whole[metric]))
        ]
        note = f"The worst {min(_DRAWN, len(known))} of {len(known)} segments; below each the model of all rows there."
        return BarChart(title="Segments", x_label=metric, bars=tuple(bars), note=note)

    def to_json(self) -> str:
        """The document as text."""
        return json.dumps(self.document, allow_nan=False)

    def __str__(self) -> str:
        return str(self.table.head(_SHOWN).to_string(index=False, float_format=_short)) + self._rest(_SHOWN)

    def _repr_html_(self) -> str:
        shown = self.table.head(_SHOWN_HTML).to_html(index=False, float_format=_short, border=0)
        return f"{shown}<p>{escape(self._rest(_SHOWN_HTML))}</p>"

    def _rest(self, shown: int) -> str:
        more = len(self.rows) - shown
        return f"\n... and {more:,} more, all in the grid's table" if more > 0 else ""

    def _cells(self, row: GridRow) -> dict[str, Any]:
        versions = [str(self.versions[name]) for name in row.answered_by if name in self.versions]
        return {
            "segment": row.segment or ALL_ROWS,
            "answered by": ", ".join(name or ALL_ROWS for name in row.answered_by) if row.segment else "their segments",
            **({"version": ", ".join(versions)} if self.versions else {}),
            "train rows": row.train_rows,
            "test rows": row.test_rows,
            **row.metrics,
            **{f"{name} (all rows)": value for name, value in row.whole.items()},
        }


class _Classified(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Answers that were given, in the form that a scorer asks: its rows are places among them."""

    def __init__(self, classes: npt.NDArray[Any], numbers: Numbers) -> None:
        self.classes_, self.numbers = classes, numbers

    def predict_proba(self, places: Places) -> Numbers:
        return self.numbers[places]

    def predict(self, places: Places) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = self.classes_[np.argmax(self.numbers[places], axis=1)]
        return found


class _Estimated(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """The same for numbers that were predicted."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers

    def predict(self, places: Places) -> Numbers:
        return self.numbers[places]


def grid_of(
    split: Split,
    levels: Sequence[str],
    whole: "SegmentModel",
    answers: Numbers,
    by_segment: Mapping[str, Answers],
    trained: Mapping[str, Places],
    metrics: Sequence[str],
    jobs: int,
) -> Grid:
    """The grid from the answers of the model of all rows to every test row, and of each segment's model to its own.

    jobs: processes that compute the figures, which are the same with any number.
    """
    labels, rows = split.test.labels, split.test.rows
    by = answering(rows, levels, by_segment)
    given = answers.copy()
    for name, found in by_segment.items():
        here = by[found.places] == name
        given[found.places[here]] = found.numbers[here]
    classes = getattr(whole.estimator, "classes_", None)
    scored, beside = (_Estimated(one) if classes is None else _Classified(classes, one) for one in (given, answers))
    tested = {WHOLE: np.arange(len(rows)), **members(rows, levels)}
    tested |= {name: np.zeros(0, np.intp) for name in trained if name not in tested}
    names = list(tested)
    shares = [names[first::jobs] for first in range(jobs)]
    tasks = [(metrics, (scored, beside), [tested[name] for name in share], labels) for share in shares]
    figures = {
        name: both
        for at, measured in each(_measured, tasks, jobs)
        for name, both in zip(shares[at], measured, strict=True)
    }
    found_rows = []
    for name, places in tested.items():
        who = () if name == WHOLE else tuple(dict.fromkeys(by[places]))
        train_rows = len(split.train) if name == WHOLE else len(trained.get(name, ()))
        found_rows.append(GridRow(name, who, train_rows, len(places), *figures[name]))
    first = metrics[0]
    found_rows.sort(key=lambda row: (math.isnan(row.metrics[first]), row.metrics[first], row.segment))
    return Grid(tuple(metrics), tuple(found_rows), {})


def _measured(
    metrics: Sequence[str], answered: Sequence[Any], segments: Sequence[Places], labels: npt.NDArray[Any]
) -> list[list[dict[str, float]]]:
    """The metrics of each segment's rows, by who answered. Runs in any process."""
    return [
        [{metric: _score(metric, one, places, labels[places]) for metric in metrics} for one in answered]
        for places in segments
    ]


def _score(metric: str, answered: Any, places: Places, labels: npt.NDArray[Any]) -> float:
    if not len(places):
        return math.nan
    with warnings.catch_warnings():  # of one class among few rows; the cell then says that there is no figure
        warnings.simplefilter("ignore")
        try:
            return float(get_scorer(metric)(answered, places, labels))
        except ValueError:
            return math.nan


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _short(value: float) -> str:
    return f"{value:.4g}"
