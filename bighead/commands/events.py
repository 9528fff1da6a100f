"""`bighead events`: topics, schemas, and events in and out as lines of JSON."""

import base64
import binascii
import itertools
import json
import sys
from collections.abc import Iterator
from typing import Any, Literal, TextIO

import click

from bighead import config
from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.commands.options import say
from bighead.commands.text import columns, json_line
from bighead.config import Settings
from bighead.errors import ConfigError, EventError, InvalidEvent
from bighead.events import admin
from bighead.events.codec import Codec
from bighead.events.log import follow
from bighead.events.schema_registry import SchemaRegistry
from bighead.events.schemas import full_name_of, types_of
from bighead.events.shown import shown
from bighead.events.topics import DAY_MS, FOREVER, TOPICS, spec_of, topic_name


@click.group()
def command() -> None:
    """Look at topics and schemas, publish events, and watch them."""


@command.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def topics(context: click.Context, as_json: bool) -> None:
    """List the platform's topics, and the users' own.

    Example: bighead events topics
    """
    if context.invoked_subcommand is not None:
        return
    rows = list(_topic_rows(config.load()))
    if as_json:
        for row in rows:
            click.echo(json_line(row))
        return
    names = ("topic", "partitions", "cleanup", "kept", "key", "types")
    click.echo(columns(names, ([_cell(row[name]) for name in names] for row in rows)))


@topics.command("create")
@click.argument("name")
@click.option("--schema", "schemas", type=click.File("r"), multiple=True, help="Avro record schema of its events.")
@click.option("--partitions", type=click.IntRange(1), help="Number of partitions.  [default: BIGHEAD_PARTITIONS]")
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object.")
def create(name: str, schemas: tuple[TextIO, ...], partitions: int | None, as_json: bool) -> None:
    """Create a topic of your own and register the schemas of its events.

    Doing it again changes nothing; a newer version of a schema is registered if it is compatible.

    Example: bighead events topics create orders.v1 --schema OrderPlaced.avsc --partitions 4
    """
    settings = config.load()
    parsed = [_read_schema(file) for file in schemas]
    count = partitions or settings.partitions
    made = admin.create_topic(settings, name, count)
    registered = [(admin.register_schema(settings, name, schema), full_name_of(schema)) for schema in parsed]
    ids = {full_name: schema_id for schema_id, full_name in registered}
    lines = [f"topic {name}: {'created' if made else 'is there'}, {count} partitions"]
    lines += [f"schema {full_name}: id {schema_id}" for full_name, schema_id in ids.items()]
    outcome = {"topic": name, "created": made, "partitions": count, "schemas": ids}
    say(outcome, "\n".join(lines), as_json)


@command.command()
@click.argument("topic")
@click.option("--type", "full_name", help="Full name of the event type, where the topic has several.")
@click.option("--key", "key_field", help="Field whose value becomes the key; without it messages have none.")
@click.option("--time", "time_field", help="Field with the event's time; else the schema's `time`, else now.")
@click.option("--source", default="bighead/cli", show_default=True, help="Who speaks: the header ce_source.")
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object, on the standard output.")
def publish(
    topic: str, full_name: str | None, key_field: str | None, time_field: str | None, source: str, as_json: bool
) -> None:
    """Publish lines of JSON from the standard input, each one event; bytes are base64.

    It stops at the first line that does not fit; the message names line and field.

    Example: bighead events publish orders.v1 --key customer < orders.jsonl
    """
    settings = config.load()
    topic, publisher = _broker_name(settings, topic), Publisher(settings, source)
    schema = publisher.codec.latest_schema(topic, full_name)
    name, time_name = full_name_of(schema), time_field or schema.get("time")
    count = 0
    for number, line in enumerate(sys.stdin, 1):
        try:
            record = _record(schema, line)
            key = None if key_field is None else _key(record, key_field)
            time_ms = wall_clock_ms() if time_name is None else _time(record, time_name)
            publisher.publish_record(topic, name, record, key=key, time_ms=time_ms)
        except EventError as error:
            publisher.flush()
            raise InvalidEvent(f"line {number}: {error}. The {count} lines before it were published") from error
        count += 1
    positions = [str(position) for position in publisher.flush()]
    click.echo(f"{count} events published to {topic}, up to {', '.join(positions) or 'nowhere'}", err=True)
    if as_json:
        click.echo(json_line({"topic": topic, "published": count, "positions": positions}))


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="TOPIC...")
@click.option("--type", "full_name", help="Only events of this type, by full name.")
@click.option("--key", help="Only events with this key.")
@click.option("--from", "start", type=click.Choice(["beginning", "end"]), default="end", show_default=True)
@click.option("-n", "count", type=click.IntRange(1), help="Stop after that many; without it, go on until Ctrl-C.")
def tail(
    names: tuple[str, ...],
    full_name: str | None,
    key: str | None,
    start: Literal["beginning", "end"],
    count: int | None,
) -> None:
    """Print events as they come, one JSON object a line; bytes are base64.

    The platform's own topics may be named without their prefix. What cannot be decoded is printed as well, with the
    reason in `error`.

    Example: bighead events tail models.events.v1 --from beginning -n 3
    """
    settings = config.load()
    codec = Codec(settings.schema_registry)
    messages = follow(settings, [_broker_name(settings, name) for name in names], start=start)
    rows = (shown(codec, message) for message in messages if key is None or message.key == key.encode())
    chosen = (row for row in rows if full_name is None or row["type"] == full_name)
    for row in itertools.islice(chosen, count):
        click.echo(json_line(row))


@command.group(invoke_without_command=True)
@click.pass_context
def schemas(context: click.Context) -> None:
    """List the registered schemas, or show one.

    Example: bighead events schemas
    """
    if context.invoked_subcommand is None:
        context.invoke(list_schemas)


@schemas.command("ls")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_schemas(as_json: bool = False) -> None:
    """List every subject with its newest version.

    Example: bighead events schemas ls
    """
    found = SchemaRegistry(config.load().schema_registry).all_latest()
    rows = [{"subject": row.subject, "version": row.version, "id": row.id, "kind": row.kind} for row in found]
    if as_json:
        for row in rows:
            click.echo(json_line(row))
        return
    names = ("subject", "version", "id", "kind")
    click.echo(columns(names, ([row[name] for name in names] for row in rows)))


@schemas.command("show")
@click.argument("subject")
@click.option("--version", default="latest", show_default=True, help="Number of the version.")
def show_schema(subject: str, version: str) -> None:
    """Print a registered schema.

    Example: bighead events schemas show orders.v1-shop.OrderPlaced
    """
    stored = SchemaRegistry(config.load().schema_registry).version(subject, version)
    if stored is None:
        raise ConfigError(f"no schema {subject} version {version}; `bighead events schemas ls` lists the subjects")
    click.echo(json.dumps(json.loads(stored.text), indent=2))


def _broker_name(settings: Settings, name: str) -> str:
    """The platform's own topics may be named without their prefix."""
    return topic_name(settings.topic_prefix, name) if any(spec.name == name for spec in TOPICS) else name


def _topic_rows(settings: Settings) -> Iterator[dict[str, Any]]:
    """The platform's topics in the order of the table, then the users' own."""
    found = admin.list_topics(settings)
    for spec in TOPICS:
        name = topic_name(settings.topic_prefix, spec.name)
        yield {
            "topic": name,
            "partitions": found.get(name, "missing"),
            "cleanup": spec.cleanup,
            "kept": _kept(spec.cleanup, spec.retention_ms),
            "key": spec.key,
            "types": [event.FULL_NAME for event in spec.types],
        }
    registered = SchemaRegistry(settings.schema_registry).subjects()
    for name in sorted(found):
        if name.startswith("_") or spec_of(settings.topic_prefix, name) is not None:
            continue
        types = types_of(name, registered)
        yield {"topic": name, "partitions": found[name], "cleanup": "", "kept": "", "key": "", "types": types}


def _kept(cleanup: str, retention_ms: int) -> str:
    if cleanup == "compact":
        return "newest by key"
    return "for ever" if retention_ms == FOREVER else f"{retention_ms // DAY_MS} d"


def _cell(value: object) -> object:
    if isinstance(value, list):
        return ", ".join(name.removeprefix("bighead.v1.") for name in value)
    return value


def _read_schema(file: TextIO) -> dict[str, Any]:
    try:
        schema = json.load(file)
    except ValueError as error:
        raise ConfigError(f"{file.name} is no JSON: {error}; expected an Avro record schema") from error
    if not isinstance(schema, dict):
        raise ConfigError(f"{file.name} holds a {type(schema).__name__}; expected an Avro record schema")
    return schema


def _record(schema: dict[str, Any], line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise InvalidEvent(f"no JSON ({error}): {line.strip()[:80]!r}") from error
    if not isinstance(record, dict):
        raise InvalidEvent(f"a JSON {type(record).__name__}; expected an object")
    for row in schema["fields"]:
        if row["type"] in ("bytes", ["null", "bytes"]) and isinstance(record.get(row["name"]), str):
            record[row["name"]] = _unbase64(row["name"], record[row["name"]])
    return record


def _unbase64(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InvalidEvent(f"field {name!r} is {text[:40]!r}; expected base64 ({error})") from error


def _time(record: dict[str, Any], field: str) -> int:
    value = record.get(field)
    if not isinstance(value, int):
        raise InvalidEvent(f"field {field!r}, the event's time, is {value!r}; expected milliseconds since the epoch")
    return value


def _key(record: dict[str, Any], field: str) -> str:
    if record.get(field) is None:
        raise InvalidEvent(f"field {field!r}, which is to be the key, is missing or null")
    value = record[field]
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
