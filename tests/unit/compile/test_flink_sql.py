"""The text that Flink is given: written down, so that a change of it is seen."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bighead.compile.flink import expression_sql, group_job, group_sql
from bighead.features import Aggregation, EntitySource, EventSource, GroupBy, Op
from bighead.features.compiled import compile_group
from bighead.features.expressions import parse
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS

GOLDEN = Path(__file__).with_name("golden")
COLUMNS = {
    "at_ms": ValueType.LONG,
    "carrier": ValueType.STRING,
    "delay": ValueType.LONG,
    "fuel": ValueType.DOUBLE,
    "late": ValueType.BOOLEAN,
    "tags": ValueType.LIST_STRING,
}
FLIGHTS = EventSource(
    topic="flights",
    table="flights",
    time="at_ms",
    select={
        "carrier": "COALESCE(carrier, 'it''s')",
        "delay": "delay - 15 + CAST(late AS INTEGER)",
        "per_fuel": "delay / fuel",
        "class": "CASE WHEN fuel > 1.5 THEN 'a' WHEN delay IN (1, 2) OR late IS NULL THEN 'bbb' END",
        "tags": "tags",
    },
    where="delay * 2 BETWEEN 0 AND 100 AND NOT late",
)
GROUP = GroupBy(
    "every",
    FLIGHTS,
    ["carrier"],
    [
        Aggregation("delay", Op.SUM, ["1h", "1d"]),
        Aggregation("per_fuel", Op.APPROX_PERCENTILE, ["1d"], {"p": [0.5]}),
        Aggregation("delay", Op.LAST_K, args={"k": 3}, bucket="class"),
        Aggregation("tags", Op.UNIQUE_COUNT),
    ],
)


def test_the_sql_of_a_group_is_as_written_down() -> None:
    group = compile_group(GROUP, COLUMNS)
    assert group_sql(group) + "\n" == (GOLDEN / "flink.sql").read_text()


def test_the_description_of_a_fold_names_levels_cells_and_inputs() -> None:
    told = group_job(compile_group(GROUP, COLUMNS), 3, 86_400_000)
    assert (told["epoch"], told["cut_ms"], told["inputs"]) == (3, 86_400_000, ["delay", "per_fuel", "class", "tags"])
    assert [(one["name"], one["size_ms"], one["kept_ms"]) for one in told["levels"]] == [
        ("5m", 300_000, 3 * DAY_MS),  # without a window they are read on their day alone
        ("1h", 3_600_000, 3 * DAY_MS),
        ("1d", 86_400_000, 0),
        ("all", 0, 0),
    ]
    assert told["cells"][2] == {
        "op": "LAST_K",
        "column": "delay",
        "kind": "long",
        "shape": "scalar",
        "k": 3,
        "bucket": "class",
    }
    assert json.loads(json.dumps(told)) == told


def test_tiles_are_kept_as_long_as_the_online_store_keeps_an_entity() -> None:
    spans = [Aggregation("delay", Op.SUM, ["1h", "7d"])]
    group = compile_group(replace(GROUP, aggregations=spans), COLUMNS)
    assert group.kept_ms == 9 * DAY_MS
    assert {one["kept_ms"] for one in group_job(group, 1, None)["levels"]} == {group.kept_ms}


def test_rows_that_take_others_back_are_said_to() -> None:
    source = EntitySource("planes", "planes", "at_ms", reversal="late")
    group = compile_group(GroupBy("g", source, ["carrier"], [Aggregation("delay", Op.SUM)]), COLUMNS)
    assert "COALESCE(CAST(`late` AS BOOLEAN), FALSE) AS `__back`" in group_sql(group)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fuel + NULL", "CAST((`fuel` + CAST(NULL AS DOUBLE)) AS DOUBLE)"),
        ("delay = fuel", "CAST((bighead_compare(CAST(`delay` AS DOUBLE), `fuel`) = 0) AS BOOLEAN)"),
        ("-delay", "CAST(bighead_negate(`delay`, 1) AS BIGINT)"),
    ],
)
def test_types_are_spelled_out(text: str, expected: str) -> None:
    assert expression_sql(parse(text, COLUMNS), COLUMNS) == expected
