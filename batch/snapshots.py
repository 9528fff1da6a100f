"""Snapshots: the features of a group's entities as of midnights, kept in Delta day by day.

Knows Spark. A midnight is written once for what the source held before it, so a run that died is simply run again.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batch.filling import source_days
from batch.tables import TableVersion, exists, read_version, source_events, table_path, version_of
from batch.training import with_features
from batch.views import Views
from bighead.compile.inputs import KEEP, TIME, input_sql
from bighead.compile.spark import floor_sql, quoted
from bighead.config import Settings
from bighead.features.catalog import GroupEpoch
from bighead.features.compiled import CompiledGroup, compile_join
from bighead.features.definition import Join
from bighead.features.windows import DAY_MS, ceil_to

Progress = Callable[[str], None]
AS_OF = "as_of_ms"
SOURCE_HASH = "source_hash"
_DAY = "__day"


@dataclass(frozen=True)
class Snapshot:
    """What a run made of a snapshot table: midnights that were written, and those that were right already."""

    group: str
    epoch: int
    written: int
    kept: int
    table: TableVersion


def snapshots_path(settings: Settings, applied: GroupEpoch) -> str:
    """Where the snapshots of a group's epoch lie: its keys, `as_of_ms` and its features."""
    return table_path(settings.lake, f"_snapshots/{applied.group.name}/{applied.epoch}")


def write_snapshots(
    spark: SparkSession, settings: Settings, applied: GroupEpoch, from_ms: int, to_ms: int, progress: Progress
) -> Snapshot:
    """Writes the midnights of `from_ms <= as_of_ms <= to_ms` that the table does not have, or has of other events."""
    group, path = applied.group, snapshots_path(settings, applied)
    table = group.definition.source.table
    version = version_of(spark, table_path(settings.lake, table))
    events = source_events(spark, settings.lake, group, version)
    wanted = _wanted(group, events, range(ceil_to(from_ms, DAY_MS), to_ms + 1, DAY_MS))
    found = _found(spark, path)
    stale = sorted(midnight for midnight, hashed in wanted.items() if found.get(midnight) != hashed)
    if stale:
        progress(f"{group.name}: {len(stale)} midnights of snapshots")
        join = compile_join(Join(group.name, group.keys, [group.name]), {group.name: group})
        left = _entities(spark, group, events, stale)
        with with_features(spark, settings.lake, join, left, AS_OF, {table: version}) as frame:
            hashes = F.create_map(*(F.lit(one) for midnight in stale for one in (midnight, wanted[midnight])))
            _write(frame.withColumn(SOURCE_HASH, hashes[F.col(AS_OF)]), path, stale)
    newest = version_of(spark, path) if exists(spark, path) else -1
    return Snapshot(group.name, applied.epoch, len(stale), len(wanted) - len(stale), TableVersion(path, newest))


def _wanted(group: CompiledGroup, events: DataFrame, midnights: range) -> dict[int, str]:
    """For each midnight a hash of the events that its features can see; those that see none are left out."""
    if not midnights:
        return {}
    days = source_days(group, events, 0, midnights[-1])
    reach_ms = None if group.longest_ms is None else ceil_to(group.longest_ms, DAY_MS)
    wanted = {}
    for midnight in midnights:
        seen = [(day, *days[day]) for day in sorted(days) if day < midnight and _reaches(day, midnight, reach_ms)]
        if seen:
            wanted[midnight] = hashlib.sha256(repr(seen).encode()).hexdigest()
    return wanted


def _reaches(day: int, midnight: int, reach_ms: int | None) -> bool:
    return reach_ms is None or day >= midnight - reach_ms


def _found(spark: SparkSession, path: str) -> Mapping[int, str]:
    if not exists(spark, path):
        return {}
    rows = read_version(spark, path, version_of(spark, path)).select(AS_OF, SOURCE_HASH).distinct().collect()
    return {row[0]: row[1] for row in rows}


def _entities(spark: SparkSession, group: CompiledGroup, events: DataFrame, midnights: Collection[int]) -> DataFrame:
    """The keys that have events, with each midnight at which they can be seen."""
    inputs = Views(spark, group.name)(input_sql(group, Views(spark, group.name)(events, "source"), "spark"), "inputs")
    keys = [quoted(key) for key in group.keys]
    known = " AND ".join([KEEP, f"{TIME} >= 0", *(f"{key} IS NOT NULL" for key in keys)])
    days = f"SELECT DISTINCT {', '.join(keys)}, {floor_sql(TIME, DAY_MS)} AS {_DAY} FROM {inputs} WHERE {known}"
    newest, last = max(midnights), str(max(midnights))
    if group.longest_ms is None:
        days = f"SELECT {', '.join(keys)}, MIN({_DAY}) AS {_DAY} FROM ({days}) GROUP BY {', '.join(keys)}"
    else:
        last = f"LEAST({newest}L, {_DAY} + {ceil_to(group.longest_ms, DAY_MS)}L)"
    first = f"GREATEST({min(midnights)}L, {_DAY} + {DAY_MS}L)"
    exploded = spark.sql(
        f"SELECT DISTINCT {', '.join(keys)}, EXPLODE(SEQUENCE({first}, {last}, {DAY_MS}L)) AS {AS_OF} "
        f"FROM ({days}) WHERE {first} <= {last}"
    )
    return exploded.where(F.col(AS_OF).isin(list(midnights)))


def _write(frame: DataFrame, path: str, midnights: Collection[int]) -> None:
    writer = frame.write.format("delta").mode("overwrite")
    if exists(frame.sparkSession, path):
        writer = writer.option("replaceWhere", f"{AS_OF} IN ({', '.join(map(str, midnights))})")
    writer.save(path)
