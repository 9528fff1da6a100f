"""Typed rows of a table as a Parquet file, for programs without Spark: `bighead train` reads its training set so.

Knows Spark.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from batch.tables import read_version, table_path, version_of
from batch.work import Work, as_json, progress, show
from bighead.errors import ConfigError


@dataclass(frozen=True)
class Written:
    """Rows as they were written, and where they come from. made_from: what the table's writer said of that version."""

    table: str
    version: int
    rows: int
    made_from: dict[str, Any]


def write_rows(spark: SparkSession, lake: str, table: str, version: int | None, where: str, folder: Path) -> Written:
    """Writes the rows of a version (None: the newest) for which `where` holds to Parquet files in a new folder."""
    path = table_path(lake, table)
    read = version_of(spark, path) if version is None else version
    frame = read_version(spark, path, read)
    chosen = frame.where(where) if where else frame
    chosen.write.parquet(str(folder))
    rows = spark.read.parquet(str(folder)).count() if any(folder.glob("*.parquet")) else 0
    if not rows:
        raise ConfigError(f"{path} version {read} has no rows{f' for which {where} holds' if where else ''}")
    return Written(path, read, rows, _made_from(spark, path, read))


def _made_from(spark: SparkSession, path: str, version: int) -> dict[str, Any]:
    history = DeltaTable.forPath(spark, path).history().where(F.col("version") <= version)
    said = [row[0] for row in history.orderBy(F.desc("version")).select("userMetadata").collect() if row[0]]
    try:
        found = json.loads(said[0]) if said else {}
    except ValueError:  # somebody else's words
        return {}
    return found if isinstance(found, dict) else {}


@click.command("rows")
@click.option("--table", required=True, help="Table to read.")
@click.option("--version", type=click.IntRange(0), help="Of the table.  [default: the newest]")
@click.option("--where", default="", metavar="SQL", help="Rows for which this holds.  [default: all]")
@click.option("--to", required=True, type=click.Path(path_type=Path), help="A folder that does not exist yet.")
@as_json
@click.pass_obj
def rows_command(work: Work, table: str, version: int | None, where: str, to: Path, as_json: bool) -> None:
    """Write rows of a table to Parquet files.

    Example: python -m batch rows --table flights/training --where "late IS NOT NULL" --to rows
    """
    made = write_rows(work.spark, work.settings.lake, table, version, where, to)
    progress(f"{made.rows} rows of {made.table} version {made.version}")
    result = {"table": made.table, "version": made.version, "rows": made.rows, "made_from": made.made_from}
    show(result, as_json, f"{made.rows} rows of {made.table} version {made.version} in {to}")
