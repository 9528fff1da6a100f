"""Folds of a training set for cross-validation: over rows that have a time, each is tested on what came later. Pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold, StratifiedKFold

from bighead.errors import ModelError
from bighead.pipeline.training_set import TrainingSet

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Fold:
    """Places of the rows to train on and of those to test on."""

    train: Places
    test: Places


@dataclass(frozen=True, eq=False)
class Folds:
    """The folds in order, and how they were made, in words."""

    parts: tuple[Fold, ...]
    how: str


def folds(rows: TrainingSet, count: int, seed: int) -> Folds:
    """So many folds: by time where the rows have one (`by_time`), else at random by `seed`.

    Raises ModelError where a fold would have nothing to train or to test on.
    """
    if count < 2:
        raise ModelError(f"{count} folds; expected 2 or more")
    if len(rows) <= count:
        raise ModelError(f"{rows.name!r} has {len(rows)} rows, too few for {count} folds")
    return by_time(rows, count) if rows.time else _at_random(rows, count, seed)


def by_time(rows: TrainingSet, count: int) -> Folds:
    """An expanding window: the rows in order of their time in count + 1 blocks of about as many rows each.

    Fold k is tested on block k + 1, and trained on the rows before it whose label was known when that block began: what
    was asked before but known only later is in neither part.
    """
    asked = rows.rows[rows.time].to_numpy()
    known = rows.rows[rows.known].to_numpy() if rows.known else asked
    ordered = np.sort(asked)
    starts = [ordered[place * len(ordered) // (count + 1)] for place in range(1, count + 1)]
    ends = [*starts[1:], ordered[-1] + 1]
    parts = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
        train = np.flatnonzero((asked < start) & (known < start))
        test = np.flatnonzero((asked >= start) & (asked < end))
        for what, found in (("train on", train), ("test on", test)):
            if not len(found):
                raise ModelError(
                    f"fold {number} of {count} of {rows.name!r} has nothing to {what}: it is tested from {int(start)} "
                    f"to {int(end)}; take fewer folds, or rows of a longer time"
                )
        parts.append(Fold(train, test))
    lag = ", without rows whose label was not known when the test begins" if rows.known else ""
    return Folds(tuple(parts), f"{count} folds by time: each is trained on all that was before its test{lag}")


def _at_random(rows: TrainingSet, count: int, seed: int) -> Folds:
    labels = rows.labels
    stratified = np.unique(labels, return_counts=True)[1].min() >= count  # numbers to estimate hardly ever repeat so
    splitter = (StratifiedKFold if stratified else KFold)(count, shuffle=True, random_state=seed)
    parts = tuple(Fold(train, test) for train, test in splitter.split(np.zeros(len(rows)), labels))
    return Folds(
        parts, f"{count} folds at random, seed {seed}{', each with its share of classes' if stratified else ''}"
    )
