"""An epoch that waits in the shadow beside the one that answers: what each would serve now, feature by feature.

Knows the tile table, to find entities, and reads both epochs online, as servers do.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from batch.backfill import tiles_path
from batch.filling import MARK
from batch.folding import LEVEL
from batch.tables import read_version, table_path, version_of
from bighead.client.online import OnlineReader
from bighead.client.store import pipeline_of
from bighead.compile.spark import ENTITY, quoted
from bighead.config import Settings
from bighead.features.catalog import Catalog, GroupEpoch, JoinEpoch
from bighead.features.compiled import compile_join
from bighead.features.definition import Join

ENTITIES = 1_000
_JOIN = "compared"
_CHUNK = 200
_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Compared:
    """One feature in both epochs. largest: the largest absolute difference of two numbers."""

    feature: str
    rows: int
    same: int
    only_live: int
    only_shadow: int
    largest: float


@dataclass(frozen=True)
class Comparison:
    """A group's epochs side by side. added, removed: features that one of them alone has."""

    group: str
    live: int
    shadow: int
    as_of_ms: int
    features: tuple[Compared, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


def compare(
    spark: SparkSession, settings: Settings, catalog: Catalog, name: str, entities: int = ENTITIES
) -> Comparison | None:
    """The newest epoch of a group beside the active one; None where no epoch waits, or the keys are others."""
    live = catalog.group(name)
    shadow = catalog.groups[name, catalog.next_epoch(name) - 1]
    if shadow.epoch == live.epoch or shadow.retired or shadow.group.keys != live.group.keys:
        return None
    as_of_ms = max(shadow.cut_ms or 0, live.cut_ms or 0, _newest_ms(spark, settings, shadow) + 1)
    keys = _entities(spark, settings, shadow, entities)
    values = [asyncio.run(_read(settings, catalog, one, keys, as_of_ms)) for one in (live, shadow)]
    names = [[feature.name for feature in one.group.features] for one in (live, shadow)]
    return Comparison(
        group=name,
        live=live.epoch,
        shadow=shadow.epoch,
        as_of_ms=as_of_ms,
        features=tuple(_compared(one, *values) for one in names[1] if one in names[0]),
        added=tuple(one for one in names[1] if one not in names[0]),
        removed=tuple(one for one in names[0] if one not in names[1]),
    )


def _compared(feature: str, live: Sequence[dict[str, Any]], shadow: Sequence[dict[str, Any]]) -> Compared:
    pairs = [(old[feature], new[feature]) for old, new in zip(live, shadow, strict=True)]
    numbers = [abs(old - new) for old, new in pairs if isinstance(old, int | float) and isinstance(new, int | float)]
    return Compared(
        feature=feature,
        rows=len(pairs),
        same=sum(old == new for old, new in pairs),
        only_live=sum(old is not None and new is None for old, new in pairs),
        only_shadow=sum(old is None and new is not None for old, new in pairs),
        largest=float(max(numbers, default=0.0)),
    )


def _newest_ms(spark: SparkSession, settings: Settings, applied: GroupEpoch) -> int:
    source = applied.group.definition.source
    path = table_path(settings.lake, source.table)
    newest = read_version(spark, path, version_of(spark, path)).agg(F.max(quoted(source.time))).collect()[0][0]
    return -1 if newest is None else int(newest)


def _entities(spark: SparkSession, settings: Settings, applied: GroupEpoch, most: int) -> list[dict[str, Any]]:
    """Keys of entities, spread evenly by a hash."""
    path = tiles_path(settings, applied)
    tiles = read_version(spark, path, version_of(spark, path)).where(F.col(LEVEL) != MARK)
    rows = tiles.select(ENTITY).distinct().orderBy(F.xxhash64(ENTITY), ENTITY).limit(most).collect()
    return [dict(zip(applied.group.keys, json.loads(row[0]), strict=True)) for row in rows]


async def _read(
    settings: Settings, catalog: Catalog, one: GroupEpoch, keys: Sequence[dict[str, Any]], as_of_ms: int
) -> list[dict[str, Any]]:
    """What an epoch serves."""
    name = one.group.name
    join = compile_join(Join(_JOIN, one.group.keys, [name]), {name: one.group})
    joins = {_JOIN: JoinEpoch(1, join.to_json(), join.hash)}
    chosen = replace(catalog, active={**catalog.active, name: one.epoch}, joins=joins)
    store = pipeline_of(settings.redis)
    try:
        reader = OnlineReader(store, settings.topic_prefix, lambda: chosen)
        rows: list[dict[str, Any]] = []
        for start in range(0, len(keys), _CHUNK):
            found = await reader.read(_JOIN, keys[start : start + _CHUNK], as_of_ms, _TIMEOUT_S)
            rows += [row.values for row in found]
        return rows
    finally:
        await store.close()
