"""`python -m examples.flights`: the demo, from nothing to a summary; exit code 1 when what it shows is not so."""

import shutil
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from types import FrameType

import click
from rich.console import Console

from bighead.errors import BigheadError
from bighead.features.catalog import ENGINES, PYTHON
from bighead.local.platform import Platform
from bighead.local.ports import free_settings
from examples.flights.demo import run
from examples.flights.story import Story
from examples.flights.summary import links, summary


@click.command(name="python -m examples.flights")
@click.option("--keep", is_flag=True, help="Leave the platform running with its data, to look around.")
@click.option("--lane", type=click.Choice(ENGINES), default=PYTHON, show_default=True, help="The stream engine.")
def main(keep: bool, lane: str) -> None:
    """Will a flight arrive more than 15 minutes late, asked one hour before its scheduled departure?

    Real flights of 2013: history in Delta, features by stream and by Spark, a model trained, proven, deployed and
    replaced by canary while a week is replayed (on Flink a day), and at the end the proof that what was served is what
    Spark computes.
    """
    console = Console(width=None if sys.stdout.isatty() else 120)
    signal.signal(signal.SIGTERM, _interrupt)
    # What the demo uses of Spark works with pandas 3: the proof at its end would show if it did not.
    warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
    folder = Path(tempfile.mkdtemp(prefix="bighead-demo-"))
    platform = Platform(free_settings(folder))
    story = Story(console)
    kept = False
    try:
        findings = run(platform, story, lane)
        console.print()
        console.print(summary(findings, story.seconds))
        failures = findings.failures()
        kept = keep
        console.print()
        _ending(console, f"http://{platform.settings.console}", keep)
    except BigheadError as error:
        raise click.ClickException(str(error)) from error
    finally:
        if not kept:
            platform.down()
            shutil.rmtree(folder, ignore_errors=True)
    if kept:
        console.print(f"left running: BIGHEAD_HOME={folder} bighead status | models ls | down", highlight=False)
    for failure in failures:
        console.print(f"[red]not as it must be:[/red] {failure}", highlight=False)
    console.print(f"{'failed' if failures else 'passed'} after {story.total_s:.0f} s", highlight=False)
    sys.exit(1 if failures else 0)


def _ending(console: Console, address: str, keep: bool) -> None:
    """The links to the pages of the run; where a person is there, they work until the person has seen enough."""
    console.print(links(address))
    if keep:
        return
    if sys.stdin.isatty() and sys.stdout.isatty():
        console.input("[bold]Enter[/bold] stops the platform and deletes its data ")
    else:
        console.print("The platform stops now; `make demo ARGS=--keep` leaves it and these pages running.")


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
