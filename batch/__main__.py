"""`python -m batch`: what Spark does for the platform. Several commands in one line share one Spark session."""

from dataclasses import asdict
from pathlib import Path

import click
import pyarrow.parquet as pq
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from batch import backfill as backfills
from batch import consistency as checks
from batch.explaining import LATE
from batch.fitting import train_command
from batch.forget import forget_command
from batch.land import land, only_table, sources_of
from batch.maintenance import COMMANDS
from batch.predicting import predict_command
from batch.rows import rows_command
from batch.session import DEFAULT_MASTER
from batch.tables import read_version, table_path, version_of, write_history
from batch.training import Labels, write_training_set
from batch.work import Work, as_json, progress, show
from bighead.cli import Failure
from bighead.client.definitions import load_labels
from bighead.client.run_log import reason_of
from bighead.commands.text import columns
from bighead.errors import BigheadError
from bighead.features.labels import Immature

EXAMPLES = """\b
Examples:
  python -m batch land --topic flights.departed.v1
  python -m batch backfill --all --cut 1383264000000
  python -m batch training-set --join flight --left labels.parquet --time asked_ms --output flights/training
  python -m batch consistency --join flight
  python -m batch predict --model late --table flights/training --output flights/scored
  python -m batch refresh
  python -m batch --master spark://host:7077 train --register --reason "October is in" spec.py
  python -m batch backfill --all --cut 1383264000000 training-set --join flight ...     one session for both

\b
Tables are Delta tables, named by their path below BIGHEAD_LAKE. Progress goes to stderr, results to stdout.
Exit codes: 0 done, 1 failed or not consistent, 2 wrong use or input, 3 a part of the platform is not there, 4 refused.
"""


class Commands(click.Group):
    """Errors of ours and of Spark as one line; of ours with the exit code of `bighead`, of Spark with 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BigheadError as error:
            raise Failure(error) from error
        except (PySparkException, Py4JJavaError) as error:
            raise click.ClickException(reason_of(error)) from error


@click.group(
    "python -m batch",
    cls=Commands,
    chain=True,
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--master", default=DEFAULT_MASTER, show_default=True, help="Where Spark runs.")
@click.pass_context
def main(ctx: click.Context, master: str) -> None:
    """Spark: land topics in tables, backfill, make training sets, predict, check served features."""
    work = ctx.obj = Work(master)

    ctx.call_on_close(work.close)


@main.command("import")
@click.option("--table", required=True, help="Table to write.")
@click.option("--parquet", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Events.")
@click.option("--time", required=True, metavar="COLUMN", help="The column with each event's time, milliseconds UTC.")
@as_json
@click.pass_obj
def import_command(work: Work, table: str, parquet: Path, time: str, as_json: bool) -> None:
    """Replace a table by history from a file, for events that were never in a topic.

    Between events of one time the order of the file decides. Events of the topic can be landed in the table later.

    Example: python -m batch import --table flights/departed --parquet departed.parquet --time departed_ms
    """
    events = pq.read_table(parquet)
    path = table_path(work.settings.lake, table)
    version = write_history(work.spark, path, events, time)
    result = {"table": path, "version": version, "events": len(events)}
    show(result, as_json, f"{len(events)} events in {path} version {version}")


@main.command("land")
@click.option("--topic", required=True, help="The topic's name on the broker.")
@click.option("--table", help="Table to append to.  [default: the one that applied groups read]")
@as_json
@click.pass_obj
def land_command(work: Work, topic: str, table: str | None, as_json: bool) -> None:
    """Append what is new in a topic to its table, each event exactly once.

    What cannot be decoded, or has an impossible time, is counted and left out: the stream puts it in the dead letters.

    Example: python -m batch land --topic flights.departed.v1
    """
    tables, times = sources_of(work.catalog(), topic)
    path = table_path(work.settings.lake, table or only_table(topic, tables))
    landed = land(work.spark, work.settings, topic, path, times, progress)
    text = f"{landed.events} events of {topic} landed in {path} version {landed.version}, {landed.refused} refused"
    show(asdict(landed), as_json, "\n  ".join([text, *landed.reasons]))


@main.command("backfill")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="Group to fill; may be given several times.")
@click.option("--all", "everything", is_flag=True, help="Every group that is applied.")
@click.option(
    "--cut", "cut_ms", required=True, type=int, metavar="MS", help="A midnight UTC: batch owns what is before."
)
@click.option(
    "--wait", "wait_s", default=60.0, show_default=True, metavar="S", help="Seconds for the stream to follow; 0: none."
)
@as_json
@click.pass_obj
def backfill_command(
    work: Work, groups: tuple[str, ...], everything: bool, cut_ms: int, wait_s: float, as_json: bool
) -> None:
    """Compute and publish the tiles below a cut, for the newest epoch of groups, from their sources' tables.

    Running it again changes nothing. The cut moves once the online store holds all tiles.

    Example: python -m batch backfill --all --cut 1383264000000
    """
    if bool(groups) == everything:
        raise click.UsageError("give --group NAME, once or more, or --all")
    backfills.check_cut(cut_ms)
    applied = backfills.newest_epochs(work.catalog(), None if everything else list(groups))
    done = backfills.backfill_all(work.spark, work.settings, applied, cut_ms, progress)
    backfills.complete(work.settings, done, wait_s, progress)
    rows = [(one.group, one.epoch, one.days, one.kept_days, one.events, one.tiles) for one in done]
    text = columns(("group", "epoch", "filled", "kept", "events", "tiles"), rows)
    show({"cut_ms": cut_ms, "groups": [asdict(one) for one in done]}, as_json, text)


@main.command("training-set")
@click.option("--join", required=True, metavar="NAME", help="The Join whose features each row gets.")
@click.option("--left", required=True, metavar="TABLE", help="Rows with keys and a time: a table or a .parquet file.")
@click.option("--time", required=True, metavar="COLUMN", help="The column of LEFT as of which features are computed.")
@click.option("--output", required=True, metavar="TABLE", help="Table to write.")
@click.option("--labels", "file", type=click.Path(path_type=Path), help="A Python file with Labels: a column for each.")
@click.option(
    "--immature",
    type=click.Choice([str(one) for one in Immature]),
    default=str(Immature.KEEP),
    show_default=True,
    help="Rows whose horizon has not passed: keep them with null, or drop them.",
)
@click.option(
    "--known-until", "known_ms", type=int, metavar="MS", help="Labels know all before.  [default: the newest]"
)
@as_json
@click.pass_obj
def training_set_command(
    work: Work,
    join: str,
    left: str,
    time: str,
    output: str,
    file: Path | None,
    immature: str,
    known_ms: int | None,
    as_json: bool,
) -> None:
    """Give each row of a table the features as they were at its time, and labels from what happened after it.

    Example: python -m batch training-set --join flight --left labels.parquet --time asked_ms --output flights/training
    """
    compiled = work.catalog().join(join)
    labels = Labels(load_labels(file) if file else (), Immature(immature), known_ms)
    made = write_training_set(work.spark, work.settings, compiled, _left(work, left), time, output, progress, labels)
    text = f"{made.rows} rows with {len(made.features)} features in {made.table.table} version {made.table.version}"
    show(asdict(made), as_json, text)


@main.command("consistency")
@click.option("--join", required=True, metavar="NAME", help="The Join that answered.")
@click.option("--model", metavar="NAME", help="Predictions of this model alone.")
@click.option("--from", "from_ms", type=int, metavar="MS", help="The first as-of time.")
@click.option("--to", "to_ms", type=int, metavar="MS", help="The first as-of time that is not checked.")
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True, help="How many.")
@click.option("--reason", default="", help="Why; it is kept with the run's events.")
@as_json
@click.pass_context
def consistency_command(
    ctx: click.Context,
    join: str,
    model: str | None,
    from_ms: int | None,
    to_ms: int | None,
    share: float,
    reason: str,
    as_json: bool,
) -> None:
    """Recompute served feature vectors as of their requests and compare, bit for bit.

    Land the topics first. An online read holds all that is visible in the current five minutes, so the two are the same
    only where nothing with a time at or after the request's was visible when it was answered. Floating sums depend on
    the order of events where they are not exact: those may differ in the last bit.

    Example: python -m batch consistency --join flight --model late_arrival
    """
    work: Work = ctx.obj
    catalog = work.catalog()
    catalog.join(join)
    question = checks.Question(join, model, from_ms, to_ms, share)
    result = checks.run_check(work.spark, work.settings, work.codec, catalog, question, reason, progress)
    verdict = {"rows": result.rows, "differences": result.differences, "healthy": result.healthy}
    show(asdict(result) | verdict, as_json, _report(result))
    if not result.healthy:
        ctx.exit(1)


def _report(result: checks.Consistency) -> str:
    rows = [(name, one.rows, one.differences, repr(one.largest)) for name, one in sorted(result.features.items())]
    lines = [columns(("feature", "rows", "differences", "largest"), rows) if rows else "no prediction was found"]
    lines += [f"note: {note}" for note in result.notes]
    lines += [
        f"{one.prediction_id}  {one.entity} as of {one.as_of_ms}: {one.feature} was served as {one.served!r} "
        f"({one.status}), recomputed {one.recomputed!r}{_why(one)}"
        for one in result.first
    ]
    return "\n".join([*lines, f"{result.differences} differences in {result.rows} predictions"])


def _why(one: checks.Difference) -> str:
    if one.cause == LATE:
        return f"; late: {', '.join(one.events)} arrived after the request"
    return "; no event that arrived later explains it" if one.cause else ""


def _left(work: Work, left: str) -> DataFrame:
    if left.endswith(".parquet"):
        return work.spark.createDataFrame(pq.read_table(left))
    path = table_path(work.settings.lake, left)
    return read_version(work.spark, path, version_of(work.spark, path))


for _command in (forget_command, predict_command, rows_command, train_command, *COMMANDS):
    main.add_command(_command)

if __name__ == "__main__":
    main(prog_name="python -m batch")
