"""The tile table of a group: days below a cut, each filled once for what its source holds on that day.

Knows Spark. A day's tiles and the mark that says of which events they are made are written in one commit, so a run that
died is simply run again: days whose mark still fits are kept.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from batch.arrow import ARROW_TYPES
from batch.folding import LEVEL, tile_columns
from batch.tables import exists, read_version, version_of
from batch.tiles import before, tiles_of
from bighead.compile.spark import ENTITY, LATEST, SEQ, START, floor_sql, quoted
from bighead.features.compiled import CompiledGroup
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS, SIZES_MS, Level, ceil_to, floor_to

Progress = Callable[[str], None]
MARK = "source"
"""Level of the row that marks a day: `seq` events with the hash `latest_ms`, in tiles of the levels in `entity`."""
DAY = "day"
CHUNK_EVENTS = 2_000_000
"""Days are filled together up to so many events: what one commit makes, and a crash loses at most."""


@dataclass(frozen=True)
class Mark:
    """Of which events a day was filled, and in which levels."""

    events: int
    hash: int
    levels: frozenset[Level]

    def without(self, levels: Collection[Level]) -> "Mark":
        """The mark of a day that lost levels."""
        return replace(self, levels=self.levels.difference(levels))

    def holds(self, other: "Mark | None") -> bool:
        """Whether a day with this mark needs no more work to have the other."""
        return (
            other is not None and (self.events, self.hash) == (other.events, other.hash) and self.levels >= other.levels
        )


@dataclass(frozen=True)
class Filled:
    """What a run did to a tile table: days that were filled, or emptied, and those that were kept."""

    version: int
    days: tuple[int, ...]
    kept: int


def needed_from_ms(group: CompiledGroup, level: Level, cut_ms: int) -> int:
    """The first start of this level below the cut that a query at or after the cut can read; the cut if none.

    A window begins on a multiple of its hop, and a midnight ends every level: below the cut a cover holds no tile finer
    than the hop. A query at the cut looks back furthest, so what begins before its window's start is never read again.
    """
    size_ms = SIZES_MS[level]
    windows = [feature.window for feature in group.features if feature.window and feature.window.hop_ms <= size_ms]
    return min([cut_ms, *(ceil_to(window.start_ms(cut_ms), size_ms) for window in windows)])


def levels_from_ms(group: CompiledGroup, cut_ms: int) -> dict[Level, int]:
    """For each bounded level the first start that is kept; days reach back to the beginning where a feature does."""
    first: dict[Level, int] = {}
    first |= {level: needed_from_ms(group, level, cut_ms) for level in group.levels if level is not Level.ALL}
    if Level.ALL in group.levels:
        first[Level.DAY] = 0
    return first


def fill(
    spark: SparkSession,
    group: CompiledGroup,
    events: DataFrame,
    path: str,
    cut_ms: int,
    progress: Progress,
    chunk_events: int = CHUNK_EVENTS,
) -> Filled:
    """Makes the days of a tile table below the cut those of `events`, a version of the group's source."""
    first = levels_from_ms(group, cut_ms)
    wanted, found = _wanted(group, events, first, cut_ms), marks(spark, path)
    since_ms = floor_to(min(first.values()), DAY_MS)
    stale = {day for day in found if since_ms <= day < cut_ms and day not in wanted}
    stale |= {day for day, mark in wanted.items() if day not in found or not found[day].holds(mark)}
    if not stale and not found:
        _write(_marked(spark, group, {}), path, [])
    done = 0
    for days in _chunks(sorted(stale), wanted, chunk_events):
        _fill_days(spark, group, events, path, {day: wanted.get(day) for day in days})
        done += len(days)
        progress(f"{group.name}: {done} of {len(stale)} days filled")
    return Filled(version_of(spark, path), tuple(sorted(stale)), len(wanted.keys() - stale))


def marks(spark: SparkSession, path: str, version: int | None = None) -> dict[int, Mark]:
    """The marks of a tile table by day."""
    if not exists(spark, path):
        return {}
    table = read_version(spark, path, version_of(spark, path) if version is None else version)
    return {
        row[START]: Mark(row[SEQ], row[LATEST], frozenset(Level(one) for one in row[ENTITY].split(",")))
        for row in table.where(F.col(LEVEL) == MARK).select(START, SEQ, LATEST, ENTITY).collect()
    }


def tiles_below(spark: SparkSession, group: CompiledGroup, table: DataFrame, cut_ms: int) -> DataFrame:
    """The tiles that queries at or after the cut can read, from a tile table; BASE is everything before it."""
    columns = [quoted(name) for name in tile_columns(group)]
    tiles = table.where((F.col(LEVEL) != MARK) & (F.col(START) < cut_ms)).select(*columns)
    first = {level: needed_from_ms(group, level, cut_ms) for level in group.levels if level is not Level.ALL}
    read = [(F.col(LEVEL) == str(level)) & (F.col(START) >= start_ms) for level, start_ms in first.items()]
    found = tiles.where(_any(read))
    if Level.ALL not in group.levels:
        return found
    days = tiles.where(F.col(LEVEL) == str(Level.DAY))
    places = days.select(ENTITY).distinct().withColumn(START, F.lit(cut_ms).cast("bigint"))
    return found.unionByName(before(spark, group, days, places).select(*columns))


def prune(spark: SparkSession, group: CompiledGroup, path: str, cut_ms: int) -> int:
    """Deletes tiles that no query at or after the cut can read any more; returns how many days lost some."""
    first, found = levels_from_ms(group, cut_ms), marks(spark, path)
    left = {
        day: mark.without({level for level in first if day + DAY_MS <= first[level]}) for day, mark in found.items()
    }
    pruned = {day: mark for day, mark in left.items() if mark != found[day]}
    if pruned:
        table = read_version(spark, path, version_of(spark, path)).where(F.col(DAY).isin(list(pruned)))
        kept = [(F.col(LEVEL) == str(level)) & (F.col(DAY) > from_ms - DAY_MS) for level, from_ms in first.items()]
        marked = _marked(spark, group, {day: mark for day, mark in pruned.items() if mark.levels})
        _write(marked.unionByName(table.where(_any(kept))), path, list(pruned))
    return len(pruned)


def _any(conditions: Sequence[Column]) -> Column:
    found = F.lit(False)
    for condition in conditions:
        found = found | condition
    return found


def source_days(group: CompiledGroup, events: DataFrame, since_ms: int, until_ms: int) -> dict[int, tuple[int, int]]:
    """For each day of the source: how many events it holds, and a hash of them that does not depend on their order."""
    time = quoted(group.definition.source.time)
    hashed = ", ".join(
        f"MAP_KEYS({quoted(name)}), MAP_VALUES({quoted(name)})" if kind.startswith("map") else quoted(name)
        for name, kind in events.dtypes
    )
    rows = (
        events.where((F.col(time) >= since_ms) & (F.col(time) < until_ms))
        .groupBy(F.expr(floor_sql(time, DAY_MS)).alias(DAY))
        .agg(F.count("*").alias("events"), F.expr(f"BIT_XOR(XXHASH64({hashed}))").alias("hash"))
        .collect()
    )
    return {row[DAY]: (row["events"], row["hash"]) for row in rows}


def _wanted(group: CompiledGroup, events: DataFrame, first: Mapping[Level, int], cut_ms: int) -> dict[int, Mark]:
    """The marks that the source gives to each of its days that queries can need."""
    found = {}
    for day, (count, hashed) in source_days(group, events, floor_to(min(first.values()), DAY_MS), cut_ms).items():
        levels = frozenset(level for level, from_ms in first.items() if day + DAY_MS > from_ms)
        if levels:
            found[day] = Mark(count, hashed, levels)
    return found


def _chunks(days: Sequence[int], wanted: Mapping[int, Mark], most: int) -> Iterator[list[int]]:
    """Days that are filled together: of not too many events."""
    chunk: list[int] = []
    events = 0
    for day in days:
        more = wanted[day].events if day in wanted else 0
        if chunk and events + more > most:
            yield chunk
            chunk, events = [], 0
        chunk.append(day)
        events += more
    if chunk:
        yield chunk


def _fill_days(
    spark: SparkSession, group: CompiledGroup, events: DataFrame, path: str, days: Mapping[int, Mark | None]
) -> None:
    """One commit: the tiles and marks of these days; a day without a mark is emptied."""
    full = {day: mark for day, mark in days.items() if mark is not None}
    frame = _marked(spark, group, full)
    for levels in dict.fromkeys(mark.levels for mark in full.values()):
        mine = _of_days(group, events, [day for day, mark in full.items() if mark.levels == levels])
        tiles = tiles_of(spark, group, mine, [level for level in group.levels if level in levels])
        frame = frame.unionByName(tiles.withColumn(DAY, F.expr(floor_sql(START, DAY_MS))))
    _write(frame, path, list(days))


def _of_days(group: CompiledGroup, events: DataFrame, days: Sequence[int]) -> DataFrame:
    """The events of some days."""
    time = F.col(quoted(group.definition.source.time))
    found = events.where((time >= min(days)) & (time < max(days) + DAY_MS))
    if max(days) - min(days) == (len(days) - 1) * DAY_MS:
        return found
    return found.where(F.expr(floor_sql(quoted(group.definition.source.time), DAY_MS)).isin(list(days)))


def _marked(spark: SparkSession, group: CompiledGroup, days: Mapping[int, Mark]) -> DataFrame:
    """The rows that mark days."""
    kinds = {**tile_columns(group), DAY: ValueType.LONG}
    rows = [
        {LEVEL: MARK, ENTITY: ",".join(sorted(mark.levels)), START: day, SEQ: mark.events, LATEST: mark.hash, DAY: day}
        for day, mark in days.items()
    ]
    schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in kinds.items()])
    return spark.createDataFrame(pa.Table.from_pylist(rows, schema))


def _write(frame: DataFrame, path: str, days: Sequence[int]) -> None:
    writer = frame.write.format("delta").mode("overwrite")
    if exists(frame.sparkSession, path):
        writer = writer.option("replaceWhere", f"{DAY} IN ({', '.join(map(str, days))})")
    else:
        # Files are skipped by these alone; the least and greatest of every state would take longer than the tiles.
        writer = writer.option("delta.dataSkippingStatsColumns", f"{DAY},{START},{LEVEL}")
    writer.save(path)
