"""`python -m streams [--only lane,materializer]`: the stream worker, until SIGTERM or a crash."""

import click

from bighead import config, logs
from bighead.errors import BigheadError
from streams.app import ALL, build


@click.command(name="python -m streams")
@click.option("--only", metavar="PARTS", help=f"Run these parts alone, separated by commas: {','.join(ALL)}.")
def main(only: str | None) -> None:
    """Run the stream worker."""
    try:
        settings = config.load()
        logs.configure(settings)
        worker = build(settings, only.split(",") if only else ALL)
    except BigheadError as error:
        raise click.ClickException(str(error)) from None
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
