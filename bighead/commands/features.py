"""`bighead features`: apply definitions, look at them, read values online, and start what batch does with them."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from bighead import config
from bighead.client.features import Applied, apply, load_definitions, plan, retire, switch
from bighead.client.online import OnlineReader
from bighead.client.store import pipeline_of
from bighead.client.visibility import Visibility
from bighead.clock import wall_clock_ms
from bighead.commands.batch import run_batch
from bighead.commands.feature_catalog import (
    cell_text,
    current_catalog,
    diff_command,
    lineage_command,
    ls_command,
    search_command,
    show_command,
)
from bighead.commands.feature_plan import plan_lines
from bighead.commands.forget import forget_command
from bighead.commands.text import columns, json_line
from bighead.config import Settings
from bighead.errors import InvalidInput
from bighead.features.catalog import ENGINES, Catalog
from bighead.features.plan import FeatureRow
from bighead.features.types import ValueType, value_of
from bighead.times import time_ms

READ_TIMEOUT_S = 5.0
Command = TypeVar("Command", bound=Callable[..., object])


@click.group()
def command() -> None:
    """Define features once: apply them, read them online, backfill them, make training sets of them."""


for one in (forget_command, ls_command, show_command, diff_command, search_command, lineage_command):
    command.add_command(one)


def _changes(function: Command) -> Command:
    """The options of commands that change the catalog."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
        click.option("--wait", "wait_s", type=float, metavar="SECONDS", help="Wait until the stream worker follows."),
        click.option("--actor", help="Who changes it.  [default: BIGHEAD_ACTOR]"),
        click.option("--reason", default="", help="Why; it is kept with the event."),
    ):
        function = option(function)
    return function


@command.command("plan")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--activate", is_flag=True, help="As `apply --activate` would do it.")
@click.option("--engine", type=click.Choice(ENGINES), help="As `apply --engine` would do it.  [default: as it is]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a definition, groups first.")
def plan_command(file: Path, activate: bool, engine: str | None, as_json: bool) -> None:
    """Say what applying a file would build, fill, keep and cost, and what is wrong with it; changes nothing.

    Bytes are those of states, for a key with events in every five minutes. Reads are tiles for each request, when
    everything before the last midnight is backfilled. Exit code 2: a definition is wrong; the message says which and
    why.

    \b
    Examples:
      bighead features plan examples/flights/features.py
      bighead features plan examples/flights/features.py --engine flink --json
    """
    planned = plan(config.load(), load_definitions(file), activate=activate, engine=engine)
    if as_json:
        for group in planned.groups:
            click.echo(json_line(asdict(group)))
        for join in planned.joins:
            click.echo(json_line(asdict(join)))
        return
    for line in plan_lines(planned):
        click.echo(line)


@command.command("apply")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--activate", is_flag=True, help="Let changed groups answer at once, before they are filled.")
@click.option("--engine", type=click.Choice(ENGINES), help="The stream engine of the groups.  [default: as it is]")
@_changes
def apply_command(
    file: Path, activate: bool, engine: str | None, actor: str | None, reason: str, wait_s: float | None, as_json: bool
) -> None:
    """Apply the GroupBys and Joins that a Python file of yours defines.

    All are checked before anything is changed. What is applied already is left as it is; a changed group is a new
    epoch, filled beside the old one until it is activated. `plan` says all of it before. Exit code 2: a definition is
    wrong, and nothing was changed.

    \b
    Examples:
      bighead features apply examples/flights/features.py --reason "delays of the plane"
      bighead features apply examples/flights/features.py --engine flink
    """
    settings = config.load()
    definitions = load_definitions(file)
    applied = apply(
        settings,
        definitions,
        actor=actor or settings.actor,
        reason=reason or f"applied {file}",
        activate=activate,
        engine=engine,
    )
    _report(settings, applied, wait_s, as_json)


@command.command("activate")
@click.argument("group")
@click.argument("epoch", type=click.IntRange(1), required=False)
@_changes
def activate_command(
    group: str, epoch: int | None, actor: str | None, reason: str, wait_s: float | None, as_json: bool
) -> None:
    """Make an epoch of a group the one that answers: the newest, or the one named; an earlier one is a roll-back.

    It is refused where an applied join could no longer be read. Exit code 2: no such group or epoch, or refused.

    \b
    Examples:
      bighead features activate carrier_delay --reason "filled and compared"
      bighead features activate carrier_delay 1 --reason "epoch 2 counts twice"
    """
    settings = config.load()
    applied = switch(settings, group, epoch, actor=actor or settings.actor, reason=reason or "activated")
    _report(settings, applied, wait_s, as_json)


@command.command("retire")
@click.argument("name")
@_changes
def retire_command(name: str, actor: str | None, reason: str, wait_s: float | None, as_json: bool) -> None:
    """End a join, or a group that no applied join reads: it is neither maintained nor read any more.

    Its tables and events stay. Applied again, it is a new epoch. Exit code 2: unknown, or still read by a join.

    \b
    Examples:
      bighead features retire flight --reason "no model uses it"
      bighead features retire carrier_delay --reason "replaced by carrier"
    """
    settings = config.load()
    applied = retire(settings, name, actor=actor or settings.actor, reason=reason or "retired")
    _report(settings, applied, wait_s, as_json)


@command.command("get")
@click.argument("join")
@click.argument("keys", nargs=-1, required=True, metavar="KEY=VALUE...")
@click.option("--as-of", metavar="TIME", help="ISO 8601 or milliseconds since the epoch.  [default: now]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def get_command(join: str, keys: tuple[str, ...], as_of: str | None, as_json: bool) -> None:
    """Read the features of one entity from the online store.

    Exit code 2: unknown join, or a key or column that is missing or of the wrong type.

    Example: bighead features get flight carrier=UA origin=EWR tailnum=N14228
    """
    settings = config.load()
    catalog = current_catalog(settings)
    kinds = catalog.join(join).left_kinds
    entity = dict(_key(text, kinds) for text in keys)
    at_ms = wall_clock_ms() if as_of is None else time_ms(as_of, "--as-of")
    row = asyncio.run(_read(settings, catalog, join, entity, at_ms))
    if as_json:
        click.echo(json_line(asdict(row)))
        return
    table = ([name, cell_text(value), row.statuses[name]] for name, value in row.values.items())
    click.echo(columns(("feature", "value", "status"), table))


@command.command("backfill")
@click.argument("group", required=False)
@click.option("--all", "everything", is_flag=True, help="Every active group.")
@click.option("--until", required=True, metavar="DATE", help="A midnight, UTC: batch owns what lies before it.")
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object.")
def backfill_command(group: str | None, everything: bool, until: str, as_json: bool) -> None:
    """Let batch compute the tiles below a midnight from the tables of the same events.

    Example: bighead features backfill --all --until 2013-11-01
    """
    if (group is None) != everything:
        raise InvalidInput("a backfill is of one group or of --all; name one of the two")
    chosen = ["--all"] if group is None else ["--group", group]
    run_batch("backfill", *chosen, "--cut", str(time_ms(until, "--until")), *_json(as_json))


@command.command("refresh")
@click.argument("groups", nargs=-1, metavar="[GROUP]...")
@click.option("--until", metavar="DATE", help="A midnight, UTC.  [default: the last one]")
@click.option("--compare", is_flag=True, help="Then compare epochs that wait with those that answer.")
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object.")
def refresh_command(groups: tuple[str, ...], until: str | None, compare: bool, as_json: bool) -> None:
    """Do what has to be done once a day: land topics, backfill, move the cut, write snapshots, prune.

    After a crash run the same command: what is done is kept.

    Example: bighead features refresh --compare
    """
    cut = [] if until is None else ["--cut", str(time_ms(until, "--until"))]
    chosen = [text for group in groups for text in ("--group", group)]
    run_batch("refresh", *chosen, *cut, *(["--compare"] if compare else []), *_json(as_json))


@command.command("training-set")
@click.argument("join")
@click.option("--left", required=True, metavar="TABLE", help="Table of keys, times and labels, relative to the lake.")
@click.option("--output", required=True, metavar="TABLE", help="Table to write, relative to the lake.")
@click.option("--time", required=True, metavar="COLUMN", help="The column of `--left` with the time of each row.")
@click.option("--labels", metavar="FILE", help="A Python file with Labels: a column for each.")
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object.")
def training_set_command(join: str, left: str, output: str, time: str, labels: str | None, as_json: bool) -> None:
    """Give each row of a table the features as they were at its time, and labels from what happened after it.

    Example: bighead features training-set flight --left flights/labels --output flights/training --time as_of_ms
    """
    more = [] if labels is None else ["--labels", labels]
    tables = ("--join", join, "--left", left, "--output", output, "--time", time)
    run_batch("training-set", *tables, *more, *_json(as_json))


def _json(as_json: bool) -> list[str]:
    return ["--json"] if as_json else []


def _report(settings: Settings, applied: Applied, wait_s: float | None, as_json: bool) -> None:
    for change in applied.changes:
        if as_json:
            click.echo(json_line(asdict(change)))
            continue
        click.echo(f"{change.verdict:<9}  {change.kind:<5}  {change.name}, epoch {change.epoch}")
        if change.waits:
            click.echo(
                f"{'':11}epoch {change.active} answers until you run: "
                f"bighead features activate {change.name} {change.epoch}"
            )
    if wait_s is not None and applied.positions:
        visibility = Visibility(settings)
        try:
            visibility.wait(applied.positions, wait_s)
        finally:
            visibility.close()


async def _read(settings: Settings, catalog: Catalog, join: str, entity: dict[str, Any], as_of_ms: int) -> FeatureRow:
    store = pipeline_of(settings.redis)
    try:
        reader = OnlineReader(store, settings.topic_prefix, lambda: catalog)
        (row,) = await reader.read(join, [entity], as_of_ms, READ_TIMEOUT_S)
        return row
    finally:
        await store.close()


def _key(text: str, kinds: dict[str, ValueType]) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or name not in kinds:
        expected = ", ".join(f"{key}=<{kind}>" for key, kind in kinds.items())
        raise InvalidInput(f"{text!r} is nothing that this join takes; expected {expected}")
    return name, value_of(name, value, kinds[name])
