"""One trial: its parameters scored on one fold after the other, until it falls behind. Runs in any process.

What comes out depends on the trial's number, its parameters and the trials of earlier batches, not on where or when.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import get_scorer

from bighead.errors import ModelError
from bighead.pipeline.parallel import Shared
from bighead.pipeline.search.folds import Fold
from bighead.pipeline.search.journal import NUMBER

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

Parameters = Mapping[str, Any]
Make = Callable[[Parameters, int], Any]
"""An unfitted estimator from the parameters of a trial and its seed."""
_SEED, _SCORES, _SECONDS, _ERROR = "seed", "scores", "seconds", "error"


class Ended(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Trial:
    """A finished trial. scores: of each fold that it was scored on, greater is better; seconds: all of its fits."""

    number: int
    seed: int
    parameters: Parameters
    ended: Ended
    scores: tuple[float, ...]
    error: str = ""
    seconds: float = field(default=0.0, compare=False)

    @property
    def score(self) -> float:
        """The mean over its folds; not a number where it has none."""
        return float(np.mean(self.scores)) if self.scores else math.nan

    @property
    def deviation(self) -> float:
        """The standard error of the mean over its folds: their sample deviation over the root of their number."""
        count = len(self.scores)
        return float(np.std(self.scores, ddof=1) / math.sqrt(count)) if count > 1 else math.nan


@dataclass(frozen=True, eq=False)
class Examples:
    """What all trials see: typed columns, labels, and the folds as places in them."""

    columns: pd.DataFrame
    labels: npt.NDArray[Any]
    folds: tuple[Fold, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A trial to run; earlier: the finished trials of the batches before it, by which it is pruned."""

    number: int
    seed: int
    parameters: Parameters
    earlier: "Sequence[FrozenTrial]"


def run(make: Make, metric: str, data: Shared[Examples], asked: Asked) -> Trial:
    """Scores a trial on the folds in order. Pruned as Optuna's MedianPruner does: after a fold its best mean so far is
    below the median that earlier complete trials had after that fold, of which there are five or more.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
    study.add_trials(asked.earlier)
    reported, scorer, examples = study.ask(), get_scorer(metric), data.get()
    scores: list[float] = []
    started = perf_counter()

    def ended(how: Ended, error: str = "") -> Trial:
        seconds = perf_counter() - started
        return Trial(asked.number, asked.seed, asked.parameters, how, tuple(scores), error, seconds)

    for place, fold in enumerate(examples.folds):
        try:
            scores.append(_score(make(asked.parameters, asked.seed), scorer, examples, fold))
        except Exception as error:  # noqa: BLE001 - whatever the estimator makes of these parameters, others may do
            return ended(Ended.FAILED, f"fold {place + 1}: {type(error).__name__}: {error}")
        reported.report(float(np.mean(scores)), place)
        if place + 1 < len(examples.folds) and reported.should_prune():
            return ended(Ended.PRUNED)
    return ended(Ended.COMPLETE)


def _score(estimator: Any, scorer: Any, examples: Examples, fold: Fold) -> float:
    estimator.fit(examples.columns.iloc[fold.train], examples.labels[fold.train])
    score = float(scorer(estimator, examples.columns.iloc[fold.test], examples.labels[fold.test]))
    if not math.isfinite(score):
        raise ModelError(f"its score is {score}")
    return score


def frozen(trial: Trial, distributions: Mapping[str, Any]) -> "FrozenTrial":
    """A finished trial as Optuna keeps it."""
    from optuna.trial import TrialState, create_trial

    means = np.cumsum(trial.scores) / np.arange(1, len(trial.scores) + 1)
    state = {Ended.COMPLETE: TrialState.COMPLETE, Ended.PRUNED: TrialState.PRUNED, Ended.FAILED: TrialState.FAIL}
    return create_trial(
        state=state[trial.ended],
        value=trial.score if trial.ended is Ended.COMPLETE else None,
        params=dict(trial.parameters),
        distributions=dict(distributions),
        intermediate_values=dict(enumerate(map(float, means))),
        user_attrs={
            NUMBER: trial.number,
            _SEED: trial.seed,
            _SCORES: list(trial.scores),
            _SECONDS: trial.seconds,
            _ERROR: trial.error,
        },
    )


def thawed(kept: "FrozenTrial") -> Trial:
    """A finished trial from what Optuna kept of it."""
    from optuna.trial import TrialState

    said = kept.user_attrs
    ended = {TrialState.COMPLETE: Ended.COMPLETE, TrialState.PRUNED: Ended.PRUNED, TrialState.FAIL: Ended.FAILED}
    scores = tuple(said[_SCORES])
    return Trial(said[NUMBER], said[_SEED], kept.params, ended[kept.state], scores, said[_ERROR], said[_SECONDS])
