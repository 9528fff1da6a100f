"""`bighead features`, against a real broker and a real schema registry: from a file to lineage, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bighead import cli, config
from bighead.client.publish import Publisher
from bighead.commands.features import command
from bighead.config import Settings
from bighead.events import admin
from bighead.events.schemas import platform_schemas
from bighead.events.topics import MODELS_EVENTS, topic_name
from bighead.events.types import ModelRegistered
from tests.event_examples import example

SCHEMA = {
    "type": "record",
    "name": "Departed",
    "namespace": "flights",
    "fields": [
        {"name": "departed_ms", "type": "long"},
        {"name": "carrier", "type": "string"},
        {"name": "dep_delay_min", "type": ["null", "int"], "default": None},
    ],
}
FILE = """
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op

departures = EventSource(
    topic="{topic}", table="flights/departed", time="departed_ms",
    select={{"carrier": "carrier", "delay": "dep_delay_min"}},
)
carrier = GroupBy(
    "carrier", departures, ["carrier"],
    [
        Aggregation("delay", Op.AVERAGE, {windows}, description="Typical lateness"),
        Aggregation("delay", Op.HISTOGRAM),
    ],
    owner="team-flights",
    tags=["delay"],
)
flight = Join(
    "flight", Keys("carrier"), [carrier], {{"late": "carrier_delay_average_1h > limit_min"}},
    request={{"limit_min": "double"}},
)
"""


class Cli:
    """Runs commands against a test's settings."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.topic = f"{settings.topic_prefix}-flights.departed.v1"
        self.path = folder / "features.py"
        self.define('["1h", "1d"]')
        self._runner = CliRunner(env=config.variables(settings))
        admin.create_topic(settings, self.topic, partitions=1)
        admin.register_schema(settings, self.topic, SCHEMA)

    def define(self, windows: str, **more: str) -> None:
        self.path.write_text(FILE.format(windows=windows, **{"topic": self.topic, **more}))

    def run(self, *arguments: str) -> Result:
        return self._runner.invoke(cli.main, ["features", *arguments])

    def ok(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    def rows(self, *arguments: str) -> list[Any]:
        return [json.loads(line) for line in self.ok(*arguments, "--json").splitlines()]

    def refused(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 2, (result.output, result.exception)
        return result.output


@pytest.fixture
def features(ready_settings: Settings, tmp_path: Path) -> Cli:
    return Cli(ready_settings, tmp_path)


def test_a_file_is_planned_applied_changed_switched_and_retired(features: Cli) -> None:
    text = features.ok("plan", str(features.path))
    assert "new group carrier, epoch 1, on python, TEMPORAL" in text
    assert "carrier_delay_histogram keeps every value that ever occurred" in text
    assert not features.rows("ls")

    group, join = features.rows("plan", str(features.path))
    assert [row["type"] for row in group["features"]] == ["double", "double", "map<long>"]
    assert group["cost"]["reads"] > 0 and group["refused"] == {}
    assert join["left"] == {"carrier": "string", "limit_min": "double"}

    assert [row["verdict"] for row in features.rows("apply", str(features.path))] == ["new", "new"]
    assert [row["verdict"] for row in features.rows("apply", str(features.path))] == ["unchanged", "unchanged"]
    assert json.loads(features.ok("show", "flight"))["columns"]["late"] == "boolean"
    assert [(row["name"], row["active"]) for row in features.rows("ls")] == [("carrier", True), ("flight", True)]

    features.define('["1h", "7d"]')
    (difference,) = features.rows("diff", "carrier", "--file", str(features.path))
    assert (difference["old"], difference["new"]) == (["1h", "1d"], ["1h", "7d"])
    assert "epoch 1 answers until you run: bighead features activate carrier 2" in features.ok(
        "apply", str(features.path)
    )
    assert "AVERAGE(delay).windows" in features.ok("diff", "carrier")
    features.ok("activate", "carrier", "--reason", "filled")
    assert features.ok("diff", "carrier") == "no difference\n"
    features.ok("activate", "carrier", "1", "--reason", "roll back")
    assert [row["active"] for row in features.rows("ls") if row["kind"] == "group"] == [True, False]

    assert "read by join flight" in features.refused("retire", "carrier")
    features.ok("retire", "flight")
    features.ok("retire", "carrier")
    assert not features.rows("ls")
    assert [row["active"] for row in features.rows("ls", "--all")] == ["retired", "retired"]


def test_words_and_lineage_lead_to_features_and_models(features: Cli) -> None:
    features.ok("apply", str(features.path))
    record = example(platform_schemas()["bighead.v1.ModelRegistered"])
    record |= {"model": "delay", "version": 1, "record": {**record["record"], "join": "flight"}}
    record["record"]["signature"]["inputs"][0] |= {"name": "late", "source": "feature"}
    publisher = Publisher(features.settings, "test")
    publisher.publish(
        ModelRegistered.from_record(record),
        key="delay",
        topic=topic_name(features.settings.topic_prefix, MODELS_EVENTS),
    )
    publisher.flush()

    assert {row["name"] for row in features.rows("search", "typical", "lateness")} == {
        "carrier_delay_average_1h",
        "carrier_delay_average_1d",
    }
    down = {f"{row['kind']} {row['name']}" for row in features.rows("lineage", "dep_delay_min", "--down")}
    assert {"feature carrier_delay_average_1h", "output flight.late", "model delay/1"} <= down
    up = {f"{row['kind']} {row['name']}" for row in features.rows("lineage", "delay/1", "--up")}
    assert {f"topic {features.topic}", "table flights/departed", "request flight.limit_min"} <= up
    assert "from topic" in features.ok("lineage", "carrier_delay_average_1h")


def test_what_is_wrong_is_refused_with_what_is_near(features: Cli) -> None:
    features.define('["1h"]', topic=features.topic.replace("departed", "departd"))
    assert f"did you mean '{features.topic}'" in features.refused("plan", str(features.path))
    features.define('["1w"]')
    assert "a window is '1w'" in features.refused("plan", str(features.path))
    features.define('["1h"]')
    features.path.write_text(features.path.read_text().replace('"dep_delay_min"', '"dep_delay"'))
    message = features.refused("plan", str(features.path))
    assert "GroupBy 'carrier'" in message and "did you mean 'dep_delay_min'" in message

    features.define('["1h"]')
    features.ok("apply", str(features.path))
    for arguments, near in [
        (("activate", "carier"), "did you mean 'carrier'"),
        (("activate", "carrier", "7"), "its epochs: 1"),
        (("show", "fligt"), "did you mean 'flight'"),
        (("diff", "fligt", "--file", str(features.path)), "did you mean 'flight'"),
        (("retire", "fligt"), "did you mean 'flight'"),
        (("lineage", "carier"), "did you mean 'carrier'"),
        (("get", "fligt", "carrier=UA"), "did you mean 'flight'"),
        (("plan", "nowhere.py"), "nowhere.py is no file"),
    ]:
        assert near in features.refused(*arguments), arguments


@pytest.mark.parametrize("name", sorted(command.commands))
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    text = CliRunner().invoke(command, [name, "--help"]).output
    assert f"bighead features {name}" in text
