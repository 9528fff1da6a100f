"""An entity that is forgotten is in no table of its group, nor in a data file that a table has left behind."""

from pathlib import Path

from pyspark.sql import SparkSession

from batch.backfill import tiles_path
from batch.forget import Erased, erase
from batch.tables import table_path
from bighead import config
from bighead.features import Aggregation, EventSource, GroupBy, Op
from bighead.features.catalog import GroupEpoch
from bighead.features.compiled import compile_group
from bighead.features.types import ValueType

COLUMNS = {"at_ms": ValueType.LONG, "tail": ValueType.STRING, "delay": ValueType.LONG}
SOURCE = EventSource("forget.flights.v1", "forget/flights", "at_ms")
GROUP = compile_group(GroupBy("plane", SOURCE, ["tail"], [Aggregation("delay", Op.SUM)]), COLUMNS)
EPOCHS = [GroupEpoch(1, GROUP, None), GroupEpoch(2, GROUP, None), GroupEpoch(3, GROUP, None)]


def write(spark: SparkSession, path: str, rows: list[tuple[str, int]], schema: str) -> None:
    for one in rows:  # each in a version of its own
        spark.createDataFrame([one], schema).write.format("delta").mode("append").save(path)


def test_rows_files_and_old_versions_of_the_entity_are_gone(spark: SparkSession, tmp_path: Path) -> None:
    settings = config.load({"BIGHEAD_HOME": str(tmp_path)})
    events = table_path(settings.lake, SOURCE.table)
    write(spark, events, [("N1-secret", 5), ("N2", 7), ("N1-secret", 9)], "tail STRING, delay LONG")
    for epoch in EPOCHS[:2]:
        write(spark, tiles_path(settings, epoch), [('["N1-secret"]', 1), ('["N2"]', 2)], "entity STRING, seq LONG")

    assert erase(spark, settings, EPOCHS, '["N1-secret"]') == Erased(tables=3, rows_deleted=4, rows_left=0)

    assert [row.tail for row in spark.read.format("delta").load(events).collect()] == ["N2"]
    assert not [path for path in tmp_path.rglob("*.parquet") if b"N1-secret" in path.read_bytes()]
    assert erase(spark, settings, EPOCHS, '["N1-secret"]') == Erased(tables=3, rows_deleted=0, rows_left=0)
