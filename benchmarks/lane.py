"""How fast the Python lane works through a filled topic, beside a plain Faust agent that does the same work.

The lane's time runs from the moment before its group is applied to a running worker until the mark on the state topic
says that every event is in acknowledged tiles. The agent's runs from its first event to its last.
"""

import time
from collections.abc import Mapping
from contextlib import closing
from itertools import islice

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks import payments
from benchmarks.report import Report, Row
from benchmarks.stack import answer_of, cpu_s, process, say, stack, worker_ready
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.kafka import LOGGER, consumer_config, producer_config
from bighead.events.log import end_offsets
from bighead.events.topics import FEATURES_STATE, topic_name
from bighead.events.types import PositionReached, SourcePosition
from bighead.local.parts import INFRASTRUCTURE
from bighead.testing import eventually

EVENTS = 500_000
AGENT_EVENTS = 20_000
EVENTS_PER_MS = 2.0
GOAL_EVENTS_S = 50_000
GOAL_RATIO = 15
LONGEST_S = 300.0
_MARK_KEY = b'["python",'
AGENTS = {"each": "Faust agent, event by event", "take": "Faust agent, take(500)"}


def run(events: int = EVENTS, agent_events: int = AGENT_EVENTS) -> Report:
    """Fills a topic, lets the agents and then the lane work through it."""
    with stack(INFRASTRUCTURE) as platform:
        settings = platform.settings
        schema_id = payments.create(settings)
        fill(settings, schema_id, events)
        rows = [_agent(settings, how, min(agent_events, events)) for how in AGENTS]
        rows.append(_lane(settings, events))
    agent, batched, lane = (float(row["events/s"]) for row in rows)
    per_core = float(rows[-1]["events/s of processor time"])
    return Report(
        "lane",
        f"{events:,} events, {payments.ACCOUNTS:,} keys, 3 operations x 3 levels",
        rows,
        {"lane to agent": lane / agent, "lane to agent with take(500)": lane / batched},
        {
            f"{GOAL_EVENTS_S:,} events/s on one core": per_core >= GOAL_EVENTS_S,
            f"{GOAL_RATIO} times the agent": lane / agent >= GOAL_RATIO,
        },
        ["the agents keep tiles in a dict and write them to Redis; the lane's are acknowledged by Kafka and on disk"],
    )


def fill(settings: Settings, schema_id: int, events: int) -> None:
    """Publishes payments of the last hour."""
    say(f"filling {payments.TOPIC} with {events:,} events")
    producer = Producer(producer_config(settings) | {"queue.buffering.max.messages": 1_000_000, "linger.ms": 50})
    first_ms = wall_clock_ms() - int(events / EVENTS_PER_MS) - 1_000
    for key, value in islice(payments.messages(schema_id, first_ms, EVENTS_PER_MS), events):
        producer.produce(payments.TOPIC, value, key)
        producer.poll(0)
    producer.flush()


def _agent(settings: Settings, how: str, events: int) -> Row:
    say(f"measuring: {AGENTS[how]}, {events:,} events")
    with process(settings, "benchmarks.faust_agent", how, str(events)) as agent:
        found = answer_of(agent, settings)
    return _row(AGENTS[how], found["events"], found["seconds"], found["cpu_s"])


def _lane(settings: Settings, events: int) -> Row:
    say(f"measuring: the lane, {events:,} events")
    ends = end_offsets(settings, payments.TOPIC)
    with process(settings, "streams", "--only", "lane") as worker:
        worker_ready(settings)
        with closing(_Marks(settings)) as marks:
            before_s, started = cpu_s(worker.pid), time.perf_counter()
            payments.apply(settings)
            eventually(lambda: marks.reached(ends), LONGEST_S, 0)
            seconds, used_s = time.perf_counter() - started, cpu_s(worker.pid) - before_s
    return _row("the lane", events, seconds, used_s)


def _row(what: str, events: int, seconds: float, used_s: float) -> Row:
    return {
        "what": what,
        "events": events,
        "seconds": seconds,
        "events/s": events / seconds,
        "events/s of processor time": events / used_s,
    }


class _Marks:
    """The marks on one partition of the state topic, from now on; its tiles are passed over undecoded."""

    MOST = 5_000

    def __init__(self, settings: Settings) -> None:
        topic = topic_name(settings.topic_prefix, FEATURES_STATE)
        self._consumer = Consumer(consumer_config(settings, "benchmarks"), logger=LOGGER)
        _, high = self._consumer.get_watermark_offsets(TopicPartition(topic, 0))
        self._consumer.assign([TopicPartition(topic, 0, high)])
        self._codec = Codec(settings.schema_registry)
        self._marks: dict[int, int] = {}

    def reached(self, ends: Mapping[int, int]) -> bool:
        """Whether a mark says that everything below `ends` is in acknowledged tiles."""
        for message in self._consumer.consume(self.MOST, 0.02):
            if (message.key() or b"").startswith(_MARK_KEY):
                event = self._codec.decode(message.value())
                if isinstance(event, PositionReached) and event.topic == payments.TOPIC:
                    named: list[PositionReached | SourcePosition] = [event, *event.others]
                    self._marks |= {one.partition: one.offset for one in named}
        return all(self._marks.get(partition, 0) >= end for partition, end in ends.items())

    def close(self) -> None:
        """Disconnects."""
        self._consumer.close()
        self._codec.close()
