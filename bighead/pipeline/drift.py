"""How far two samples of one column lie apart. Pure; missing values are no values here: their share is told apart.

PSI as in Siddiqi, Credit Risk Scorecards (2006), section "System Stability": the sum of (p - q) ln(p / q) over bins,
here ten with as many values of the first sample in each, where a sample without a value in a bin counts as having half
of one. Below 0.1 nothing has changed, above 0.25 much has: his rule of thumb.
Kolmogorov and Smirnov's statistic is scipy.stats.ks_2samp's, Jensen and Shannon's distance, to the base of two,
scipy.spatial.distance's, and the chi-squared test of two rows of counts scipy.stats.chi2_contingency's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp

CHANGED, MUCH = 0.1, 0.25
"""PSI from which a column has changed, and from which it has changed much."""
CHANCE = 0.01
"""Of few rows any PSI comes about by chance: what is as probable as this where nothing has changed is stable."""
_BINS = 10

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Drift:
    """psi: population stability index. distance: of numbers Kolmogorov and Smirnov's, of categories Jensen and
    Shannon's, both between 0 and 1. p: how probable a distance like this is where nothing has changed; NaN if untold.
    """

    psi: float
    distance: float
    p: float

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.p >= CHANCE:
            return "stable"
        return "much changed" if self.psi > MUCH else "changed" if self.psi > CHANGED else "stable"


def of_numbers(first: Values, second: Values) -> Drift | None:
    """Between two samples of finite numbers; None where one is empty."""
    if not len(first) or not len(second):
        return None
    edges = np.unique(np.quantile(first, np.linspace(0, 1, _BINS + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(edges, one, side="left"), minlength=len(edges) + 1) for one in (first, second)
    ]
    test = ks_2samp(first, second, method="asymp")
    return Drift(psi(counts[0], counts[1]), float(test.statistic), float(test.pvalue))


def of_categories(first: Sequence[Any] | Values, second: Sequence[Any] | Values) -> Drift | None:
    """Between two samples of texts; None where one is empty."""
    if not len(first) or not len(second):
        return None
    _, codes = np.unique(np.concatenate([np.asarray(first, str), np.asarray(second, str)]), return_inverse=True)
    kinds = int(codes.max()) + 1
    counts = [np.bincount(codes[: len(first)], minlength=kinds), np.bincount(codes[len(first) :], minlength=kinds)]
    p = float(chi2_contingency(np.stack(counts)).pvalue) if kinds > 1 else 1.0
    return Drift(psi(counts[0], counts[1]), float(jensenshannon(counts[0], counts[1], base=2)), p)


def psi(first: Values, second: Values) -> float:
    """The population stability index of two rows of counts over the same bins."""
    shares = [np.maximum(counts, 0.5) / np.maximum(counts, 0.5).sum() for counts in (first, second)]
    return float(np.sum((shares[0] - shares[1]) * np.log(shares[0] / shares[1])))
