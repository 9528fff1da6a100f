"""The daily refresh: land, backfill, publish and move the cut, write snapshots, prune. Each step can be run again.

Knows Spark and the platform. A run that died is simply run again: what is done is found and kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyspark.sql import SparkSession

from batch.backfill import Backfilled, backfill_all, complete, tiles_path
from batch.filling import prune
from batch.land import Landed, land, only_table, sources_of
from batch.pruning import prune_store
from batch.snapshots import Snapshot, write_snapshots
from batch.tables import table_path
from bighead.config import Settings
from bighead.features.catalog import Catalog, GroupEpoch

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Pruned:
    """What was deleted of a group's epoch: days of its tile table that lost a level, tiles of the online store."""

    group: str
    epoch: int
    days: int
    tiles: int


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did."""

    cut_ms: int
    landed: tuple[Landed, ...]
    groups: tuple[Backfilled, ...]
    snapshots: tuple[Snapshot, ...]
    pruned: tuple[Pruned, ...]


def refresh(
    spark: SparkSession,
    settings: Settings,
    catalog: Catalog,
    applied: Sequence[GroupEpoch],
    cut_ms: int,
    wait_s: float,
    progress: Progress,
) -> Refreshed:
    """Brings batch up to a midnight for these epochs. `wait_s`: how long the stream may take to follow."""
    progress("1 of 4: landing topics")
    landed = tuple(_land(spark, settings, catalog, topic, progress) for topic in _topics(applied))
    progress("2 of 4: backfilling and publishing")
    done = backfill_all(spark, settings, applied, cut_ms, progress)
    complete(settings, done, wait_s, progress)
    progress("3 of 4: writing snapshots")
    asked = [one for one in applied if one.group.snapshot]
    snapshots = tuple(write_snapshots(spark, settings, one, cut_ms, cut_ms, progress) for one in asked)
    progress("4 of 4: pruning")
    # Readers that have not heard of the new cut read by the one before: what that one needs stays until the next run.
    pruned = tuple(_prune(spark, settings, one) for one in applied if one.cut_ms is not None)
    return Refreshed(cut_ms, landed, tuple(done), snapshots, pruned)


def _topics(applied: Sequence[GroupEpoch]) -> list[str]:
    return sorted({one.group.definition.source.topic for one in applied})


def _land(spark: SparkSession, settings: Settings, catalog: Catalog, topic: str, progress: Progress) -> Landed:
    tables, times = sources_of(catalog, topic)
    return land(spark, settings, topic, table_path(settings.lake, only_table(topic, tables)), times, progress)


def _prune(spark: SparkSession, settings: Settings, applied: GroupEpoch) -> Pruned:
    cut_ms = applied.cut_ms or 0
    days = prune(spark, applied.group, tiles_path(settings, applied), cut_ms)
    return Pruned(applied.group.name, applied.epoch, days, prune_store(settings, applied, cut_ms))
