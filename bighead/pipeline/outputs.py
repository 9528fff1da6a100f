"""What a model answers for each task: names, shapes, what the estimator itself says, and how far two answers differ.

| task | outputs |
|---|---|
| binary classification | `probability` of the second class, `label` |
| multi-class classification | `probabilities` [k], in the order of `classes_`; `label` |
| regression | `value` |
| outlier detection | `score` (scikit-learn's `decision_function`: negative for outliers), `label` (-1 or 1) |
| clustering | `label`, and `distances` [k] to the centres where the estimator has them |
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bighead.errors import ModelError
from bighead.pipeline.tensors import LABEL, PROBABILITY
from bighead.pipeline.training_set import Task

PROBABILITIES, VALUE, SCORE, DISTANCES = "probabilities", "value", "score", "distances"
NUMBERS: dict[Task, str] = {
    Task.BINARY: PROBABILITY,
    Task.MULTICLASS: PROBABILITIES,
    Task.REGRESSION: VALUE,
    Task.OUTLIERS: SCORE,
    Task.CLUSTERS: DISTANCES,
}
"""The output that is compared within a tolerance; labels are compared as decisions."""

_METHODS = {
    Task.BINARY: "predict_proba",
    Task.MULTICLASS: "predict_proba",
    Task.REGRESSION: "predict",
    Task.OUTLIERS: "decision_function",
    Task.CLUSTERS: "predict",
}
_HELP = {
    "predict_proba": "wrap it in CalibratedClassifierCV(method='sigmoid')",
    "decision_function": "use IsolationForest, or LocalOutlierFactor(novelty=True)",
    "predict": "use an estimator that answers for rows it has not seen, KMeans for example",
}

Answers = dict[str, npt.NDArray[Any]]


def check_estimator(estimator: Any, task: Task) -> None:
    """Raises ModelError where a fitted estimator cannot do the task, saying what to use instead."""
    model = estimator[-1] if hasattr(estimator, "steps") else estimator
    for method in ("predict", _METHODS[task]):
        if not hasattr(estimator, method):
            raise ModelError(f"{type(model).__name__} has no {method}, which {task} needs; {_HELP[method]}")
    if task not in (Task.BINARY, Task.MULTICLASS):
        return
    classes = list(getattr(estimator, "classes_", ()))
    if len(classes) < 2 or (task is Task.BINARY and len(classes) != 2):
        wanted = "two classes" if task is Task.BINARY else "at least two classes"
        raise ModelError(
            f"the pipeline has the classes {', '.join(map(str, classes))}; expected a fitted classifier of {wanted}"
        )
    if np.asarray(classes).dtype.kind not in "iuUO" or not all(
        isinstance(one, str | int | np.integer) for one in classes
    ):
        raise ModelError(
            f"the classes are {', '.join(map(str, classes[:5]))}; a served label is a whole number or a string: train "
            "with the labels 0, 1 .. as integers, or with names"
        )


def answers_of(estimator: Any, task: Task, rows: pd.DataFrame) -> Answers:
    """What the estimator itself says to typed rows, by output: [N] or [N, k]."""
    if task is Task.REGRESSION:
        return {VALUE: np.asarray(estimator.predict(rows), np.float64).ravel()}
    label = np.asarray(estimator.predict(rows)).ravel()
    if task is Task.OUTLIERS:
        return {SCORE: np.asarray(estimator.decision_function(rows), np.float64).ravel(), LABEL: label}
    if task is Task.CLUSTERS:
        distances = {DISTANCES: np.asarray(estimator.transform(rows), np.float64)} if has_distances(estimator) else {}
        return {**distances, LABEL: label}
    probabilities = np.asarray(estimator.predict_proba(rows), np.float64)
    if task is Task.BINARY:
        return {PROBABILITY: probabilities[:, 1], LABEL: label}
    return {PROBABILITIES: probabilities, LABEL: label}


def has_distances(estimator: Any) -> bool:
    """Whether a clustering says how far a row is from each centre."""
    return hasattr(estimator[-1] if hasattr(estimator, "steps") else estimator, "cluster_centers_")


def differences(task: Task, expected: Mapping[str, npt.NDArray[Any]], received: Mapping[str, npt.NDArray[Any]]) -> Any:
    """[N] of the largest difference in a row's numbers: absolute up to 1, relative to the estimator's answer beyond.

    NaN and infinity are equal to themselves, and infinitely far from all else. 0 where a task has no numbers.
    """
    name = NUMBERS[task]
    if name not in expected:
        return np.zeros(len(expected[LABEL]))
    wanted, found = (_two_dimensional(one[name]).astype(np.float64) for one in (expected, received))
    with np.errstate(all="ignore"):
        apart = np.abs(wanted - found) / np.maximum(1.0, np.abs(wanted))
    same = (wanted == found) | (np.isnan(wanted) & np.isnan(found))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart)).max(axis=1)


def is_decided(task: Task, expected: Mapping[str, npt.NDArray[Any]], tolerance: float) -> Any:
    """[N]: whether the estimator's numbers lie so far apart that the tolerance cannot change its decision."""
    name = NUMBERS[task]
    if name not in expected:
        return np.ones(len(expected[LABEL]), np.bool_)
    numbers = expected[name]
    if task is Task.OUTLIERS:
        return np.abs(numbers) > tolerance
    if task is Task.BINARY:
        return np.abs(numbers - 0.5) > tolerance
    ordered = np.sort(numbers, axis=1)
    first, second = (ordered[:, 0], ordered[:, 1]) if task is Task.CLUSTERS else (ordered[:, -1], ordered[:, -2])
    return np.abs(first - second) > 2 * tolerance * np.maximum(1.0, np.abs(first))


def without_answer(task: Task, answers: Mapping[str, npt.NDArray[Any]]) -> Any:
    """[N]: whether the estimator's numbers are none (NaN), or infinite."""
    name = NUMBERS[task]
    if name not in answers:
        return np.zeros(len(answers[LABEL]), np.bool_)
    return ~np.isfinite(_two_dimensional(answers[name])).all(axis=1)


def overflows(estimator: Any, rows: pd.DataFrame) -> Any:
    """[N]: whether a row's distance to its neighbours is infinite: which of them are near is then left to chance."""
    model = estimator[-1] if hasattr(estimator, "steps") else estimator
    if not hasattr(model, "kneighbors"):
        return np.zeros(len(rows), np.bool_)
    distances, _ = model.kneighbors(estimator[:-1].transform(rows) if model is not estimator else rows)
    return ~np.isfinite(distances).all(axis=1)


def _two_dimensional(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return numbers[:, None] if numbers.ndim == 1 else numbers
