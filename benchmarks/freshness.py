"""How long after a producer publishes an event the online store reflects it, at a steady rate.

Open loop: every event has its time on a fixed schedule and its latency counts from there, whether or not the producer
kept up. The producer is a process of its own; both read the same monotonic clock.
"""

import time
from bisect import bisect_right
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import redis
from confluent_kafka import Consumer, TopicPartition

from benchmarks import payments
from benchmarks.report import Report, Row, percentiles
from benchmarks.stack import cpu_s, process, say, stack
from bighead.client.visibility import Visibility
from bighead.config import Settings
from bighead.errors import NotReady
from bighead.events.kafka import LOGGER, consumer_config
from bighead.events.log import end_offsets
from bighead.features.tiles import visible_key
from bighead.local.parts import INFRASTRUCTURE

SECONDS = 60.0
RATE = 2_000
WARM_S = 3.0
PARTS = ("worker", "materializer")
FLOOR_TOPIC = "payments.floor.v1"
GOAL_P99_MS = 25.0
_LATEST_S = 30.0
_WAIT_S = 0.05


@dataclass
class Reached:
    """What was seen of one partition: from each time on, everything below an offset was there."""

    times_ns: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    def add(self, at_ns: int, offset: int) -> None:
        """Takes a sighting."""
        if not self.offsets or offset > self.offsets[-1]:
            self.times_ns.append(at_ns)
            self.offsets.append(offset)

    def when(self, offset: int) -> int:
        """When the message at `offset` was first seen to be included."""
        return self.times_ns[bisect_right(self.offsets, offset)]


class Watch(Protocol):
    """Sees how far each partition of a topic has come."""

    seen: defaultdict[int, Reached]

    def look(self) -> None:
        """Waits for news, a moment at most."""

    def close(self) -> None:
        """Disconnects."""


def run(seconds: float = SECONDS) -> Report:
    """Measures Kafka alone, then the whole way, each for `seconds`."""
    with stack((*INFRASTRUCTURE, *PARTS)) as platform:
        settings = platform.settings
        for topic in (payments.TOPIC, FLOOR_TOPIC):
            payments.create(settings, topic)
        with closing(Visibility(settings)) as visibility:
            visibility.wait(payments.apply(settings).positions, _LATEST_S)
        with closing(Consumed(settings, FLOOR_TOPIC)) as consumed:
            floor = _row("Kafka: produce to consume", _measured(settings, FLOOR_TOPIC, seconds, consumed))
        with closing(Visible(settings, payments.TOPIC)) as visible:
            before_s = {one.part: cpu_s(one.pid or 0) for one in platform.status(PARTS)}
            whole = _row("publish to visible in Redis", _measured(settings, payments.TOPIC, seconds, visible))
            shares = ", ".join(
                f"the {one.part} {(cpu_s(one.pid or 0) - before_s[one.part]) / (seconds + WARM_S):.0%}"
                for one in platform.status(PARTS)
            )
    names = ("p50 ms", "p99 ms")
    return Report(
        "freshness",
        f"{RATE:,} events/s for {seconds:g} s, {payments.ACCOUNTS:,} keys, three tiles for each event",
        [floor, whole],
        {f"the whole way to Kafka alone, {name}": float(whole[name]) / float(floor[name]) for name in names},
        {f"p99 below {GOAL_P99_MS:g} ms": float(whole["p99 ms"]) < GOAL_P99_MS},
        [
            "open loop: the latency of every event counts from the time at which it was due",
            f"the {WARM_S:g} s before each measurement are left out; of a core were used: {shares}",
        ],
    )


def _row(what: str, latencies_ms: list[float]) -> Row:
    return {"what": what, "events": len(latencies_ms), **percentiles(latencies_ms)}


def _measured(settings: Settings, topic: str, seconds: float, watch: Watch) -> list[float]:
    """The latency of each event, in ms."""
    say(f"measuring: {topic}, {RATE:,} events/s for {seconds:g} s")
    file = settings.home / f"{topic}.npy"
    arguments = (topic, str(RATE), str(seconds), str(WARM_S), str(file))
    with process(settings, "benchmarks.freshness_producer", *arguments) as producer:
        while producer.poll() is None:
            watch.look()
    ends, deadline_s = end_offsets(settings, topic), time.monotonic() + _LATEST_S
    while any(not (seen := watch.seen[one]).offsets or seen.offsets[-1] < end for one, end in ends.items() if end):
        if time.monotonic() > deadline_s:
            raise NotReady(f"{topic} was not seen up to {ends} within {_LATEST_S:g} s")
        watch.look()
    return [(watch.seen[where].when(offset) - due_ns) / 1e6 for due_ns, where, offset in np.load(file).tolist()]


class Consumed:
    """Sees messages arrive at a plain consumer."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.seen: defaultdict[int, Reached] = defaultdict(Reached)
        self._consumer = Consumer(consumer_config(settings, "benchmarks"), logger=LOGGER)
        self._consumer.assign([TopicPartition(topic, one, 0) for one in range(payments.PARTITIONS)])

    def look(self) -> None:
        """Takes the next message."""
        message = self._consumer.poll(_WAIT_S)
        if message is not None and message.error() is None:
            self.seen[message.partition() or 0].add(time.monotonic_ns(), (message.offset() or 0) + 1)

    def close(self) -> None:
        """Disconnects."""
        self._consumer.close()


class Visible:
    """Sees marks appear in the online store; an offset counts when every partition of the state topic has passed it."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.seen: defaultdict[int, Reached] = defaultdict(Reached)
        self._store = redis.Redis.from_url(settings.redis)
        self._key = visible_key(settings.topic_prefix, topic)
        self._state_partitions = range(settings.partitions)
        self._fields = [f"{state}:{one}" for one in range(payments.PARTITIONS) for state in self._state_partitions]
        self._channel = self._store.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        self._channel.subscribe(self._key)

    def look(self) -> None:
        """Waits for a notice, and then reads the marks: an event counts from when their reply was here."""
        if self._channel.get_message(timeout=_WAIT_S) is None:
            return
        marks = [int(mark or 0) for mark in self._store.hmget(self._key, self._fields)]
        now_ns, width = time.monotonic_ns(), len(self._state_partitions)
        for partition in range(payments.PARTITIONS):
            offset = min(marks[partition * width : (partition + 1) * width])
            if offset:
                self.seen[partition].add(now_ns, offset)

    def close(self) -> None:
        """Disconnects."""
        self._channel.close()
        self._store.close()
