"""Rows to train on and rows to test on. Over rows that have a time, the split is at a time unless told otherwise."""

import warnings
from dataclasses import dataclass

import numpy as np

from bighead.errors import ModelError
from bighead.notebook import display
from bighead.pipeline.training_set import TrainingSet
from bighead.times import utc


class RandomSplitWarning(UserWarning):
    """A random split over rows that have a time."""


@dataclass(frozen=True, eq=False, repr=False)
class Split(display.Displayed):
    """Two parts of one training set, and how they were parted, in words."""

    train: TrainingSet
    test: TrainingSet
    how: str

    def _repr_html_(self) -> str:
        return display.shown("Split", *map(display.paragraph, self._lines()))

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> tuple[str, ...]:
        return f"split: {self.how}", f"training: {self.train.describe()}", f"test: {self.test.describe()}"


def check_split(given: object) -> None:
    """Raises ModelError for what is no split, such as rows of which none are left to test on."""
    if not isinstance(given, Split):
        raise ModelError(
            f"expected a Split, and it is a {type(given).__name__}; part the training set first: "
            "by_time(rows, test_from_ms) or at_random(rows, seed=7)"
        )


def by_time(rows: TrainingSet, test_from_ms: int, test_to_ms: int | None = None) -> Split:
    """Tests on what was asked in [test_from_ms, test_to_ms), trains on what was asked, and known, before.

    Times are milliseconds since the epoch, UTC. Rows between whose question and outcome the boundary lies are in
    neither part: when the model would have been trained, their outcome was not known. Raises ModelError where the rows
    have no time, or a part would be empty.
    """
    if not rows.time:
        raise ModelError(f"the training set {rows.name!r} names no time; give its column, or split at random")
    for name, at_ms in (("test_from_ms", test_from_ms), ("test_to_ms", test_to_ms)):
        if not isinstance(at_ms, int | float | np.number | None):
            raise ModelError(
                f"{name} is {at_ms!r}; expected milliseconds since the epoch, UTC: bighead.times.time_ms('2026-11-01')"
            )
    asked = rows.rows[rows.time].to_numpy()
    known = rows.rows[rows.known].to_numpy() if rows.known else asked
    end = np.inf if test_to_ms is None else test_to_ms
    trained = (asked < test_from_ms) & (known < test_from_ms)
    tested = (asked >= test_from_ms) & (asked < end)
    if rows.known:
        tested &= known < end
    for what, kept in (("train on", trained), ("test on", tested)):
        if not kept.any():
            raise ModelError(
                f"nothing of {rows.name!r} is left to {what}: its times go from {int(asked.min())} to "
                f"{int(asked.max())}, and the test begins at {test_from_ms}"
            )
    until = "" if test_to_ms is None else f" and before {utc(test_to_ms)}"
    how = f"trained on what was known before {utc(test_from_ms)}, tested on what was asked from then on{until}"
    return Split(rows.only(trained), rows.only(tested), how)


def at_random(rows: TrainingSet, test_share: float = 0.25, *, seed: int) -> Split:
    """Tests on a random share of the rows. Warns where the rows have a time: the test then knows the future."""
    if not 0 < test_share < 1:
        raise ModelError(f"the share of the test is {test_share}; expected a number between 0 and 1")
    if rows.time:
        warnings.warn(
            f"a random split of {rows.name!r}, whose rows have the time {rows.time!r}: neighbours in time share what "
            "happened, so the test looks better than the model will be; split by time",
            RandomSplitWarning,
            stacklevel=2,
        )
    tested = np.zeros(len(rows), np.bool_)
    chosen = np.random.default_rng(seed).permutation(len(rows))[: max(1, round(len(rows) * test_share))]
    tested[chosen] = True
    if tested.all():
        raise ModelError(f"{rows.name!r} has one row; a split needs two")
    return Split(rows.only(~tested), rows.only(tested), f"{test_share:.0%} at random, seed {seed}")
