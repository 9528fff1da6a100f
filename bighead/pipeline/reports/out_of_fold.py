"""Answers for training rows by copies that have not seen them: what a threshold may be chosen on."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold

from bighead.errors import ModelError
from bighead.pipeline.reports.answers import Answers, Values, answers_of
from bighead.pipeline.training_set import Task, TrainingSet
from bighead.pipeline.wrapped import FittedPipeline


def out_of_fold(model: FittedPipeline, rows: TrainingSet, folds: int = 3, seed: int = 0) -> tuple[Answers, str]:
    """The answers, and in words which rows they are of.

    Of rows with a time each fold is answered by what was known before it, and the first part of them by nobody; other
    rows are parted at random. Raises ModelError where no fold can be learned from.
    """
    found = []
    for trained, tested in _by_time(rows, folds) if rows.time else _at_random(model, rows, folds, seed):
        part = rows.only(trained)
        if model.task is not Task.REGRESSION and len(np.unique(part.labels)) < len(model.classes):
            continue  # a fold that lacks a class teaches another model than the one that is judged
        fitted = clone(model.estimator).fit(part.columns, part.labels)
        found.append(answers_of(replace(model, estimator=fitted), rows.only(tested)))
    if not found:
        raise ModelError(f"no part of {rows.name!r} has every class and comes before another; give a validation part")
    what = "the future of each part of the training rows" if rows.time else f"{folds} folds of the training rows"
    return _joined(found), f"{sum(map(len, found)):,} rows: {what}, answered by models that had not seen them"


def _by_time(rows: TrainingSet, folds: int) -> Iterator[tuple[Values, Values]]:
    asked = rows.rows[rows.time].to_numpy()
    known = rows.rows[rows.known].to_numpy() if rows.known else asked
    edges = [*np.quantile(asked, np.arange(1, folds + 1) / (folds + 1)), np.inf]
    for begin, end in itertools.pairwise(edges):
        trained, tested = (asked < begin) & (known < begin), (asked >= begin) & (asked < end)
        if trained.any() and tested.any():
            yield trained, tested


def _at_random(model: FittedPipeline, rows: TrainingSet, folds: int, seed: int) -> Iterator[tuple[Values, Values]]:
    kind = KFold if model.task is Task.REGRESSION else StratifiedKFold
    for _, places in kind(folds, shuffle=True, random_state=seed).split(np.zeros(len(rows)), rows.labels):
        tested = np.zeros(len(rows), np.bool_)
        tested[places] = True
        yield ~tested, tested


def _joined(parts: list[Answers]) -> Answers:
    probabilities = [one.probability for one in parts if one.probability is not None]
    return replace(
        parts[0],
        actual=np.concatenate([one.actual for one in parts]),
        predicted=np.concatenate([one.predicted for one in parts]),
        probability=np.concatenate(probabilities) if probabilities else None,
    )
