"""Options that commands share, and how they say what came of them."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bighead.commands.text import json_line
from bighead.times import time_ms

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


def expects(function: Command) -> Command:
    """The option of commands that change a model which somebody else may have changed."""
    return click.option(
        "--expect", "expected", type=click.IntRange(0), metavar="REVISION", help="Refuse if the model has another one."
    )(function)


def places(function: Command) -> Command:
    """The option of commands that are about one environment."""
    return click.option("--environment", help="Where, such as staging.  [default: BIGHEAD_ENVIRONMENT]")(function)


def reads_as_of(function: Command) -> Command:
    """The option of commands that look something up: `as_of_ms` is None for now."""

    def milliseconds(context: click.Context, option: click.Parameter, value: str | None) -> int | None:
        return None if value is None else time_ms(value, "--as-of")

    return click.option(
        "--as-of",
        "as_of_ms",
        metavar="TIME",
        callback=milliseconds,
        help="As it was then (inclusive): ISO 8601, UTC where no zone is given, or milliseconds.",
    )(function)


def say(outcome: dict[str, Any], text: str, as_json: bool) -> None:
    """Prints one or the other."""
    click.echo(json_line(outcome) if as_json else text)
