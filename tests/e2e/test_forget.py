"""An entity that is forgotten is gone from the store, the state topic, the lane and its tables, and stays gone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from bighead import config
from bighead.client.forget import forget
from bighead.commands.forget import forget_command
from bighead.config import Settings
from bighead.errors import DefinitionError, InvalidInput
from bighead.events.log import read_log
from bighead.events.topics import FEATURES_EVENTS, FEATURES_STATE, topic_name
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op
from bighead.features.tiles import store_key
from bighead.local.platform import Platform
from tests.conformance.cases import COLUMNS, MIDNIGHT_MS
from tests.e2e.kit import Source, catalog_of, read_online
from tests.lane_kit import avro_schema

FLIGHTS = EventSource(topic="forget.flights.v1", table="forget/flights", time="at_ms")
GROUP = GroupBy("forget_plane", FLIGHTS, ["tail", "gate"], [Aggregation("delay", Op.SUM, ["1h", "1d"])])
PLANE = Join("forget_plane_join", Keys("tail", "gate"), [GROUP])
END_MS = MIDNIGHT_MS + 3_600_000


def flight(tail: str, delay: int) -> dict[str, Any]:
    return {"at_ms": MIDNIGHT_MS + delay, "carrier": "UA", "gate": 7, "delay": delay, "tail": tail} | dict.fromkeys(
        ["fuel", "late", "tags", "loads", "legs", "costs"]
    )


@pytest.fixture(scope="module")
def source(breakable: Platform) -> Source:
    source = Source(breakable.settings, FLIGHTS.topic, avro_schema("Departed", COLUMNS, ["at_ms"]), key="tail")
    source.apply([GROUP], PLANE)
    source.await_visible(source.publish([flight(f"gone-{index % 5}", index) for index in range(500)]))
    return source


def sums(source: Source) -> list[int | None]:
    entities = [{"tail": f"gone-{index}", "gate": 7} for index in range(5)]
    (rows,) = read_online(source.settings, catalog_of(source.settings), PLANE.name, entities, [END_MS])
    return [row["forget_plane_delay_sum_1d"] for row in rows]


def traces(settings: Settings, topic: str) -> list[bytes]:
    """The newest value of every key of a topic that names the plane, where there is one."""
    newest = {message.key: message.value for message in read_log(settings, topic_name(settings.topic_prefix, topic))}
    return [key for key, value in newest.items() if key and value and (b'"gone-1"' in key or b'"gone-1"' in value)]


def test_a_forgotten_entity_leaves_no_trace_and_begins_anew(
    breakable: Platform, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sums(source)
    for name, value in config.variables(source.settings).items():
        monkeypatch.setenv(name, value)

    done = CliRunner().invoke(
        forget_command, ["forget_plane", "gone-1", "7", "--reason", "a test", "--without-tables", "--json"]
    )

    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert (found["left"], found["newer"], found["dead_letters"]) == (0, 0, 0)
    assert found["tiles"] > 0
    assert traces(source.settings, FEATURES_STATE) == traces(source.settings, FEATURES_EVENTS) == []
    with redis.Redis.from_url(source.settings.redis) as store:
        assert not store.exists(store_key(source.settings.topic_prefix, "forget_plane", 1, '["gone-1",7]'))
    assert sums(source) == [before[0], None, *before[2:]]

    source.await_visible(source.publish([flight("gone-1", 11)]))
    assert sums(source) == [before[0], 11, *before[2:]]


def test_it_stays_forgotten_when_the_lane_loses_its_disk_and_the_store_is_flushed(
    breakable: Platform, source: Source
) -> None:
    before = sums(source)
    forget(source.settings, "forget_plane", ["gone-2", "7"], actor="test", reason="a test", timeout_s=30)
    source.await_visible(source.publish([flight("gone-2", 13)]))
    breakable.supervisor.stop_parts(["worker"])
    shutil.rmtree(Path(breakable.settings.state) / "lane")
    with redis.Redis.from_url(source.settings.redis) as store:
        store.flushall()
    breakable.supervisor.start_part("worker")
    source.await_visible(source.publish([flight("gone-2", 4)]))

    assert sums(source) == [*before[:2], 17, *before[3:]]


def test_what_cannot_be_forgotten_is_said_before_anything_is_done(source: Source) -> None:
    with pytest.raises(DefinitionError, match=r"group 'nobody' is not applied; there are .*forget_plane"):
        forget(source.settings, "nobody", ["gone-1"], actor="test", reason="a test", timeout_s=1)
    with pytest.raises(InvalidInput, match="has keys tail, gate; received 1 values"):
        forget(source.settings, "forget_plane", ["gone-1"], actor="test", reason="a test", timeout_s=1)
    with pytest.raises(InvalidInput, match="key 'gate' is 'x'; expected a long"):
        forget(source.settings, "forget_plane", ["gone-1", "x"], actor="test", reason="a test", timeout_s=1)
