"""Confidence intervals by resampling whole units: rows, entities or days, which depend on each other within. Pure.

A resample draws as many units as there are, with replacement (Efron and Tibshirani 1993, chapter 13; of days and
entities as a whole: Field and Welsh 2007). Intervals are percentiles, widened for few units as Hesterberg 2015 has it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from bighead.errors import ModelError
from bighead.pipeline.reports.answers import Numbers, Values
from bighead.pipeline.training_set import TrainingSet

DAY_MS = 86_400_000
ROWS, DAYS = "rows", "days"
FEW_UNITS = 20
_CELLS = 4_000_000
"""Of weights that are in memory at a time, 32 MB."""
_DEFINED = 0.9
"""Of the resamples: a metric that has no value in more than the others of them gets no interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """How intervals are found.

    by: what is drawn as a whole: 'rows', 'days' (UTC, of the set's time), or a column that says whom a row is about;
    empty: days where the set has a time, else rows. block_days: so many days in a row are one unit.
    """

    by: str = ""
    block_days: int = 1
    resamples: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1 or self.resamples < 100 or self.block_days < 1:
            raise ModelError(
                f"level {self.level}, {self.resamples} resamples and blocks of {self.block_days} days; expected a "
                "level between 0 and 1, at least 100 resamples and blocks of at least a day"
            )


@dataclass(frozen=True, eq=False)
class Units:
    """Which unit each row belongs to, as a place from 0 to `count` - 1, and what units are, in words."""

    places: Values
    count: int
    what: str

    def drawn(self, how: Resampling) -> Iterator[Numbers]:
        """How often each resample has drawn each unit, [b, count], some resamples at a time."""
        random = np.random.default_rng(how.seed)
        at_once = max(1, min(how.resamples, _CELLS // max(self.count, len(self.places))))
        for begun in range(0, how.resamples, at_once):
            lines = min(at_once, how.resamples - begun)
            chosen = random.integers(self.count, size=(lines, self.count)) + np.arange(lines)[:, None] * self.count
            counts = np.bincount(chosen.ravel(), minlength=lines * self.count)
            yield counts.reshape(lines, self.count).astype(np.float64)

    def weights(self, how: Resampling) -> Iterator[Numbers]:
        """How often each resample has drawn each row, [b, N]."""
        for counts in self.drawn(how):
            yield counts if self.count == len(self.places) else counts[:, self.places]


def units_of(rows: TrainingSet, how: Resampling) -> Units:
    """What is drawn as a whole of these rows; ModelError for a column that is not there."""
    by = how.by or (DAYS if rows.time else ROWS)
    if by == ROWS:
        return Units(np.arange(len(rows)), len(rows), "rows")
    if by == DAYS:
        if not rows.time:
            raise ModelError(f"{rows.name!r} names no time, so its days are not known; resample rows or a column")
        days = rows.rows[rows.time].to_numpy() // (DAY_MS * how.block_days)
        places, found = pd.factorize(days)
        return Units(places, len(found), "days" if how.block_days == 1 else f"blocks of {how.block_days} days")
    if by not in rows.rows.columns:
        raise ModelError(f"{rows.name!r} has no column {by!r} to resample by; it has {', '.join(rows.rows.columns)}")
    places, found = pd.factorize(rows.rows[by], use_na_sentinel=False)
    return Units(places, len(found), f"values of {by}")


def interval(found: Numbers, units: int, level: float) -> tuple[float, float] | None:
    """The percentile interval of a statistic's resamples; None where it has too few values, or there is one unit.

    Percentiles alone are too near to each other for few units: they are those that lie as far out as `widened` says.
    """
    known = found[np.isfinite(found)]
    if units < 2 or len(known) < _DEFINED * len(found):
        return None
    outside = float(stats.norm.cdf(-widened(float(stats.norm.ppf((1 + level) / 2)), units)))
    low, high = np.quantile(known, [outside, 1 - outside])
    return float(low), float(high)


def widened(reach: float, units: int) -> float:
    """How many standard errors of resamples an interval reaches out that would reach `reach` of many units.

    The expanded percentile interval (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 5.2)
    makes the interval of a mean as wide as Student's: sqrt(n / (n - 1)) t(n - 1, Phi(reach)).
    """
    return float(np.sqrt(units / (units - 1)) * stats.t.isf(stats.norm.sf(reach), units - 1))
