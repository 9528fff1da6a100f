"""An event from its producer to a feature, on real parts: definitions by an event, every read equal to the reference.

The platform is the supervised one; each test has a topic and names of its own on it.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bighead.client.feature_values import FeaturesClient
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op
from bighead.features.compiled import compile_group, compile_join
from bighead.features.reference import SourceEvent, join_features
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS, FIVE_MINUTES_MS, HOUR_MS, ceil_to
from bighead.local.platform import Platform
from tests.conformance.cases import COLUMNS, MIDNIGHT_MS, assert_same, every_operation, logs, magnitude_of, times
from tests.e2e.kit import Source, await_join, catalog_of, read_online
from tests.lane_kit import avro_schema

FLIGHTS = EventSource(
    topic="spine.flights.v1",
    table="spine/flights",
    time="at_ms",
    select={"carrier": "carrier", "tail": "tail", "delay": "delay", "fuel": "fuel"},
    where="delay IS NOT NULL",
)
SPANS: list[list[str]] = [["1h", "1d"], []]
ALL_OPS = [Op.COUNT, Op.SUM, Op.AVERAGE, Op.MIN, Op.MAX, Op.LAST]
CARRIER = GroupBy(
    "spine_carrier", FLIGHTS, ["carrier"], [Aggregation("delay", op, span) for op in ALL_OPS for span in SPANS]
)
PLANE = GroupBy(
    "spine_plane",
    FLIGHTS,
    ["tail", "carrier"],
    [Aggregation("fuel", op, span) for op in ALL_OPS for span in SPANS] + [Aggregation("delay", Op.LAST)],
)
FLIGHT = Join("spine_flight", Keys("carrier", "tail"), [CARRIER, PLANE], {"late": "spine_carrier_delay_last > 15"})


def departed(at_ms: int, carrier: str, tail: str, delay: int | None, fuel: float | None) -> dict[str, Any]:
    return {"at_ms": at_ms, "carrier": carrier, "gate": 1, "delay": delay, "fuel": fuel, "tail": tail, "late": None}


DEPARTED = [
    departed(MIDNIGHT_MS - 30 * DAY_MS, "UA", "N1", 3, 1.5),
    departed(MIDNIGHT_MS - DAY_MS, "UA", "N1", 10, None),
    departed(MIDNIGHT_MS - DAY_MS - 1, "UA", "N2", 20, 0.25),
    departed(MIDNIGHT_MS, "UA", "N1", -5, 2.5),
    departed(MIDNIGHT_MS - 1, "AA", "N1", 30, float("nan")),
    departed(MIDNIGHT_MS + HOUR_MS, "UA", "N1", None, 99.0),
    departed(MIDNIGHT_MS + HOUR_MS, "UA", "N1", 16, -0.5),
    departed(MIDNIGHT_MS + 30 * 60_000, "AA", "N1", 2**53 + 1, 1.0),
    departed(MIDNIGHT_MS - 2 * HOUR_MS, "UA", "N1", 7, 4.0),
]
QUERIES = [
    MIDNIGHT_MS - DAY_MS,
    MIDNIGHT_MS,
    MIDNIGHT_MS + 1,
    MIDNIGHT_MS + FIVE_MINUTES_MS,
    MIDNIGHT_MS + HOUR_MS,
    MIDNIGHT_MS + HOUR_MS + 1,
    MIDNIGHT_MS + DAY_MS,
    MIDNIGHT_MS + 40 * DAY_MS,
]
Parts = list[tuple[int, list[dict[str, Any]]]]


def told_before(records: Iterable[dict[str, Any]], queries_ms: Iterable[int]) -> Parts:
    """Ascending query times, each with the records to publish before it: who asks at a time has seen no later event."""
    rest, parts = list(records), []
    for query_ms in sorted(set(queries_ms)):
        parts.append((query_ms, [record for record in rest if record["at_ms"] < query_ms]))
        rest = [record for record in rest if record["at_ms"] >= query_ms]
    return parts


def test_an_event_becomes_features_and_both_reads_equal_the_reference(applications: Platform) -> None:
    source = Source(applications.settings, FLIGHTS.topic, avro_schema("Departed", COLUMNS, ["at_ms"]), key="carrier")
    source.apply([CARRIER, PLANE], FLIGHT)
    groups = {group.name: compile_group(group, COLUMNS) for group in (CARRIER, PLANE)}
    join, catalog = compile_join(FLIGHT, groups), catalog_of(source.settings)
    entities = [{"carrier": carrier, "tail": tail} for carrier in ("UA", "AA", "??") for tail in ("N1", "N2", "??")]
    with FeaturesClient(source.settings.grpc) as client:
        await_join(client, FLIGHT.name, entities[0], MIDNIGHT_MS)
        for query_ms, records in told_before(DEPARTED, QUERIES):
            source.await_visible(source.publish(records))
            expected = [join_features(join, {FLIGHTS.topic: source.events}, entity, query_ms) for entity in entities]
            assert read_online(source.settings, catalog, FLIGHT.name, entities, [query_ms]) == [expected]
            assert [row.values for row in client.read(FLIGHT.name, entities, as_of_ms=query_ms)] == expected
    assert len(source.events) == len(DEPARTED)


EVERY = every_operation()
SOME = Join("spine_every", Keys("example", "carrier", "gate"), ["spine_every"])


@pytest.fixture(scope="module")
def everything(applications: Platform) -> Iterator[Source]:
    """Every operation on every window over one topic. Each example has entities of its own, so they do not meet."""
    columns = COLUMNS | {"example": ValueType.LONG}
    old = EVERY.definition.source
    over = replace(old, topic="spine.every.v1", select={**old.select, "example": "example"})
    group = replace(EVERY.definition, name="spine_every", source=over, keys=["example", "carrier", "gate"])
    schema = avro_schema("Case", columns, ["at_ms", "carrier", "gate", "example"])
    source = Source(applications.settings, over.topic, schema, key="gate")
    source.apply([group], SOME)
    yield source


examples = itertools.count(1)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(log=logs(60), queries_ms=st.lists(times(), min_size=3, max_size=6))
def test_online_reads_equal_the_reference(everything: Source, log: list[SourceEvent], queries_ms: list[int]) -> None:
    example, before = next(examples), len(everything.events)
    catalog = catalog_of(everything.settings)
    group, join = catalog.group("spine_every").group, catalog.join(SOME.name)
    keys = [*{(event.record["carrier"], event.record["gate"]) for event in log}, ("none", 0)]
    entities = [{"example": example, "carrier": carrier, "gate": gate} for carrier, gate in keys]
    parts = told_before(({**event.record, "example": example} for event in log), queries_ms)
    for query_ms, records in parts:
        everything.await_visible(everything.publish(records))
        events = everything.events[before:]
        (rows,) = read_online(everything.settings, catalog, SOME.name, entities, [query_ms])
        for entity, row in zip(entities, rows, strict=True):
            expected = join_features(join, {group.definition.source.topic: events}, entity, query_ms)
            assert_same(row, expected, magnitude_of(group, events))
    check_windows_of_the_past(everything, entities, [query_ms for query_ms, _ in parts], before)


def check_windows_of_the_past(
    source: Source, entities: list[dict[str, Any]], queries_ms: list[int], first: int
) -> None:
    """A window has two ends: what came later does not change what it held.

    The current five minutes hold everything that is visible, so only queries are asked after which theirs held nothing.
    """
    catalog, events = catalog_of(source.settings), source.events[first:]
    heads = [range(query_ms, ceil_to(query_ms, FIVE_MINUTES_MS)) for query_ms in queries_ms]
    queries_ms = [head.start for head in heads if not any(event.record["at_ms"] in head for event in events)]
    group, join = catalog.group("spine_every").group, catalog.join(SOME.name)
    windowed = {feature.name for feature in group.features if feature.window is not None}
    rows = read_online(source.settings, catalog, SOME.name, entities, queries_ms)
    for query_ms, found in zip(queries_ms, rows, strict=True):
        for entity, row in zip(entities, found, strict=True):
            expected = join_features(join, {group.definition.source.topic: events}, entity, query_ms)
            assert_same(
                {name: row[name] for name in windowed},
                {name: expected[name] for name in windowed},
                magnitude_of(group, events),
            )
