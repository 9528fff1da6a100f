"""`bighead models retrospect`: what a version would have answered to the requests that were logged."""

import re
from typing import TYPE_CHECKING

import click

from bighead import config
from bighead.clock import wall_clock_ms
from bighead.commands.options import say
from bighead.commands.text import columns
from bighead.errors import InvalidInput
from bighead.times import time_ms

if TYPE_CHECKING:
    from bighead.charts.evaluation import Measure

_AGE = re.compile(r"(\d+)(m|h|d)")
_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


@click.command()
@click.argument("model")
@click.argument("version")
@click.option("--since", default="7d", show_default=True, help="How long ago (30m, 12h, 7d), or a time.")
@click.option("--until", default="", help="A time.  [default: now]")
@click.option("--reason", default="", help="Why; it is kept with the run's events.")
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object.")
def retrospect(model: str, version: str, since: str, until: str, reason: str, as_json: bool) -> None:
    """Run VERSION (a number or label) over logged predictions with the features as served, beside what answered.

    Compared are the predictions whose outcome is known, and the difference is told with its interval, by day, and with
    what to do next. It takes no request and changes nothing.

    Example: bighead models retrospect delay 2 --since 7d
    """
    from bighead.training.replaying import Asked, replay

    now_ms = wall_clock_ms()
    asked = Asked(
        model,
        int(version) if version.isdecimal() else version,
        _since(since, now_ms),
        time_ms(until, "--until") if until else now_ms,
        reason or f"what would version {version} have done?",
    )
    made = replay(config.load(), asked, lambda line: click.echo(line, err=True))
    versions = ", ".join(f"version {one}: {rows:,}" for one, rows in made.answered_by.items())
    figures = [
        (one.name, _told(there), _told(one), _between(one))
        for one in made.differences
        for there in made.live
        if there.name == one.name
    ]
    text = [
        made.verdict,
        f"{made.compared:,} rows compared of {made.predictions:,} predictions; outcomes are known of "
        f"{made.coverage:.0%}; then answered {versions}",
        *(f"left out: {rows:,} rows in which the input {name!r} was not logged" for name, rows in made.refused.items()),
        columns(("metric", "live", f"version {made.version} less live", "between"), figures),
        made.intervals,
        columns(
            ("day", "rows", f"{made.loss} live", f"version {made.version}"),
            [(one.day, one.rows, f"{one.live:.4g}", f"{one.candidate:.4g}") for one in made.days],
        ),
    ]
    say(made.document(), "\n".join(text), as_json)


def _since(text: str, now_ms: int) -> int:
    found = _AGE.fullmatch(text)
    try:
        return now_ms - int(found[1]) * _UNIT_MS[found[2]] if found else time_ms(text, "--since")
    except InvalidInput as error:
        raise InvalidInput(f"{error}; or how long ago, such as 7d") from None


def _told(one: "Measure") -> str:
    return f"{one.value:.4g}"


def _between(one: "Measure") -> str:
    return "" if one.low is None or one.high is None else f"{one.low:+.4g} to {one.high:+.4g}"
