"""Backfills: the tiles of a group below a cut, from its source's Delta table, kept in Delta and published.

Knows Spark. Doing it again gives the same tiles, replaces the table's content and changes nothing in any store.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batch.publishing import LEVEL, SENT_SCHEMA, sender_task, wait_until_stored
from batch.tables import TableVersion, read_version, source_events, table_path, version_of
from batch.views import Views
from bighead.client.publish import Publisher
from bighead.client.visibility import Visibility
from bighead.clock import wall_clock_ms
from bighead.compile.spark import START, events_sql, floor_sql, merged_sql, quoted
from bighead.config import Settings
from bighead.errors import ConfigError
from bighead.events.topics import FEATURES_EVENTS, topic_name
from bighead.events.types import BackfillCompleted
from bighead.features.catalog import Catalog, GroupEpoch
from bighead.features.compiled import CompiledGroup
from bighead.features.windows import DAY_MS, SIZES_MS, Level, ceil_to

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Backfilled:
    """What a backfill of one group made. next_offsets: of each state partition, after its last published tile."""

    group: str
    epoch: int
    cut_ms: int
    tiles: int
    events: int
    table: TableVersion
    source: TableVersion
    next_offsets: Mapping[int, int]


def check_cut(cut_ms: int) -> None:
    """Batch and stream can only meet at a midnight: every tile lies on one side of it."""
    if cut_ms <= 0 or cut_ms % DAY_MS:
        raise ConfigError(
            f"the cut is {cut_ms}; expected a midnight, UTC, in milliseconds, e.g. {ceil_to(cut_ms, DAY_MS)}"
        )


def newest_epochs(catalog: Catalog, names: list[str] | None) -> list[GroupEpoch]:
    """The newest epoch of each group (of all, for None): a new one is filled before it is activated."""
    newest: dict[str, GroupEpoch] = {}
    for (name, epoch), applied in catalog.groups.items():
        if name not in newest or epoch > newest[name].epoch:
            newest[name] = applied
    unknown = sorted(set(names or ()) - set(newest))
    if unknown or not newest:
        applied_names = ", ".join(sorted(newest)) or "none; apply a definition: `bighead features apply FILE`"
        raise ConfigError(f"no group {', '.join(unknown) or 'at all'} is applied; there are {applied_names}")
    return [newest[name] for name in sorted(newest) if names is None or name in names]


def needed_from_ms(group: CompiledGroup, level: Level, cut_ms: int) -> int:
    """The first start of this level below the cut that a query at or after the cut can read; the cut if none.

    A window begins on a multiple of its hop, and a midnight ends every level: below the cut a cover holds no tile finer
    than the hop. A query at the cut looks back furthest, so what begins before its window's start is never read again.
    """
    size_ms = SIZES_MS[level]
    windows = [feature.window for feature in group.features if feature.window and feature.window.hop_ms <= size_ms]
    return min([cut_ms, *(ceil_to(window.start_ms(cut_ms), size_ms) for window in windows)])


def backfill_all(
    spark: SparkSession, settings: Settings, applied: Sequence[GroupEpoch], cut_ms: int, progress: Progress
) -> list[Backfilled]:
    """Backfills groups one after the other."""
    return [backfill(spark, settings, one, cut_ms, progress) for one in applied]


def backfill(
    spark: SparkSession, settings: Settings, applied: GroupEpoch, cut_ms: int, progress: Progress
) -> Backfilled:
    """Computes, keeps and publishes the tiles of one group below the cut; returns when all are acknowledged."""
    group, name = applied.group, applied.group.name
    source = group.definition.source.table
    source_version = version_of(spark, table_path(settings.lake, source))
    events = source_events(spark, settings.lake, group, source_version)
    path = table_path(settings.lake, f"_tiles/{name}/{applied.epoch}")
    progress(f"{name}: computing tiles from {source} version {source_version}")
    tiles_below(spark, events, group, cut_ms).write.format("delta").mode("overwrite").option(
        "overwriteSchema", "true"
    ).save(path)
    version = version_of(spark, path)
    tiles, summed, next_offsets = _publish(settings, applied, read_version(spark, path, version))
    progress(f"{name}: {tiles} tiles published, from {path} version {version}")
    return Backfilled(
        group=name,
        epoch=applied.epoch,
        cut_ms=cut_ms,
        tiles=tiles,
        events=summed,
        table=TableVersion(path, version),
        source=TableVersion(source, source_version),
        next_offsets=next_offsets,
    )


def complete(settings: Settings, backfilled: Sequence[Backfilled], wait_s: float, progress: Progress) -> None:
    """Says that backfills are complete, which moves the cut.

    With `wait_s` it is said once the online store holds the tiles, so that no read misses any, and waited for until the
    stream follows.
    """
    if wait_s > 0:
        next_offsets: dict[int, int] = {}
        for partition, offset in (pair for one in backfilled for pair in one.next_offsets.items()):
            next_offsets[partition] = max(next_offsets.get(partition, 0), offset)
        progress("waiting until the online store holds the tiles")
        wait_until_stored(settings, next_offsets, wait_s)
    publisher = Publisher(settings, "bighead/batch/backfill")
    topic = topic_name(settings.topic_prefix, FEATURES_EVENTS)
    for one in backfilled:
        event = BackfillCompleted(
            group=one.group,
            epoch=one.epoch,
            cut_ms=one.cut_ms,
            tiles=one.tiles,
            events=one.events,
            table=one.table.table,
            table_version=one.table.version,
            at_ms=wall_clock_ms(),
        )
        publisher.publish(event, key=one.group, topic=topic)
    positions = publisher.flush()
    publisher.codec.close()
    if wait_s > 0:
        visibility = Visibility(settings)
        try:
            visibility.wait(positions, wait_s)
        finally:
            visibility.close()


def tiles_below(spark: SparkSession, events: DataFrame, group: CompiledGroup, cut_ms: int) -> DataFrame:
    """The tiles that queries at or after the cut can read; BASE is everything before it."""
    view = Views(spark, group.name)
    time = F.col(quoted(group.definition.source.time))
    from_ms = {level: needed_from_ms(group, level, cut_ms) for level in group.levels if level is not Level.ALL}
    below = events.where(time < cut_ms)
    finer = view(events_sql(group, view(below.where(time >= min(from_ms.values())), "source")), "events")
    parts: list[str] = []
    for level, start_ms in from_ms.items():
        finer = view(merged_sql(group, finer, floor_sql(START, SIZES_MS[level])), level.name)
        if start_ms < cut_ms:
            parts.append(f"SELECT '{level}' AS {LEVEL}, * FROM {finer} WHERE {START} >= {start_ms}L")
    if Level.ALL in group.levels:
        every = view(events_sql(group, view(below, "all_source")), "all_events")
        # Not a bare number, which GROUP BY would take for the position of a column.
        base = view(merged_sql(group, every, f"CAST('{cut_ms}' AS BIGINT)"), "base")
        parts.append(f"SELECT '{Level.BASE}' AS {LEVEL}, * FROM {base}")
    return spark.sql(" UNION ALL ".join(parts))


def _publish(settings: Settings, applied: GroupEpoch, tiles: DataFrame) -> tuple[int, int, dict[int, int]]:
    """How many were sent, how many events they sum up, and for each state partition the offset after the last."""
    spread = tiles.repartition(tiles.sparkSession.sparkContext.defaultParallelism)
    task = sender_task(settings, applied.group.to_json(), applied.epoch)
    sent, events, next_offsets = 0, dict[str, int](), dict[int, int]()
    for row in spread.mapInArrow(task, SENT_SCHEMA).collect():
        if row["level"] is not None:
            sent += row["sent"]
            events[row["level"]] = events.get(row["level"], 0) + row["events"]
        else:
            next_offsets[row["partition"]] = max(next_offsets.get(row["partition"], 0), row["next_offset"])
    # Each level holds a part of the same events: the one that reaches back furthest holds them all.
    return sent, max(events.values(), default=0), next_offsets
