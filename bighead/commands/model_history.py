"""`bighead models as-of`, `history`, `diff` and `blame`: what was in use when, who put it there, why."""

import json
from dataclasses import asdict
from typing import Any

import click

from bighead import config
from bighead.client.models import ModelsClient
from bighead.commands.model_reads import cell, head, what
from bighead.commands.options import reads_as_of
from bighead.commands.text import columns, json_line
from bighead.registry.blame import Blamed
from bighead.registry.diff import Difference
from bighead.registry.views import to_json
from bighead.times import time_ms, utc

_WIDEST = 60


@click.command("as-of")
@click.argument("name")
@click.argument("time")
@click.option("--json", "as_json", is_flag=True, help="The model's view and what is behind it, as one JSON object.")
def as_of(name: str, time: str, as_json: bool) -> None:
    """What was in use of a model at a time, who had put it there, and why.

    TIME is ISO 8601 (UTC where no zone is given) or milliseconds since 1970, and inclusive.

    Example: bighead models as-of delay 2026-11-01T12:00
    """
    at_ms = time_ms(time, "TIME")
    view, facts = ModelsClient(config.load()).explain(name, at_ms)
    if as_json:
        outcome = {"as_of_ms": at_ms, "view": json.loads(to_json(view)), "blame": [asdict(fact) for fact in facts]}
        click.echo(json_line(outcome))
        return
    click.echo(f"as of {utc(at_ms)}\n" + "\n".join(head(view)) + "\n\n" + _blamed(facts))


@click.command()
@click.argument("name")
@reads_as_of
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def history(name: str, as_of_ms: int | None, as_json: bool) -> None:
    """Everything that was asked of a model, the oldest first: who, why, and where it lies in the log.

    Example: bighead models history delay --as-of 2026-11-01
    """
    lines = ModelsClient(config.load()).history(name, as_of_ms)
    if as_json:
        for line in lines:
            click.echo(json_line(asdict(line)))
        return
    rows = (
        (line.revision, utc(line.at_ms), line.actor, what(line), cell(line.live), line.position, line.reason)
        for line in lines
    )
    click.echo(columns(("revision", "time", "actor", "what", "live", "position", "reason"), rows))


@click.command()
@click.argument("name")
@click.argument("before", type=click.IntRange(1), metavar="A")
@click.argument("after", type=click.IntRange(1), metavar="B")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a field.")
def diff(name: str, before: int, after: int, as_json: bool) -> None:
    """Each field in which two versions differ: metrics, configuration, signature, data, attachments.

    Example: bighead models diff delay 2 3
    """
    found = ModelsClient(config.load()).diff(name, before, after)
    if as_json:
        for one in found:
            click.echo(json_line(asdict(one)))
        return
    if not found:
        click.echo(f"versions {before} and {after} of {name} do not differ")
        return
    rows = ((one.field, _side(one, "added"), _side(one, "removed"), _delta(one)) for one in found)
    click.echo(columns(("field", f"version {before}", f"version {after}", "difference"), rows))


@click.command()
@click.argument("name")
@reads_as_of
@click.option("--json", "as_json", is_flag=True, help="One JSON object a fact.")
def blame(name: str, as_of_ms: int | None, as_json: bool) -> None:
    """Of all that is so now (the live version, traffic, labels, segments, policy), the command that made it so.

    Example: bighead models blame delay
    """
    facts = ModelsClient(config.load()).blame(name, as_of_ms)
    if as_json:
        for fact in facts:
            click.echo(json_line(asdict(fact)))
        return
    click.echo(_blamed(facts))


def _blamed(facts: tuple[Blamed, ...]) -> str:
    rows = (
        (fact.environment or "all", fact.fact, fact.value, utc(fact.at_ms), fact.actor, fact.event, fact.reason)
        for fact in facts
    )
    return columns(("environment", "what", "is", "since", "actor", "by", "reason"), rows)


def _side(one: Difference, missing: str) -> str:
    value = one.before if missing == "added" else one.after
    return "-" if one.change == missing else _short(value)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."


def _delta(one: Difference) -> str:
    return "" if one.delta is None else f"{one.delta:+.6g}"
