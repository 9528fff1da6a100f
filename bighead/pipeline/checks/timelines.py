"""Operations over windows of labels, computed again as features make them, many windows at a time. Pure.

A window is a slice of the labels of one entity, in order of their times. Empty windows have no value, but a count is 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
COUNT = "COUNT"


@dataclass(frozen=True, eq=False)
class Timeline:
    """Labels by entity and time. order: entity and time in one number."""

    order: Times
    labels: Numbers
    first_ms: int
    span_ms: int

    @classmethod
    def of(cls, entities: Times, stamps: Times, labels: Numbers) -> "Timeline":
        """Of labels in any order; entities are numbered from 0."""
        first_ms = int(stamps.min())
        span_ms = int(stamps.max()) - first_ms + 2
        order = entities * span_ms + (stamps - first_ms)
        places = np.argsort(order, kind="stable")
        return cls(order[places], labels[places], first_ms, span_ms)

    def place(self, entities: Times, at_ms: Times) -> Times:
        """For each entity the place of its first label at or after a time; a window is from one such place to another.

        Fast where the entities are sorted, and the times of each.
        """
        within = np.clip(at_ms - self.first_ms, 0, self.span_ms - 1)
        return np.asarray(np.searchsorted(self.order, entities * self.span_ms + within), np.int64)

    def made(self, operation: str, start: Times, end: Times, own: Numbers | None = None) -> Numbers:
        """One of `OPERATIONS` over slices of labels; own: one more label of each, the last."""
        total = end - start + (own is not None)
        empty = 0.0 if operation == COUNT else np.nan
        return np.where(total > 0, OPERATIONS[operation](self, _Slices(start, end, own)), empty)

    @cached_property
    def sums(self) -> Numbers:
        """Of the labels before each place."""
        return np.concatenate([[0.0], np.cumsum(self.labels)])

    @cached_property
    def middle(self) -> float:
        """The mean of all labels, from which distances are taken, so that little cancels out in a variance."""
        return float(self.labels.mean())

    @cached_property
    def distances(self) -> tuple[Numbers, Numbers]:
        """The labels' distances from `middle`, and their squares, summed up before each place."""
        apart = self.labels - self.middle
        return np.concatenate([[0.0], np.cumsum(apart)]), np.concatenate([[0.0], np.cumsum(apart**2)])

    @cached_property
    def highest(self) -> list[Numbers]:
        """By power of two the maximum of as many labels from each place on."""
        levels = [self.labels]
        while 2 * (step := 1 << (len(levels) - 1)) <= len(self.labels):
            levels.append(np.maximum(levels[-1][:-step], levels[-1][step:]))
        return levels

    @cached_property
    def negative(self) -> "Timeline":
        """The same with every label's sign turned: its maxima are the minima here."""
        return Timeline(self.order, -self.labels, self.first_ms, self.span_ms)


@dataclass(frozen=True, eq=False)
class _Slices:
    start: Times
    end: Times
    own: Numbers | None

    @property
    def count(self) -> Numbers:
        """How many labels each has; 1 for none, so that it can be divided by."""
        return np.asarray(np.maximum(self.end - self.start + (self.own is not None), 1), np.float64)


def _sum(line: Timeline, of: _Slices) -> Numbers:
    sums = line.sums[of.end] - line.sums[of.start]
    return sums if of.own is None else sums + of.own


def _average(line: Timeline, of: _Slices) -> Numbers:
    return _sum(line, of) / of.count


def _variance(line: Timeline, of: _Slices) -> Numbers:
    """Of the population."""
    apart, squares = (sums[of.end] - sums[of.start] for sums in line.distances)
    if of.own is not None:
        apart, squares = apart + (of.own - line.middle), squares + (of.own - line.middle) ** 2
    return np.asarray(np.maximum(squares / of.count - (apart / of.count) ** 2, 0.0))


def _deviation(line: Timeline, of: _Slices) -> Numbers:
    return np.asarray(np.sqrt(_variance(line, of)))


def _first(line: Timeline, of: _Slices) -> Numbers:
    first = line.labels[np.minimum(of.start, len(line.labels) - 1)]
    return first if of.own is None else np.where(of.end > of.start, first, of.own)


def _last(line: Timeline, of: _Slices) -> Numbers:
    return line.labels[np.maximum(of.end - 1, 0)] if of.own is None else of.own


def _highest(line: Timeline, of: _Slices) -> Numbers:
    """Two overlapping stretches of a power of two hold a slice."""
    found = np.full(len(of.start), -np.inf)
    level = np.log2(np.maximum(of.end - of.start, 1)).astype(np.int64)
    for power in np.unique(level):
        where = (level == power) & (of.end > of.start)
        heights = line.highest[power]
        found[where] = np.maximum(heights[of.start[where]], heights[of.end[where] - (1 << power)])
    return found if of.own is None else np.maximum(found, of.own)


def _lowest(line: Timeline, of: _Slices) -> Numbers:
    return -_highest(line.negative, _Slices(of.start, of.end, None if of.own is None else -of.own))


OPERATIONS: dict[str, Callable[[Timeline, _Slices], Numbers]] = {
    COUNT: _sum,  # of the rows that a filter leaves, those of one of two classes: their labels are 1
    "SUM": _sum,
    "AVERAGE": _average,
    "VARIANCE": _variance,
    "STDDEV": _deviation,
    "MIN": _lowest,
    "MAX": _highest,
    "FIRST": _first,
    "LAST": _last,
}
"""What can be computed again from labels, by the name of the operation."""
