"""`python -m streams [--only lane,materializer]`: the stream worker, until SIGTERM or a crash."""

import logging

import click

from bighead import config
from bighead.errors import BigheadError
from streams.app import ALL, build


@click.command(name="python -m streams")
@click.option("--only", metavar="PARTS", help=f"Run these parts alone, separated by commas: {','.join(ALL)}.")
def main(only: str | None) -> None:
    """Run the stream worker."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line for each schema that is asked for
    try:
        worker = build(config.load(), only.split(",") if only else ALL)
    except BigheadError as error:
        raise click.ClickException(str(error)) from None
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
