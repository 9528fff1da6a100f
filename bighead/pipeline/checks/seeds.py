"""Randomness without a seed in the estimator and all that it holds."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from sklearn.preprocessing import FunctionTransformer

from bighead.pipeline.checks.finding import Seen, Severity, rule
from bighead.pipeline.checks.inspected import Inspected

_ROWS_OF_EARLY_STOPPING = 10_000
"""With early_stopping='auto', HistGradientBoosting holds rows back for validation from so many on."""
_ROWS_OF_BINNING = 200_000
"""From so many on, HistGradientBoosting and KBinsDiscretizer take a random sample for their bins."""


def _solver(*random: str) -> Callable[[Any, int], bool]:
    return lambda estimator, rows: estimator.solver in random


def _boosts_at_random(estimator: Any, rows: int) -> bool:
    stops = rows > _ROWS_OF_EARLY_STOPPING if estimator.early_stopping == "auto" else bool(estimator.early_stopping)
    return stops or rows > _ROWS_OF_BINNING or estimator.max_features < 1


def _dual(estimator: Any, rows: int) -> bool:
    return bool(estimator.dual)


_USES: dict[str, Callable[[Any, int], bool]] = {
    "LogisticRegression": _solver("sag", "saga", "liblinear"),
    "LogisticRegressionCV": _solver("sag", "saga", "liblinear"),
    "Ridge": _solver("sag", "saga"),
    "RidgeClassifier": _solver("sag", "saga"),
    "Lasso": lambda estimator, rows: estimator.selection == "random",
    "ElasticNet": lambda estimator, rows: estimator.selection == "random",
    "SVC": lambda estimator, rows: bool(estimator.probability),
    "NuSVC": lambda estimator, rows: bool(estimator.probability),
    "LinearSVC": _dual,
    "LinearSVR": _dual,
    "PCA": lambda estimator, rows: estimator.svd_solver in ("randomized", "arpack"),
    "TruncatedSVD": lambda estimator, rows: True,
    "HistGradientBoostingClassifier": _boosts_at_random,
    "HistGradientBoostingRegressor": _boosts_at_random,
    "KBinsDiscretizer": lambda estimator, rows: bool(estimator.subsample) and rows > estimator.subsample,
    "QuantileTransformer": lambda estimator, rows: bool(estimator.subsample) and rows > estimator.subsample,
    "KFold": lambda splitter, rows: bool(splitter.shuffle),
    "StratifiedKFold": lambda splitter, rows: bool(splitter.shuffle),
    "GroupKFold": lambda splitter, rows: bool(splitter.shuffle),
    "DummyClassifier": lambda estimator, rows: estimator.strategy in ("stratified", "uniform"),
}
"""Whether what takes a seed uses it as it is set, on so many rows. What is not named here uses it always."""


@rule(
    "BH050",
    "randomness without a seed",
    Severity.WARNING,
    why="the same data and code give another model each time: nothing that is measured can be measured again",
    fix="give it a random_state",
)
def unseeded(seen: Inspected) -> Iterator[Seen]:
    """Every `random_state` of the estimator and of what it holds that is None and in use, of scikit-learn's classes.

    Other libraries have a fixed seed by default (XGBoost, LightGBM, CatBoost).
    """
    for path, one in _parts(seen.estimator):
        if not type(one).__module__.startswith("sklearn.") or getattr(one, "random_state", 0) is not None:
            continue
        kind = type(one).__name__
        if kind not in _USES or _USES[kind](one, len(seen.train)):
            where = f"step {path!r} ({kind})" if path else kind
            name = f"{path}__random_state" if path else "random_state"
            yield Seen(f"{where} is random and has no seed; set {name}=7, say")


@rule(
    "BH051",
    "a function that cannot be looked into",
    Severity.NOTE,
    why="a function may use numpy's global random numbers, the clock or a file, which no check here can see",
    fix="make sure that it depends on its input alone; prefer a transformer that has a form in ONNX",
)
def functions(seen: Inspected) -> Iterator[Seen]:
    """Every FunctionTransformer that has a function."""
    for path, one in _parts(seen.estimator):
        if isinstance(one, FunctionTransformer) and one.func is not None:
            yield Seen(f"step {path or 'itself'!r} calls {getattr(one.func, '__qualname__', one.func)!r}")


def _parts(estimator: Any) -> Iterator[tuple[str, Any]]:
    """The estimator and everything with parameters below it, each with its path as `set_params` takes it."""
    if estimator is None or inspect.isclass(estimator) or not hasattr(estimator, "get_params"):
        return
    yield "", estimator
    held = {id(estimator)}
    for path, one in sorted(estimator.get_params(deep=True).items()):
        has_parameters = hasattr(one, "get_params") or hasattr(one, "random_state")
        if has_parameters and not inspect.isclass(one) and id(one) not in held:
            held.add(id(one))
            yield path, one
