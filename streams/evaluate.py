"""The expressions of all groups of a topic, vectorised by DuckDB over one Arrow table: one query for a whole batch.

Rows on which an expression fails (an overflow) are found by halving, and handed back with the reason. A few rows are
evaluated one by one, as the reference does it: starting a query would take longer, while events wait.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from bighead.compile.inputs import KEEP, TIME, input_columns
from bighead.features.compiled import CompiledGroup
from bighead.features.fold import Column, Mask
from bighead.features.types import ValueType, clean

_DTYPES = {
    ValueType.LONG: np.dtype(np.int64),
    ValueType.DOUBLE: np.dtype(np.float64),
    ValueType.BOOLEAN: np.dtype(np.bool_),
    ValueType.STRING: np.dtype(object),
}
FEW_ROWS = 32
# What a row can cause; a full memory or a broken engine is not the row's fault and is raised.
_ROW_ERRORS = (duckdb.DataError, duckdb.InvalidInputException)


@dataclass(frozen=True)
class Evaluated:
    """A group's projection of a batch: the columns of its keys and inputs, and which rows its `where` keeps.

    errors: why a row could not be evaluated; such rows are not kept.
    """

    keep: Mask
    columns: Mapping[str, Column]
    errors: Mapping[int, Exception]


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
        self._connection = connection
        self._groups = list(groups)
        self._kinds = [{name: one.kind or ValueType.STRING for name, one in group.inputs.items()} for group in groups]
        texts = [input_columns(group, "duckdb") for group in groups]
        self._selects = [
            ", ".join(f'{text} AS "{index}:{name}"' for name, text in columns.items() if name != TIME)
            for index, columns in enumerate(texts)
        ]
        self._keeps = [columns[KEEP] for columns in texts]

    def evaluate(self, table: pa.Table) -> list[Evaluated]:
        """One result per group, in order; rows in the order of the table."""
        if table.num_rows <= FEW_ROWS:
            rows = table.to_pylist()
            if all(map(_finite, rows)):
                return [_by_row(*one, rows) for one in zip(self._groups, self._kinds, strict=True)]
        try:
            found = self._query(table, ", ".join(self._selects))
        except _ROW_ERRORS:
            return [self._evaluate_one(index, table) for index in range(len(self._groups))]
        return [self._evaluated(index, found, table.num_rows) for index in range(len(self._groups))]

    def _evaluate_one(self, index: int, table: pa.Table) -> Evaluated:
        try:
            return self._evaluated(index, self._query(table, self._selects[index]), table.num_rows)
        except _ROW_ERRORS as error:
            if table.num_rows == 1:
                return self._failed(index, table, error)
        half = table.num_rows // 2
        left, right = self._evaluate_one(index, table[:half]), self._evaluate_one(index, table[half:])
        return Evaluated(
            np.concatenate((left.keep, right.keep)),
            {name: _joined(left.columns[name], right.columns[name]) for name in left.columns},
            {**left.errors, **{row + half: error for row, error in right.errors.items()}},
        )

    def _failed(self, index: int, row: pa.Table, error: Exception) -> Evaluated:
        """A row with an error in its inputs does not matter where `where` leaves it out."""
        columns = {
            name: Column(np.zeros(1, _DTYPES[kind]), np.zeros(1, np.bool_)) for name, kind in self._kinds[index].items()
        }
        try:
            kept = bool(self._query(row, f'{self._keeps[index]} AS "keep"')["keep"][0])
        except _ROW_ERRORS:
            kept = True
        return Evaluated(np.zeros(1, np.bool_), columns, {0: error} if kept else {})

    def _query(self, table: pa.Table, select: str) -> dict[str, np.ndarray]:
        self._connection.register("batch", table)
        return self._connection.execute(f"SELECT {select} FROM batch").fetchnumpy()

    def _evaluated(self, index: int, found: Mapping[str, np.ndarray], size: int) -> Evaluated:
        keep = np.asarray(found[f"{index}:{KEEP}"], np.bool_)
        columns = {name: _column(found[f"{index}:{name}"], kind) for name, kind in self._kinds[index].items()}
        return Evaluated(keep, columns, {})


def _finite(row: Mapping[str, Any]) -> bool:
    """DuckDB orders NaN above every number, and it alone decides what then becomes of a comparison."""
    return all(math.isfinite(value) for value in row.values() if isinstance(value, float))


def _by_row(group: CompiledGroup, kinds: Mapping[str, ValueType], rows: Sequence[Mapping[str, Any]]) -> Evaluated:
    keep, errors = np.zeros(len(rows), np.bool_), dict[int, Exception]()
    found: dict[str, list[Any]] = {name: [None] * len(rows) for name in kinds}
    for index, row in enumerate(rows):
        try:
            if group.where is None or group.where.evaluate(row) is True:
                for name, values in found.items():
                    values[index] = clean(group.inputs[name].evaluate(row))
                keep[index] = True
        except ArithmeticError as error:
            errors[index] = error
    return Evaluated(keep, {name: _column_of(values, kinds[name]) for name, values in found.items()}, errors)


def _column_of(values: list[Any], kind: ValueType) -> Column:
    if None not in values:
        return Column(np.array(values, _DTYPES[kind]), np.ones(len(values), np.bool_))
    column = Column(np.zeros(len(values), _DTYPES[kind]), np.array([value is not None for value in values], np.bool_))
    column.values[column.valid] = [value for value in values if value is not None]
    return column


def _column(found: np.ndarray, kind: ValueType) -> Column:
    valid: Mask = ~np.ma.getmaskarray(found) if isinstance(found, np.ma.MaskedArray) else np.ones(len(found), np.bool_)
    values = np.ma.getdata(found).astype(_DTYPES[kind], copy=False)
    if kind is ValueType.DOUBLE:
        valid &= np.isfinite(values)
        values = values + 0.0  # -0.0 is 0.0, as engines disagree on its order
    return Column(values, valid)


def _joined(left: Column, right: Column) -> Column:
    return Column(np.concatenate((left.values, right.values)), np.concatenate((left.valid, right.valid)))
