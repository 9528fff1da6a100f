"""The event tables of the lake: Delta tables with the columns of the events, `_partition` and `_offset`.

Integers are BIGINT and floats DOUBLE, always. Files are in the order of time, so that Delta's statistics skip those
outside of a range; partitioning by day would only make small files until a day has hundreds of megabytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from bighead.clock import wall_clock_ms
from bighead.compile.spark import OFFSET, PARTITION, SQL_TYPES
from bighead.errors import ConfigError, InvalidEvent
from bighead.events.times import check_time
from bighead.features.compiled import CompiledGroup
from bighead.features.types import ValueType, list_of, map_of

LANDED = "_landed"
"""Folder inside a table: how far each topic is landed. Delta leaves what starts with _ alone."""

_KINDS: dict[type[T.DataType], ValueType] = {
    T.ByteType: ValueType.LONG,
    T.ShortType: ValueType.LONG,
    T.IntegerType: ValueType.LONG,
    T.LongType: ValueType.LONG,
    T.FloatType: ValueType.DOUBLE,
    T.DoubleType: ValueType.DOUBLE,
    T.StringType: ValueType.STRING,
    T.BooleanType: ValueType.BOOLEAN,
}


@dataclass(frozen=True)
class TableVersion:
    """A Delta table as it was read."""

    table: str
    version: int


def table_path(lake: str, table: str) -> str:
    """Where a table lies: below the lake, unless it is a path or URL of its own."""
    return table if table.startswith("/") or "://" in table else f"{lake.rstrip('/')}/{table}"


def exists(spark: SparkSession, path: str) -> bool:
    """Whether there is a Delta table at this path."""
    return bool(DeltaTable.isDeltaTable(spark, path))


def version_of(spark: SparkSession, path: str) -> int:
    """The newest version of a table; raises ConfigError where there is none."""
    if not exists(spark, path):
        raise ConfigError(f"there is no Delta table at {path}; land its topic or load its history first: see --help")
    return _newest_version(spark, path)


def id_of(spark: SparkSession, path: str) -> str:
    """What tells a table from one that was at the same path before it was deleted."""
    return str(DeltaTable.forPath(spark, path).detail().select("id").collect()[0]["id"])


def _newest_version(spark: SparkSession, path: str) -> int:
    """As Delta itself finds it; the history of a table, which its Python has instead, takes a job of Spark."""
    jvm: Any = spark.sparkContext._jvm
    log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, path)
    return int(log.update(False, getattr(log, "update$default$2")(), getattr(log, "update$default$3")()).version())


def read_version(spark: SparkSession, path: str, version: int) -> DataFrame:
    """A table as of a version."""
    return spark.read.format("delta").option("versionAsOf", version).load(path)


def kind_of(field: T.StructField) -> ValueType | None:
    """The type that features see in this column; None for one that they cannot read."""
    return _kind(field.dataType)


def _kind(kind: T.DataType) -> ValueType | None:
    if isinstance(kind, T.ArrayType):
        element = _KINDS.get(type(kind.elementType))
        return None if element is None else list_of(element)
    if isinstance(kind, T.MapType):
        element = _KINDS.get(type(kind.valueType))
        return None if element is None or not isinstance(kind.keyType, T.StringType) else map_of(element)
    return _KINDS.get(type(kind))


def check_columns(what: str, schema: T.StructType, wanted: Mapping[str, ValueType]) -> None:
    """Raises ConfigError that names every column that is missing or of another type."""
    found = {field.name: field for field in schema.fields}
    wrong = []
    for name, kind in wanted.items():
        if name not in found:
            wrong.append(f"column {name!r} is missing, expected {kind}")
        elif kind_of(found[name]) is not kind:
            wrong.append(f"column {name!r} is {found[name].dataType.simpleString()}, expected {kind}")
    if wrong:
        raise ConfigError(f"{what}: {'; '.join(wrong)}. It has {', '.join(found) or 'no columns'}")


def source_events(spark: SparkSession, lake: str, group: CompiledGroup, version: int) -> DataFrame:
    """The columns that a group reads from its source's table, in canonical types; raises before any work starts."""
    path = table_path(lake, group.definition.source.table)
    table = read_version(spark, path, version)
    wanted = {name: group.columns[name] for name in group.source_columns}
    order = {PARTITION: ValueType.LONG, OFFSET: ValueType.LONG}
    check_columns(f"table {path} of group {group.name!r}", table.schema, wanted | order)
    return table.select(
        *(F.col(f"`{name}`").cast(SQL_TYPES[kind]).alias(name) for name, kind in (wanted | order).items())
    )


def write_history(spark: SparkSession, path: str, events: pa.Table, time: str) -> int:
    """Replaces a table by events from files: partition 0, and as offset the row number in the order of time.

    Returns the table's version. Events from a topic may be landed in the same table afterwards.
    """
    if exists(spark, path) and _landed(spark, path):
        raise ConfigError(f"events of a topic were landed in {path}; delete the table to load its history again")
    ordered = canonical(_checked(path, events, time).sort_by(time))
    columns = {PARTITION: pa.repeat(pa.scalar(0, pa.int32()), len(ordered)), OFFSET: pa.array(range(len(ordered)))}
    for name, column in columns.items():
        ordered = ordered.append_column(name, column)
    frame = spark.createDataFrame(ordered)
    frame.coalesce(1).write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(path)
    return version_of(spark, path)


def canonical(events: pa.Table) -> pa.Table:
    """The columns that features can read, with 64-bit numbers."""
    names, columns = [], []
    for name, column in zip(events.column_names, events.columns, strict=True):
        kind = _canonical_type(column.type)
        if kind is not None:
            names.append(name)
            columns.append(column.cast(kind))
    return pa.table(columns, names)


def _canonical_type(kind: pa.DataType) -> pa.DataType | None:
    if pa.types.is_dictionary(kind):
        return _canonical_type(kind.value_type)
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        element = _canonical_type(kind.value_type)
        return pa.list_(element) if element is not None and not pa.types.is_nested(element) else None
    if pa.types.is_map(kind):
        element = _canonical_type(kind.item_type)
        text = _canonical_type(kind.key_type) == pa.string()
        return (
            pa.map_(pa.string(), element) if text and element is not None and not pa.types.is_nested(element) else None
        )
    return kind if pa.types.is_boolean(kind) else None


def _checked(path: str, events: pa.Table, time: str) -> pa.Table:
    if time not in events.column_names or not pa.types.is_integer(events.schema.field(time).type):
        found = events.schema.field(time).type if time in events.column_names else "missing"
        raise ConfigError(f"history for {path}: time column {time!r} is {found}, expected milliseconds as an integer")
    if len(events):
        nulls = events.column(time).null_count
        if nulls:
            raise InvalidEvent(f"history for {path}: {nulls} rows have no {time!r}")
        for bound in pc.min_max(events.column(time)).as_py().values():
            check_time(bound, now_ms=wall_clock_ms(), max_future_ms=0, name=f"{time} of history for {path}")
    return events


def _landed(spark: SparkSession, path: str) -> bool:
    jvm = spark.sparkContext._jvm
    if jvm is None:
        return False
    folder = jvm.org.apache.hadoop.fs.Path(f"{path}/{LANDED}")
    return bool(folder.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration()).exists(folder))
