"""Runs a search: asks Optuna's TPE for a batch of trials, runs them, asks again, and scores the best on the test.

Trials are asked in batches of a fixed size that know of all batches before them. So the trials follow from the seed,
with any number of processes, and after an interruption as without one.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.metrics import get_scorer, get_scorer_names
from threadpoolctl import threadpool_limits

from bighead.errors import ModelError
from bighead.notebook.progress import Bar, progress
from bighead.pipeline.parallel import Shared, derived, each, shared
from bighead.pipeline.search.folds import folds as folds_of
from bighead.pipeline.search.journal import Journal, journal
from bighead.pipeline.search.result import Budget, Search
from bighead.pipeline.search.space import Space, distributions, document
from bighead.pipeline.search.trials import Asked, Ended, Examples, Make, Trial, frozen, run, thawed
from bighead.pipeline.splits import Split, check_split
from bighead.pipeline.training_set import TrainingSet
from bighead.registry.suggestions import did_you_mean

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

BATCH = 8
"""Trials that are asked for together: so many processes have work, and so many trials do not know of each other."""


def search(
    make: Make,
    space: Space,
    split: Split,
    *,
    metric: str,
    trials: int,
    seconds: float = math.inf,
    seed: int,
    folds: int = 3,
    jobs: int = 1,
    journal_path: Path | None = None,
    tell: Callable[[Trial], None] = lambda trial: None,
) -> Search:
    """The best of so many trials by cross-validation within `split.train`, and its score on `split.test`.

    make: an estimator from the parameters of a trial and its seed. metric: the name of one of scikit-learn's scorers;
    greater is better. seconds: when they are over no further batch is begun. journal_path: a file in which finished
    trials are kept; the same search with the same file goes on where it was, and runs nothing anew where all was done.
    tell: called in this process with each trial that ends, also with those that the journal had.

    Raises ModelError where an argument is unusable, the journal is that of another search, or every trial failed.
    """
    check_split(split)
    _check(metric, trials, seconds)
    parts = folds_of(split.train, folds, seed)
    with _quiet_optuna():
        ranges = distributions(space)
    with _quiet_optuna(), journal(journal_path) as kept:
        kept.check(_specification(make, space, split.train, metric, seed, folds))
        examples = Examples(split.train.columns, split.train.labels, parts.parts)
        with shared(examples, jobs) as data, progress(f"search by {metric}", trials) as bar:
            _fill(kept, make, ranges, metric, data, Budget(trials, seconds, jobs), seed, _counted(tell, bar))
        found = tuple(thawed(trial) for number, trial in kept.trials.items() if number < trials)
        best = _best(found, metric)
        estimator, outer = _tested(make, best, split, metric)
        return Search(
            metric=metric,
            seed=seed,
            how=parts.how,
            tested=split.how,
            budget=Budget(trials, seconds, jobs),
            trials=found,
            best=best,
            outer=outer,
            importance=_importance(list(kept.trials.values()), seed),
            estimator=estimator,
        )


def _counted(tell: Callable[[Trial], None], bar: Bar) -> Callable[[Trial], None]:
    def told(trial: Trial) -> None:
        tell(trial)
        bar.advance()

    return told


def _fill(
    kept: Journal,
    make: Make,
    ranges: "Mapping[str, BaseDistribution]",
    metric: str,
    data: Shared[Examples],
    budget: Budget,
    seed: int,
    tell: Callable[[Trial], None],
) -> None:
    """Runs what the journal lacks, batch by batch."""
    until = monotonic() + budget.seconds
    for known in kept.trials.values():
        tell(thawed(known))
    for start in range(0, budget.trials, BATCH):
        before = kept.trials
        missing = [number for number in range(start, min(start + BATCH, budget.trials)) if number not in before]
        if not missing:
            continue
        if monotonic() > until:
            return
        earlier = [trial for number, trial in before.items() if number < start]
        tasks = [(make, metric, data, asked) for asked in _ask(earlier, ranges, start, seed) if asked.number in missing]
        for _, trial in each(run, tasks, budget.jobs):
            kept.add(frozen(trial, ranges))
            tell(trial)


def _ask(earlier: "Sequence[FrozenTrial]", ranges: Mapping[str, Any], start: int, seed: int) -> list[Asked]:
    """A whole batch, whatever of it is known already: each trial is placed away from those asked for with it."""
    import optuna

    sampler = optuna.samplers.TPESampler(seed=derived(seed, "batch", start))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(earlier)
    asked = [study.ask(dict(ranges)).params for _ in range(BATCH)]
    return [
        Asked(number, derived(seed, "trial", number), parameters, earlier)
        for number, parameters in enumerate(asked, start)
    ]


def _best(trials: Sequence[Trial], metric: str) -> Trial:
    """The complete trial with the greatest score, of equal ones the first."""
    complete = [trial for trial in trials if trial.ended is Ended.COMPLETE]
    if not complete:
        errors = next((trial.error for trial in trials if trial.error), "the time was over before one had ended")
        raise ModelError(f"none of {len(trials)} trials has a {metric}: {errors}")
    return max(complete, key=lambda trial: (trial.score, -trial.number))


def _tested(make: Make, best: Trial, split: Split, metric: str) -> tuple[Any, float]:
    """The chosen parameters fitted on all of the training part, and their score on the test part."""
    with threadpool_limits(1):
        estimator = make(best.parameters, best.seed)
        estimator.fit(split.train.columns, split.train.labels)
        return estimator, float(get_scorer(metric)(estimator, split.test.columns, split.test.labels))


def _importance(trials: "Sequence[FrozenTrial]", seed: int) -> dict[str, float]:
    """How much of the scores' variance each parameter explains (Optuna's fANOVA); nothing where too few trials tell."""
    import optuna

    complete = [trial for trial in trials if trial.value is not None]
    if len({trial.value for trial in complete}) < 2:
        return {}
    study = optuna.create_study(direction="maximize")
    study.add_trials(complete)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    try:
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except RuntimeError:  # no tree over the parameters tells the scores apart
        return {}
    return {name: float(share) for name, share in shares.items()}


def _specification(make: Make, space: Space, rows: TrainingSet, metric: str, seed: int, folds: int) -> dict[str, Any]:
    """What the trials follow from. The code of `make` is named, not compared."""
    digest = sha256(pd.util.hash_pandas_object(rows.columns, index=False).to_numpy().tobytes())
    digest.update(pd.util.hash_array(np.asarray(rows.labels)).tobytes())
    for column in filter(None, (rows.time, rows.known)):
        digest.update(rows.rows[column].to_numpy().tobytes())
    return {
        "make": f"{make.__module__}.{getattr(make, '__qualname__', type(make).__name__)}",
        "space": document(space),
        "rows": digest.hexdigest(),
        "metric": metric,
        "seed": seed,
        "folds": folds,
        "batch": BATCH,
    }


def _check(metric: str, trials: int, seconds: float) -> None:
    if metric not in get_scorer_names():
        raise ModelError(
            f"no metric is named {metric!r}{did_you_mean(metric, get_scorer_names())}; expected the name of one of "
            "scikit-learn's scorers, such as neg_log_loss, roc_auc, r2"
        )
    if trials < 1 or not seconds > 0:
        raise ModelError(
            f"a budget of {trials} trials and {seconds} seconds; expected at least one trial and some time"
        )


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Optuna tells of each study on standard error; raises ModelError where it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise ModelError("a search needs Optuna, which is not installed: pip install 'bighead[search]'") from error
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
