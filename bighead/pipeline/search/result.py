"""What a search found, and how sure it is of it: for a notebook, a terminal, and the model's record. Pure."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from bighead.charts.forms import Bar, BarChart, Chart, LineChart, Series
from bighead.pipeline.search.trials import Ended, Trial

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may take: trials in all, seconds after which no further batch is begun, processes."""

    trials: int
    seconds: float
    jobs: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Search:
    """The trials of a search and the one that was chosen. Scores are of scikit-learn's scorer: greater is better.

    how: how the folds were made; tested: how the test part was set apart. best: the chosen trial, whose `score` is the
    inner one, the best of many and so too good by some luck. outer: its score on the test, which no trial has seen.
    importance: the share of the scores' variance that each parameter explains, the greatest first. estimator: the
    chosen parameters, fitted on the whole training part.
    """

    metric: str
    seed: int
    how: str
    tested: str
    budget: Budget
    trials: tuple[Trial, ...]
    best: Trial
    outer: float
    importance: Mapping[str, float]
    estimator: Any = field(repr=False)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The chosen parameters."""
        return self.best.parameters

    @property
    def ranked(self) -> tuple[Trial, ...]:
        """The complete trials, the best first; then the pruned ones, then those that failed."""
        order = list(Ended)
        return tuple(sorted(self.trials, key=lambda one: (order.index(one.ended), -one.score, one.number)))

    @property
    def table(self) -> pd.DataFrame:
        """A row for each trial, as ranked."""
        rows = [
            {
                "trial": trial.number,
                "ended": trial.ended.value,
                self.metric: trial.score,
                "± (folds)": trial.deviation,
                "seconds": trial.seconds,
                **trial.parameters,
            }
            for trial in self.ranked
        ]
        return pd.DataFrame(rows)

    @property
    def lead(self) -> str:
        """How far the chosen trial is ahead of the next, beside how much their difference varies between the folds."""
        complete = [trial for trial in self.ranked if trial.ended is Ended.COMPLETE]
        if len(complete) < 2:
            return "No other trial was completed to compare it with."
        ahead = np.subtract(complete[0].scores, complete[1].scores)
        error = float(np.std(ahead, ddof=1) / math.sqrt(len(ahead)))
        sure = "more than" if ahead.mean() > error else "within"
        return (
            f"It is ahead of the next (trial {complete[1].number}) by {ahead.mean():.4g}, {sure} one standard error of "
            f"their difference over the folds ({error:.2g})."
        )

    @property
    def text(self) -> str:
        """The choice explained."""
        ended = Counter(trial.ended for trial in self.trials)
        counted = ", ".join(f"{ended[how]} {how}" for how in Ended if ended[how])
        limit = "" if math.isinf(self.budget.seconds) else f" or {self.budget.seconds:g} s"
        chosen = ", ".join(f"{name} {_short(value)}" for name, value in self.parameters.items())
        lines = [
            f"Chosen: trial {self.best.number} with {chosen}.",
            f"{self.metric}: {self.best.score:.4f} ± {self.best.deviation:.4f} by cross-validation, "
            f"{self.outer:.4f} on the test that no trial has seen.",
            self.lead,
            f"Budget: {self.budget.trials} trials{limit}; {counted}.",
            f"Inner: {self.how}. Outer: {self.tested}.",
        ]
        if self.importance:
            shares = ", ".join(f"{name} {share:.0%}" for name, share in self.importance.items())
            lines.append(f"What the score depends on: {shares}.")
        return "\n".join(lines)

    @property
    def charts(self) -> dict[str, Chart]:
        """The course of the search beside the outer score, and what the score depends on; for the model's record."""
        complete = sorted((one for one in self.trials if one.ended is Ended.COMPLETE), key=lambda one: one.number)
        best = np.maximum.accumulate([trial.score for trial in complete]).tolist()
        numbers = [float(trial.number) for trial in complete]
        last = float(max(trial.number for trial in self.trials))
        course = LineChart(
            title="Search",
            x_label="trial",
            y_label=self.metric,
            series=(
                Series(
                    name="best so far, by cross-validation", points=tuple(zip(numbers, map(float, best), strict=True))
                ),
            ),
            baseline=Series(name="on the test", points=((0.0, self.outer), (last, self.outer))),
            note=self.text,
        )
        shares = tuple(Bar(name=name, value=share) for name, share in self.importance.items())
        told: dict[str, Chart] = {"search": course}
        if shares:
            told["search_parameters"] = BarChart(
                title="What the score depends on", x_label="share of the variance between trials", bars=shares
            )
        return told

    def __str__(self) -> str:
        shown = self.table.head(_SHOWN).to_string(index=False, float_format=_short)
        rest = len(self.trials) - _SHOWN
        return f"{self.text}\n\n{shown}" + (f"\n... and {rest} more" if rest > 0 else "")

    def _repr_html_(self) -> str:
        lines = "".join(f"<p>{escape(line)}</p>" for line in self.text.splitlines())
        return f"{lines}{self.table.to_html(index=False, float_format=_short, border=0)}"

    @property
    def document(self) -> dict[str, Any]:
        """The search as JSON holds it, for the model's record; what could not be computed is null."""
        return {
            "metric": self.metric,
            "seed": self.seed,
            "inner": {"how": self.how, "score": self.best.score, "standard_error": _finite(self.best.deviation)},
            "outer": {"how": self.tested, "score": self.outer},
            "budget": {"trials": self.budget.trials, "seconds": _finite(self.budget.seconds), "jobs": self.budget.jobs},
            "chosen": {"trial": self.best.number, "seed": self.best.seed, "parameters": dict(self.parameters)},
            "lead": self.lead,
            "importance": dict(self.importance),
            "trials": [
                {
                    "number": trial.number,
                    "ended": trial.ended.value,
                    "parameters": dict(trial.parameters),
                    "scores": list(trial.scores),
                    "seconds": round(trial.seconds, 3),
                    "error": trial.error,
                }
                for trial in self.trials
            ],
        }

    def to_json(self) -> str:
        """The document as text."""
        return json.dumps(self.document, allow_nan=False)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
