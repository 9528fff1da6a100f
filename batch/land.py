"""Lands a topic in its Delta table: from where the last run ended to the end of the topic, each event exactly once.

Knows Spark. How far it came is Spark's checkpoint inside the table's folder; Delta drops a batch that was written
already, so a run that died in between is simply run again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batch.decoding import ORIGIN_OFFSET, ORIGIN_PARTITION, REFUSED, Columns, decode_task, messages_sql, schema_sql
from batch.tables import LANDED, exists, kind_of, version_of
from bighead.compile.spark import OFFSET, PARTITION
from bighead.config import Settings
from bighead.errors import ConfigError
from bighead.events.codec import Codec
from bighead.events.log import end_offsets
from bighead.features.catalog import Catalog
from bighead.features.types import columns_of

Progress = Callable[[str], None]
_MOST_REASONS = 5


@dataclass
class Landed:
    """What a run landed: events, those that were refused with the first reasons, and the table's version.

    version: -1 where there is no table yet, since nothing was landed ever.
    """

    topic: str
    path: str
    events: int = 0
    refused: int = 0
    reasons: list[str] = field(default_factory=list)
    version: int = -1


def sources_of(catalog: Catalog, topic: str) -> tuple[list[str], list[str]]:
    """The tables in which applied groups expect the events of a topic, and the columns that they take times from."""
    sources = [one.group.definition.source for one in catalog.groups.values() if not one.retired]
    mine = [source for source in sources if source.topic == topic]
    return sorted({source.table for source in mine}), sorted({source.time for source in mine})


def only_table(topic: str, tables: Sequence[str]) -> str:
    """The table of a topic where groups name exactly one; raises ConfigError otherwise."""
    if len(tables) != 1:
        found = f"groups read it from {', '.join(tables)}" if tables else "no applied group reads it"
        raise ConfigError(f"topic {topic} has not one table: {found}; say which with --table")
    return tables[0]


def land(
    spark: SparkSession,
    settings: Settings,
    topic: str,
    path: str,
    times: Sequence[str],
    progress: Callable[[str], None],
) -> Landed:
    """Appends what is new. `times`: the columns that groups take the time from; one of them must be believable."""
    landed = Landed(topic, path, version=_version(spark, path))
    end_offsets(settings, topic)  # says clearly that there is no such topic
    columns = _columns(spark, settings, topic, path)
    messages = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka)
        .option("kafka.isolation.level", "read_committed")
        .option("subscribe", topic)
        .option("startingOffsets", "earliest")
        .option("includeHeaders", "true")
        .load()
    )
    decoded = messages.selectExpr(*messages_sql()).mapInArrow(
        decode_task(settings, columns, tuple(times)), schema_sql(columns)
    )

    def write(batch: DataFrame, number: int) -> None:
        _write(batch, number, landed)
        progress(f"{topic}: {landed.events} events landed in {path}, {landed.refused} refused")

    query = decoded.writeStream.foreachBatch(write).option("checkpointLocation", f"{path}/{LANDED}/{topic}")
    query.trigger(availableNow=True).start().awaitTermination()
    return landed


def _columns(spark: SparkSession, settings: Settings, topic: str, path: str) -> Columns:
    """The columns of the newest schema; raises ConfigError where the table has one with another type."""
    codec = Codec(settings.schema_registry)
    try:
        columns = columns_of(codec.latest_schema(topic))
    finally:
        codec.close()
    if exists(spark, path):
        known = {one.name: kind_of(one) for one in spark.read.format("delta").load(path).schema.fields}
        wrong = [
            f"{name!r} is {known[name]} there and {kind} in the events"
            for name, kind in columns.items()
            if known.get(name, kind) is not kind
        ]
        if wrong:
            raise ConfigError(
                f"table {path} does not fit the events of {topic}: {'; '.join(wrong)}; land them in another table"
            )
    return columns


def _write(batch: DataFrame, number: int, landed: Landed) -> None:
    """One micro-batch: appended in one commit, or left alone where this commit was made before a crash."""
    kept = batch.persist()
    try:
        replayed = F.when(F.col(REFUSED).isNull(), F.col(ORIGIN_OFFSET))
        refused, replays = kept.agg(F.count(REFUSED), F.count(replayed)).collect()[0]
        landed.refused += refused
        if refused and len(landed.reasons) < _MOST_REASONS:
            reasons = kept.where(F.col(REFUSED).isNotNull()).select(REFUSED)
            landed.reasons += [row[0] for row in reasons.limit(_MOST_REASONS - len(landed.reasons)).collect()]
        events = kept.where(F.col(REFUSED).isNull())
        plain = events.drop(REFUSED, ORIGIN_PARTITION, ORIGIN_OFFSET)
        events = _without_replays(events, plain, landed) if replays else plain
        writer = events.write.format("delta").mode("append").option("mergeSchema", "true")
        writer.option("txnAppId", f"bighead.land.{landed.topic}").option("txnVersion", number).save(landed.path)
    finally:
        kept.unpersist()
    newest = DeltaTable.forPath(batch.sparkSession, landed.path).history(1).collect()[0]
    if newest["version"] != landed.version:
        landed.version = newest["version"]
        landed.events += int(newest["operationMetrics"].get("numOutputRows", 0))


def _without_replays(events: DataFrame, plain: DataFrame, landed: Landed) -> DataFrame:
    """Events without the replayed dead letters whose original could be read here, and is landed."""
    replays = events.where(F.col(ORIGIN_OFFSET).isNotNull())
    known = plain.select(PARTITION, OFFSET)
    if landed.version >= 0:
        table = events.sparkSession.read.format("delta").load(landed.path)
        known = known.unionByName(table.select(PARTITION, OFFSET))
    known = known.toDF(ORIGIN_PARTITION, ORIGIN_OFFSET)
    twice = replays.join(known, [ORIGIN_PARTITION, ORIGIN_OFFSET], "left_semi").select(PARTITION, OFFSET)
    return plain.join(twice, [PARTITION, OFFSET], "left_anti")


def _version(spark: SparkSession, path: str) -> int:
    return version_of(spark, path) if exists(spark, path) else -1
