"""Expressions mean the same row by row and in DuckDB, nulls and division by zero included."""

import math
from typing import Any

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from bighead.features import Aggregation, EventSource, GroupBy, Op
from bighead.features.compiled import compile_group
from bighead.features.expressions import parse
from bighead.features.types import ValueType, clean
from streams import evaluate

COLUMNS = {"a": ValueType.LONG, "b": ValueType.DOUBLE, "s": ValueType.STRING, "f": ValueType.BOOLEAN}


def numbers(depth: int = 2) -> st.SearchStrategy[str]:
    leaf = st.sampled_from(["a", "b", "0", "2", "1.5", "NULL"])
    if depth == 0:
        return leaf
    inner, truth = numbers(depth - 1), conditions(depth - 1)
    return st.one_of(
        leaf,
        st.builds(lambda x, op, y: f"({x} {op} {y})", inner, st.sampled_from(["+", "-", "*", "/"]), inner),
        st.builds(lambda x: f"ABS({x})", inner),
        st.builds(lambda x: f"-({x})", inner),
        st.builds(lambda x, y: f"COALESCE({x}, {y})", inner, inner),
        st.builds(lambda x, y: f"NULLIF({x}, {y})", inner, inner),
        st.builds(lambda c, x, y: f"CASE WHEN {c} THEN {x} ELSE {y} END", truth, inner, inner),
        st.builds(lambda c: f"CAST({c} AS INTEGER)", truth),
    )


def conditions(depth: int = 2) -> st.SearchStrategy[str]:
    leaf = st.sampled_from(["f", "s = 'x'", "s IS NULL", "a > 1", "s IN ('x', '')", "NULL", "TRUE"])
    if depth == 0:
        return leaf
    inner, number = conditions(depth - 1), numbers(depth - 1)
    return st.one_of(
        leaf,
        st.builds(lambda x, op, y: f"({x} {op} {y})", inner, st.sampled_from(["AND", "OR"]), inner),
        st.builds(lambda x: f"NOT ({x})", inner),
        st.builds(lambda x, op, y: f"({x} {op} {y})", number, st.sampled_from(["<", "<=", "=", "<>", ">"]), number),
        st.builds(lambda x, y, z: f"({x} BETWEEN {y} AND {z})", number, number, number),
        st.builds(lambda x: f"({x}) IS NOT NULL", number),
    )


rows = st.fixed_dictionaries(
    {
        "a": st.one_of(st.none(), st.integers(-3, 3), st.just(10**6)),
        "b": st.one_of(st.none(), st.sampled_from([0.0, -1.5, 2.0, 1e200])),
        "s": st.one_of(st.none(), st.sampled_from(["", "x", "🛫"])),
        "f": st.one_of(st.none(), st.booleans()),
    }
)


@settings(max_examples=400, deadline=None)
@given(text=st.one_of(numbers(), conditions()), row=rows)
def test_rows_and_duckdb_agree(text: str, row: dict[str, Any]) -> None:
    expression = parse(text, COLUMNS)
    relation = "(SELECT ?::BIGINT AS a, ?::DOUBLE AS b, ?::VARCHAR AS s, ?::BOOLEAN AS f)"
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT {expression.sql('duckdb')} FROM {relation}", [row[name] for name in "absf"]
        ).fetchone()
    assert found is not None
    assert clean(found[0]) == clean(expression.evaluate(row))


def test_the_lane_leaves_numbers_that_are_none_to_duckdb_in_batches_of_any_size() -> None:
    source = EventSource("t", "t", "a", {"s": "s", "high": "CASE WHEN b > 1 THEN 1 ELSE 0 END"}, where="b <> 5")
    group = compile_group(GroupBy("g", source, ["s"], [Aggregation("high", Op.SUM)]), COLUMNS)
    values = zip([1, 2, 3, 4], [math.nan, math.inf, 5.0, 0.5], ["x", None, "x", "x"], strict=True)
    events = [dict(zip("abs", row, strict=True)) for row in values]
    with evaluate.connect() as connection:
        evaluator = evaluate.Evaluator([group], connection)
        (found,) = evaluator.evaluate(events)
    assert [evaluator.agrees([event]) for event in events] == [False, False, True, True]
    assert found.keep.tolist() == [True, True, False, True]
    assert found.columns["high"].values[found.keep].tolist() == [1, 1, 0]
    assert found.columns["s"].valid[found.keep].tolist() == [True, False, True]
    assert not found.errors
