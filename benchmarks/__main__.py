"""`python -m benchmarks [NAME...]`: runs measurements and prints figures beside those of a peer or a floor."""

import signal
import sys
from collections.abc import Callable

import click

from benchmarks import freshness, lane
from benchmarks.report import Report, as_text

BENCHMARKS: dict[str, Callable[[], Report]] = {"freshness": freshness.run, "lane": lane.run}


@click.command(name="python -m benchmarks")
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in names or BENCHMARKS:
        click.echo(as_text(BENCHMARKS[name]()))


if __name__ == "__main__":
    main()
