"""`bighead dead-letters`: what consumers could not handle, why, and sending it back."""

import click

from bighead import config
from bighead.commands.options import say
from bighead.commands.text import columns, json_line
from bighead.config import Settings
from bighead.errors import BigheadError
from bighead.events.codec import Codec
from bighead.events.dead_letters import StoredDeadLetter, read_dead_letters, replay
from bighead.events.shown import text_or_base64


@click.group()
def command() -> None:
    """Look at messages that could not be handled, and send them back once the cause is mended."""


@command.command("ls")
@click.option("--all", "with_replayed", is_flag=True, help="Also those that were sent back.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(with_replayed: bool, as_json: bool) -> None:
    """List dead letters, oldest first.

    Example: bighead dead-letters ls
    """
    letters = [row for row in _read(config.load()) if with_replayed or not row.replayed]
    if as_json:
        for row in letters:
            click.echo(json_line(_details(row)))
        return
    heading = ("position", "original", "stage", "replayed", "error")
    rows = [
        (_short(row), _origin(row), row.letter.stage, "yes" if row.replayed else "no", _error(row)) for row in letters
    ]
    click.echo(columns(heading, rows))


@command.command()
@click.argument("position")
def show(position: str) -> None:
    """Print one dead letter in full; POSITION as `ls` gives it. Bytes are base64.

    Example: bighead dead-letters show 2/17
    """
    click.echo(json_line(_details(_chosen(_read(config.load()), position))))


@command.command("replay")
@click.argument("positions", nargs=-1, metavar="POSITION...")
@click.option("--all", "everything", is_flag=True, help="Every dead letter that was not sent back yet.")
@click.option("--reason", default="", help="Why; it is kept with the event.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def replay_(positions: tuple[str, ...], everything: bool, reason: str, as_json: bool) -> None:
    """Send dead letters back to their topics, for the stage that had failed; other stages skip them.

    \b
    Examples:
      bighead dead-letters replay 2/17 3/4 --reason "the schema is registered now"
      bighead dead-letters replay --all
    """
    if bool(positions) == everything:
        raise click.UsageError("give positions as `bighead dead-letters ls` prints them, or --all")
    settings = config.load()
    letters = _read(settings)
    chosen = [row for row in letters if not row.replayed]
    if positions:
        chosen = [_chosen(letters, position) for position in positions]
    codec, letters_sent = Codec(settings.schema_registry), [row.letter for row in chosen]
    where = replay(settings, codec, letters_sent, settings.actor, reason)
    for row, position in zip(chosen, where, strict=True):
        said = {"position": _short(row), "stage": row.letter.stage, "at": str(position)}
        say(said, f"{_short(row)} of {row.letter.stage} is at {position}", as_json)
    click.echo(f"{len(chosen)} dead letters sent back", err=True)


def _read(settings: Settings) -> list[StoredDeadLetter]:
    return read_dead_letters(settings, Codec(settings.schema_registry))


def _chosen(letters: list[StoredDeadLetter], position: str) -> StoredDeadLetter:
    for row in letters:
        if position in (_short(row), str(row.position)):
            return row
    raise BigheadError(
        f"no dead letter at {position}; expected PARTITION/OFFSET as `bighead dead-letters ls --all` prints it"
    )


def _short(row: StoredDeadLetter) -> str:
    return f"{row.position.partition}/{row.position.offset}"


def _origin(row: StoredDeadLetter) -> str:
    return f"{row.letter.topic}/{row.letter.partition}/{row.letter.offset}"


def _error(row: StoredDeadLetter) -> str:
    return f"{row.letter.error_class}: {row.letter.error_message}"


def _details(row: StoredDeadLetter) -> dict[str, object]:
    letter = row.letter.to_record()
    headers = [[header.name, text_or_base64(header.value)] for header in row.letter.headers]
    return (
        {"position": _short(row), "replayed": row.replayed}
        | letter
        | {
            "key": text_or_base64(row.letter.key),
            "headers": headers,
        }
    )
