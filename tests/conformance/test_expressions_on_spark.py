"""Expressions mean the same row by row and in Spark; where one leaves 64 bits it is null there, and said."""

from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from batch.arrow import ARROW_TYPES
from bighead.compile.overflow import overflows_sql
from bighead.errors import DefinitionError
from bighead.features.expressions import Expression, parse
from bighead.features.types import clean
from tests.conformance.test_expressions import COLUMNS, conditions, numbers

TEXTS = 80
ROWS = [
    {"a": a, "b": b, "s": s, "f": f}
    for a, b, s, f in [
        (0, 0.0, "", True),
        (1, -1.5, "x", False),
        (-3, 2.0, "🛫", None),
        (None, 1e200, None, True),
        (10**6, None, "x", None),
        (2**62, 0.1, "", False),
        (-(2**63) + 1, 1.0, "x", True),
        (2**63 - 1, -1e200, "y", False),
        (-(2**63), -0.0, "y", True),
    ]
]


def expressions() -> list[Expression]:
    """Generated ones, and some on which Spark was once another engine: nested divisions, decimals, 32-bit literals."""
    found = [
        parse(text, COLUMNS)
        for text in (
            "a / b / 2",
            "a * 1.5 / b",
            "(a + 0.1) / 3",
            "100000 * 100000 / a",
            "a / 0 / b",
            "-(a) * 3 / 7",
            "ABS(a)",
            "ABS(b) + ABS(a - 1)",
        )
    ]

    @settings(
        max_examples=TEXTS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(numbers(), conditions()))
    def collect(text: str) -> None:
        try:
            found.append(parse(text, COLUMNS))
        except DefinitionError:
            return

    collect()
    return [one for one in found if one.kind is not None]


def evaluated(expression: Expression, row: dict[str, Any]) -> tuple[Any, bool]:
    """The value, and whether it left 64 bits."""
    try:
        return clean(expression.evaluate(row)), False
    except OverflowError:
        return None, True


def test_rows_and_spark_agree(spark: SparkSession) -> None:
    found = expressions()
    columns = {name: pa.array([row[name] for row in ROWS], ARROW_TYPES[kind]) for name, kind in COLUMNS.items()}
    frame = spark.createDataFrame(pa.table(columns | {"number": pa.array(range(len(ROWS)), pa.int64())}))
    values = [f"{one.sql('spark')} AS v{index}" for index, one in enumerate(found)]
    breaks = [f"COALESCE({overflows_sql([one]) or 'FALSE'}, FALSE) AS o{index}" for index, one in enumerate(found)]
    rows = frame.selectExpr("number", *values, *breaks).toArrow().sort_by("number").to_pylist()
    for given_row, row in zip(ROWS, rows, strict=True):
        for index, expression in enumerate(found):
            value, broken = evaluated(expression, given_row)
            assert row[f"o{index}"] is broken, (expression.text, given_row)
            if not broken:
                assert clean(row[f"v{index}"]) == value, (expression.text, given_row)
