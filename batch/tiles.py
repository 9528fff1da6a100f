"""The tiles of a group from its source's events: by SQL where its operations have texts, else folded by the workers.

Knows Spark. Whichever way they are made, tiles are rows of `folding.tile_columns`.
"""

from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batch.folding import LEVEL, before_task, fold_task, tile_schema
from batch.views import Views
from bighead.compile.spark import (
    ENTITY,
    OFFSET,
    PARTITION,
    SEQ,
    SQL_TYPES,
    START,
    before_sql,
    events_sql,
    floor_sql,
    inputs_sql,
    made_by_sql,
    merged_sql,
)
from bighead.features.compiled import CompiledGroup
from bighead.features.windows import DAY_MS, SIZES_MS, Level


def tiles_of(spark: SparkSession, group: CompiledGroup, source: DataFrame, levels: Sequence[Level]) -> DataFrame:
    """The tiles of bounded levels; `source` as `tables.source_events` gives it."""
    view = Views(spark, group.name)
    inputs = view(inputs_sql(group, view(source, "source")), "inputs")
    if not made_by_sql(group):
        # A day of an entity lies whole in one task, so that a popular entity spreads over its days.
        rows = spark.table(inputs).withColumn("__day", F.expr(floor_sql(START, DAY_MS))).repartition(ENTITY, "__day")
        ordered = rows.sortWithinPartitions(ENTITY, "__day", PARTITION, OFFSET)
        return ordered.mapInArrow(fold_task(group.to_json(), levels), tile_schema(group))
    finer = view(events_sql(group, inputs), "events")
    parts = []
    for level, size_ms in reversed(SIZES_MS.items()):
        if level in levels:
            finer = view(merged_sql(group, finer, floor_sql(START, size_ms)), level.name)
            parts.append(f"SELECT '{level}' AS {LEVEL}, * FROM {finer}")
    return spark.sql(" UNION ALL ".join(parts))


def before(spark: SparkSession, group: CompiledGroup, tiles: DataFrame, places: DataFrame) -> DataFrame:
    """For each entity and start_ms of `places` the tiles that begin before it, merged, as level BASE."""
    view = Views(spark, group.name)
    if made_by_sql(group):
        found = spark.sql(before_sql(group, view(tiles.drop(LEVEL), "finer"), view(places, "places")))
        return found.select(F.lit(str(Level.BASE)).alias(LEVEL), "*")
    nothing = [f"CAST(NULL AS {SQL_TYPES[kind]}) AS `{name}`" for name, kind in group.state_columns]
    markers = places.selectExpr(
        "CAST(NULL AS STRING) AS level", ENTITY, START, "CAST(NULL AS BIGINT) AS seq", "0L AS latest_ms", *nothing
    )
    both = tiles.unionByName(markers).repartition(ENTITY).sortWithinPartitions(ENTITY, START, F.col(SEQ).isNotNull())
    return both.mapInArrow(before_task(group.to_json()), tile_schema(group))
