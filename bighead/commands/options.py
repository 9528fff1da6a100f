"""Options that commands share, and how they say what came of them."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bighead.commands.text import json_line

Command = TypeVar("Command", bound=Callable[..., object])


def writes(function: Command) -> Command:
    """The options of every command that changes something."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object."),
        click.option(
            "--timeout", "timeout_s", default=60.0, show_default=True, metavar="SECONDS", help="How long to wait."
        ),
        click.option("--actor", help="Who commands.  [default: BIGHEAD_ACTOR]"),
        click.option("--reason", required=True, help="Why; it is kept with the event."),
    ):
        function = option(function)
    return function


def say(outcome: dict[str, Any], text: str, as_json: bool) -> None:
    """Prints one or the other."""
    click.echo(json_line(outcome) if as_json else text)
