"""What batch keeps in Delta, on a real Spark: tile tables filled day by day, snapshots, labels and statistics."""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from batch.arrow import python_rows
from batch.backfill import tiles_path
from batch.filling import Filled, fill, marks, prune, tiles_below
from batch.snapshots import snapshots_path, write_snapshots
from batch.statistics import Described, statistics_of
from batch.tables import read_version, source_events, version_of, write_history
from batch.training import Labels, with_features
from bighead import config
from bighead.config import Settings
from bighead.features import Aggregation, EntitySource, EventSource, GroupBy, Immature, Join, Label, Op
from bighead.features.catalog import GroupEpoch
from bighead.features.compiled import CompiledGroup, compile_group, compile_join
from bighead.features.reference import SourceEvent, group_features
from bighead.features.tiles import StateCodec
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS, HOUR_MS
from tests.integration.batch_kit import CUT_MS, departure, departures

COLUMNS = {"at_ms": ValueType.LONG, "carrier": ValueType.STRING, "gate": ValueType.LONG, "delay": ValueType.DOUBLE}
SINCE_MS = CUT_MS - 6 * DAY_MS
TABLE = "departed"
PROGRAM = """
import sys
from batch.filling import fill
from batch.session import spark_session
from batch.tables import source_events
from bighead import config
from tests.integration.test_batch_tables import CUT_MS, SKETCHED
settings, spark = config.load(), spark_session(config.load(), "killed")
events = source_events(spark, settings.lake, SKETCHED, 0)
fill(spark, SKETCHED, events, sys.argv[1], CUT_MS, lambda line: print(line, flush=True), 1)
"""


def group(name: str, aggregations: Sequence[Aggregation], keys: Sequence[str] = ("carrier",)) -> CompiledGroup:
    source = EventSource(topic="departed", table=TABLE, time="at_ms")
    return compile_group(GroupBy(name, source, keys, aggregations), COLUMNS)


SIMPLE = group("simple", [Aggregation("delay", Op.SUM, ["1d"]), Aggregation("delay", Op.LAST)])
SKETCHED = group("sketched", [Aggregation("delay", Op.LAST_K, ["1d"], {"k": 3}), Aggregation("gate", Op.UNIQUE_COUNT)])


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    """Settings without a platform: only the lake is used."""
    return config.load({"BIGHEAD_HOME": str(tmp_path)})


def written(spark: SparkSession, settings: Settings, events: Sequence[Mapping[str, Any]]) -> int:
    """The table of departures replaced by these; its version."""
    return write_history(
        spark, f"{settings.lake}/{TABLE}", pa.Table.from_pylist([dict(one) for one in events]), "at_ms"
    )


def filled(spark: SparkSession, settings: Settings, one: CompiledGroup, cut_ms: int, version: int) -> Filled:
    """The tile table of a group, filled."""
    path = tiles_path(settings, GroupEpoch(1, one, None))
    events = source_events(spark, settings.lake, one, version)
    return fill(spark, one, events, path, cut_ms, lambda _: None)


def tiles(spark: SparkSession, path: str, one: CompiledGroup, cut_ms: int) -> dict[tuple[str, str, int], Any]:
    """What would be published: count and state of each tile."""
    codec, table = StateCodec(one), read_version(spark, path, version_of(spark, path))
    return {
        (row["level"], row["entity"], row["start_ms"]): (
            row["seq"],
            codec.unpack(tuple(row[name] for name, _ in one.state_columns)),
        )
        for row in tiles_below(spark, one, table, cut_ms).toArrow().to_pylist()
    }


def rows(spark: SparkSession, path: str) -> list[tuple[Any, ...]]:
    """All that a tile table holds, marks too."""
    table = read_version(spark, path, version_of(spark, path)).toArrow()
    return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True), key=repr)


def test_only_days_whose_source_changed_are_filled_again(spark: SparkSession, lake: Settings, tmp_path: Path) -> None:
    one = SIMPLE
    history = departures(SINCE_MS, CUT_MS, 120)
    version = written(spark, lake, history)
    path = tiles_path(lake, GroupEpoch(1, one, None))
    first = filled(spark, lake, one, CUT_MS, version)
    assert (len(first.days), first.kept) == (6, 0)
    again = filled(spark, lake, one, CUT_MS, version)
    assert (again.days, again.kept, again.version) == ((), 6, first.version)

    late, emptied = SINCE_MS + DAY_MS, SINCE_MS + 3 * DAY_MS
    changed = [event for event in history if event["at_ms"] // DAY_MS != emptied // DAY_MS]
    version = written(spark, lake, [*changed, departure(late + HOUR_MS, "UA", 1, 77.0)])
    # The day before holds other events under other offsets, too: an import numbers them anew from the late one on.
    second = filled(spark, lake, one, CUT_MS, version)
    assert {late, emptied} <= set(second.days)
    assert SINCE_MS not in second.days

    fresh = str(tmp_path / "fresh")
    fill(spark, one, source_events(spark, lake.lake, one, version), fresh, CUT_MS, lambda _: None)
    assert rows(spark, path) == rows(spark, fresh)


def test_a_killed_backfill_goes_on_where_it_was(spark: SparkSession, lake: Settings, tmp_path: Path) -> None:
    hot = [departure(SINCE_MS + at * 60_000, "UA", at % 5, float(at)) for at in range(1_500)]
    version = written(spark, lake, [*departures(SINCE_MS, CUT_MS, 60), *hot])
    path, fresh = str(tmp_path / "killed"), str(tmp_path / "fresh")
    environment = config.inherited_environment() | config.variables(lake)
    command = [sys.executable, "-c", PROGRAM, path]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next(one for one in process.stdout if "days filled" in one)
        process.send_signal(signal.SIGKILL)
    assert line.strip() == "sketched: 1 of 6 days filled"

    events = source_events(spark, lake.lake, SKETCHED, version)
    rest = fill(spark, SKETCHED, events, path, CUT_MS, lambda _: None)
    assert 1 <= rest.kept < 6
    fill(spark, SKETCHED, events, fresh, CUT_MS, lambda _: None)
    assert rows(spark, path) == rows(spark, fresh)
    assert sorted(marks(spark, path)) == [SINCE_MS + day * DAY_MS for day in range(6)]

    assert prune(spark, SKETCHED, path, CUT_MS + 2 * DAY_MS)
    assert len(rows(spark, path)) < len(rows(spark, fresh))
    kept, needed = (tiles(spark, one, SKETCHED, CUT_MS + 2 * DAY_MS) for one in (path, fresh))
    assert kept == needed


def test_snapshots_hold_what_was_known_at_midnight(spark: SparkSession, lake: Settings) -> None:
    history = departures(SINCE_MS, CUT_MS, 60)
    written(spark, lake, history)
    applied = GroupEpoch(1, SKETCHED, None)
    first = write_snapshots(spark, lake, applied, CUT_MS - DAY_MS, CUT_MS, lambda _: None)
    assert (first.written, first.kept) == (2, 0)
    rows = python_rows(spark.read.format("delta").load(snapshots_path(lake, applied)).toArrow())
    ordered = sorted(history, key=lambda event: event["at_ms"])
    events = [SourceEvent(event, 0, offset) for offset, event in enumerate(ordered)]
    assert len(rows) == 2 * 3
    for row in rows:
        expected = group_features(SKETCHED, events, [row["carrier"]], row["as_of_ms"])
        assert {name: row[name] for name in expected} == expected
    again = write_snapshots(spark, lake, applied, CUT_MS - 2 * DAY_MS, CUT_MS, lambda _: None)
    assert (again.written, again.kept) == (1, 2)


def test_labels_are_what_happened_within_the_horizon(spark: SparkSession, lake: Settings) -> None:
    history = departures(SINCE_MS, CUT_MS, 90)
    version = written(spark, lake, history)
    source = EventSource(topic="departed", table=TABLE, time="at_ms")
    labels = [
        Label("late_hours", source, ["carrier"], "delay", Op.SUM, "12h"),
        Label("next_gates", source, ["carrier"], "gate", Op.FIRST_K, "1d", {"k": 2}),
    ]
    join = compile_join(Join("left", ["carrier"], [SIMPLE.definition]), {"simple": SIMPLE})
    times_ms = [SINCE_MS, history[5]["at_ms"], history[5]["at_ms"] + 1, CUT_MS - 12 * HOUR_MS, CUT_MS - HOUR_MS]
    asked = [{"carrier": carrier, "asked_ms": at_ms} for carrier in ("UA", "none") for at_ms in times_ms]
    left = spark.createDataFrame(pa.Table.from_pylist(asked))
    for immature in Immature:
        wanted = Labels(labels, immature, CUT_MS)
        with with_features(spark, lake.lake, join, left, "asked_ms", {TABLE: version}, labels=wanted) as frame:
            rows = python_rows(frame.toArrow())
        mature = [one for one in asked if one["asked_ms"] + DAY_MS <= CUT_MS]
        assert len(rows) == len(mature if immature is Immature.DROP else asked)
        for row in rows:
            happened = outcome(history, row["carrier"], row["asked_ms"])
            assert (row["late_hours"], row["next_gates"]) == happened


def outcome(history: Sequence[Mapping[str, Any]], carrier: str, at_ms: int) -> tuple[Any, Any]:
    """Both labels in the plainest way."""
    mine = [event for event in history if event["carrier"] == carrier and event["at_ms"] >= at_ms]
    delays = [event["delay"] for event in mine if event["at_ms"] < at_ms + 12 * HOUR_MS and event["delay"] is not None]
    gates = [event["gate"] for event in mine if event["at_ms"] < at_ms + DAY_MS]
    first = sum(delays) if delays and at_ms + 12 * HOUR_MS <= CUT_MS else None
    return first, gates[:2] or None if at_ms + DAY_MS <= CUT_MS else None


def test_a_deleted_entity_has_no_last_value(spark: SparkSession, lake: Settings) -> None:
    rows = [
        departure(SINCE_MS, "UA", 1, 5.0),
        departure(SINCE_MS + 1, "UA", -1, 5.0),
        departure(SINCE_MS + 2, "UA", 2, 6.0),
    ]
    version = written(spark, lake, rows)
    source = EntitySource(topic="departed", table=TABLE, time="at_ms", reversal="gate < 0")
    entity = compile_group(GroupBy("plane", source, ["carrier"], [Aggregation("delay", Op.LAST)]), COLUMNS)
    join = compile_join(Join("left", ["carrier"], ["plane"]), {"plane": entity})
    left = spark.createDataFrame(pa.table({"carrier": ["UA"] * 4, "at": [SINCE_MS + at for at in range(4)]}))
    for whole_rows in (0, 100):
        with with_features(spark, lake.lake, join, left, "at", {TABLE: version}, whole_rows) as frame:
            assert [row["plane_delay_last"] for row in frame.orderBy("at").collect()] == [None, 5.0, None, 6.0]


def test_statistics_describe_each_feature_and_day(spark: SparkSession) -> None:
    rows = [
        (SINCE_MS, 1.0, "a", [1]),
        (SINCE_MS + 5, 3.0, "a", None),
        (SINCE_MS + 9, None, "b", [2]),
        (CUT_MS, 7.0, None, []),
    ]
    frame = spark.createDataFrame(rows, "at_ms BIGINT, delay DOUBLE, tail STRING, tags ARRAY<BIGINT>")
    kinds = {"delay": ValueType.DOUBLE, "tail": ValueType.STRING, "tags": ValueType.LIST_LONG}
    events = statistics_of(frame, "at_ms", Described(kinds, {"delay": "gate"}, "flight", "training_set", "t", 3))
    assert [(one.feature, one.from_ms) for one in events] == [
        (name, day) for day in (SINCE_MS, CUT_MS) for name in kinds
    ]
    delay, tail, tags = events[:3]
    assert (delay.count, delay.nulls, delay.mean, delay.group) == (3, 1, 2.0, "gate")
    assert (delay.quantiles[0], delay.quantiles[-1], len(delay.ranks)) == (1.0, 3.0, len(delay.quantiles))
    assert (tail.frequent, tail.mean, tail.quantiles) == ({"a": 2, "b": 1}, None, ())
    assert (tags.nulls, tags.null_share, tags.kind) == (1, 1 / 3, "array<long>")
