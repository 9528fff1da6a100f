"""Erases an entity of a group from its Delta tables: tiles of all epochs, and the source's events with its keys.

Knows Spark. Old versions are vacuumed at once, so time travel to them ends here. What stays for as long as Delta keeps
its log (30 days) are the least and greatest values of the files that are gone.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

import click
from delta.tables import DeltaTable
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from batch.backfill import tiles_path
from batch.tables import exists, table_path
from batch.work import Work, as_json, show
from bighead.client.forget import epochs_of
from bighead.config import Settings
from bighead.features.catalog import GroupEpoch
from bighead.features.compiled import CompiledGroup

_CHECK = "spark.databricks.delta.retentionDurationCheck.enabled"


@dataclass(frozen=True)
class Erased:
    """Rows that were deleted, tables that were looked into, and rows that are still there afterwards."""

    tables: int
    rows_deleted: int
    rows_left: int


def erase(spark: SparkSession, settings: Settings, epochs: list[GroupEpoch], entity: str) -> Erased:
    """Deletes and vacuums; doing it again changes nothing."""
    source = epochs[-1].group.definition.source.table
    wanted = {tiles_path(settings, one): F.col("entity") == entity for one in epochs}
    wanted[table_path(settings.lake, source)] = _of_entity(epochs[-1].group, json.loads(entity))
    there = {path: condition for path, condition in wanted.items() if exists(spark, path)}
    deleted = left = 0
    before = spark.conf.get(_CHECK, "true")
    spark.conf.set(_CHECK, "false")
    try:
        for path, condition in there.items():
            table = DeltaTable.forPath(spark, path)
            deleted += table.toDF().where(condition).count()
            table.delete(condition)
            spark.sql(f"REORG TABLE delta.`{path}` APPLY (PURGE)")
            table.vacuum(0)
            left += table.toDF().where(condition).count()
    finally:
        spark.conf.set(_CHECK, before or "true")
    return Erased(len(there), deleted, left)


def _of_entity(group: CompiledGroup, values: list[Any]) -> Column:
    """Events whose keys are the entity's."""
    condition = F.lit(True)
    for name, value in zip(group.keys, values, strict=True):
        condition = condition & (F.expr(group.inputs[name].sql("spark")) == F.lit(value))
    return condition


@click.command("forget")
@click.option("--group", required=True, metavar="NAME", help="Group that knows the entity.")
@click.option("--entity", required=True, metavar="JSON", help="Its key values, a JSON array without spaces.")
@as_json
@click.pass_obj
def forget_command(work: Work, group: str, entity: str, as_json: bool) -> None:
    """Delete an entity from a group's tile tables and from its source's table, old versions included.

    Example: python -m batch forget --group account --entity '["account-17"]'
    """
    erased = erase(work.spark, work.settings, epochs_of(work.catalog(), group), entity)
    text = f"{erased.rows_deleted} rows deleted from {erased.tables} tables, {erased.rows_left} left"
    show(asdict(erased), as_json, text)
