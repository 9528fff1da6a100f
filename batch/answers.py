"""Each operation's answer over windows, from the reductions of `batch.asof`. Pure: numpy and Arrow.

One row an operation, beside its row in `bighead.features.operations`; a test demands that there is one for each.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batch.asof import AsOf, Ints, Layout, Reduction, Values
from bighead.features.compiled import Cell, CompiledGroup
from bighead.features.operations import Op
from bighead.features.types import ValueType
from bighead.features.windows import Window

ARROW_TYPES: dict[ValueType, pa.DataType] = {
    ValueType.BOOLEAN: pa.bool_(),
    ValueType.LONG: pa.int64(),
    ValueType.DOUBLE: pa.float64(),
    ValueType.STRING: pa.string(),
}
_LOW = 0xFFFFFFFF
_EXACT = 2**53


def answer_partition(group: CompiledGroup, layout: Layout, partition: pa.Table) -> pa.Table:
    """`row` and the group's features for every query of a partition."""
    answers = _Answers(group, AsOf(layout, partition))
    columns = {"row": pa.array(answers.asof.queries.rows)}
    for feature in group.features:
        cell = group.cells[feature.cell]
        column = _ANSWERS[cell.op](answers, cell, feature.window)
        columns[feature.name] = column.cast(ARROW_TYPES[feature.kind])
    return pa.table(columns)


class _Answers:
    """The reductions of one partition by name, so that features share them."""

    def __init__(self, group: CompiledGroup, asof: AsOf) -> None:
        self.asof = asof
        self._reductions: dict[str, Reduction] = {}
        self._counts: dict[tuple[str, Window | None], Ints] = {}
        # The number of non-null inputs is the same in every cell of a column.
        self._counter = {cell.column: cell.state_columns[0][0] for cell in group.cells}

    def count(self, cell: Cell, window: Window | None) -> Ints:
        """How many non-null inputs each query's window holds."""
        if (cell.column, window) not in self._counts:
            name = self._counter[cell.column]
            counted = self.reduce(name, window, lambda: Reduction(_ended(self.asof.numbers(name), 0), np.add, 0))
            self._counts[cell.column, window] = counted
        return self._counts[cell.column, window]

    def reduce(self, name: str, window: Window | None, build: Callable[[], Reduction]) -> Values:
        """A reduction over the queries' windows; `build` is called the first time."""
        if name not in self._reductions:
            self._reductions[name] = build()
        return self.asof.reduce(name, self._reductions[name], window)

    def filled(self, cell: Cell) -> Any:
        """Which states hold a non-null input."""
        return self.asof.numbers(_state_column(cell, "n")) > 0


def _state_column(cell: Cell, short: str) -> str:
    return f"{cell.column}_{cell.op.lower()}_{short}"


def _ended(values: Values, neutral: Any) -> Values:
    return np.append(values, np.array([neutral], values.dtype))


def _count(answers: _Answers, cell: Cell, window: Window | None) -> pa.Array:
    return pa.array(answers.count(cell, window))


def _sum(answers: _Answers, cell: Cell, window: Window | None) -> pa.Array:
    return pa.array(_total(answers, cell, window), mask=answers.count(cell, window) == 0)


def _average(answers: _Answers, cell: Cell, window: Window | None) -> pa.Array:
    total, count = _total(answers, cell, window), answers.count(cell, window)
    average = total / np.maximum(count, 1)
    if cell.kind is ValueType.LONG:
        for row in np.flatnonzero((total > _EXACT) | (total < -_EXACT)).tolist():
            average[row] = int(total[row]) / max(int(count[row]), 1)  # Python rounds once, numpy twice
    return pa.array(average, mask=count == 0)


def _total(answers: _Answers, cell: Cell, window: Window | None) -> Values:
    name = _state_column(cell, "sum")

    def part(of: Callable[[Values], Values]) -> Callable[[], Reduction]:
        return lambda: Reduction(_ended(of(answers.asof.numbers(name)), 0), np.add, 0)

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
    name, count = _state_column(cell, "value"), answers.count(cell, window)
    least = cell.op is Op.MIN
    function = np.minimum if least else np.maximum

    def build() -> Reduction:
        values = _ranks(answers.asof.column(name))[0] if cell.kind is ValueType.STRING else answers.asof.numbers(name)
        bounds = np.finfo(np.float64) if cell.kind is ValueType.DOUBLE else np.iinfo(np.int64)
        neutral = bounds.max if least else bounds.min
        return Reduction(_ended(np.where(answers.filled(cell), values, neutral), neutral), function, neutral)

    best = answers.reduce(name, window, build)
    if cell.kind is ValueType.STRING:
        return _ranks(answers.asof.column(name))[1].take(pa.array(best, mask=count == 0))
    return pa.array(best, mask=count == 0)


def _ranks(column: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """Each text's rank and the texts by rank, in the order of their UTF-8 bytes, which is that of code points."""
    encoded = pc.dictionary_encode(column.combine_chunks())
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order))


def _last(answers: _Answers, cell: Cell, window: Window | None) -> pa.Array:
    name = _state_column(cell, "value")

    def build() -> Reduction:
        # States lie from old to new, and windows meet the kinds in their order: the greatest index is the newest.
        filled = answers.filled(cell)
        return Reduction(_ended(np.where(filled, np.arange(len(filled)), -1), -1), np.maximum, -1)

    newest = answers.reduce(name, window, build)
    return answers.asof.column(name).combine_chunks().take(pa.array(newest, mask=newest < 0))


_ANSWERS: dict[Op, Callable[[_Answers, Cell, Window | None], pa.Array]] = {
    Op.COUNT: _count,
    Op.SUM: _sum,
    Op.AVERAGE: _average,
    Op.MIN: _extreme,
    Op.MAX: _extreme,
    Op.LAST: _last,
}


def answer_batches(group: CompiledGroup, layout: Layout, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """`answer_partition` for Spark's `mapInArrow`."""
    received = list(batches)
    if received:
        yield from answer_partition(group, layout, pa.Table.from_batches(received)).to_batches(max_chunksize=100_000)
