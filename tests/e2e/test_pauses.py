"""Broker and store that stand still: nothing is lost, memory stays bounded, and what waited is caught up with."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from bighead.client.feature_values import FeaturesClient
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op
from bighead.features.windows import DAY_MS
from bighead.local.platform import Platform
from bighead.testing import eventually
from tests.conformance.cases import COLUMNS, MIDNIGHT_MS
from tests.e2e.conftest import MATERIALIZER
from tests.e2e.kit import Killer, Source, await_join, check_tiles
from tests.lane_kit import avro_schema

FLIGHTS = EventSource(topic="pauses.flights.v1", table="pauses/flights", time="at_ms")
OPS = [Op.COUNT, Op.SUM, Op.LAST]
PLANE = GroupBy("pause_plane", FLIGHTS, ["tail"], [Aggregation("delay", op, ["1h", "1d"]) for op in OPS])
JOIN = Join("pause_join", Keys("tail"), [PLANE])
BROKER_S, STORE_S = 10.0, 15.0
MOST_GROWTH_MB = 150
WORKERS = ("worker", MATERIALIZER)
END_MS = MIDNIGHT_MS + DAY_MS
PLANES = [{"tail": f"N{number}"} for number in range(10)]


def flights(seed: int, count: int) -> list[dict[str, Any]]:
    chooser = random.Random(seed)
    rest = dict.fromkeys(["carrier", "gate", "fuel", "late", "tags", "loads", "legs", "costs"])
    return [
        {
            "at_ms": MIDNIGHT_MS + chooser.randrange(DAY_MS),
            "tail": f"N{chooser.randrange(500)}",
            "delay": chooser.randrange(300),
            **rest,
        }
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def source(breakable: Platform) -> Source:
    source = Source(breakable.settings, FLIGHTS.topic, avro_schema("Departed", COLUMNS, ["at_ms"]), key="tail")
    source.apply([PLANE], JOIN)
    source.await_visible(source.publish(flights(1, 1_000)))
    return source


@contextmanager
def standing_still(platform: Platform, part: str) -> Iterator[int]:
    """The part's process, stopped; it goes on afterwards, where it still lives."""
    pid = int(platform.supervisor.states()[part]["pid"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGCONT)


def memory_mb(platform: Platform) -> dict[str, float]:
    states = platform.supervisor.states()
    return {part: psutil.Process(states[part]["pid"]).memory_info().rss / 2**20 for part in WORKERS}


def test_a_broker_that_stood_still_and_was_killed_lost_nothing(breakable: Platform, source: Source) -> None:
    source.publish(flights(2, 5_000))
    with FeaturesClient(source.settings.grpc) as client:
        await_join(client, JOIN.name, PLANES[0], END_MS)
        with standing_still(breakable, "kafka"):
            until_s = time.monotonic() + BROKER_S
            while time.monotonic() < until_s:
                rows = client.read(JOIN.name, PLANES, as_of_ms=END_MS)
                assert not [row for row in rows if "ERROR" in row.statuses.values()]
            Killer(breakable).kill("kafka")
    eventually(lambda: breakable.status(["kafka"])[0].ok, 60, 0.1)
    source.await_visible(source.publish(flights(3, 1_000)))
    check_tiles(source, JOIN.name)


def publish_for(source: Source, seconds: float, seed: int) -> None:
    """As much as goes, and 20,000 events at least."""
    until_s, chunks = time.monotonic() + seconds, 0
    while time.monotonic() < until_s or chunks < 10:
        source.publish(flights(seed + chunks, 2_000))
        chunks += 1


def test_while_the_store_stands_still_the_memory_of_workers_is_bounded(breakable: Platform, source: Source) -> None:
    publish_for(source, STORE_S, 1_000)  # what such a load costs by itself: caches and queues fill up to their bounds
    source.await_visible(source.ends)
    before = memory_mb(breakable)
    with FeaturesClient(source.settings.grpc) as client, standing_still(breakable, "redis"):
        publish_for(source, STORE_S, 2_000)
        after = memory_mb(breakable)
        rows = client.read(JOIN.name, PLANES, as_of_ms=END_MS)
        assert {status for row in rows for status in row.statuses.values()} == {"ERROR"}
    assert all(after[part] - before[part] < MOST_GROWTH_MB for part in WORKERS), (before, after)
    source.await_visible(source.ends)
    check_tiles(source, JOIN.name)
    eventually(lambda: all(one.ok for one in breakable.status(WORKERS)), 60, 0.1)
