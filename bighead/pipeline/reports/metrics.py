"""Metrics by task: each figure is scikit-learn's own, beside a form for many weightings of the rows at once.

Weights are [B, N], one line for each resample: how often it has drawn each row. Pure.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn import metrics as sk

from bighead.pipeline.reports.answers import Answers, Numbers, Values
from bighead.pipeline.training_set import Task

_LEAST = float(np.finfo(np.float64).eps)
"""scikit-learn's log loss takes no probability as nearer to 0 or 1 than this."""


@dataclass(frozen=True)
class Metric:
    """A metric of some answers, and of each of many weightings of their rows; not a number where it has no value."""

    name: str
    higher_is_better: bool
    figure: Callable[[Answers], float]
    weighted: Callable[[Answers, Numbers], Numbers]


def metrics_of(answers: Answers) -> tuple[Metric, ...]:
    """What can be measured of these answers."""
    several = len(np.unique(answers.actual)) > 1
    match answers.task:
        case Task.BINARY:
            return (*((_BINARY if several else _BINARY[:2]) if answers.probability is not None else ()), *_DECISIONS)
        case Task.MULTICLASS:
            every = len(np.unique(answers.actual)) == len(answers.classes)
            shares = _MULTICLASS if every else _MULTICLASS[:2]
            return (*(shares if answers.probability is not None else ()), *_DECISIONS_OF_MANY)
    found = _VALUES if several else _VALUES[:2]
    if answers.actual.min() >= 0 and answers.predicted.min() >= 0:
        found = (*found, _RMSLE)
    return (*found, _MAPE) if (answers.actual != 0).all() else found


def losses(answers: Answers) -> tuple[str, Numbers]:
    """The loss of each row, and what it is called; their mean is the metric of that name."""
    if answers.task is Task.REGRESSION:
        return "mae", np.abs(answers.actual - answers.predicted)
    if answers.probability is None:
        return "errors", (answers.actual != answers.predicted).astype(np.float64)
    return "log_loss", _log_losses(answers)


def _log_losses(answers: Answers) -> Numbers:
    said = _columns(answers)[np.arange(len(answers)), answers.actual]
    return np.asarray(-np.log(np.clip(said, _LEAST, 1 - _LEAST)))


def _columns(answers: Answers) -> Numbers:
    """Probabilities as [N, k], of two classes as well."""
    found = answers.chances
    return np.column_stack([1 - found, found]) if found.ndim == 1 else found


def _mean(loss: Callable[[Answers], Numbers]) -> Callable[[Answers, Numbers], Numbers]:
    return lambda answers, weights: np.asarray(weights @ loss(answers) / weights.sum(axis=1))


def _ends(ordered: Numbers) -> Values:
    """The first place of each run of equal scores."""
    return np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])


def _by_score(score: Numbers, positive: Values, weights: Numbers) -> tuple[Numbers, Numbers]:
    """Weights of positive and negative rows at each distinct score, the highest first: [B, distinct] each."""
    order = np.argsort(-score, kind="stable")
    sorted_weights, is_positive = weights[:, order], positive[order]
    ends = _ends(score[order])
    up = np.add.reduceat(sorted_weights * is_positive, ends, axis=1)
    return up, np.add.reduceat(sorted_weights, ends, axis=1) - up


def _area(score: Numbers, positive: Values, weights: Numbers) -> Numbers:
    """The area under the ROC curve: how often a positive row has the higher score, equal ones by half."""
    up, down = _by_score(score, positive, weights)
    above = np.cumsum(up, axis=1) - up / 2
    with np.errstate(invalid="ignore"):
        return np.asarray((above * down).sum(axis=1) / (up.sum(axis=1) * down.sum(axis=1)))


def _auc(answers: Answers, weights: Numbers) -> Numbers:
    areas = [_area(column, answers.actual == place, weights) for place, column in _one_by_one(answers)]
    return np.asarray(np.mean(areas, axis=0))


def _one_by_one(answers: Answers) -> list[tuple[int, Numbers]]:
    """The probability of each class against the rest; of two classes that of the second says all."""
    columns = _columns(answers)
    return [(place, columns[:, place]) for place in (answers.places if len(answers.classes) > 2 else [1])]


def _average_precision(answers: Answers, weights: Numbers) -> Numbers:
    up, down = _by_score(answers.chances, answers.actual == 1, weights)
    right, chosen = np.cumsum(up, axis=1), np.cumsum(up + down, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(chosen > 0, right / chosen, 0.0)
        return np.asarray((precision * up).sum(axis=1) / up.sum(axis=1))


def _shares(answers: Answers, weights: Numbers, share: Callable[[Numbers, Numbers, Numbers], Numbers]) -> Numbers:
    """Mean over classes (of two: of the second) of a share of (right, predicted, actual); 0 of nothing."""
    found = []
    for place in answers.places if len(answers.classes) > 2 else [1]:
        predicted, actual = answers.predicted == place, answers.actual == place
        found.append(share(weights @ (predicted & actual), weights @ predicted, weights @ actual))
    return np.asarray(np.mean(found, axis=0))


def _part(of: Numbers, whole: Numbers) -> Numbers:
    return np.divide(of, whole, out=np.zeros_like(of, np.float64), where=whole > 0)


def _precision(answers: Answers, weights: Numbers) -> Numbers:
    return _shares(answers, weights, lambda right, predicted, _: _part(right, predicted))


def _recall(answers: Answers, weights: Numbers) -> Numbers:
    return _shares(answers, weights, lambda right, _, actual: _part(right, actual))


def _f1(answers: Answers, weights: Numbers) -> Numbers:
    return _shares(answers, weights, lambda right, predicted, actual: _part(2 * right, predicted + actual))


def _brier_losses(answers: Answers) -> Numbers:
    """Of two classes the squared distance of the second's probability, of more the sum over all, as scikit-learn."""
    if len(answers.classes) == 2:
        return np.asarray((answers.chances - answers.actual) ** 2)
    return np.asarray(((_columns(answers) - np.eye(len(answers.classes))[answers.actual]) ** 2).sum(axis=1))


def _right(answers: Answers) -> Numbers:
    return np.asarray(answers.actual == answers.predicted, np.float64)


def _squares(answers: Answers) -> Numbers:
    return np.asarray((answers.actual - answers.predicted) ** 2, np.float64)


def _logs(answers: Answers) -> Numbers:
    return np.asarray((np.log1p(answers.actual) - np.log1p(answers.predicted)) ** 2)


def _r2(answers: Answers, weights: Numbers) -> Numbers:
    total = weights.sum(axis=1)
    centred = answers.actual - answers.actual.mean()  # the same spread, with fewer digits lost
    around = weights @ centred**2 - (weights @ centred) ** 2 / total
    return np.asarray(1 - weights @ _squares(answers) / np.where(around > 0, around, np.nan))


def _root(loss: Callable[[Answers], Numbers]) -> Callable[[Answers, Numbers], Numbers]:
    return lambda answers, weights: np.sqrt(_mean(loss)(answers, weights))


_BINARY = (
    Metric("log_loss", False, lambda a: sk.log_loss(a.actual, a.probability, labels=a.places), _mean(_log_losses)),
    Metric("brier", False, lambda a: sk.brier_score_loss(a.actual, a.probability), _mean(_brier_losses)),
    Metric("auc", True, lambda a: sk.roc_auc_score(a.actual, a.probability), _auc),
    Metric(
        "average_precision", True, lambda a: sk.average_precision_score(a.actual, a.probability), _average_precision
    ),
)
_ACCURACY = Metric("accuracy", True, lambda a: sk.accuracy_score(a.actual, a.predicted), _mean(_right))
_DECISIONS = (
    _ACCURACY,
    Metric("precision", True, lambda a: sk.precision_score(a.actual, a.predicted, zero_division=0), _precision),
    Metric("recall", True, lambda a: sk.recall_score(a.actual, a.predicted, zero_division=0), _recall),
    Metric("f1", True, lambda a: sk.f1_score(a.actual, a.predicted, zero_division=0), _f1),
)
_MULTICLASS = (
    Metric("log_loss", False, lambda a: sk.log_loss(a.actual, a.probability, labels=a.places), _mean(_log_losses)),
    Metric(
        "brier", False, lambda a: sk.brier_score_loss(a.actual, a.probability, labels=a.places), _mean(_brier_losses)
    ),
    Metric("auc_ovr", True, lambda a: sk.roc_auc_score(a.actual, a.probability, multi_class="ovr"), _auc),
)


def _macro(score: Callable[..., float]) -> Callable[[Answers], float]:
    return lambda a: score(a.actual, a.predicted, labels=a.places, average="macro", zero_division=0)


_DECISIONS_OF_MANY = (
    _ACCURACY,
    Metric("precision_macro", True, _macro(sk.precision_score), _precision),
    Metric("recall_macro", True, _macro(sk.recall_score), _recall),
    Metric("f1_macro", True, _macro(sk.f1_score), _f1),
)
_VALUES = (
    Metric(
        "mae",
        False,
        lambda a: sk.mean_absolute_error(a.actual, a.predicted),
        _mean(lambda a: np.abs(a.actual - a.predicted)),
    ),
    Metric("rmse", False, lambda a: sk.root_mean_squared_error(a.actual, a.predicted), _root(_squares)),
    Metric("r2", True, lambda a: sk.r2_score(a.actual, a.predicted), _r2),
)
_RMSLE = Metric("rmsle", False, lambda a: sk.root_mean_squared_log_error(a.actual, a.predicted), _root(_logs))
_MAPE = Metric(
    "mape",
    False,
    lambda a: sk.mean_absolute_percentage_error(a.actual, a.predicted),
    _mean(lambda a: np.abs((a.actual - a.predicted) / a.actual)),
)
