"""`bighead events`, against real components."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bighead import config
from bighead.commands.events import command
from bighead.config import Settings
from bighead.events.sender import Sender
from bighead.events.topics import TOPICS
from tests.event_examples import TIME_MS

ORDER = {
    "type": "record",
    "name": "OrderPlaced",
    "namespace": "shop",
    "time": "at_ms",
    "fields": [
        {"name": "at_ms", "type": "long"},
        {"name": "customer", "type": "string"},
        {"name": "photo", "type": ["null", "bytes"], "default": None},
        {"name": "price", "type": "double", "default": 0},
    ],
}


class Cli:
    """Runs commands against a test's settings."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.topic = f"{settings.topic_prefix}-orders.v1"
        self.schema = folder / "OrderPlaced.avsc"
        self.schema.write_text(json.dumps(ORDER))
        self._runner = CliRunner(env=config.variables(settings))

    def run(self, *arguments: str, lines: list[object] | None = None) -> Result:
        text = "".join(json.dumps(line) + "\n" for line in lines or [])
        return self._runner.invoke(command, list(arguments), input=text)

    def ok(self, *arguments: str, lines: list[object] | None = None) -> list[str]:
        result = self.run(*arguments, lines=lines)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout.splitlines()

    def create(self) -> None:
        self.ok("topics", "create", self.topic, "--schema", str(self.schema), "--partitions", "2")


@pytest.fixture
def cli(ready_settings: Settings, tmp_path: Path) -> Cli:
    return Cli(ready_settings, tmp_path)


def test_events_go_in_and_come_out_as_json(cli: Cli) -> None:
    cli.create()
    orders: list[object] = [
        {"at_ms": TIME_MS, "customer": "ann", "photo": "/wA="},
        {"at_ms": TIME_MS, "customer": "bob", "price": 2.5},
    ]
    cli.ok("publish", cli.topic, "--key", "customer", lines=orders)
    rows = [json.loads(line) for line in cli.ok("tail", cli.topic, "--from", "beginning", "-n", "2")]
    by_key = {row["key"]: row for row in rows}
    ann = by_key["ann"]
    assert ann["type"] == "shop.OrderPlaced"
    assert ann["value"] == {"at_ms": TIME_MS, "customer": "ann", "photo": "/wA=", "price": 0.0}
    assert ann["headers"]["ce_time"] == "2013-11-01T00:00:00.000Z"
    assert ann["headers"]["ce_subject"] == "ann"
    assert (ann["topic"], ann["offset"] >= 0, ann["partition"] in (0, 1)) == (cli.topic, True, True)
    [row] = cli.ok("tail", cli.topic, "--from", "beginning", "-n", "1", "--key", "bob", "--type", "shop.OrderPlaced")
    assert json.loads(row) == by_key["bob"]


def test_what_cannot_be_decoded_is_tailed_with_the_reason(cli: Cli, ready_settings: Settings) -> None:
    cli.create()
    Sender(ready_settings).send(cli.topic, b"\xff", b"garbage", ()).position()
    [line] = cli.ok("tail", cli.topic, "--from", "beginning", "-n", "1")
    row = json.loads(line)
    assert row["key"] == {"base64": "/w=="}
    assert (row["type"], row["value"]) == (None, "Z2FyYmFnZQ==")
    assert "starts with 0x67" in row["error"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"at_ms": TIME_MS // 1000, "customer": "ann"}, "line 2: .* looks like seconds"),
        ({"at_ms": TIME_MS, "customer": 7}, r"line 2: .*OrderPlaced\.customer is <7>"),
        ({"at_ms": TIME_MS}, "line 2: field 'customer', which is to be the key, is missing"),
        ({"customer": "ann"}, "line 2: field 'at_ms', the event's time, is None"),
        ({"at_ms": TIME_MS, "customer": "ann", "photo": "?"}, "line 2: field 'photo' is '\\?'; expected base64"),
        (["no object"], "line 2: a JSON list; expected an object"),
    ],
)
def test_a_line_that_does_not_fit_is_named(cli: Cli, line: object, reason: str) -> None:
    cli.create()
    good = {"at_ms": TIME_MS, "customer": "ann"}
    failed = cli.run("publish", cli.topic, "--key", "customer", lines=[good, line])
    assert failed.exception is not None
    with pytest.raises(type(failed.exception), match=reason):
        raise failed.exception
    assert "The 1 lines before it were published" in str(failed.exception)


def test_a_platform_event_may_be_published_by_its_short_topic_name(cli: Cli, ready_settings: Settings) -> None:
    line = {"model": "delay", "entity": "{}", "label": 1, "event_ms": TIME_MS}
    cli.ok("publish", "outcomes.v1", "--key", "entity", lines=[line])
    [row] = map(json.loads, cli.ok("tail", "outcomes.v1", "--from", "beginning", "-n", "1"))
    assert row["topic"] == f"{ready_settings.topic_prefix}.outcomes.v1"
    assert row["value"] == {"prediction_id": None, **line}


def test_topics_are_listed_with_ours_first(cli: Cli, ready_settings: Settings) -> None:
    cli.create()
    rows = [json.loads(line) for line in cli.ok("topics", "--json")]
    assert [row["topic"] for row in rows[: len(TOPICS)]] == [
        f"{ready_settings.topic_prefix}.{spec.name}" for spec in TOPICS
    ]
    assert {row["topic"]: row for row in rows}[cli.topic]["types"] == ["shop.OrderPlaced"]
    heading, first = cli.ok("topics")[:2]
    assert heading.split() == ["topic", "partitions", "cleanup", "kept", "key", "types"]
    assert "GroupByApplied" in first


def test_creating_twice_changes_nothing(cli: Cli) -> None:
    cli.create()
    again = cli.ok("topics", "create", cli.topic, "--schema", str(cli.schema), "--partitions", "2")
    assert again[0] == f"topic {cli.topic}: is there, 2 partitions"


def test_schemas_are_listed_and_shown(cli: Cli) -> None:
    cli.create()
    subject = f"{cli.topic}-shop.OrderPlaced"
    listed = [json.loads(line) for line in cli.ok("schemas", "ls", "--json")]
    assert [(row["version"], row["kind"]) for row in listed if row["subject"] == subject] == [(1, "AVRO")]
    assert json.loads("\n".join(cli.ok("schemas", "show", subject)))["name"] == "OrderPlaced"
    assert "no schema nothing" in str(cli.run("schemas", "show", "nothing").exception)


@pytest.mark.parametrize(("text", "reason"), [("{", "is no JSON"), ("[]", "holds a list"), ("{}", "expected an Avro")])
def test_a_schema_file_that_is_none_is_named(cli: Cli, text: str, reason: str) -> None:
    cli.schema.write_text(text)
    result = cli.run("topics", "create", cli.topic, "--schema", str(cli.schema))
    assert reason in str(result.exception)


def test_every_command_has_help_with_an_example(cli: Cli) -> None:
    for arguments in (["topics"], ["topics", "create"], ["publish"], ["tail"], ["schemas"], ["schemas", "show"]):
        assert "Example: bighead events" in "\n".join(cli.ok(*arguments, "--help"))
