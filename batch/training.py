"""Point-in-time training sets: each row of a left table with the features of a Join as of the row's time.

Knows Spark. Each group is reduced to tiles by SQL; queries and the tiles that they may need meet by entity and block of
days (`batch.asof`); the groups' answers are joined back by row.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from batch.answers import answer_batches, read_columns
from batch.asof import Kind, Layout, has_base
from batch.labels import KnownLabel, known_label, with_label
from batch.meeting import MeetingRows
from batch.tables import TableVersion, check_columns, read_version, source_events, table_path, version_of
from batch.tiles import before, tiles_of
from batch.views import Views
from bighead.client.catalog import read_catalog
from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.compile.spark import (
    BACK,
    ENTITY,
    OFFSET,
    PARTITION,
    SQL_TYPES,
    START,
    entity_sql,
    floor_sql,
    input_name,
    inputs_sql,
    quoted,
)
from bighead.config import Settings
from bighead.errors import ConfigError
from bighead.events.codec import Codec
from bighead.events.topics import FEATURES_EVENTS, topic_name
from bighead.events.types import TrainingSetCreated
from bighead.features.compiled import CompiledGroup, CompiledJoin, CompiledPart, group_of_json
from bighead.features.labels import Immature, Label
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS, FIVE_MINUTES_MS, Level

Progress = Callable[[str], None]
WHOLE_ROWS = 4_000_000
"""Up to so many events and queries of a group together, a task gets all events of an entity, see `Layout`."""
_ROW = "__row"
_AT = "__at_ms"


@dataclass(frozen=True)
class TrainingSet:
    """A training set as it was written, and the versions of the tables that it was made from."""

    join: str
    join_hash: str
    epochs: Mapping[str, int]
    rows: int
    features: tuple[str, ...]
    labels: tuple[str, ...]
    table: TableVersion
    sources: Mapping[str, int]
    from_ms: int
    to_ms: int


@dataclass(frozen=True)
class Labels:
    """What a training set is to predict. known_ms: before when sources are complete; None: their newest event."""

    labels: Sequence[Label] = ()
    immature: Immature = Immature.KEEP
    known_ms: int | None = None


def write_training_set(
    spark: SparkSession,
    settings: Settings,
    join: CompiledJoin,
    left: DataFrame,
    time: str,
    output: str,
    progress: Progress,
    labels: Labels = Labels(),
) -> TrainingSet:
    """Writes `left` with the join's features and labels to a Delta table, and says so in an event.

    What was in the table before stays as an older version.
    """
    versions = source_versions(spark, settings.lake, join, labels.labels)
    path = table_path(settings.lake, output)
    made_from = json.dumps({"join": join.name, "join_hash": join.hash, "sources": versions}, sort_keys=True)
    with with_features(spark, settings.lake, join, left, time, versions, labels=labels) as frame:
        progress(f"{join.name}: {len(join.kinds)} features of {len(join.groups)} groups for each row of the left table")
        writer = frame.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer.option("userMetadata", made_from).save(path)
    version = version_of(spark, path)
    rows, from_ms, to_ms = read_version(spark, path, version).agg(F.count("*"), F.min(time), F.max(time)).collect()[0]
    progress(f"{join.name}: {rows} rows in {path} version {version}")
    made = TrainingSet(
        join=join.name,
        join_hash=join.hash,
        epochs=epochs_of(settings, join),
        rows=rows,
        features=tuple(join.kinds),
        labels=tuple(one.name for one in labels.labels),
        table=TableVersion(path, version),
        sources=versions,
        from_ms=from_ms or 0,
        to_ms=to_ms or 0,
    )
    publish_created(settings, made)
    return made


def publish_created(settings: Settings, made: TrainingSet) -> None:
    """TrainingSetCreated, on the topic of features."""
    event = TrainingSetCreated(
        join=made.join,
        join_hash=made.join_hash,
        epochs=made.epochs,
        table=made.table.table,
        table_version=made.table.version,
        rows=made.rows,
        features=made.features,
        labels=made.labels,
        sources=made.sources,
        from_ms=made.from_ms,
        to_ms=made.to_ms,
        actor=settings.actor,
        at_ms=wall_clock_ms(),
    )
    publisher = Publisher(settings, "bighead/batch/training")
    publisher.publish(event, key=made.join, topic=topic_name(settings.topic_prefix, FEATURES_EVENTS))
    publisher.flush()
    publisher.codec.close()


def epochs_of(settings: Settings, join: CompiledJoin) -> dict[str, int]:
    """The epochs of the groups that a join reads, by their meaning."""
    codec = Codec(settings.schema_registry)
    try:
        catalog = read_catalog(settings, codec)
    finally:
        codec.close()
    hashes = {group.name: group.hash for group in join.groups}
    known = sorted((name, epoch) for name, epoch in catalog.groups if name in hashes)
    return {name: epoch for name, epoch in known if catalog.groups[name, epoch].group.hash == hashes[name]}


def source_versions(spark: SparkSession, lake: str, join: CompiledJoin, labels: Sequence[Label] = ()) -> dict[str, int]:
    """The newest version of each table that groups and labels read, by the name that definitions give it."""
    sources = [*(group.definition.source for group in join.groups), *(label.source for label in labels)]
    tables = dict.fromkeys(source.table for source in sources)
    return {table: version_of(spark, table_path(lake, table)) for table in tables}


@contextmanager
def with_features(
    spark: SparkSession,
    lake: str,
    join: CompiledJoin,
    left: DataFrame,
    time: str,
    versions: Mapping[str, int],
    whole_rows: int = WHOLE_ROWS,
    labels: Labels = Labels(),
) -> Iterator[DataFrame]:
    """`left` with the join's columns in the order of `join.kinds` and the labels; `versions` of each source table."""
    known = [known_label(spark, lake, label, versions[label.source.table], labels.known_ms) for label in labels.labels]
    numbered = _numbered(join, left, time, known, labels.immature).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        asked = _asked(numbered, time)
        answers = []
        counted: dict[tuple[str, int | None], int] = {}
        for part in join.parts:
            group = part.group
            table = group.definition.source.table
            needed = _needed(source_events(spark, lake, group, versions[table]), group, asked)
            # Groups of one source that look back equally far see the same events.
            reach = (table, group.longest_ms)
            counted[reach] = counted[reach] if reach in counted else needed.count()
            layout = Layout.of(group, whole=asked.rows + counted[reach] <= whole_rows)
            answers.append(_answers(spark, needed, part, layout, numbered))
        answers += [with_label(spark, lake, label, numbered, _ROW, _AT) for label in known]
        yield _joined(join, left, numbered, answers, [label.name for label in labels.labels])
    finally:
        numbered.unpersist()


def _joined(
    join: CompiledJoin, left: DataFrame, numbered: DataFrame, answers: list[DataFrame], labels: Sequence[str]
) -> DataFrame:
    joined = reduce(lambda one, other: one.join(other.hint("shuffle_hash"), _ROW, "left"), answers, numbered)
    for name, expression in join.derivations.items():  # one after the other: they may read each other
        joined = joined.selectExpr("*", f"{expression.sql('spark')} AS {quoted(name)}")
    added = [name for name in join.kinds if name not in join.request_kinds]
    return joined.select(*(quoted(name) for name in (*left.columns, *added, *labels)))


def _numbered(
    join: CompiledJoin, left: DataFrame, time: str, labels: Sequence[KnownLabel], immature: Immature
) -> DataFrame:
    """The left rows with a number each, which rejoins the groups' answers."""
    check_columns(f"the left table of join {join.name!r}", left.schema, join.left_kinds | {time: ValueType.LONG})
    names = [*(name for name in join.kinds if name not in join.request_kinds), *(one.name for one in labels)]
    taken = sorted(name for name in {*left.columns, *names} if [*left.columns, *names].count(name) > 1)
    if taken:
        raise ConfigError(
            f"the left table of join {join.name!r} has columns of the join or its labels: {', '.join(taken)}; drop or "
            "rename them"
        )
    for name, kind in join.request_kinds.items():
        if kind is ValueType.DOUBLE:  # as everywhere: NaN and infinities are null, -0.0 is 0.0
            value = F.col(quoted(name))
            left = left.withColumn(name, F.when(F.abs(value) < float("inf"), value + F.lit(0.0)))
    timed = left.withColumn(_AT, F.col(quoted(time)).cast("bigint"))
    if immature is Immature.DROP:
        for one in labels:
            timed = timed.where(F.col(_AT) + one.compiled.label.horizon_ms <= one.known_ms)
    return timed.withColumn(_ROW, F.monotonically_increasing_id())


@dataclass(frozen=True)
class _Asked:
    """How many left rows there are, and their oldest and newest time."""

    rows: int
    oldest_ms: int
    newest_ms: int


def _asked(numbered: DataFrame, time: str) -> _Asked:
    row = numbered.agg(F.count("*"), F.min(_AT), F.max(_AT), F.count(F.when(F.col(_AT).isNull(), 1))).collect()[0]
    if row[3]:
        raise ConfigError(f"{row[3]} rows of the left table have no {time!r}; give each row its time, milliseconds")
    return _Asked(int(row[0]), int(row[1] or 0), int(row[2] or 0))


def _needed(events: DataFrame, group: CompiledGroup, asked: _Asked) -> DataFrame:
    """The events that any of the queries can see; Delta skips files by this."""
    time = F.col(quoted(group.definition.source.time))
    seen = events.where(time < asked.newest_ms)
    # A day for the step in which windows move, and one more for a group that is asked as of midnight.
    return seen if group.longest_ms is None else seen.where(time >= asked.oldest_ms - group.longest_ms - 2 * DAY_MS)


def _answers(
    spark: SparkSession, events: DataFrame, part: CompiledPart, layout: Layout, numbered: DataFrame
) -> DataFrame:
    """`__row` and the part's columns for every left row."""
    rows = _partition_rows(spark, events, part, layout, numbered).repartition(ENTITY, "block")
    group = part.group
    features = ", ".join(f"{quoted(feature.name)} {SQL_TYPES[feature.kind]}" for feature in group.features)
    return rows.mapInArrow(_task(group.to_json(), layout), f"row BIGINT, {features}").toDF(_ROW, *part.columns)


def _task(definition: str, layout: Layout) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What a worker runs; the definition travels as text."""
    return lambda batches: answer_batches(group_of_json(definition), layout, batches)


def _partition_rows(
    spark: SparkSession, source: DataFrame, part: CompiledPart, layout: Layout, numbered: DataFrame
) -> DataFrame:
    """Queries and states, in the columns that `batch.asof` reads."""
    group = part.group
    view = Views(spark, group.name)
    events = view(inputs_sql(group, view(source, "source")), "inputs")
    keys = {quoted(key): kind for key, kind in zip(part.keys, group.key_kinds, strict=True)}
    at = floor_sql(_AT, DAY_MS) if group.snapshot else _AT
    left = view(numbered.selectExpr(f"{entity_sql(keys)} AS {ENTITY}", f"{at} AS {START}", f"{_ROW} AS row"), "left")
    inputs = {input_name(name): kind for name, kind in group.input_kinds.items()} | {BACK: ValueType.BOOLEAN}
    states = {} if layout.whole else dict(read_columns(group))
    rows = MeetingRows(layout, {**inputs, **states})
    parts = [rows.of(Kind.QUERY, left, (), "row")]
    if layout.whole:
        parts.append(rows.of(Kind.EVENT, events, inputs, OFFSET, PARTITION))
        return spark.sql(" UNION ALL ".join(parts))
    tiles = tiles_of(spark, group, source, [Level.FIVE_MINUTES])
    parts.append(rows.of(Kind.EVENT, _heads(events, left), inputs, OFFSET, PARTITION))
    parts.append(rows.of(Kind.FIVE_MINUTES, view(tiles, "tiles"), states, reach=layout.reach_ms))
    if has_base(group):
        asked = spark.sql(f"SELECT DISTINCT {ENTITY}, {floor_sql(START, layout.block_ms)} AS {START} FROM {left}")
        parts.append(rows.of(Kind.BASE, view(before(spark, group, tiles, asked), "base"), states))
    return spark.sql(" UNION ALL ".join(parts))


def _heads(events: str, left: str) -> str:
    """The events of the five minutes in which a query of the same entity lies; without queries none are moved."""
    minutes = floor_sql(START, FIVE_MINUTES_MS)
    asked = f"(SELECT DISTINCT {ENTITY} AS asked_entity, {minutes} AS asked_ms FROM {left})"
    return f"(SELECT * FROM {events} LEFT SEMI JOIN {asked} ON {ENTITY} = asked_entity AND {minutes} = asked_ms)"
