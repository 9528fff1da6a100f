"""The inputs of all groups of a topic, as columns: what is named is taken as it is, what is computed goes to DuckDB.

Rows on which an expression fails (an overflow) are found by halving, and handed back with the reason.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import duckdb
import numpy as np
import pyarrow as pa

from bighead.compile.inputs import KEEP, input_columns
from bighead.features.compiled import CompiledGroup
from bighead.features.expressions import Expression
from bighead.features.fold import Column, Mask, column_of, dtype_of
from bighead.features.types import ValueType, clean

REVERSED = "__reversed"
_ARROW = {
    ValueType.LONG: pa.int64(),
    ValueType.DOUBLE: pa.float64(),
    ValueType.BOOLEAN: pa.bool_(),
    ValueType.STRING: pa.string(),
}
# What a row can cause; a full memory or a broken engine is not the row's fault and is raised.
_ROW_ERRORS = (duckdb.DataError, duckdb.InvalidInputException)
Events: TypeAlias = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Evaluated:
    """A group's projection of a batch: the columns of its keys and inputs, and which rows its `where` keeps.

    reversed: which rows take back earlier ones, where the source has such rows. errors: why a row could not be
    evaluated; such rows are not kept.
    """

    keep: Mask
    columns: Mapping[str, Column]
    errors: Mapping[int, Exception]
    reversed: Mask | None = None


def connect() -> duckdb.DuckDBPyConnection:
    """A DuckDB of one thread: rows come back in their order, and the worker's other services keep the other cores."""
    connection = duckdb.connect(config={"threads": 1})
    # The first Arrow array and the first query load much code (pandas among it): not while events wait.
    connection.register("batch", pa.table({"warm": pa.array([True])}))
    connection.execute("SELECT warm FROM batch").fetchnumpy()
    return connection


class Evaluator:
    """Evaluates a fixed set of groups of one topic."""

    def __init__(self, groups: Sequence[CompiledGroup], connection: duckdb.DuckDBPyConnection) -> None:
        self._projections = [_Projection(group, connection) for group in groups]

    def agrees(self, events: Events) -> bool:
        """Whether DuckDB and the reference compute the same for these events, whatever the groups."""
        return all(one.agrees(events) for one in self._projections)

    def evaluate(self, events: Events) -> list[Evaluated]:
        """One result per group, in order; rows in the order of the events."""
        known: dict[str, Column] = {}
        return [one.evaluate(events, known) for one in self._projections]


class _Projection:
    """One group's inputs and conditions."""

    def __init__(self, group: CompiledGroup, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._reversal = group.reversal
        self._named = {name: one for name, one in group.inputs.items() if one.tree.key == "column"}
        self._computed = {name: one for name, one in group.inputs.items() if name not in self._named}
        self._conditions = [one for one in (group.where, group.reversal) if one is not None]
        read = {name for one in (*self._computed.values(), *self._conditions) for name in one.columns}
        self._doubles = [name for name in sorted(read) if group.columns[name] is ValueType.DOUBLE]
        self._arrow = {name: _ARROW[group.columns[name]] for name in sorted(read)}
        texts = input_columns(group, "duckdb")
        self._keep = f'{texts[KEEP]} AS "{KEEP}"'
        parts = [self._keep, *(f'{texts[name]} AS "{name}"' for name in self._computed)]
        if group.reversal is not None:
            parts.append(f'COALESCE({group.reversal.sql("duckdb")}, FALSE) AS "{REVERSED}"')
        self._select = ", ".join(parts)

    def evaluate(self, events: Events, known: dict[str, Column]) -> Evaluated:
        """`known` are the columns of the source that other groups have asked for."""
        named = {name: _named(expression, events, known) for name, expression in self._named.items()}
        if not self._computed and not self._conditions:
            return Evaluated(np.ones(len(events), np.bool_), named, {})
        found = self._evaluate(events)
        return Evaluated(found.keep, {**named, **found.columns}, found.errors, found.reversed)

    def agrees(self, events: Events) -> bool:
        """DuckDB orders NaN above every number, and it alone decides what then becomes of a comparison."""
        doubles = self._doubles
        return not doubles or all(_finite(event, doubles) for event in events)

    def _evaluate(self, events: Events) -> Evaluated:
        """What is computed."""
        arrays = {name: pa.array([event.get(name) for event in events], kind) for name, kind in self._arrow.items()}
        # A row that reads no column is still a row.
        table = pa.table(arrays or {"row": pa.nulls(len(events))})
        return self._halved(table)

    def _halved(self, table: pa.Table) -> Evaluated:
        try:
            return self._evaluated(self._query(table, self._select), table.num_rows)
        except _ROW_ERRORS as error:
            if table.num_rows == 1:
                return self._failed(table, error)
        half = table.num_rows // 2
        left, right = self._halved(table[:half]), self._halved(table[half:])
        return Evaluated(
            np.concatenate((left.keep, right.keep)),
            {name: _joined(left.columns[name], right.columns[name]) for name in left.columns},
            {**left.errors, **{row + half: error for row, error in right.errors.items()}},
            None
            if left.reversed is None or right.reversed is None
            else np.concatenate((left.reversed, right.reversed)),
        )

    def _failed(self, row: pa.Table, error: Exception) -> Evaluated:
        """A row with an error in its inputs does not matter where `where` leaves it out."""
        columns = {name: column_of([None], _kind(one)) for name, one in self._computed.items()}
        try:
            kept = bool(self._query(row, self._keep)[KEEP][0])
        except _ROW_ERRORS:
            kept = True
        none = np.zeros(1, np.bool_)
        return Evaluated(none, columns, {0: error} if kept else {}, none if self._reversal else None)

    def _query(self, table: pa.Table, select: str) -> dict[str, np.ndarray]:
        self._connection.register("batch", table)
        return self._connection.execute(f"SELECT {select} FROM batch").fetchnumpy()

    def _evaluated(self, found: Mapping[str, np.ndarray], size: int) -> Evaluated:
        columns = {name: _fetched(found[name], _kind(one)) for name, one in self._computed.items()}
        back = np.asarray(found[REVERSED], np.bool_) if self._reversal else None
        return Evaluated(np.asarray(found[KEEP], np.bool_), columns, {}, back)


def _kind(expression: Expression) -> ValueType:
    return expression.kind or ValueType.STRING


def _finite(event: Mapping[str, Any], doubles: Sequence[str]) -> bool:
    return all((value := event.get(name)) is None or math.isfinite(value) for name in doubles)


def _named(expression: Expression, events: Events, known: dict[str, Column]) -> Column:
    """A column of the source."""
    (name,) = expression.columns
    if name not in known:
        kind, values = _kind(expression), [event.get(name) for event in events]
        if not kind.is_scalar and kind.element is ValueType.DOUBLE:
            values = [clean(value) for value in values]
        column = column_of(values, kind)
        known[name] = _cleaned(column) if kind is ValueType.DOUBLE else column
    return known[name]


def _fetched(found: np.ndarray, kind: ValueType) -> Column:
    valid: Mask = ~np.ma.getmaskarray(found) if isinstance(found, np.ma.MaskedArray) else np.ones(len(found), np.bool_)
    column = Column(np.ma.getdata(found).astype(dtype_of(kind), copy=False), valid)
    return _cleaned(column) if kind is ValueType.DOUBLE else column


def _cleaned(column: Column) -> Column:
    """Numbers as features see them; -0.0 is 0.0, as engines disagree on its order."""
    return Column(column.values + 0.0, column.valid & np.isfinite(column.values))


def _joined(left: Column, right: Column) -> Column:
    return Column(np.concatenate((left.values, right.values)), np.concatenate((left.valid, right.valid)))
