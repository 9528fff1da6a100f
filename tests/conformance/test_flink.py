"""The Flink lane equals the reference and the Python fold: all operations, one bounded job, one adversarial log."""

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bighead.config import Settings
from bighead.events import admin
from bighead.events.codec import Codec
from bighead.events.kafka import producer_config
from bighead.events.log import read_log
from bighead.events.topics import FEATURES_STATE, topic_name
from bighead.events.types import FeatureTile
from bighead.features import Aggregation, GroupBy
from bighead.features.catalog import FLINK, GroupEpoch
from bighead.features.compiled import CompiledGroup, Feature, compile_group
from bighead.features.expressions import parse
from bighead.features.fold import fold
from bighead.features.operations import Op
from bighead.features.plan import GroupPlan
from bighead.features.reference import SourceEvent, group_features
from bighead.features.tiles import StateCodec, Tile, TileKey, entity_of, store_value
from bighead.features.types import avro_type
from bighead.features.windows import DAY_MS, FIVE_MINUTES_MS, HOUR_MS, Level
from bighead.local.flink import flink_home
from streams.flink import local
from streams.flink.job import PROFILES, describe
from tests.conformance.cases import (
    ARGS,
    COLUMNS,
    MIDNIGHT_MS,
    SHAPES,
    SOURCE,
    assert_same,
    every_operation,
    logs,
    magnitude_of,
    rows_of,
)
from tests.conformance.test_expressions import conditions, numbers

pytestmark = pytest.mark.skipif(flink_home() is None, reason="Flink is not installed: `make flink`")
EVENTS = 700
HOT, HEAVY = ("hot", 0), 7
"""An entity with as many events as all others have together, and the value of every second of them."""
OTHERS = 22_000
"""Their tiles, three each, are more than a job holds decoded."""
# On hops, since the tiles hold what came after a query as well; and one after everything.
QUERIES_MS = [
    MIDNIGHT_MS,
    MIDNIGHT_MS + FIVE_MINUTES_MS,
    MIDNIGHT_MS - 25 * FIVE_MINUTES_MS,
    MIDNIGHT_MS + 41 * HOUR_MS,
    MIDNIGHT_MS - 3 * DAY_MS,
    MIDNIGHT_MS + 41 * DAY_MS + 1,
]


def adversarial_log() -> list[SourceEvent]:
    """Events from the strategies that all engines are tried with: the same ones in every run of the same code.

    They change with the code: hypothesis also tries the constants that it finds in the modules that are loaded.
    """
    found: list[SourceEvent] = []

    @settings(
        max_examples=150,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(log=logs())
    def collect(log: list[SourceEvent]) -> None:
        found.extend(log)

    collect()
    offsets = {0: 0, 1: 0}
    placed = []
    for event in [*found[:EVENTS], *(SourceEvent(one, 0, 0) for one in hot_records())]:
        placed.append(SourceEvent(event.record, event.partition, offsets[event.partition]))
        offsets[event.partition] += 1
    return placed


def hot_records() -> Iterator[dict[str, Any]]:
    """Two hours of one entity, with so many different values that sketches estimate."""
    for number in range(EVENTS):
        carrier, gate = HOT
        value = number * 7919 % 100_003
        yield dict.fromkeys(COLUMNS) | {
            "at_ms": MIDNIGHT_MS + 10_000 * number,
            "carrier": carrier,
            "gate": gate,
            "delay": HEAVY if number % 2 else value,
            "fuel": value / 8,
        }


@dataclass(frozen=True)
class Run:
    """What a job was given and what it made."""

    groups: dict[str, CompiledGroup]
    events: list[SourceEvent]
    tiles: dict[str, dict[TileKey, FeatureTile]]


def texts() -> list[str]:
    """Expressions over the columns of the log, from the strategies that all engines are tried with, as the events."""
    found: dict[str, None] = {}

    @settings(max_examples=80, derandomize=True, database=None, phases=[Phase.generate], deadline=None)
    @given(text=st.one_of(numbers(), conditions()))
    def collect(text: str) -> None:
        found[re.sub(r"\b([abs])\b", lambda match: _NAMES[match[1]], text.replace("f", "late"))] = None

    collect()
    return [text for text in found if parse(text, COLUMNS).kind is not None][:40]


_NAMES = {"a": "delay", "b": "fuel", "s": "tail"}


def expressions() -> CompiledGroup:
    """Each expression's last values. Rows with numbers that leave 64 bits, or that are none, are left out."""
    select = {f"e{index}": text for index, text in enumerate(texts())}
    small = "(delay IS NULL OR ABS(delay) < 100) AND (fuel IS NULL OR ABS(fuel) < 1000)"
    source = replace(SOURCE, select={**select, "carrier": "carrier"}, where=small)
    aggregations = [Aggregation(name, Op.LAST_K, args={"k": 100}) for name in select]
    return compile_group(GroupBy("expressions", source, ["carrier"], aggregations), COLUMNS)


def named(shape: str) -> CompiledGroup:
    group = every_operation(shape=shape).definition
    return compile_group(replace(group, name=shape), COLUMNS)


@pytest.fixture
def run(ready_settings: Settings, tmp_path: Path) -> Iterator[Run]:
    groups = {shape: named(shape) for shape in SHAPES} | {"expressions": expressions()}
    events = adversarial_log()
    publish(ready_settings, events)
    codec = Codec(ready_settings.schema_registry)
    local.run(description(ready_settings, codec, groups.values(), tmp_path), tmp_path / "job")
    yield Run(groups, events, tiles_of(ready_settings, codec))
    codec.close()


def description(
    ready_settings: Settings, codec: Codec, groups: Iterable[CompiledGroup], folder: Path
) -> dict[str, Any]:
    """A job that ends with what the topic holds now."""
    return describe(
        ready_settings,
        codec,
        [GroupEpoch(1, group, None, engine=FLINK) for group in groups],
        PROFILES["high-throughput"],
        consumers="conformance",
        checkpoints=(folder / "checkpoints").as_uri(),
        one_time=True,
        bounded=True,
    )


def publish(ready_settings: Settings, events: list[SourceEvent], topic: str = SOURCE.topic) -> None:
    admin.create_topic(ready_settings, topic, 2)
    fields: list[dict[str, Any]] = [
        {"name": name, "type": ["null", avro_type(kind)] if name != "at_ms" else "long"}
        for name, kind in COLUMNS.items()
    ]
    for field in fields:
        if isinstance(field["type"], list) and isinstance(field["type"][1], dict):
            inner = field["type"][1]
            part = "items" if "items" in inner else "values"
            inner[part] = ["null", inner[part]]
    schema = {"type": "record", "name": "Case", "namespace": "conformance", "fields": fields}
    admin.register_schema(ready_settings, topic, schema)
    codec = Codec(ready_settings.schema_registry)
    producer = Producer(producer_config(ready_settings))
    for event in events:
        value = codec.encode_record(topic, "conformance.Case", event.record)
        producer.produce(topic, value, partition=event.partition)
        producer.poll(0)
    producer.flush()
    codec.close()


def tiles_of(ready_settings: Settings, codec: Codec) -> dict[str, dict[TileKey, FeatureTile]]:
    """The newest tile of each key."""
    found: dict[str, dict[TileKey, FeatureTile]] = {}
    for message in read_log(ready_settings, topic_name(ready_settings.topic_prefix, FEATURES_STATE)):
        event = codec.decode(message.value)
        assert isinstance(event, FeatureTile)
        key = TileKey(event.entity, Level(event.level), event.start_ms)
        mine = found.setdefault(event.group, {})
        assert key not in mine or mine[key].seq < event.seq
        mine[key] = event
    return found


def python_tiles(group: CompiledGroup, events: list[SourceEvent]) -> dict[TileKey, Tile]:
    """What the Python fold makes of the same log, partition by partition."""
    codec, store = StateCodec(group), dict[TileKey, Tile]()
    for partition in (0, 1):
        rows = rows_of(group, [event for event in events if event.partition == partition])
        if rows is not None:
            for tile in fold(group, codec, rows, lambda keys: [store.get(key) for key in keys]):
                store[tile.key] = tile
    return store


def test_flink_equals_the_reference_and_the_python_fold(run: Run) -> None:
    for name, group in run.groups.items():
        mine = run.tiles[name]
        compare_tiles(group, mine, python_tiles(group, run.events))
        compare_answers(group, mine, run.events)


def test_a_tile_leaves_flinks_state_when_its_time_is_over_and_takes_late_events_until_then(
    ready_settings: Settings, tmp_path: Path
) -> None:
    """Two groups differ in nothing but how long their tiles are kept. Between two events of one entity lie those of so
    many others that none of its tiles is held decoded any more."""
    source = replace(SOURCE, topic="conformance.kept.v1")
    entities = ["C", *(f"other {number}" for number in range(OTHERS)), "C"]
    publish(
        ready_settings,
        [
            SourceEvent(dict.fromkeys(COLUMNS) | {"at_ms": MIDNIGHT_MS + offset % 60, "carrier": one, "delay": 1}, 0, 0)
            for offset, one in enumerate(entities)
        ],
        source.topic,
    )
    kept, gone = (
        compile_group(GroupBy(name, source, ["carrier"], [Aggregation("delay", Op.SUM, ["1h", "7d"])]), COLUMNS)
        for name in ("kept", "gone")
    )
    codec = Codec(ready_settings.schema_registry)
    told = description(ready_settings, codec, [kept, gone], tmp_path)
    for level in told["groups"][1]["levels"]:
        level["kept_ms"] = 1
    local.run(told, tmp_path / "job")
    last: dict[tuple[str, str], FeatureTile] = {}
    for message in read_log(ready_settings, topic_name(ready_settings.topic_prefix, FEATURES_STATE)):
        name, _, entity, level, *_ = json.loads(message.key or b"")
        if entity == ["C"]:
            tile = codec.decode(message.value)
            assert isinstance(tile, FeatureTile)
            last[name, level] = tile
    codec.close()
    found = {place: (tile.seq, StateCodec(kept).decode(tile.state)) for place, tile in last.items()}
    both, one = (2, (2, 2)), (1, (1, 1))
    assert found == {
        (name, level): both if name == "kept" else one for name in ("kept", "gone") for level in kept.levels
    }


def compare_tiles(group: CompiledGroup, mine: dict[TileKey, FeatureTile], python: dict[TileKey, Tile]) -> None:
    """Equal in bytes, where the order of events is the same: one partition's is."""
    assert mine.keys() == python.keys()
    codec = StateCodec(group)
    for key, tile in mine.items():
        other = python[key]
        assert (tile.seq, tile.latest_ms) == (other.seq, other.latest_ms)
        assert {(one.partition, one.offset) for one in tile.positions} == set(other.positions)
        if len(other.positions) == 1:
            got, expected = codec.pack(codec.decode(tile.state)), codec.pack(other.state)
            for cell, where in zip(group.cells, codec.cell_slices, strict=True):
                # Above 200 values KLL chooses by chance which it keeps.
                if cell.op is not Op.APPROX_PERCENTILE or key.entity != entity_of(HOT):
                    # As text: a moment of huge values may be NaN, which does not equal itself.
                    assert repr(got[where]) == repr(expected[where]), (cell.name, key)


def compare_answers(group: CompiledGroup, mine: dict[TileKey, FeatureTile], events: list[SourceEvent]) -> None:
    """Every query of every entity equals the reference."""
    plan = GroupPlan(group, 1, None)
    entities = sorted({tuple(event.record[key] for key in group.keys) for event in events})
    for query_ms in QUERIES_MS:
        seen = [event for event in events if event.record["at_ms"] < query_ms]
        scale = magnitude_of(group, seen)
        wanted = plan.at(query_ms)
        for entity in entities:
            text = entity_of(entity)
            # `all` holds everything that the stream has seen: as of the end alone.
            late = any(event.record["at_ms"] >= query_ms for event in events)
            found = [mine.get(TileKey(text, level, start)) for level, start in wanted.tiles]
            stored = [store_value(tile.rank, tile.seq, tile.state) if tile else None for tile in found]
            answer = plan.answer(wanted, stored)
            got = {feature.name: value for feature, value in zip(group.features, answer.values, strict=True)}
            expected = group_features(group, seen, entity, query_ms)
            windowed = [feature for feature in group.features if feature.window is not None or not late]
            estimated = [feature for feature in windowed if entity == HOT and operation_of(group, feature) in ESTIMATES]
            exact = {feature.name for feature in windowed} - {feature.name for feature in estimated}
            assert_same(
                {name: value for name, value in got.items() if name in exact},
                {name: value for name, value in expected.items() if name in exact},
                scale,
            )
            for feature in estimated:
                assert near(group, feature, got[feature.name], expected[feature.name], query_ms), feature.name


ESTIMATES = (Op.APPROX_UNIQUE_COUNT, Op.APPROX_PERCENTILE, Op.APPROX_HISTOGRAM_K)


def operation_of(group: CompiledGroup, feature: Feature) -> Op:
    return group.cells[feature.cell].op


def near(group: CompiledGroup, feature: Feature, got: Any, expected: Any, query_ms: int) -> bool:
    """Whether an estimate of the hot entity is within the stated error of its sketch."""
    if got is None or expected is None:
        return got is expected
    if operation_of(group, feature) is Op.APPROX_UNIQUE_COUNT:
        return bool(abs(got - expected) <= 3 * 0.0163 * expected)
    start_ms = 0 if feature.window is None else feature.window.start_ms(query_ms)
    select = group.inputs[group.cells[feature.cell].column]
    values = sorted(select.evaluate(one) for one in hot_records() if start_ms <= one["at_ms"] < query_ms)
    if operation_of(group, feature) is Op.APPROX_HISTOGRAM_K:
        most = values.count(HEAVY)
        return bool(most <= got[str(HEAVY)] <= most + 3.5 / 32 * len(values))
    error = 2 * 0.0133 + 1 / len(values)
    return all(
        bisect_left(values, one) / len(values) - error <= rank <= bisect_right(values, one) / len(values) + error
        for one, rank in zip(got, ARGS[Op.APPROX_PERCENTILE]["p"], strict=True)
    )
