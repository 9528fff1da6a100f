"""The Flink lane on a cluster: parts killed in the middle, broken messages, a group that moves between lanes."""

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
import redis

from bighead.client.features import Definitions, apply
from bighead.events.codec import Codec
from bighead.events.dead_letters import read_dead_letters
from bighead.events.sender import Sender
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op
from bighead.features.catalog import FLINK as FLINK_ENGINE
from bighead.features.catalog import PYTHON
from bighead.features.tiles import visible_key
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS
from bighead.local.flink import flink_home
from bighead.local.parts import FLINK, INFRASTRUCTURE
from bighead.local.platform import Platform
from bighead.local.ports import free_settings
from tests.conformance.cases import MIDNIGHT_MS
from tests.e2e.kit import Killer, Source, catalog_of, check_tiles, read_online, reference
from tests.lane_kit import avro_schema

pytestmark = pytest.mark.skipif(flink_home() is None, reason="Flink is not installed: `make flink`")
EVENTS = 8_000
VICTIMS = ("flink-taskmanager", "flink-jobmanager", "flink-runner")
COLUMNS = {"at_ms": ValueType.LONG, "carrier": ValueType.STRING, "delay": ValueType.LONG, "fuel": ValueType.DOUBLE}
SPANS: list[list[str]] = [["1h", "1d"], []]
ENTITIES = [{"carrier": f"C{number}"} for number in range(20)]
END_MS = MIDNIGHT_MS + 5 * DAY_MS


def group(name: str, topic: str, ops: Sequence[Op]) -> tuple[GroupBy, Join]:
    source = EventSource(topic=topic, table=topic, time="at_ms", where="delay IS NULL OR delay + 1 <> 14")
    column = [Aggregation("delay", op, span, {"k": 3} if op is Op.LAST_K else {}) for op in ops for span in SPANS]
    fuel = Aggregation("fuel", Op.SUM, ["1h"], bucket="carrier")
    made = GroupBy(name, source, ["carrier"], [*column, fuel])
    return made, Join(f"{name}_join", Keys("carrier"), [made])


def records(count: int) -> list[dict[str, Any]]:
    """Three days with one in ten late by up to two days. Sums of quarters are exact."""
    chooser = random.Random(11)
    found = []
    for index in range(count):
        late_ms = chooser.randrange(2 * DAY_MS) if chooser.random() < 0.1 else 0
        found.append(
            {
                "at_ms": MIDNIGHT_MS + DAY_MS + index * 3 * DAY_MS // count - late_ms,
                "carrier": f"C{chooser.randrange(20)}",
                "delay": None if chooser.random() < 0.05 else chooser.randrange(-30, 300),
                "fuel": chooser.randrange(4000) / 4,
            }
        )
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    running = Platform(free_settings(tmp_path_factory.mktemp("flink")))
    try:
        running.up((*INFRASTRUCTURE, "worker", "materializer", *FLINK))
        yield running
    finally:
        running.down()


def source_of(cluster: Platform, topic: str) -> Source:
    return Source(cluster.settings, topic, avro_schema("Flight", COLUMNS, ["at_ms", "carrier"]), "carrier")


def move(source: Source, made: GroupBy, join: Join, engine: str) -> None:
    """Applies a group to an engine, which answers at once; returns when the stream knows."""
    definitions = Definitions({made.name: made}, {join.name: join})
    applied = apply(source.settings, definitions, actor="test", reason="a test", activate=True, engine=engine)
    source.await_visible(applied.positions)


def check(source: Source, join: Join) -> None:
    """What is read online equals the reference, for every entity."""
    catalog = catalog_of(source.settings)
    (found,) = read_online(source.settings, catalog, join.name, ENTITIES, [END_MS])
    assert found == reference(source, join.name, ENTITIES, END_MS)


def check_newest(source: Source) -> None:
    """The store knows the time of each partition's newest event."""
    newest: dict[str, int] = {}
    for event in source.events:
        field = f"latest:{event.partition}"
        newest[field] = max(newest.get(field, 0), event.record["at_ms"])
    with redis.Redis.from_url(source.settings.redis) as store:
        marks = {
            key.decode(): value
            for key, value in store.hgetall(visible_key(source.settings.topic_prefix, source.topic)).items()
        }
    assert {field: int(marks[field]) for field in newest} == newest


def test_a_cluster_that_is_killed_in_the_middle_loses_and_doubles_nothing(cluster: Platform) -> None:
    source, killer = source_of(cluster, "flink.kills.v1"), Killer(cluster)
    made, join = group("kills", source.topic, [Op.COUNT, Op.SUM, Op.MIN, Op.LAST, Op.LAST_K])
    move(source, made, join, FLINK_ENGINE)
    edges = [index * EVENTS // (len(VICTIMS) + 1) for index in range(len(VICTIMS) + 2)]
    pieces = [records(EVENTS)[start:end] for start, end in pairwise(edges)]
    source.await_visible(source.publish(pieces[0]))
    for victim, piece in zip(VICTIMS, pieces[1:], strict=True):
        positions = source.publish(piece)
        killer.kill(victim)
        source.await_visible(positions)
    check(source, join)
    check_tiles(source, join.name)
    check_newest(source)


def test_a_broken_message_is_a_dead_letter_and_the_job_goes_on(cluster: Platform) -> None:
    source = source_of(cluster, "flink.broken.v1")
    made, join = group("broken", source.topic, [Op.COUNT, Op.SUM])
    move(source, made, join, FLINK_ENGINE)
    most = 2**63 - 1
    good = records(20)
    source.publish(good)
    codec, sender = Codec(cluster.settings.schema_registry), Sender(cluster.settings)
    early = codec.encode_record(source.topic, "conformance.Flight", good[0] | {"at_ms": -5})
    sender.send(source.topic, b"C1", b'{"json": 1}', [("from", b"a test")])
    sender.send(source.topic, b"C1", None, [])
    sender.send(source.topic, b"C1", early, [])
    sender.flush()
    bad = [
        good[0] | {"delay": most},  # delay + 1 leaves 64 bits
        good[0] | {"delay": most - 1, "carrier": "full"},
        good[0] | {"delay": most - 1, "carrier": "full"},
    ]
    mark = len(source.events)
    positions = source.publish(bad)
    source.await_visible(positions)
    source.events = [*source.events[:mark], source.events[mark + 1]]  # of the sum's two, the first fits
    check(source, join)
    letters = [one.letter for one in read_dead_letters(cluster.settings, codec) if one.letter.topic == source.topic]
    codec.close()
    found = {(one.stage, one.error_class, one.value) for one in letters}
    assert {(stage, kind) for stage, kind, _ in found} == {
        ("lane", "UndecodableEvent"),
        ("lane", "InvalidEvent"),
        ("lane:broken", "InvalidEvent"),
    }
    assert len(letters) == 5
    json_letter = next(one for one in letters if one.value == b'{"json": 1}')
    assert [(one.name, one.value) for one in json_letter.headers] == [("from", b"a test")]
    assert any("does not fit in 64 bits" in one.error_message for one in letters)


def test_a_group_moves_to_flink_and_back_without_a_gap(cluster: Platform) -> None:
    source = source_of(cluster, "flink.moves.v1")
    made, join = group("moves", source.topic, [Op.COUNT, Op.SUM, Op.LAST])
    flights = records(3_000)
    for number, engine in enumerate((PYTHON, FLINK_ENGINE, PYTHON)):
        move(source, made, join, engine)
        source.publish(flights[number * 1_000 : (number + 1) * 1_000])
        source.await_visible(source.ends)
        assert catalog_of(source.settings).group(made.name).epoch == number + 1
        assert catalog_of(source.settings).group(made.name).engine == engine
        check(source, join)
