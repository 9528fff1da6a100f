"""The features of a group for many queries, from what `batch.asof` cut. Pure: numpy and Arrow.

Operations on single numbers and texts are reduced as arrays, one row each here; all others merge their own states, as
the online reads do (`batch.ranges`).
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batch.arrow import ARROW_TYPES, arrow_column
from batch.asof import AsOf, Ints, Layout, Reduction, Values
from batch.ranges import CellStates
from bighead.compile.spark import input_name
from bighead.features.cells import Cell
from bighead.features.compiled import CompiledGroup
from bighead.features.operations import Op
from bighead.features.types import ValueType
from bighead.features.windows import Window

_LOW = 0xFFFFFFFF
_EXACT = 2**53


def reduced(group: CompiledGroup, cell: Cell) -> bool:
    """Whether a cell is answered by reducing arrays."""
    return group.reversal is None and cell.plain and cell.op in _ANSWERS


def read_columns(group: CompiledGroup) -> tuple[tuple[str, ValueType], ...]:
    """The columns of a tile's state that answers are made from; LAST needs no times, as states lie in their order."""
    counters = set(_counters(group).values())
    return tuple(
        (name, kind)
        for cell in group.cells
        for name, kind in cell.state_columns
        if not reduced(group, cell) or name in counters or name in (f"{cell.name}_sum", f"{cell.name}_value")
    )


def _counters(group: CompiledGroup) -> dict[str, str]:
    """For each column the state column that counts its inputs: the same in all of its cells that are reduced."""
    return {cell.column: f"{cell.name}_n" for cell in group.cells if reduced(group, cell)}


def answer_partition(group: CompiledGroup, layout: Layout, partition: pa.Table) -> pa.Table:
    """`row` and the group's features for every query of a partition."""
    answers = _Answers(group, AsOf(layout, partition))
    found: dict[str, pa.Array] = {}
    for index, cell in enumerate(group.cells):
        features = [feature for feature in group.features if feature.cell == index]
        if reduced(group, cell):
            for feature in features:
                found[feature.name] = _ANSWERS[cell.op](answers, cell, feature.window).cast(ARROW_TYPES[feature.kind])
        else:
            values = CellStates(cell, answers.asof).answers(features)
            for feature, column in zip(features, values, strict=True):
                found[feature.name] = arrow_column(column, feature.kind)
    rows = {"row": pa.array(answers.asof.queries.rows)}
    return pa.table(rows | {feature.name: found[feature.name] for feature in group.features})


class _Answers:
    """The reductions of one partition by name, so that features share them."""

    def __init__(self, group: CompiledGroup, asof: AsOf) -> None:
        self.asof = asof
        self._table = asof.states.table
        self._reductions: dict[str, Reduction] = {}
        self._counts: dict[tuple[str, Window | None], Ints] = {}
        self._counters = _counters(group)

    def count(self, cell: Cell, window: Window | None) -> Ints:
        """How many non-null inputs each query's window holds."""
        if (cell.column, window) not in self._counts:
            name = self._counters[cell.column]
            counted = self.reduce(name, window, lambda: Reduction(_ended(self.counted(cell), 0), np.add, 0))
            self._counts[cell.column, window] = counted
        return self._counts[cell.column, window]

    def reduce(self, name: str, window: Window | None, build: Callable[[], Reduction]) -> Values:
        """A reduction over the queries' windows; `build` is called the first time."""
        if name not in self._reductions:
            self._reductions[name] = build()
        with np.errstate(over="ignore", invalid="ignore"):  # a sum that leaves the doubles is answered with null
            return self.asof.reduce(name, self._reductions[name], window)

    def counted(self, cell: Cell) -> Ints:
        """How many non-null inputs each state holds."""
        given = pc.is_valid(self._table.column(input_name(cell.column))).cast(pa.int64())
        name = self._counters[cell.column]
        counts = pc.coalesce(self._table.column(name), given) if name in self._table.column_names else given
        return np.asarray(counts.to_numpy(), np.int64)

    def column(self, cell: Cell, state_column: str) -> pa.ChunkedArray:
        """A column of the states; null where a single event has no input."""
        given, name = self._table.column(input_name(cell.column)), f"{cell.name}_{state_column}"
        return pc.coalesce(self._table.column(name), given) if name in self._table.column_names else given

    def numbers(self, cell: Cell, state_column: str) -> Values:
        """The same as numpy, zero for null."""
        column = self.column(cell, state_column)
        values: Values = pc.fill_null(column, pa.scalar(0).cast(column.type)).to_numpy()
        return values


def _ended(values: Values, neutral: Any) -> Values:
    return np.append(values, np.array([neutral], values.dtype))


def _count(answers: _Answers, cell: Cell, window: Window | None) -> pa.Array:
    return pa.array(answers.count(cell, window))


def _sum(answers: _Answers, cell: Cell, window: Window | None) -> pa.Array:
    total = _total(answers, cell, window)
    return pa.array(total, mask=(answers.count(cell, window) == 0) | _beyond(total))


def _average(answers: _Answers, cell: Cell, window: Window | None) -> pa.Array:
    total, count = _total(answers, cell, window), answers.count(cell, window)
    average = total / np.maximum(count, 1)
    if cell.kind is ValueType.LONG:
        for row in np.flatnonzero((total > _EXACT) | (total < -_EXACT)).tolist():
            average[row] = int(total[row]) / max(int(count[row]), 1)  # Python rounds once, numpy twice
    return pa.array(average, mask=(count == 0) | _beyond(average))


def _beyond(values: Values) -> Values:
    """Which of them are not finite."""
    beyond: Values = ~np.isfinite(values)
    return beyond


def _total(answers: _Answers, cell: Cell, window: Window | None) -> Values:
    name = f"{cell.column}_sum"

    def part(of: Callable[[Values], Values]) -> Callable[[], Reduction]:
        return lambda: Reduction(_ended(of(answers.numbers(cell, "sum")), 0), np.add, 0)

    if cell.kind is ValueType.DOUBLE:
        return answers.reduce(name, window, part(lambda values: values))
    # Halves of 32 bits cannot overflow, so that a sum that does not fit is seen.
    low = answers.reduce(f"{name}.low", window, part(lambda values: values & _LOW))
    high = answers.reduce(f"{name}.high", window, part(lambda values: values >> 32)) + (low >> 32)
    if len(high) and not -(2**31) <= int(high.min()) <= int(high.max()) < 2**31:
        raise OverflowError(f"{cell.op} of {cell.column!r} over {window or 'all events'} does not fit in 64 bits")
    total: Values = (high << 32) | (low & _LOW)
    return total


def _extreme(answers: _Answers, cell: Cell, window: Window | None) -> pa.Array:
    name, count = f"{cell.name}_value", answers.count(cell, window)
    least = cell.op is Op.MIN
    function = np.minimum if least else np.maximum

    def build() -> Reduction:
        texts = cell.kind is ValueType.STRING
        values = _ranks(answers.column(cell, "value"))[0] if texts else answers.numbers(cell, "value")
        bounds = np.finfo(np.float64) if cell.kind is ValueType.DOUBLE else np.iinfo(np.int64)
        neutral = bounds.max if least else bounds.min
        return Reduction(_ended(np.where(answers.counted(cell) > 0, values, neutral), neutral), function, neutral)

    best = answers.reduce(name, window, build)
    if cell.kind is ValueType.STRING:
        return _ranks(answers.column(cell, "value"))[1].take(pa.array(best, mask=count == 0))
    return pa.array(best, mask=count == 0)


def _ranks(column: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """Each text's rank and the texts by rank, in the order of their UTF-8 bytes, which is that of code points."""
    encoded = pc.dictionary_encode(pc.fill_null(column, "").combine_chunks())
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order))


def _placed(answers: _Answers, cell: Cell, window: Window | None) -> pa.Array:
    name, oldest = f"{cell.name}_value", cell.op is Op.FIRST

    def build() -> Reduction:
        # States lie from old to new, and windows meet the kinds in their order: the greatest index is the newest.
        filled = answers.counted(cell) > 0
        none = len(filled) if oldest else -1
        places = np.where(filled, np.arange(len(filled)), none)
        return Reduction(_ended(places, none), np.minimum if oldest else np.maximum, none)

    found = answers.reduce(name, window, build)
    column = answers.column(cell, "value").combine_chunks()
    return column.take(pa.array(found, mask=(found < 0) | (found >= len(column))))


_ANSWERS: dict[Op, Callable[[_Answers, Cell, Window | None], pa.Array]] = {
    Op.COUNT: _count,
    Op.SUM: _sum,
    Op.AVERAGE: _average,
    Op.MIN: _extreme,
    Op.MAX: _extreme,
    Op.FIRST: _placed,
    Op.LAST: _placed,
}


def answer_batches(group: CompiledGroup, layout: Layout, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """`answer_partition` for Spark's `mapInArrow`."""
    received = list(batches)
    if received:
        yield from answer_partition(group, layout, pa.Table.from_batches(received)).to_batches(max_chunksize=100_000)
