"""`bighead batch`: what Spark does with models, and how other commands start Spark's program."""

import subprocess
import sys

import click

from bighead import config


def run_batch(*arguments: str) -> None:
    """Runs Spark's program with this process's settings; its exit code is ours."""
    environment = config.inherited_environment() | config.variables(config.load())
    done = subprocess.run([sys.executable, "-m", "batch", *arguments], env=environment, check=False)
    if done.returncode:
        sys.exit(done.returncode)


@click.group()
def command() -> None:
    """Run models over tables of the lake."""


@command.command("predict")
@click.argument("model")
@click.option("--table", required=True, metavar="TABLE", help="Rows with a column for each input of the model.")
@click.option("--output", required=True, metavar="TABLE", help="Table to write, relative to the lake.")
@click.option(
    "--version",
    metavar="VERSION",
    help="A number or a label; of a partitioned model one has to be named.  [default: the live version]",
)
@click.option("--keep", "columns", multiple=True, metavar="COLUMN", help="Columns of TABLE to keep.  [default: all]")
@click.option("--copy-to", "copy", metavar="TARGET", help="Where else: topic:NAME or parquet:FOLDER.")
@click.option("--reason", default="", help="Why; it is kept with the run's events.")
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object.")
def predict_command(
    model: str,
    table: str,
    output: str,
    version: str | None,
    columns: tuple[str, ...],
    copy: str | None,
    reason: str,
    as_json: bool,
) -> None:
    """Run a model over every row of a Delta table, with the answers that a model server gives.

    The table has a column for each input, features among them: a training set, for example. The output has its rows
    with prediction_id, model, model_version and a column for each output. After a crash run the same command: what is
    done is kept, and a row keeps its prediction_id. Exit codes: 2 the table or a name does not fit, 4 no such model.

    \b
    Examples:
      bighead batch predict late --table flights/training --output flights/scored
      bighead batch predict late --version champion --table flights/training --output flights/scored \\
        --keep flight_id --copy-to topic:flights.scored.v1
    """
    chosen = [text for name in columns for text in ("--keep", name)]
    given = {"--version": version, "--copy-to": copy, "--reason": reason}
    more = [text for option, value in given.items() if value for text in (option, value)]
    json = ["--json"] if as_json else []
    run_batch("predict", "--model", model, "--table", table, "--output", output, *chosen, *more, *json)
