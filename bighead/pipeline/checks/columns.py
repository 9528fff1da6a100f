"""Columns that hold nothing, twice the same, what a model cannot take, or something else in the test."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer

from bighead.pipeline.checks.finding import Seen, Severity, rule
from bighead.pipeline.checks.inspected import FIRST_ROWS, Inspected

NEAR_CONSTANT = 0.999
"""Share of one value from which a column says next to nothing: on 1,000 rows one differs."""
MISSING_APART = 0.2
"""Difference between the shares of missing values: less is what a month's weather or a late source does."""
SURE = 4.0
"""Standard errors that a difference of shares must have, so that a small test part does not alarm by chance."""
UNSEEN = 0.02
"""Share of test rows with an unknown category: less is the ordinary arrival of something new."""
MANY_CATEGORIES = 0.5
"""Categories for each row from which a text is a name, not a kind; those of a small sample are few anyway."""
FEW_CATEGORIES = 100
USUAL = 0.98
"""Share of one value in those rows below which it is not that of 99.9% of all: 0.98 of 1,000 is 19 errors away."""
EXAMPLES = 3
_IGNORED = ("ignore", "infrequent_if_exist", "use_encoded_value", "warn")
_MIXED = ("mixed", "mixed-integer")


@rule(
    "BH020",
    "a constant column",
    Severity.WARNING,
    why="a column that has one value teaches nothing, and what the model does for other values is not known",
    fix="leave the column out, or train on rows in which it varies",
)
def constant(seen: Inspected) -> Iterator[Seen]:
    """Every training row holds the same value, none of them missing."""
    for name in seen.names:
        values = seen.train_values(name)
        if seen.one_value(name):
            yield Seen(f"is {seen.said(name, values[0])} in all {len(values)} training rows", (name,))


@rule(
    "BH021",
    "a column that hardly varies",
    Severity.NOTE,
    why="the few rows that differ decide what the model learns from the column",
    fix="leave the column out, or make sure that the rare value matters",
)
def nearly_constant(seen: Inspected) -> Iterator[Seen]:
    """More than 99.9% of the training rows, but not all of them, hold one value, or are missing."""
    for name in seen.names:
        values = seen.train_values(name)
        missing = seen.missing_share("train", name)
        if NEAR_CONSTANT < missing < 1:
            yield Seen(f"is missing in {missing:.2%} of the training rows", (name,))
            continue
        usual, often = _usual(values[seen.sample[:FIRST_ROWS]])
        share = float((values == usual).mean()) if often else 0.0
        if NEAR_CONSTANT < share < 1 and not missing:
            yield Seen(f"is {seen.said(name, usual)} in {share:.2%} of the training rows", (name,))


@rule(
    "BH022",
    "two columns that are the same",
    Severity.WARNING,
    why="importance is shared out between them by chance, and one of them may be computed from the wrong source",
    fix="leave one of them out",
)
def duplicated(seen: Inspected) -> Iterator[Seen]:
    """Columns of one type with the same values in every row; constant and missing ones are said elsewhere.

    Only columns with one hash of their first rows are compared.
    """
    alike: dict[bytes, list[str]] = {}
    for name in seen.names:
        values = seen.train_values(name)
        if len(values) < 2 or seen.one_value(name) or seen.missing_share("train", name) == 1:
            continue
        others = alike.setdefault(_digest(seen, name), [])
        same = [other for other in others if _same(seen, name, other)]
        if same:
            yield Seen(f"has the values of {same[0]!r} in all {len(values)} training rows", (name, same[0]))
        others.append(name)


@rule(
    "BH023",
    "a column that is always missing",
    Severity.WARNING,
    why="the model learns nothing from it, and answers by accident when a value comes",
    fix="look at the source of the column and its time range, or leave it out",
)
def all_missing(seen: Inspected) -> Iterator[Seen]:
    """Every training row is missing the value."""
    for name in seen.names:
        if seen.missing_share("train", name) == 1:
            yield Seen(f"is missing in all {len(seen.train)} training rows", (name,))


@rule(
    "BH024",
    "missing in the test as it was not in training",
    Severity.WARNING,
    why="a source has begun or ended between the two parts: the test does not measure what was trained",
    fix="look at when the column's source has events, and choose a time range in which it has them throughout",
)
def missing_apart(seen: Inspected) -> Iterator[Seen]:
    """The shares of missing values differ by more than 20 points and by more than four standard errors."""
    for name in seen.names:
        train, test = (seen.missing_share(part, name) for part in ("train", "test"))
        counts = (len(seen.train), len(seen.test))
        error = np.sqrt(sum(share * (1 - share) / count for share, count in zip((train, test), counts, strict=True)))
        # A share of 0 or 1 has no spread of its own: one row more or less is the least that it can be wrong by.
        error = max(error, 1 / min(counts))
        if abs(train - test) > max(MISSING_APART, SURE * error):
            yield Seen(f"is missing in {train:.1%} of the training rows and in {test:.1%} of the test's", (name,))


@rule(
    "BH025",
    "infinite values",
    Severity.ERROR,
    why="scikit-learn refuses them or learns nonsense, and JSON, Avro and the feature store hold none",
    fix="look for a division by zero where the column is computed, and make such values missing",
)
def infinite(seen: Inspected) -> Iterator[Seen]:
    """Any infinity in an input, in either part."""
    for name in seen.names:
        if seen.is_text(name):
            continue
        counts = [int(np.isinf(values).sum()) for values in (seen.train_values(name), seen.test_values(name))]
        if any(counts):
            yield Seen(f"is infinite in {counts[0]} training rows and {counts[1]} of the test's", (name,))


@rule(
    "BH026",
    "mixed types in one column",
    Severity.ERROR,
    why="texts and numbers in one column become texts, so that 1, 1.0 and '1' are three categories, or two",
    fix="give the column one type where it is read or written",
)
def mixed(seen: Inspected) -> Iterator[Seen]:
    """Columns of Python objects with values of several types, other than whole and decimal numbers."""
    for tensor in seen.train.inputs:
        for part in (seen.train, seen.test):
            values = part.rows[tensor.name]
            if values.dtype == np.object_ and pd.api.types.infer_dtype(values, skipna=True) in _MIXED:
                examples = ", ".join(f"{one!r} ({kind})" for kind, one in _by_type(values).items())
                yield Seen(f"holds several types, for example {examples}", (tensor.name,))
                break


@rule(
    "BH027",
    "a column that does not hold its type",
    Severity.ERROR,
    why="the model's signature promises a type that the rows do not have",
    fix="declare the input in the type of its values, or correct the values",
)
def other_type(seen: Inspected) -> Iterator[Seen]:
    """Every input is read in its declared type, in both parts."""
    for tensor in seen.train.inputs:
        if why := seen.unusable(tensor.name):
            yield Seen(why, (tensor.name,))


@rule(
    "BH028",
    "categories that training has not seen",
    Severity.WARNING,
    why="for an unknown category the model answers by a default that nothing was learned for",
    fix="train on a longer range, put rare categories together, or leave the column out",
)
def unseen(seen: Inspected) -> Iterator[Seen]:
    """More than 2% of the test rows have a text that no training row has; a missing one is known."""
    for name in seen.names:
        if not seen.is_text(name):
            continue
        test, trained = seen.test_values(name), np.zeros(len(seen.texts(name)) + 1, np.bool_)
        trained[seen.train_values(name)] = True
        unknown = test[~trained[test] & (test >= 0)]
        if len(unknown) > UNSEEN * len(test):
            examples = ", ".join(seen.said(name, one) for one in pd.unique(unknown)[:EXAMPLES])
            yield Seen(
                f"{len(unknown) / len(test):.1%} of the test rows have a category that training lacks, for example "
                f"{examples}",
                (name,),
            )


@rule(
    "BH029",
    "nearly every row has a category of its own, and unknown ones are ignored",
    Severity.WARNING,
    why="the encoder learns a column for each row of training and makes nothing of what it has not seen, silently",
    fix="leave the column out, hash it, or encode it by what is known of its categories (TargetEncoder)",
)
def too_many_categories(seen: Inspected) -> Iterator[Seen]:
    """Texts that an encoder of a ColumnTransformer ignores when unknown, with one category for every two rows."""
    for path, names in _encoded(seen.estimator):
        for name in names:
            if name not in seen.names or not seen.is_text(name):
                continue
            distinct = len(pd.unique(seen.train_values(name)))
            if distinct > FEW_CATEGORIES and distinct > MANY_CATEGORIES * len(seen.train):
                yield Seen(
                    f"has {distinct} categories in {len(seen.train)} rows; step {path!r} ignores others", (name,)
                )


def _encoded(estimator: Any) -> Iterator[tuple[str, Sequence[str]]]:
    """The encoders of all ColumnTransformers in an estimator that ignore what they do not know, with their columns."""
    held = estimator.get_params(deep=True).items() if hasattr(estimator, "get_params") else ()
    for path, one in [("", estimator), *held]:
        for name, step, names in getattr(one, "transformers", ()) if isinstance(one, ColumnTransformer) else ():
            if _ignoring(step):
                listed = [names] if isinstance(names, str) else names
                texts = [one for one in listed if isinstance(one, str)] if isinstance(listed, list | tuple) else []
                yield f"{path}__{name}" if path else name, texts


def _usual(values: npt.NDArray[Any]) -> tuple[Any, bool]:
    """The most frequent of some values, and whether nearly all are it: all rows are looked at only then."""
    distinct, counts = np.unique(values, return_counts=True)
    return distinct[counts.argmax()], bool(counts.max() >= USUAL * len(values))


def _ignoring(step: Any) -> bool:
    """Whether an encoder, or the pipeline that it is in, makes nothing of a category that it does not know."""
    inner = [one for _, one in step.steps] if hasattr(step, "steps") else [step]
    return any(getattr(one, "handle_unknown", "error") in _IGNORED for one in inner)


def _digest(seen: Inspected, name: str) -> bytes:
    """Of the type and the first rows: columns that differ here are not compared further."""
    kind = b"text" if seen.is_text(name) else b"number"
    return hashlib.blake2b(seen.train_values(name)[:FIRST_ROWS].tobytes(), person=kind).digest()


def _same(seen: Inspected, one: str, other: str) -> bool:
    """Whether two columns of one type are equal in all training rows. Texts are numbered as they come."""
    values = seen.train_values(one)
    if not np.array_equal(values, seen.train_values(other), equal_nan=not seen.is_text(one)):
        return False
    count = int(values.max()) + 1 if seen.is_text(one) else 0
    return not count or bool(np.array_equal(seen.texts(one)[:count], seen.texts(other)[:count]))


def _by_type(values: pd.Series) -> dict[str, Any]:
    """One value of each type."""
    found: dict[str, Any] = {}
    for one in values.dropna():
        found.setdefault(type(one).__name__, one)
        if len(found) == EXAMPLES:
            break
    return found
