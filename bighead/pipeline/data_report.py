"""What training and test rows hold: types, missing values, distributions, and how far the two lie apart. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from bighead.charts.features import FeatureReport, distribution_in_words, draw_distribution, feature_report_from_json
from bighead.charts.words import Table
from bighead.events.types import Tensor
from bighead.notebook import display
from bighead.notebook.progress import progress
from bighead.pipeline.drift import Drift, of_categories, of_numbers
from bighead.pipeline.reports.distributions import feature_report
from bighead.pipeline.splits import Split, check_split

_DRAWN = 60
"""Columns whose distributions are drawn, those that changed most first; all are in the table."""


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One input: shares of missing values in training and test, how many values there are, and the drift."""

    tensor: Tensor
    missing: tuple[float, float]
    distinct: tuple[int, int]
    drift: Drift | None


@dataclass(frozen=True, eq=False, repr=False)
class DataReport(display.Displayed):
    """The report of a split; `columns` in the order of the inputs."""

    split: Split
    columns: tuple[ColumnFacts, ...]
    distributions: FeatureReport

    @property
    def drifted(self) -> tuple[str, ...]:
        """The columns that are not stable, which is more than chance, those that changed most first."""
        found = [one for one in self._by_drift() if one.drift is not None and one.drift.verdict != "stable"]
        return tuple(one.tensor.name for one in found)

    def table(self) -> Table:
        """A row for each input."""
        return Table(
            ("input", "type", "from", "missing", "in test", "values", "PSI", "distance", "p", "verdict"),
            tuple(_row(one) for one in self.columns),
        )

    def _by_drift(self) -> list[ColumnFacts]:
        return sorted(self.columns, key=lambda one: -one.drift.psi if one.drift else 0.0)

    def _heads(self) -> Iterator[str]:
        for what, part in (("training", self.split.train), ("test", self.split.test)):
            yield f"{what}: {part.describe()}"
        yield f"split: {self.split.how}"
        changed = ", ".join(self.drifted[:12]) or "none"
        yield f"changed between the two (PSI above 0.1): {changed}"

    def _repr_html_(self) -> str:
        drawn = {one.name: one for one in self.distributions.features}
        figures = [
            display.figure(draw_distribution(drawn[one.tensor.name]), distribution_in_words(drawn[one.tensor.name]))
            for one in self._by_drift()[:_DRAWN]
        ]
        named = [
            part
            for one, figure in zip(self._by_drift(), figures, strict=False)
            for part in (display.heading(one.tensor.name), figure)
        ]
        return display.shown(
            f"Data of {self.split.train.name}",
            *map(display.paragraph, self._heads()),
            display.table(self.table(), "Inputs"),
            display.folded("Distributions: training filled, test as a line", *named),
        )

    def __str__(self) -> str:
        return "\n".join([f"Data of {self.split.train.name}", *self._heads(), "", display.text_table(self.table())])


def data_report(split: Split) -> DataReport:
    """The report over a split's inputs."""
    check_split(split)
    train, test = split.train.columns, split.test.columns
    inputs, facts = split.train.inputs, []
    with progress(f"comparing training and test of {split.train.name}", len(inputs)) as bar:
        for tensor in inputs:
            facts.append(_facts(tensor, train[tensor.name], test[tensor.name]))
            bar.advance(note=tensor.name)
    report = feature_report_from_json(feature_report(inputs, train, test, {}, ""))
    return DataReport(split, tuple(facts), report)


def _facts(tensor: Tensor, train: pd.Series, test: pd.Series) -> ColumnFacts:
    is_text = tensor.type == "BYTES"
    known = [_known(part, is_text) for part in (train, test)]
    drift = of_categories(*(part.to_numpy() for part in known)) if is_text else of_numbers(*map(_finite, known))
    missing = [1 - len(found) / len(part) for found, part in zip(known, (train, test), strict=True)]
    return ColumnFacts(tensor, (missing[0], missing[1]), (known[0].nunique(), known[1].nunique()), drift)


def _known(values: pd.Series, is_text: bool) -> pd.Series:
    return values[values != ""] if is_text else values[values.notna()]


def _finite(values: pd.Series) -> npt.NDArray[np.float64]:
    numbers: npt.NDArray[np.float64] = values.to_numpy().astype(np.float64)
    return numbers[np.isfinite(numbers)]


def _row(one: ColumnFacts) -> tuple[str, ...]:
    facts = (one.tensor.name, one.tensor.type, one.tensor.source)
    missing = tuple(f"{share:.1%}" if share else "" for share in one.missing)
    drift = ("", "", "", "") if one.drift is None else _told(one.drift)
    return (*facts, *missing, f"{one.distinct[0]:,}", *drift)


def _told(drift: Drift) -> Sequence[str]:
    return f"{drift.psi:.3f}", f"{drift.distance:.3f}", f"{drift.p:.2g}", drift.verdict
