"""`bighead features` ls, show, diff, search and lineage: what is applied, and what feeds what. Changes nothing."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from bighead import config
from bighead.client.catalog import read_catalog
from bighead.client.features import compiled_groups, load_definitions, models_using
from bighead.commands.text import columns, json_line
from bighead.compile.changes import epochs_of
from bighead.config import Settings
from bighead.errors import DefinitionError, InvalidInput, near
from bighead.events.codec import Codec
from bighead.features.catalog import Catalog, GroupEpoch
from bighead.features.compiled import compile_join, describe
from bighead.features.differences import Difference, differences
from bighead.features.lineage import Lineage, Node, lineage_of
from bighead.features.search import search

Command = TypeVar("Command", bound=Callable[..., object])


def current_catalog(settings: Settings) -> Catalog:
    """The catalog as of now."""
    codec = Codec(settings.schema_registry)
    try:
        return read_catalog(settings, codec)
    finally:
        codec.close()


def time_text(time_ms: int | None) -> str | None:
    """A time in ISO 8601, UTC."""
    return None if time_ms is None else datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()


def cell_text(value: object) -> str:
    """A value in a table for people."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple() if all(isinstance(one, str) for one in value):
            return ", ".join(value) or "-"
        case list() | tuple() | dict():
            return json.dumps(value, ensure_ascii=False)
    return str(value)


def _as_json(function: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")(function)


def _print(rows: list[dict[str, Any]], names: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        for row in rows:
            click.echo(json_line(row))
        return
    click.echo(columns(names, ([cell_text(row[name]) for name in names] for row in rows)))


@click.command("ls")
@click.option("--all", "everything", is_flag=True, help="Retired ones as well.")
@_as_json
def ls_command(everything: bool, as_json: bool) -> None:
    """List groups and joins with their epochs.

    \b
    Examples:
      bighead features ls
      bighead features ls --all --json
    """
    catalog = current_catalog(config.load())
    rows = [*_group_rows(catalog, everything), *_join_rows(catalog)]
    _print(rows, ("kind", "name", "epoch", "active", "engine", "keys", "features", "source", "cut", "owner"), as_json)


def _group_rows(catalog: Catalog, everything: bool) -> list[dict[str, Any]]:
    return [
        {
            "kind": "group",
            "name": name,
            "epoch": epoch,
            "active": "retired" if one.retired else catalog.active.get(name) == epoch,
            "engine": one.engine,
            "keys": list(one.group.keys),
            "features": len(one.group.features),
            "source": one.group.definition.source.topic,
            "cut": time_text(one.cut_ms),
            "owner": one.group.definition.owner,
        }
        for (name, epoch), one in sorted(catalog.groups.items())
        if everything or not one.retired
    ]


def _join_rows(catalog: Catalog) -> list[dict[str, Any]]:
    joins = [(one, catalog.join(name)) for name, one in sorted(catalog.joins.items())]
    return [
        {
            "kind": "join",
            "name": join.name,
            "epoch": one.epoch,
            "active": True,
            "engine": None,
            "keys": list(join.definition.left),
            "features": len(join.kinds),
            "source": [group.name for group in join.groups],
            "cut": None,
            "owner": join.definition.owner,
        }
        for one, join in joins
    ]


@click.command("show")
@click.argument("name")
@click.option("--epoch", type=click.IntRange(1), help="Of a group.  [default: the one that answers]")
@_as_json
def show_command(name: str, epoch: int | None, as_json: bool) -> None:
    """Show a group or a join, indented JSON: definition, types, features. Exit code 2: nothing of that name.

    \b
    Examples:
      bighead features show carrier_delay
      bighead features show carrier_delay --epoch 1 --json
    """
    catalog = current_catalog(config.load())
    if name in catalog.joins:
        join = catalog.join(name)
        shown = {
            "join": name,
            "epoch": catalog.joins[name].epoch,
            "definition": json.loads(join.to_json()),
            "left": {column: str(kind) for column, kind in join.left_kinds.items()},
            "columns": {column: str(kind) for column, kind in join.kinds.items()},
        }
    else:
        if name not in catalog.active:
            raise DefinitionError(f"nothing named {name!r} is applied{near(name, _names(catalog))}")
        one = catalog.group(name) if epoch is None else _epoch(catalog, name, epoch)
        shown = {
            "group": name,
            "epoch": one.epoch,
            "active": catalog.active[name] == one.epoch,
            "engine": one.engine,
            "cut": time_text(one.cut_ms),
            "hash": one.group.hash,
            "definition": json.loads(one.group.to_json()),
            "features": describe(one.group),
        }
    click.echo(json_line(shown) if as_json else json.dumps(shown, indent=2, ensure_ascii=False))


def _names(catalog: Catalog) -> list[str]:
    return sorted({*catalog.active, *catalog.joins})


def _epoch(catalog: Catalog, name: str, epoch: int) -> GroupEpoch:
    epochs = epochs_of(catalog, name)
    if epoch not in epochs:
        raise DefinitionError(f"group {name!r} has no epoch {epoch}; its epochs: {', '.join(map(str, epochs))}")
    return catalog.groups[name, epoch]


@click.command("diff")
@click.argument("name")
@click.argument("old", type=click.IntRange(1), required=False)
@click.argument("new", type=click.IntRange(1), required=False)
@click.option("--file", type=click.Path(path_type=Path), help="Compare what is applied with this file's definition.")
@_as_json
def diff_command(name: str, old: int | None, new: int | None, file: Path | None, as_json: bool) -> None:
    """Show field by field what differs between two epochs of a group, or between what is applied and a file.

    Without epochs: the one that answers and the newest. A field that only describes changes no value. Exit code 2:
    nothing of that name.

    \b
    Examples:
      bighead features diff carrier_delay
      bighead features diff carrier_delay 1 3
      bighead features diff flight --file examples/flights/features.py
    """
    if file is not None and old is not None:
        raise InvalidInput("epochs or --file: name one of the two")
    settings = config.load()
    before, after = _of_file(settings, name, file) if file else _of_epochs(settings, name, old, new)
    rows = [asdict(one) for one in differences(before, after)]
    if as_json or rows:
        _print(rows, tuple(Difference.__dataclass_fields__), as_json)
    else:
        click.echo("no difference")


def _of_epochs(settings: Settings, name: str, old: int | None, new: int | None) -> tuple[Any, Any]:
    catalog = current_catalog(settings)
    if name in catalog.joins:
        raise InvalidInput(f"{name!r} is a join, of which only the newest epoch is kept; compare it with --file")
    epochs = epochs_of(catalog, name)
    before = _epoch(catalog, name, catalog.active.get(name, epochs[-1]) if old is None else old)
    after = _epoch(catalog, name, epochs[-1] if new is None else new)
    return json.loads(before.group.to_json()), json.loads(after.group.to_json())


def _of_file(settings: Settings, name: str, file: Path) -> tuple[Any, Any]:
    """What is applied, None where nothing is, and what the file says."""
    definitions = load_definitions(file)
    if name not in {**definitions.groups, **definitions.joins}:
        known = [*definitions.groups, *definitions.joins]
        raise DefinitionError(f"{file} defines nothing named {name!r}{near(name, known)}")
    codec = Codec(settings.schema_registry)
    try:
        catalog = read_catalog(settings, codec)
        groups = {one.name: one for one in compiled_groups(codec, definitions)}
    finally:
        codec.close()
    if name in definitions.joins:
        active = {one: catalog.group(one).group for one in catalog.active}
        text = compile_join(definitions.joins[name], active | groups).to_json()
        known_join = catalog.joins.get(name)
        return json.loads(known_join.definition) if known_join else None, json.loads(text)
    applied = json.loads(catalog.group(name).group.to_json()) if name in catalog.active else None
    return applied, json.loads(groups[name].to_json())


@click.command("search")
@click.argument("text", nargs=-1, required=True)
@_as_json
def search_command(text: tuple[str, ...], as_json: bool) -> None:
    """Find groups, features, derivations and joins by words of what is said of them.

    Each word has to occur in a name, description, owner, tag, source or type, whatever the case.

    \b
    Examples:
      bighead features search delay carrier
      bighead features search team-flights --json
    """
    found = [asdict(one) for one in search(current_catalog(config.load()), " ".join(text))]
    if as_json or found:
        _print(found, ("kind", "name", "of", "type", "owner", "tags", "description"), as_json)
    else:
        click.echo("nothing found")


@click.command("lineage")
@click.argument("name")
@click.option("--up", "direction", flag_value="up", help="Only what feeds it.")
@click.option("--down", "direction", flag_value="down", help="Only what it feeds.")
@_as_json
def lineage_command(name: str, direction: str | None, as_json: bool) -> None:
    """Show what feeds a topic, table, column, group, feature, join or model, and what it feeds.

    A column is named `{topic}.{column}` or by itself, what a join gives `{join}.{column}`, and a model
    `{name}/{version}` or by itself. Exit code 2: nothing of that name.

    \b
    Examples:
      bighead features lineage flights.departed.v1 --down
      bighead features lineage dep_delay_min
      bighead features lineage delay/3 --up --json
    """
    lineage = lineage_of(*models_using(config.load()))
    for node in lineage.find(name):
        if not as_json:
            click.echo(str(node))
        for row in _around(lineage, node, direction):
            click.echo(
                json_line(row) if as_json else f"{'  ' * row['distance']}{row['way']} {row['kind']} {row['name']}"
            )


def _around(lineage: Lineage, node: Node, direction: str | None) -> Iterator[dict[str, Any]]:
    ways = {"up": ("from", lineage.upstream), "down": ("to", lineage.downstream)}
    for wanted, (way, walk) in ways.items():
        if direction in (None, wanted):
            for distance, other in walk(node):
                yield {"of": str(node), "way": way, "distance": distance, "kind": other.kind, "name": other.name}
