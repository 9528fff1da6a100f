"""Labels from which nothing, or only the frequent class, can be learned."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bighead.pipeline.checks.finding import Seen, Severity, rule
from bighead.pipeline.checks.inspected import Inspected

RARE = 0.01
"""Share of a class below which accuracy and the usual threshold of 0.5 say nothing about it."""
FEW_ROWS = 10
"""Rows of a class below which neither learning nor an estimate of how good it is makes sense."""


@rule(
    "BH030",
    "one class only",
    Severity.ERROR,
    why="there is nothing to tell apart",
    fix="choose a time range and filters that leave rows of every class",
)
def one_class(seen: Inspected) -> Iterator[Seen]:
    """A label of classes has a single one in the training rows."""
    if seen.classes is not None and len(seen.classes) == 1:
        label = seen.classes.tolist()[0]
        yield Seen(f"is {label!r} in all {len(seen.train)} training rows", (seen.train.label,))


@rule(
    "BH031",
    "a class that is rare",
    Severity.WARNING,
    why="a model that never answers the rare class is right nearly always: accuracy hides that it learned nothing",
    fix="weigh the classes, judge by precision and recall of the rare class, and choose the threshold by cost",
)
def imbalanced(seen: Inspected) -> Iterator[Seen]:
    """The rarest of two classes has less than 1% of the training rows."""
    if seen.classes is None or len(seen.classes) != 2:
        return
    counts = np.bincount(seen.codes)
    if counts.min() < RARE * len(seen.train):
        rare = seen.classes.tolist()[int(counts.argmin())]
        yield Seen(f"is {rare!r} in {counts.min()} of {len(seen.train)} training rows", (seen.train.label,))


@rule(
    "BH032",
    "a class with too few rows",
    Severity.WARNING,
    why="a handful of rows is learned by heart, and what is measured of the class is chance",
    fix="take more rows, put rare classes together, or leave the class out",
)
def few_rows(seen: Inspected) -> Iterator[Seen]:
    """A class has fewer than 10 training rows."""
    if seen.classes is None or len(seen.classes) < 2:
        return
    counts = np.bincount(seen.codes, minlength=len(seen.classes))
    few = [
        f"{label!r} has {count}" for label, count in zip(seen.classes.tolist(), counts, strict=True) if count < FEW_ROWS
    ]
    if few:
        yield Seen(f"classes have few training rows: {', '.join(few[:FEW_ROWS])}", (seen.train.label,))


@rule(
    "BH033",
    "a class that training lacks",
    Severity.WARNING,
    why="the model cannot answer it: the test measures what could not be learned",
    fix="train on a range that has the class, or leave its rows out of the test",
)
def unknown_class(seen: Inspected) -> Iterator[Seen]:
    """A label of the test part does not occur in training."""
    if seen.classes is None:
        return
    unknown = sorted(str(one) for one in set(pd.unique(seen.test.labels).tolist()) - set(seen.classes.tolist()))
    if unknown:
        yield Seen(f"the test has classes that training lacks: {', '.join(unknown[:FEW_ROWS])}", (seen.train.label,))


@rule(
    "BH034",
    "an infinite label",
    Severity.ERROR,
    why="no loss can be computed, and one such row makes every mean infinite",
    fix="leave such rows out, or look for a division by zero where the label is computed",
)
def infinite_label(seen: Inspected) -> Iterator[Seen]:
    """A label is infinite in either part; a null one is refused when the training set is made."""
    if not seen.train.label:
        return
    for what, part in (("training", seen.train), ("test", seen.test)):
        labels = part.labels
        count = int(np.isinf(labels).sum()) if labels.dtype.kind == "f" else 0
        if count:
            yield Seen(f"is infinite in {count} {what} rows", (part.label,))
