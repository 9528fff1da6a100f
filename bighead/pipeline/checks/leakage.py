"""Inputs that hold what is to be predicted: the label itself, the time of its outcome, or what is too good to be true.

What windows hold of outcomes that are not known yet is looked at in `windows`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import r2_score

from bighead.pipeline.checks.finding import Seen, Severity, rule
from bighead.pipeline.checks.inspected import FIRST_ROWS, Inspected

LEAST_ROWS = 50
"""Rows below which a column follows the label by chance too easily."""
TOO_GOOD = 0.99
"""AUC, or R2, of one column alone from which it is asked how it came to be known: few tasks are so easy."""
REST = 0.95
"""Where another column comes as near as this, the task may just be easy, and it is said without stopping."""
BINS = 64
FEW_OF_CLASS = 10
_EXACT = 1 - 1e-12
"""Squared correlation of two columns of which one is a multiple of the other plus a constant, but for rounding."""


@rule(
    "BH001",
    "the label among the inputs",
    Severity.ERROR,
    why="the column is what is to be predicted: it is not there when a prediction is asked for",
    fix="leave the column out",
)
def label_copied(seen: Inspected) -> Iterator[Seen]:
    """An input that is a one-to-one recoding of the classes, or a multiple of the amount plus a constant."""
    if not seen.train.label or len(seen.train) < LEAST_ROWS:
        return
    for name in seen.names:
        if what := _copied(seen, name):
            yield Seen(what, (name,))


@rule(
    "BH002",
    "too good to be true",
    Severity.ERROR,
    why="a single column tells the label nearly without error, as a column does that was written after the outcome",
    fix="find out when the column's value is known; leave it out, or silence this with the reason why it is known",
)
def too_good(seen: Inspected) -> Iterator[Seen]:
    """The mean label in 64 bins, or by category, of one column alone, learned on the older half of a sample.

    On the newer half it has an AUC (weighed over classes) or an R2 of more than 0.99. Where other columns come near
    (0.95), or there is no other, it is a warning: the task may be easy.
    """
    if not seen.train.label or len(seen.train) < LEAST_ROWS:
        return
    scores = {name: _alone(seen, name) for name in seen.names if not _copied(seen, name)}
    rest = [score for score in scores.values() if score <= TOO_GOOD]
    far = bool(rest) and max(rest) < REST
    measure = "R2" if seen.classes is None else "AUC"
    others = f"; the best of the others reaches {max(rest):.3f}" if rest else ""
    for name, score in scores.items():
        if score > TOO_GOOD:
            what = f"alone has {measure} {score:.4f} on rows that it was not fitted to{others}"
            yield Seen(what, (name,), None if far else Severity.WARNING)


@rule(
    "BH003",
    "the time of the outcome among the inputs",
    Severity.ERROR,
    why="when the outcome became known is not known before: the model learns from the future",
    fix="leave the column out, or take what was planned in its place",
)
def time_known(seen: Inspected) -> Iterator[Seen]:
    """An input that is the time from which the label is known, or how long that took, but for factor and constant."""
    train = seen.train
    if not (train.known and train.time) or len(train) < LEAST_ROWS:
        return
    known = train.rows[train.known].to_numpy().astype(np.float64)
    times = {"the time": known, "the delay": known - train.rows[train.time].to_numpy()}
    for name in seen.names:
        values = None if seen.is_text(name) else seen.train_values(name)
        for what, then in times.items():
            if name == train.known or (values is not None and _is_line(values, then)):
                yield Seen(f"is {what} with which the label became known ({train.known!r})", (name,))
                break


@rule(
    "BH004",
    "outcomes known before the question",
    Severity.ERROR,
    why="what is known already need not be predicted, and features as of the question hold the answer",
    fix="correct the columns that `time` and `known` name, or leave such rows out",
)
def known_before(seen: Inspected) -> Iterator[Seen]:
    """Rows whose label was known at the time as of which their inputs hold, or before, in either part."""
    if not (seen.train.known and seen.train.time):
        return
    for what, part in (("training", seen.train), ("test", seen.test)):
        count = int((part.rows[part.known] <= part.rows[part.time]).sum())
        if count:
            yield Seen(f"{count} of {len(part)} {what} rows have {part.known!r} at or before {part.time!r}")


def _copied(seen: Inspected, name: str) -> str:
    """How an input is the label, in words; empty where it is not."""
    values, label = seen.train_values(name), seen.train.label
    if name == label:
        return "is the label"
    if seen.classes is None:
        same = not seen.is_text(name) and _is_line(values, seen.train.labels)
        return f"is the label {label!r} but for a factor and a constant" if same else ""
    return f"is the label {label!r} by other names" if len(seen.classes) > 1 and _recodes(values, seen) else ""


def _is_line(values: npt.NDArray[Any], target: npt.NDArray[Any]) -> bool:
    """Whether one is a multiple of the other plus a constant, wherever neither is missing, and nearly nothing is."""
    return _all_on_a_line(values[:FIRST_ROWS], target[:FIRST_ROWS]) and _all_on_a_line(values, target)


def _all_on_a_line(values: npt.NDArray[Any], target: npt.NDArray[Any]) -> bool:
    target = target.astype(np.float64)
    both = np.isfinite(values) & np.isfinite(target)
    if both.sum() < max(LEAST_ROWS, REST * len(values)):
        return False
    first, second = values[both] - values[both].mean(), target[both] - target[both].mean()
    spread = float(first @ first) * float(second @ second)
    # The remainder, not the correlation alone: it would round to one for columns that differ in few rows.
    return spread > 0 and float(first @ second) ** 2 >= _EXACT * spread


def _recodes(values: npt.NDArray[Any], seen: Inspected) -> bool:
    classes = len(seen.classes) if seen.classes is not None else 0
    if len(pd.unique(values[: 10 * classes])) > classes:
        return False
    codes, distinct = pd.factorize(values, use_na_sentinel=False)
    return len(distinct) == classes and len(np.unique(codes * classes + seen.codes)) == classes


def _alone(seen: Inspected, name: str) -> float:
    """How well one column tells the label on the newer half of the sample; 0 where it cannot be said."""
    places = seen.sample
    half = len(places) // 2
    bins = _bins(seen.train_values(name)[places], half)
    if seen.classes is None:
        numbers = seen.train.labels[places].astype(np.float64)
        if not np.isfinite(numbers).all() or np.ptp(numbers[half:]) == 0:
            return 0.0
        return float(r2_score(numbers[half:], _learned(bins, numbers, half)[bins[half:]]))
    told = seen.once("told", lambda: tuple(_told(seen, half)))
    scores = [auc(hit[half:], bins[half:], _learned(bins, hit, half)) for hit in told]
    return float(np.average(scores, weights=[float(hit.mean()) for hit in told])) if scores else 0.0


def _told(seen: Inspected, half: int) -> Iterator[npt.NDArray[np.float64]]:
    """For each class that is to be told from the rest which rows of the sample have it, where enough do."""
    codes = seen.codes[seen.sample]
    for code in range(1 if seen.classes is not None and len(seen.classes) == 2 else 0, int(seen.codes.max()) + 1):
        hit = (codes == code).astype(np.float64)
        if min(hit[half:].sum(), (1 - hit[half:]).sum(), hit[:half].sum()) >= FEW_OF_CLASS:
            yield hit


def auc(hit: npt.NDArray[np.float64], bins: npt.NDArray[np.int64], learned: npt.NDArray[np.float64]) -> float:
    """What roc_auc_score gives for rows whose score is that of their bin, from sums over the bins."""
    of_bin = np.unique(learned, return_inverse=True)[1]  # bins that score alike are one
    hits = np.bincount(of_bin, weights=np.bincount(bins, weights=hit, minlength=len(learned)))
    misses = np.bincount(of_bin, weights=np.bincount(bins, minlength=len(learned))) - hits
    below = np.cumsum(misses) - misses
    return float(np.sum(hits * (below + misses / 2)) / (hits.sum() * misses.sum()))


def _bins(values: npt.NDArray[Any], half: int) -> npt.NDArray[np.int64]:
    """Numbers by quantiles of the older half, missing ones apart; texts by category."""
    if values.dtype == np.int64:
        return np.asarray(values + 1, np.int64)
    known = values[:half][np.isfinite(values[:half])]
    if not len(known):
        return np.asarray(np.isfinite(values), np.int64)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    # From the left: a value that half of the rows have is an edge, and has a bin with nothing above it in it.
    return np.asarray(np.where(np.isnan(values), 0, 1 + np.searchsorted(edges, values, side="left")), np.int64)


def _learned(bins: npt.NDArray[np.int64], target: npt.NDArray[np.float64], half: int) -> npt.NDArray[np.float64]:
    """The mean of each bin over the older half, drawn to that of all by one row's weight."""
    mean = float(target[:half].mean())
    size = int(bins.max()) + 1
    counts = np.bincount(bins[:half], minlength=size)
    sums = np.bincount(bins[:half], weights=target[:half], minlength=size)
    learned: npt.NDArray[np.float64] = (sums + mean) / (counts + 1)
    return learned
