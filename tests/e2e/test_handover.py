"""Two workers for one platform, and the lane given from one to the other ten times in a minute: nothing of it shows.

One is told to stop, one dies and one stands still until the other has its work, and then goes on as if nothing were.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from bighead import config
from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.log import read_log
from bighead.events.message import Position
from bighead.events.sender import Sender
from bighead.events.topics import DEAD_LETTERS, topic_name
from bighead.events.types import DeadLetter
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op
from bighead.features.windows import DAY_MS
from bighead.health import HEARTBEAT_KEY
from bighead.local.platform import Platform
from bighead.testing import eventually
from tests.conformance.cases import COLUMNS, MIDNIGHT_MS
from tests.e2e.kit import Source, catalog_of, check_tiles, read_online, reference
from tests.lane_kit import avro_schema

FLIGHTS = EventSource(topic="handed.flights.v1", table="handed/flights", time="at_ms")
SPANS: list[list[str]] = [["1h", "1d"], []]
OPS = [Op.COUNT, Op.SUM, Op.LAST]
CARRIER = GroupBy(
    "hand_carrier", FLIGHTS, ["carrier"], [Aggregation("delay", op, span) for op in OPS for span in SPANS]
)
PLANE = GroupBy("hand_plane", FLIGHTS, ["tail"], [Aggregation("fuel", op, span) for op in OPS for span in SPANS])
FLIGHT = Join("hand_flight", Keys("carrier", "tail"), [CARRIER, PLANE])
ENTITIES = [{"carrier": f"C{number % 8}", "tail": f"N{number}"} for number in range(0, 200, 3)]
END_MS = MIDNIGHT_MS + DAY_MS
LITTLE, PAUSE_S = 40, 0.1
WAYS = ("stop", "kill", "stop", "pause", "stop", "stop", "stop", "pause", "stop", "stop")
LONGEST_S = 40


class Worker:
    """A worker with a state folder of its own, and a hand that does to it what happens to workers."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._log = folder.with_suffix(".log")
        self._environment = {**os.environ, **config.variables(replace(settings, state=folder))}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Starts it, unless it runs."""
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "streams", "--only", "lane"]
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def gone(self) -> None:
        """Waits for its end."""
        if self._process is not None:
            self._process.wait(30)

    def end(self) -> None:
        """Ends it, whatever state it is in."""
        self.send(signal.SIGKILL)
        self.gone()


class Stream(threading.Thread):
    """Publishes flights until it is stopped, and now and then what is none."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.broken: list[Position] = []
        self.stopped = threading.Event()
        self._source = source
        self._chooser = random.Random(20131122)

    def run(self) -> None:
        sender = Sender(self._source.settings)
        while not self.stopped.wait(PAUSE_S):
            self._source.publish([self._flight() for _ in range(LITTLE)])
            broken = sender.send(self._source.topic, b"nobody", self._chooser.randbytes(20), [])
            self.broken.append(broken.position())

    def _flight(self) -> dict[str, Any]:
        choose = self._chooser
        return {
            "at_ms": MIDNIGHT_MS + choose.randrange(DAY_MS),
            "carrier": f"C{choose.randrange(8)}",
            "gate": None,
            "delay": choose.randrange(-20, 100),
            "fuel": choose.randrange(400) / 4,
            "tail": f"N{choose.randrange(200)}",
            "late": None,
        }


@pytest.fixture
def source(breakable: Platform) -> Source:
    source = Source(breakable.settings, FLIGHTS.topic, avro_schema("Departed", COLUMNS, ["at_ms"]), "tail", 3)
    source.apply([CARRIER, PLANE], FLIGHT)
    return source


@pytest.fixture
def workers(breakable: Platform, source: Source, tmp_path: Path) -> Iterator[list[Worker]]:
    """Two workers, started after one another, in the place of the platform's own."""
    breakable.supervisor.stop_parts(["worker"])
    pair = [Worker(breakable.settings, tmp_path / name) for name in ("first", "second")]
    try:
        for worker in pair:
            worker.start()
            eventually(lambda: owner(breakable.settings) == pair[0].pid, LONGEST_S)
        yield pair
    finally:
        for worker in pair:
            worker.end()
        breakable.supervisor.start_part("worker")
        eventually(lambda: breakable.status(["worker"])[0].ok, 60, 0.1)


def owner(settings: Settings) -> int:
    """The process that says that it runs the lane."""
    with redis.Redis.from_url(settings.redis) as store:
        beat = store.get(HEARTBEAT_KEY)
    return int(json.loads(beat)["pid"]) if isinstance(beat, bytes) else 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_lane_is_handed_over_ten_times_in_a_minute_and_stays_right(source: Source, workers: list[Worker]) -> None:
    stream = Stream(source)
    stream.start()
    took: list[tuple[str, float]] = []
    try:
        for way in WAYS:
            began_s = time.monotonic()
            hand_over(source, workers, way)
            took.append((way, time.monotonic() - began_s))
            workers.reverse()
    finally:
        stream.stopped.set()
        stream.join()
    print([f"{way} {seconds:.1f} s" for way, seconds in took])
    source.await_visible(source.ends)
    check_tiles(source, FLIGHT.name)
    (rows,) = read_online(source.settings, catalog_of(source.settings), FLIGHT.name, ENTITIES, [END_MS])
    assert rows == reference(source, FLIGHT.name, ENTITIES, END_MS)
    assert letters(source) == dict.fromkeys(stream.broken, 1)


def hand_over(source: Source, workers: list[Worker], way: str) -> None:
    """Takes the lane from the first worker; returns when the second has it and what is published is visible."""
    first, second = workers
    second.start()  # a zombie may have ended itself, as a supervisor would see
    first.send({"stop": signal.SIGTERM, "kill": signal.SIGKILL, "pause": signal.SIGSTOP}[way])
    eventually(lambda: owner(source.settings) == second.pid, LONGEST_S, 0.05)
    if way == "pause":
        first.send(signal.SIGCONT)
    else:
        first.gone()
    first.start()
    source.await_visible(source.ends)


def letters(source: Source) -> dict[Position, int]:
    """How often each message of the topic was put with the dead letters."""
    codec = Codec(source.settings.schema_registry)
    log = read_log(source.settings, topic_name(source.settings.topic_prefix, DEAD_LETTERS))
    found = [codec.decode(message.value) for message in log]
    codec.close()
    return Counter(
        Position(one.topic, one.partition, one.offset)
        for one in found
        if isinstance(one, DeadLetter) and one.topic == source.topic
    )
