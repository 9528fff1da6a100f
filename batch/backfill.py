"""Backfills: the tiles of a group below a cut, from its source's Delta table, kept in Delta and published.

Knows Spark. Doing it again gives the same tiles, and changes nothing in any store.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession

from batch.filling import fill, tiles_below
from batch.publishing import SENT_SCHEMA, sender_task, wait_until_stored
from batch.tables import TableVersion, read_version, source_events, table_path, version_of
from bighead.client.publish import Publisher
from bighead.client.visibility import Visibility
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import ConfigError
from bighead.events.topics import FEATURES_EVENTS, topic_name
from bighead.events.types import BackfillCompleted
from bighead.features.catalog import Catalog, GroupEpoch
from bighead.features.windows import DAY_MS, ceil_to

Progress = Callable[[str], None]
_AT_ONCE = 2


@dataclass(frozen=True)
class Backfilled:
    """What a backfill of one group made.

    days, kept_days: how many days of the tile table were filled, and how many were right already. next_offsets: of
    each state partition, after its last published tile.
    """

    group: str
    epoch: int
    cut_ms: int
    tiles: int
    events: int
    table: TableVersion
    source: TableVersion
    days: int
    kept_days: int
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
        if not applied.retired and (name not in newest or epoch > newest[name].epoch):
            newest[name] = applied
    unknown = sorted(set(names or ()) - set(newest))
    if unknown or not newest:
        applied_names = ", ".join(sorted(newest)) or "none; apply a definition: `bighead features apply FILE`"
        raise ConfigError(f"no group {', '.join(unknown) or 'at all'} is applied; there are {applied_names}")
    return [newest[name] for name in sorted(newest) if names is None or name in names]


def backfill_all(
    spark: SparkSession, settings: Settings, applied: Sequence[GroupEpoch], cut_ms: int, progress: Progress
) -> list[Backfilled]:
    """Backfills groups, two at a time: while Spark plans the one, it works for the other."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda one: backfill(spark, settings, one, cut_ms, progress), applied))


def backfill(
    spark: SparkSession, settings: Settings, applied: GroupEpoch, cut_ms: int, progress: Progress
) -> Backfilled:
    """Fills and publishes the tiles of one group below the cut; returns when all are acknowledged.

    Days that were filled of the same events are kept, so a run that died goes on where it was.
    """
    group, name = applied.group, applied.group.name
    source = group.definition.source.table
    source_version = version_of(spark, table_path(settings.lake, source))
    events = source_events(spark, settings.lake, group, source_version)
    path = tiles_path(settings, applied)
    progress(f"{name}: filling tiles from {source} version {source_version}")
    filled = fill(spark, group, events, path, cut_ms, progress)
    found = tiles_below(spark, group, read_version(spark, path, filled.version), cut_ms)
    tiles, summed, next_offsets = _publish(settings, applied, found)
    progress(f"{name}: {tiles} tiles published, from {path} version {filled.version}")
    return Backfilled(
        group=name,
        epoch=applied.epoch,
        cut_ms=cut_ms,
        tiles=tiles,
        events=summed,
        table=TableVersion(path, filled.version),
        source=TableVersion(source, source_version),
        days=len(filled.days),
        kept_days=filled.kept,
        next_offsets=next_offsets,
    )


def tiles_path(settings: Settings, applied: GroupEpoch) -> str:
    """Where the tile table of a group's epoch lies."""
    return table_path(settings.lake, f"_tiles/{applied.group.name}/{applied.epoch}")


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
