"""The flights demo in small, to look at: three days as a stream, two versions, some predictions, without Spark.

Told with the demo's own functions. What is left out: the year of history and its backfill, and training rows by Spark:
features as of each request are read online here. The events of runs and alerts are written by hand.
"""

import asyncio
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bighead.client.definitions import load_definitions
from bighead.client.feature_values import FeaturesClient
from bighead.client.features import apply
from bighead.client.models import ModelsClient
from bighead.client.publish import Publisher
from bighead.client.visibility import Visibility
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import CommandRefused
from bighead.events import admin
from bighead.events.base import Event
from bighead.events.message import Position
from bighead.events.sender import Sender
from bighead.events.topics import MONITORING, RUNS, topic_name
from bighead.events.types import AlertRaised, HealthCheck, HealthChecked, RunFinished, RunStarted, StepFinished
from bighead.pipeline.training_set import TrainingSet
from bighead.training.specification import Specification
from examples.flights import data, demo, recipes
from examples.flights.replay import PlatformFeed, replay
from examples.flights.specs import by_hand
from examples.flights.training import train_version
from tests.e2e.kit import TIMEOUT_S, await_join, catalog_of

FROM_MS = data.TEST_FROM_MS - 2 * data.DAY_MS
ASKED_MS = data.TEST_FROM_MS + data.DAY_MS + 12 * data.HOUR_MS
"""Rows to train on are of the day before TEST_FROM_MS, rows to test on of the day after it; then flights are asked."""
EVERY = 4
"""One flight in so many is a row."""
PARAMETERS = (
    {"max_iter": 12, "learning_rate": 0.15, "min_samples_leaf": 10},
    {"max_iter": 24, "learning_rate": 0.1, "min_samples_leaf": 10},
)
PEOPLE = ("ana", "ben")
REASONS = ("the first model of the demo", "twice the trees, half the step")


@dataclass(frozen=True)
class Story:
    """What was told: when the first version went live, and the flights that were asked for, in order."""

    settings: Settings
    deployed_ms: int
    flights: pd.DataFrame
    run_id: str


def tell(settings: Settings, asked: int = 40) -> Story:
    """Features, two versions of one model, the first one live; so many predictions with their outcomes; a run."""
    flights = data.load_flights()
    _start(settings)
    events = data.load_events(flights)
    published = _between(events, FROM_MS, ASKED_MS)
    _publish(settings, published)
    rows = _training_rows(settings, flights)
    for who, reason, parameters in zip(PEOPLE, REASONS, PARAMETERS, strict=True):
        _train(replace(settings, actor=who), rows, parameters, reason)
    ana = ModelsClient(settings, PEOPLE[0])
    ana.deploy(recipes.MODEL, 1, "better than the schedule alone")
    deployed_ms = wall_clock_ms()
    chosen = data.asked_between(flights, ASKED_MS, ASKED_MS + data.DAY_MS).head(asked)
    until_ms = int(chosen.arrived_ms.max()) + 1
    asyncio.run(_ask(settings, chosen, _between(events, ASKED_MS, until_ms)))
    _refused(ana)
    return Story(settings, deployed_ms, chosen, _write_run(settings))


def _start(settings: Settings) -> None:
    for topic in data.TOPICS:
        admin.create_topic(settings, topic.name, 2)
        admin.register_schema(settings, topic.name, topic.schema)
    applied = apply(settings, load_definitions(demo.FEATURES), actor=PEOPLE[0], reason="features of the flights demo")
    _await(settings, applied.positions)


def _between(events: Mapping[data.Topic, pa.Table], from_ms: int, to_ms: int) -> list[data.ReplayedEvent]:
    """The events of a time, in its order; planes are known from the beginning."""
    found = []
    for topic, table in events.items():
        times = table[topic.time]
        known = pc.equal(times, data.PLANES_KNOWN_MS) if from_ms == FROM_MS else pc.less(times, 0)
        chosen = table.filter(pc.or_(known, pc.and_(pc.greater_equal(times, from_ms), pc.less(times, to_ms))))
        found += [data.ReplayedEvent(record[topic.time], topic, record) for record in chosen.to_pylist()]
    return sorted(found, key=lambda event: event.time_ms)


def _publish(settings: Settings, events: Iterable[data.ReplayedEvent]) -> None:
    publisher = Publisher(settings, "flights/story")
    for event in events:
        key, name = str(event.record[event.topic.key]), event.topic.full_name
        publisher.publish_record(event.topic.name, name, event.record, key=key, time_ms=event.time_ms)
    _await(settings, publisher.flush())


def _await(settings: Settings, positions: Iterable[Position]) -> None:
    visibility = Visibility(settings)
    try:
        visibility.wait(positions, TIMEOUT_S)
    finally:
        visibility.close()


def _training_rows(settings: Settings, flights: pd.DataFrame) -> TrainingSet:
    """Some flights of two days whose outcome was known, with their features as of each request."""
    asked = data.asked_between(flights, data.TEST_FROM_MS - data.DAY_MS, data.TEST_FROM_MS + data.DAY_MS)
    known = asked[asked.late.notna() & ((asked.arrived_ms < data.TEST_FROM_MS) | (asked.asked_ms >= data.TEST_FROM_MS))]
    known = known.iloc[::EVERY].reset_index(drop=True)
    known = known.assign(late=known.late.astype("int64"))
    client = FeaturesClient(settings.grpc)
    entities = known[list(data.KEYS)].to_dict("records")
    await_join(client, recipes.JOIN, entities[0], int(known.asked_ms[0]))
    found = [
        client.read(recipes.JOIN, [entity], as_of_ms=int(asked_ms))[0].values
        for entity, asked_ms in zip(entities, known.asked_ms, strict=True)
    ]
    catalog = catalog_of(settings)
    join = catalog.join(recipes.JOIN)
    inputs = tuple(name for name, kind in join.kinds.items() if kind.is_scalar)
    features = pd.DataFrame(found, columns=list(inputs)).astype("float64", errors="ignore")
    rows = pd.concat([known, features], axis=1)
    origin = {"table": "flights/training", "version": 0, "rows": len(rows), "sources": {}}
    return recipes.training_set(rows, inputs, origin, catalog)


def _train(settings: Settings, rows: TrainingSet, parameters: Mapping[str, Any], reason: str) -> None:
    training = replace(by_hand.training, data=lambda: rows, parameters=parameters)
    folder = Path(by_hand.__file__).parent
    train_version(settings, Specification(training, "", "story.py", folder), reason, say=lambda text: None)


async def _ask(settings: Settings, flights: pd.DataFrame, events: Sequence[data.ReplayedEvent]) -> None:
    feed = PlatformFeed(settings, recipes.MODEL)
    try:
        done = await replay(feed, flights.to_dict("records"), events)
    finally:
        await feed.close()
    assert not done.failures, done.failures


def _refused(client: ModelsClient) -> None:
    try:
        client.deploy(recipes.MODEL, 9, "a version that nobody registered")
    except CommandRefused:
        return
    raise AssertionError("a version that does not exist was deployed")


def _write_run(settings: Settings) -> str:
    """The check of what was served as batch reports it, and an alert; its id."""
    now_ms, run_id = wall_clock_ms(), uuid.uuid4().hex
    check = HealthCheck(name="rows", passed=True, detail="40 predictions were compared")
    run: list[Event] = [
        RunStarted(
            run_id=run_id,
            name="consistency of flight",
            kind="health_check",
            spec='{"join":"flight"}',
            spec_hash="0" * 64,
            code_version="0.1.0",
            actor=PEOPLE[1],
            reason="is what was served what Spark computes?",
            at_ms=now_ms - 9_000,
        ),
        StepFinished(
            run_id=run_id, step="recompute", status="succeeded", started_ms=now_ms - 8_000, rows=40, at_ms=now_ms - 500
        ),
        HealthChecked(run_id=run_id, subject="flight", healthy=True, checks=(check,), at_ms=now_ms - 400),
        RunFinished(run_id=run_id, status="succeeded", started_ms=now_ms - 9_000, at_ms=now_ms),
    ]
    write(settings, RUNS, run_id, run)
    alert = AlertRaised(
        alert_id=uuid.uuid4().hex,
        rule="coverage",
        model=recipes.MODEL,
        version=1,
        severity="warning",
        message="outcomes of two in ten predictions are missing",
        value=0.8,
        threshold=0.9,
        at_ms=now_ms,
    )
    write(settings, MONITORING, recipes.MODEL, [alert])
    return run_id


def write(settings: Settings, topic: str, key: str, events: Sequence[Event]) -> None:
    """Writes events as the parts of the platform do."""
    publisher = Publisher(settings, "test")
    for event in events:
        publisher.publish(event, key=key, topic=topic_name(settings.topic_prefix, topic))
    publisher.flush()
    publisher.codec.close()


def write_rubbish(settings: Settings, value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> None:
    """A message that no schema describes, on a topic that features read: the stream makes a dead letter of it."""
    sender = Sender(settings)
    sender.send(data.DEPARTED.name, b"N1", value, tuple(headers))
    sender.flush(TIMEOUT_S)
