"""Metrics of several answers for the same rows with their intervals, and of the differences between them. Pure.

All are measured on the same resamples, so what moves both does not widen the interval of their difference.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bighead.charts.evaluation import Measure
from bighead.pipeline.reports.answers import Answers, Numbers
from bighead.pipeline.reports.bootstrap import Resampling, Units, interval
from bighead.pipeline.reports.metrics import Metric


@dataclass(frozen=True, eq=False)
class Judged:
    """Answers, and what they are called."""

    name: str
    answers: Answers


@dataclass(frozen=True, eq=False)
class Found:
    """Of each that was judged and each metric the figure and those of the resamples."""

    metrics: Mapping[str, tuple[Metric, ...]]
    figures: Mapping[tuple[str, str], float]
    resampled: Mapping[tuple[str, str], Numbers]
    units: int
    level: float

    def of(self, name: str) -> tuple[Measure, ...]:
        """The measures of one that was judged; what has no finite value is left out."""
        return tuple(
            self._measure(metric, self.figures[name, metric.name], self.resampled[name, metric.name])
            for metric in self.metrics[name]
            if np.isfinite(self.figures[name, metric.name])
        )

    def _measure(self, metric: Metric, value: float, resampled: Numbers) -> Measure:
        low, high = interval(resampled, self.units, self.level) or (None, None)
        return Measure(name=metric.name, value=value, low=low, high=high, higher_is_better=metric.higher_is_better)

    def difference(self, metric: Metric, name: str, other: str) -> Measure:
        """The figure of one less that of the other."""
        one, two = (name, metric.name), (other, metric.name)
        return self._measure(metric, self.figures[one] - self.figures[two], self.resampled[one] - self.resampled[two])


def measures(
    judged: Sequence[Judged], metrics: Callable[[Answers], tuple[Metric, ...]], units: Units, how: Resampling
) -> Found:
    """Measures all of them on the same rows and the same resamples."""
    every = {one.name: metrics(one.answers) for one in judged}
    parts: dict[tuple[str, str], list[Numbers]] = {}
    for weights in units.weights(how):
        for one in judged:
            for metric in every[one.name]:
                parts.setdefault((one.name, metric.name), []).append(metric.weighted(one.answers, weights))
    return Found(
        metrics=every,
        figures={
            (one.name, metric.name): float(metric.figure(one.answers)) for one in judged for metric in every[one.name]
        },
        resampled={key: np.concatenate(found) for key, found in parts.items()},
        units=units.count,
        level=how.level,
    )


def differences(found: Found, name: str, other: str) -> tuple[Measure, ...]:
    """What `name` is beyond `other`, by each metric that both have."""
    theirs = {metric.name for metric in found.metrics[other]}
    shared = [metric for metric in found.metrics[name] if metric.name in theirs]
    measured = [found.difference(metric, name, other) for metric in shared]
    return tuple(one for one in measured if np.isfinite(one.value))
