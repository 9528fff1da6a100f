"""Spark's tiles and training sets equal the reference and the stream's fold: every operation, many logs in one run."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from batch.arrow import arrow_column, python_rows
from batch.tables import source_events, version_of
from batch.tiles import before, tiles_of
from batch.training import WHOLE_ROWS, with_features
from bighead.compile.spark import OFFSET, PARTITION, entity_sql
from bighead.features import Aggregation, EntitySource, GroupBy, Join, Op
from bighead.features.compiled import CompiledGroup, compile_group, compile_join
from bighead.features.definition import Accuracy
from bighead.features.fold import fold
from bighead.features.reference import SourceEvent, join_features
from bighead.features.tiles import StateCodec, Tile, TileKey, entity_of
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS, HOUR_MS, MINUTE_MS, SIZES_MS, Level
from tests.conformance.cases import (
    COLUMNS,
    MIDNIGHT_MS,
    SHAPES,
    SOURCE,
    assert_same,
    every_operation,
    logs,
    magnitude_of,
    rows_of,
    times,
)

TABLE = "conformance/events"
KEYS = ["case_id", "carrier", "gate"]
CASES = 30
Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class Case:
    """One generated log, and the times at which its keys are asked about."""

    number: int
    events: list[SourceEvent]
    times_ms: list[int]

    def asked_keys(self) -> list[tuple[Any, ...]]:
        """The keys of its first and last events, and one that may have none."""
        some = [*self.events[:1], *self.events[-2:]]
        found = {(self.number, event.record["carrier"], event.record["gate"]) for event in some}
        return sorted(found | {(self.number, "UA", 0)})


def with_case(name: str, plain: GroupBy) -> CompiledGroup:
    """A group with the number of the case as one more key."""
    source = replace(plain.source, select={**plain.source.select, "case_id": "case_id"})
    group = replace(plain, name=name, source=source, keys=KEYS)
    return compile_group(group, {**COLUMNS, "case_id": ValueType.LONG})


def of_shapes(name: str, shapes: list[str], accuracy: Accuracy = Accuracy.TEMPORAL) -> CompiledGroup:
    """The operations of several shapes in one group, since each run of Spark takes seconds."""
    definitions = [every_operation(shape=shape, accuracy=accuracy).definition for shape in shapes]
    aggregations = [aggregation for definition in definitions for aggregation in definition.aggregations]
    return with_case(name, replace(definitions[0], aggregations=aggregations))


def changes() -> CompiledGroup:
    """A source whose rows take back earlier ones."""
    source = EntitySource(SOURCE.topic, TABLE, SOURCE.time, SOURCE.select, reversal="late")
    columns = {Op.COUNT: "delay", Op.SUM: "delay", Op.AVERAGE: "fuel", Op.LAST: "tail", Op.HISTOGRAM: "tail"}
    aggregations = [Aggregation(column, op) for op, column in columns.items()]
    aggregations.append(Aggregation("delay", Op.SUM, bucket="tail"))
    return with_case("changes", GroupBy("changes", source, ["carrier", "gate"], aggregations))


GROUPS = {
    "simple": of_shapes("simple", ["simple"]),
    "values": of_shapes("values", ["delay", "fuel", "text"]),
    "collections": of_shapes("collections", ["bucketed", "lists", "maps"]),
    "midnight": of_shapes("midnight", ["text"], Accuracy.SNAPSHOT),
    "changes": changes(),
}
DERIVATIONS = {
    "busy": "simple_delay_count_1d >= 2",
    "ratio": "simple_delay_sum_7d / simple_delay_count_1h",
    "tail": "COALESCE(simple_tail_last, '')",
}


def test_every_shape_is_in_a_group() -> None:
    cells = {(cell.column, cell.op, cell.bucket) for group in GROUPS.values() for cell in group.cells}
    assert cells >= {case for cases in SHAPES.values() for case in cases}


def drawn(strategy: st.SearchStrategy[Drawn], count: int) -> list[Drawn]:
    """Many examples of a strategy, for one run of an engine that is slow to start."""
    examples: list[Drawn] = []

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: Drawn) -> None:
        examples.append(example)

    collect()
    return examples


def updates(number: int) -> tuple[list[SourceEvent], list[int]]:
    """Rows that are taken back as often as they come, in any order: counts of 0 whose sums are not, in every tile."""
    chooser = random.Random(number)
    after_ms = [0, 1, 5 * MINUTE_MS - 1, 5 * MINUTE_MS, HOUR_MS, DAY_MS - 1, DAY_MS, 2 * DAY_MS, -DAY_MS]
    rest = dict.fromkeys(COLUMNS) | {"carrier": "UA", "gate": 0, "tail": "N1", "fuel": 1.5}
    told = [
        {
            "at_ms": MIDNIGHT_MS + chooser.choice(after_ms),
            "delay": chooser.choice([13, 2**53 + 1]),
            "late": not index % 2,
        }
        for index in range(7)
    ]
    events = [SourceEvent(rest | row, index % 2, index // 2) for index, row in enumerate(told)]
    return events, [MIDNIGHT_MS + after + 1 for after in after_ms]


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Generated logs; some queries lie on events, which a query must not see."""
    pairs = [updates(number) for number in range(12)]
    pairs += drawn(st.tuples(logs(), st.lists(times(), min_size=1, max_size=2)), CASES)
    return [
        Case(
            number,
            [SourceEvent({**one.record, "case_id": number}, one.partition, one.offset) for one in events],
            asked + [one.record["at_ms"] for one in events[-2:]],
        )
        for number, (events, asked) in enumerate(pairs)
    ]


@pytest.fixture(scope="module")
def lake(spark: SparkSession, cases: list[Case], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The events of all cases in one Delta table."""
    folder = tmp_path_factory.mktemp("lake")
    events = [event for case in cases for event in case.events]
    columns = {
        name: arrow_column([event.record[name] for event in events], kind)
        for name, kind in {**COLUMNS, "case_id": ValueType.LONG}.items()
    }
    columns[PARTITION] = pa.array([event.partition for event in events], pa.int32())
    columns[OFFSET] = pa.array([event.offset for event in events], pa.int64())
    spark.createDataFrame(pa.table(columns)).write.format("delta").save(str(folder / TABLE))
    yield folder


@pytest.mark.timeout(900)  # one plan of Spark for every operation and window: minutes where other tests run as well
@pytest.mark.parametrize("whole_rows", [0, WHOLE_ROWS], ids=["tiled", "whole"])
def test_training_sets_equal_the_reference(spark: SparkSession, cases: list[Case], lake: Path, whole_rows: int) -> None:
    join = compile_join(Join("conformance", KEYS, list(GROUPS), DERIVATIONS), GROUPS)
    asked = [(*key, time_ms) for case in cases for key in case.asked_keys() for time_ms in case.times_ms]
    names = [*KEYS, "asked_ms"]
    left = spark.createDataFrame(
        pa.table({name: pa.array(column) for name, column in zip(names, zip(*asked, strict=True), strict=True)})
    )
    versions = {TABLE: version_of(spark, str(lake / TABLE))}
    with with_features(spark, str(lake), join, left, "asked_ms", versions, whole_rows) as frame:
        assert frame.columns == [*names, *join.kinds]
        rows = python_rows(frame.toArrow())
    assert len(rows) == len(asked)
    for row in rows:
        case = cases[row["case_id"]]
        keys = {name: row[name] for name in KEYS}
        expected = join_features(join, {SOURCE.topic: case.events}, keys, row["asked_ms"])
        assert_same(
            {name: row[name] for name in join.kinds}, expected, magnitude_of(GROUPS["collections"], case.events)
        )


@pytest.mark.parametrize("name", list(GROUPS))
def test_tiles_equal_the_fold_of_the_stream(spark: SparkSession, cases: list[Case], lake: Path, name: str) -> None:
    group = GROUPS[name]
    source = source_events(spark, str(lake), group, version_of(spark, str(lake / TABLE)))
    tiles = tiles_of(spark, group, source, list(SIZES_MS)).persist()
    asked = tiles.selectExpr("entity", f"{MIDNIGHT_MS}L AS start_ms").distinct()
    below = before(spark, group, tiles.where(F.col("level") == str(Level.DAY)), asked)
    found = read(group, tiles.unionByName(below).toArrow())
    expected: dict[TileKey, tuple[Tile, Case]] = {}
    for case in cases:
        expected |= {key: (tile, case) for key, tile in folded(group, case, list(SIZES_MS)).items()}
        early = replace(case, events=[event for event in case.events if event.record["at_ms"] < MIDNIGHT_MS])
        for key, tile in folded(group, early, [Level.ALL]).items():
            expected[TileKey(key.entity, Level.BASE, MIDNIGHT_MS)] = (tile, early)
    assert found.keys() == expected.keys()
    for key, (tile, case) in expected.items():
        assert found[key][:2] == (tile.seq, tile.latest_ms)
        assert_same(answered(group, found[key][2]), answered(group, tile.state), magnitude_of(group, case.events))


def read(group: CompiledGroup, tiles: pa.Table) -> dict[TileKey, tuple[int, int, tuple[Any, ...]]]:
    """Count, newest time and held state of each tile."""
    codec, found = StateCodec(group), {}
    for row in tiles.to_pylist():
        key = TileKey(row["entity"], Level(row["level"]), row["start_ms"])
        packed = tuple(row[name] for name, _ in group.state_columns)
        found[key] = (row["seq"], row["latest_ms"], codec.unpack(packed))
    assert len(found) == len(tiles)
    return found


def answered(group: CompiledGroup, state: tuple[Any, ...]) -> dict[str, Any]:
    """What a state answers, and how many inputs it has, by feature."""
    slices = StateCodec(group).cell_slices
    values = {one.name: one.answer(state[slices[one.cell]]) for one in group.features if one.window is None}
    return values | {f"{cell.name}_n": state[where][0] for cell, where in zip(group.cells, slices, strict=True)}


def folded(group: CompiledGroup, case: Case, levels: list[Level]) -> dict[TileKey, Tile]:
    """The tiles that the stream makes of a case."""
    store: dict[TileKey, Tile] = {}
    for partition in (0, 1):
        rows = rows_of(group, [event for event in case.events if event.partition == partition])
        if rows is not None:
            for tile in fold(group, StateCodec(group), rows, lambda keys: [store.get(key) for key in keys], levels):
                store[tile.key] = tile
    return store


def test_entities_are_the_same_text_as_in_python(spark: SparkSession) -> None:
    texts = [chr(code) for code in range(0x30)] + ["\x7f", "\x80", "é", "\u2028", "🛫", 'a"b\\c/d\n', "", None, "null"]
    numbers = [0, -1, 2**53 + 1, 2**63 - 1, -(2**63), None]
    truths = [True, False, None]
    rows = [(text, numbers[at % len(numbers)], truths[at % 3]) for at, text in enumerate(texts)]
    frame = spark.createDataFrame(rows, "a STRING, b BIGINT, c BOOLEAN")
    kinds = {"a": ValueType.STRING, "b": ValueType.LONG, "c": ValueType.BOOLEAN}
    found = [row[0] for row in frame.selectExpr(entity_sql(kinds)).collect()]
    assert found == [entity_of(row) for row in rows]
