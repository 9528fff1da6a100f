"""The command of `python -m batch` that runs a model over a table."""

from dataclasses import asdict

import click

from batch.copies import copy_to
from batch.predictions import Asked, Predicted, predict_table
from batch.work import Work, as_json, progress, show


@click.command("predict")
@click.option("--model", required=True, metavar="NAME", help="Registered model.")
@click.option(
    "--version",
    metavar="VERSION",
    help="A number or a label; of a partitioned model one has to be named.  [default: the live version]",
)
@click.option("--table", required=True, metavar="TABLE", help="Rows with a column for each input of the model.")
@click.option("--output", required=True, metavar="TABLE", help="Table to write.")
@click.option("--keep", "columns", multiple=True, metavar="COLUMN", help="Columns of TABLE to keep.  [default: all]")
@click.option("--copy-to", "copy", metavar="TARGET", help="Where else: topic:NAME or parquet:FOLDER.")
@click.option("--reason", default="", help="Why; it is kept with the run's events.")
@as_json
@click.pass_obj
def predict_command(
    work: Work,
    model: str,
    version: str | None,
    table: str,
    output: str,
    columns: tuple[str, ...],
    copy: str | None,
    reason: str,
    as_json: bool,
) -> None:
    """Run a model over every row of a table, with the answers that a model server gives.

    The output has the rows with `prediction_id`, `model`, `model_version` and a column for each output. After a crash
    run the same command: what is done is kept, and a row keeps its prediction_id.

    Example: python -m batch predict --model late --table flights/training --output flights/scored
    """
    asked = Asked(
        model=model,
        wanted=int(version) if version is not None and version.isdecimal() else version,
        table=table,
        output=output,
        columns=columns or None,
        copy=None if copy is None else copy_to(copy, work.settings.lake),
        reason=reason,
    )
    done = predict_table(work.spark, work.settings, asked, progress)
    show(asdict(done), as_json, _text(done, copy))


def _text(done: Predicted, copy: str | None) -> str:
    text = f"{done.rows} predictions of {done.model} version {done.version} in {done.table.table} version "
    text += str(done.table.version)
    if done.copied is not None:
        text += f", {done.copied} copied to {copy}"
    return f"{text} (run {done.run_id}{', done before' if done.repeated else ''})"
