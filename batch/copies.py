"""Where predictions are copied to besides their table: a topic, as Avro events, or a folder of Parquet files.

Knows Spark, and Kafka through bighead.events.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from batch.arrow import python_rows
from batch.tables import kind_of, table_path
from bighead import config
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import ConfigError
from bighead.events import admin
from bighead.events.codec import Codec
from bighead.events.headers import cloud_event
from bighead.events.sender import Sender
from bighead.features.types import avro_type

FULL_NAME = "bighead.batch.Prediction"
"""The record of a copied prediction. Its fields are the table's columns, so it is no event type of the platform."""
_KEY = "prediction_id"
_SOURCE = "bighead/batch/predict"
_FLUSH_S = 300.0
_SUCCESS = "_SUCCESS"
_SENT = pa.schema([("sent", pa.int64())])
Task = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


class Copy(Protocol):
    """A place for a copy of a run's predictions."""

    def prepare(self, settings: Settings, schema: T.StructType) -> None:
        """Refuses what cannot be copied there, before any work is done."""

    def write(self, spark: SparkSession, settings: Settings, predictions: DataFrame, run_id: str) -> int:
        """Copies all of them; how many there are."""

    def kept(self, spark: SparkSession, run_id: str) -> bool:
        """Whether what the run copied is still there."""


def copy_to(text: str, lake: str) -> Copy:
    """The place that `topic:NAME` or `parquet:FOLDER` names; a folder lies below the lake as tables do."""
    kind, _, name = text.partition(":")
    if kind == "topic" and name:
        return TopicCopy(name)
    if kind == "parquet" and name:
        return ParquetCopy(table_path(lake, name).rstrip("/"))
    raise ConfigError(f"a copy goes to topic:NAME or parquet:FOLDER; received {text!r}")


@dataclass(frozen=True)
class ParquetCopy:
    """Files below `FOLDER/run=ID`, one such folder for each run, so that no file of anybody is ever overwritten."""

    folder: str

    def __str__(self) -> str:
        return f"parquet:{self.folder}"

    def prepare(self, settings: Settings, schema: T.StructType) -> None:
        """Every table can be copied."""

    def write(self, spark: SparkSession, settings: Settings, predictions: DataFrame, run_id: str) -> int:
        """Replaces what an attempt that died has left; Spark writes `_SUCCESS` last."""
        predictions.write.mode("overwrite").parquet(self._place(run_id))
        return spark.read.parquet(self._place(run_id)).count()

    def kept(self, spark: SparkSession, run_id: str) -> bool:
        """Whether the mark of complete files is there."""
        jvm: Any = spark.sparkContext._jvm
        mark = jvm.org.apache.hadoop.fs.Path(f"{self._place(run_id)}/{_SUCCESS}")
        return bool(mark.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration()).exists(mark))

    def _place(self, run_id: str) -> str:
        return f"{self.folder}/run={run_id}"


@dataclass(frozen=True)
class TopicCopy:
    """Avro records on a topic, keyed by the prediction's identity, which is the event's identity as well.

    An attempt that dies may have sent some already: those are sent again, under the same identities.
    """

    topic: str

    def __str__(self) -> str:
        return f"topic:{self.topic}"

    def prepare(self, settings: Settings, schema: T.StructType) -> None:
        """Creates the topic where it is missing, and registers the record's schema for it."""
        if self.topic.startswith(f"{settings.topic_prefix}."):
            raise ConfigError(
                f"topic {self.topic} begins with {settings.topic_prefix}., which belongs to the platform's own; name "
                "another for the copy"
            )
        record = record_schema(schema)
        if self.topic not in admin.list_topics(settings):
            admin.create_topic(settings, self.topic, settings.partitions)
        admin.register_schema(settings, self.topic, record)

    def write(self, spark: SparkSession, settings: Settings, predictions: DataFrame, run_id: str) -> int:
        """Sends them from Spark's workers; returns when each is acknowledged."""
        names = {column: field_name(column) for column in predictions.columns}
        task = _sending(config.variables(settings), self.topic, names, wall_clock_ms())
        sent = predictions.mapInArrow(task, "sent BIGINT").agg(F.sum("sent")).collect()[0][0]
        return int(sent or 0)

    def kept(self, spark: SparkSession, run_id: str) -> bool:
        """What was acknowledged is kept as long as the topic keeps it."""
        return True


def field_name(column: str) -> str:
    """The column's name as Avro allows it: `both[0]` is `both_0`."""
    name = re.sub(r"\W", "_", column, flags=re.ASCII).rstrip("_") or "_"
    return f"_{name}" if name[0].isdigit() else name


def record_schema(schema: T.StructType) -> dict[str, Any]:
    """The Avro record of a table's rows. Everything but the key is optional, so columns may come and go."""
    fields: list[dict[str, Any]] = []
    for column in schema.fields:
        kind, name = kind_of(column), field_name(column.name)
        if kind is None:
            raise ConfigError(
                f"column {column.name!r} is {column.dataType.simpleString()}, which is not copied to a topic; say "
                "which columns to keep, without it: --keep COLUMN, once or more"
            )
        if any(field["name"] == name for field in fields):
            raise ConfigError(f"columns of the table have the same name {name!r} in Avro; keep one of them with --keep")
        if column.name == _KEY:
            fields.append({"name": name, "type": "string", "doc": "Identity of the prediction."})
        else:
            fields.append({"name": name, "type": ["null", avro_type(kind)], "default": None})
    namespace, _, name = FULL_NAME.rpartition(".")
    return {
        "type": "record",
        "name": name,
        "namespace": namespace,
        "doc": "A row and its prediction.",
        "fields": fields,
    }


def _sending(variables: Mapping[str, str], topic: str, names: Mapping[str, str], at_ms: int) -> Task:
    """What a worker runs; settings travel as their variables."""
    return lambda batches: send(config.load(variables), topic, names, at_ms, batches)


def send(
    settings: Settings, topic: str, names: Mapping[str, str], at_ms: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Sends rows as records, their columns under these names; how many were acknowledged."""
    codec, sender, sent = Codec(settings.schema_registry), Sender(settings), 0
    try:
        for batch in batches:
            for row in python_rows(pa.Table.from_batches([batch])):
                key = row[_KEY]
                value = codec.encode_record(topic, FULL_NAME, {names[column]: one for column, one in row.items()})
                headers = cloud_event(event_type=FULL_NAME, source=_SOURCE, subject=key, time_ms=at_ms, event_id=key)
                sender.send(topic, key.encode(), value, headers)
                sent += 1
        sender.flush(_FLUSH_S)
    finally:
        codec.close()
    yield pa.RecordBatch.from_pylist([{"sent": sent}], _SENT)
