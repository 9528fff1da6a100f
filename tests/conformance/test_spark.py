"""Spark's tiles and training sets equal the reference and the stream's fold, on many generated logs in one run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from batch.answers import ARROW_TYPES
from batch.tables import read_version, version_of
from batch.training import WHOLE_ROWS, with_features
from bighead.compile.spark import OFFSET, PARTITION, events_sql, floor_sql, merged_sql
from bighead.features import GroupBy, Join
from bighead.features.compiled import CompiledGroup, compile_group, compile_join
from bighead.features.fold import fold
from bighead.features.reference import SourceEvent, join_features
from bighead.features.tiles import StateCodec, Tile, TileKey, entity_of
from bighead.features.types import ValueType
from bighead.features.windows import SIZES_MS, Level
from tests.conformance.cases import COLUMNS, assert_same, every_operation, logs, magnitude_of, rows_of, times

TABLE = "conformance/events"
KEYS = ["case_id", "carrier", "gate"]
Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class Case:
    """One generated log, and the times at which its keys are asked about."""

    number: int
    events: list[SourceEvent]
    times_ms: list[int]

    def asked_keys(self) -> list[tuple[Any, ...]]:
        """The keys of its events, and one that has none."""
        found = {(self.number, event.record["carrier"], event.record["gate"]) for event in self.events}
        return sorted(found | {(self.number, "UA", 0)})


def group_of_cases() -> CompiledGroup:
    """`every_operation` with the number of the case as one more key."""
    plain = every_operation().definition
    source = plain.source.__class__(
        plain.source.topic, TABLE, plain.source.time, {**plain.source.select, "case_id": "case_id"}, plain.source.where
    )
    columns = {**COLUMNS, "case_id": ValueType.LONG}
    return compile_group(GroupBy("every", source, KEYS, plain.aggregations), columns)


GROUP = group_of_cases()
JOIN = compile_join(
    Join(
        "conformance",
        KEYS,
        [GROUP.definition],
        {
            "busy": "every_delay_count_1d >= 2",
            "ratio": "every_delay_sum_7d / every_delay_count_1h",
            "tail": "COALESCE(every_tail_last, '')",
        },
    ),
    {"every": GROUP},
)


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


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Generated logs; some queries lie on events, which a query must not see."""
    pairs = drawn(st.tuples(logs(), st.lists(times(), min_size=1, max_size=3)), 200)
    return [
        Case(
            number,
            [SourceEvent({**one.record, "case_id": number}, one.partition, one.offset) for one in events],
            asked + [one.record["at_ms"] for one in events[:2]],
        )
        for number, (events, asked) in enumerate(pairs)
    ]


@pytest.fixture(scope="module")
def lake(spark: SparkSession, cases: list[Case], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The events of all cases in one Delta table."""
    folder = tmp_path_factory.mktemp("lake")
    events = [event for case in cases for event in case.events]
    columns = {
        name: pa.array([event.record[name] for event in events], ARROW_TYPES[kind])
        for name, kind in GROUP.columns.items()
    }
    columns[PARTITION] = pa.array([event.partition for event in events], pa.int32())
    columns[OFFSET] = pa.array([event.offset for event in events], pa.int64())
    spark.createDataFrame(pa.table(columns)).write.format("delta").save(str(folder / TABLE))
    yield folder


@pytest.mark.parametrize("whole_rows", [0, WHOLE_ROWS], ids=["tiled", "whole"])
def test_training_sets_equal_the_reference(spark: SparkSession, cases: list[Case], lake: Path, whole_rows: int) -> None:
    asked = [(*key, time_ms) for case in cases for key in case.asked_keys() for time_ms in case.times_ms]
    names = [*KEYS, "asked_ms"]
    left = spark.createDataFrame(
        pa.table({name: pa.array(column) for name, column in zip(names, zip(*asked, strict=True), strict=True)})
    )
    versions = {TABLE: version_of(spark, str(lake / TABLE))}
    with with_features(spark, str(lake), JOIN, left, "asked_ms", versions, whole_rows) as frame:
        assert frame.columns == [*names, *JOIN.kinds]
        rows = frame.toArrow().to_pylist()
    assert len(rows) == len(asked)
    for row in rows:
        case = cases[row["case_id"]]
        keys = {name: row[name] for name in KEYS}
        expected = join_features(JOIN, {GROUP.definition.source.topic: case.events}, keys, row["asked_ms"])
        assert_same({name: row[name] for name in JOIN.kinds}, expected, magnitude_of(GROUP, case.events))


@pytest.mark.parametrize("level", list(SIZES_MS))
def test_tiles_equal_the_fold_of_the_stream(spark: SparkSession, cases: list[Case], lake: Path, level: Level) -> None:
    version = version_of(spark, str(lake / TABLE))
    read_version(spark, str(lake / TABLE), version).createOrReplaceTempView("conformance_source")
    five = merged_sql(
        GROUP, f"({events_sql(GROUP, 'conformance_source')})", floor_sql("start_ms", SIZES_MS[Level.FIVE_MINUTES])
    )
    tiles = spark.sql(merged_sql(GROUP, f"({five})", floor_sql("start_ms", SIZES_MS[level]))).toArrow().to_pylist()
    found = {(tile["entity"], tile["start_ms"]): tile for tile in tiles}
    assert len(found) == len(tiles)
    expected = {(key.entity, key.start_ms): (tile, case) for case in cases for key, tile in folded(case, level).items()}
    assert found.keys() == expected.keys()
    for key, (tile, case) in expected.items():
        names = [name for name, _ in GROUP.state_columns]
        assert (found[key]["seq"], found[key]["latest_ms"]) == (tile.seq, tile.latest_ms)
        state = dict(zip(names, tile.state, strict=True))
        assert_same({name: found[key][name] for name in names}, state, magnitude_of(GROUP, case.events))


def folded(case: Case, level: Level) -> dict[TileKey, Tile]:
    """The tiles of one level that the stream makes of a case."""
    store: dict[TileKey, Tile] = {}
    for partition in (0, 1):
        rows = rows_of(GROUP, [event for event in case.events if event.partition == partition])
        if rows is not None:
            for tile in fold(GROUP, StateCodec(GROUP), rows, lambda keys: [store.get(key) for key in keys]):
                store[tile.key] = tile
    return {key: tile for key, tile in store.items() if key.level is level}


def test_entities_are_the_same_text_as_in_python(spark: SparkSession) -> None:
    from bighead.compile.spark import entity_sql

    texts = [chr(code) for code in range(0x30)] + ["\x7f", "\x80", "é", "\u2028", "🛫", 'a"b\\c/d\n', "", None, "null"]
    numbers = [0, -1, 2**53 + 1, 2**63 - 1, -(2**63), None]
    truths = [True, False, None]
    rows = [(text, numbers[at % len(numbers)], truths[at % 3]) for at, text in enumerate(texts)]
    frame = spark.createDataFrame(rows, "a STRING, b BIGINT, c BOOLEAN")
    kinds = {"a": ValueType.STRING, "b": ValueType.LONG, "c": ValueType.BOOLEAN}
    found = [row[0] for row in frame.selectExpr(entity_sql(kinds)).collect()]
    assert found == [entity_of(row) for row in rows]
