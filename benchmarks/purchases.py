"""Purchases by account, merchant and device, zipfian: one Join of 30 features in 3 groups, and who writes them.

`python -m benchmarks.purchases RATE` publishes that many a second until it is ended.
"""

import random
import sys
import time
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from bighead import config
from bighead.client import features
from bighead.client.features import Applied, Definitions
from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events import admin
from bighead.events.message import Position
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op

TOPIC = "purchases.made.v1"
PARTITIONS = 4
NAME = "bench.Purchase"
KEYS = {"account": 20_000, "merchant": 2_000, "device": 20_000}
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Purchase",
    "namespace": "bench",
    "fields": [
        *({"name": name, "type": "string", "default": ""} for name in KEYS),
        {"name": "amount", "type": "double", "default": 0.0},
        {"name": "made_ms", "type": "long", "default": 0},
    ],
}
WINDOWS = ["1h", "1d", "7d"]
SOURCE = EventSource(topic=TOPIC, table="purchases/made", time="made_ms")
AGGREGATIONS = [
    *(Aggregation("amount", op, WINDOWS) for op in (Op.COUNT, Op.SUM, Op.MAX)),
    Aggregation("amount", Op.LAST),
]
GROUPS = {name: GroupBy(name, SOURCE, [name], AGGREGATIONS) for name in KEYS}
JOIN = Join("purchase", Keys(*KEYS), list(KEYS))


def create(settings: Settings) -> Applied:
    """Creates the topic, registers the schema, and applies the groups and the Join."""
    admin.create_topic(settings, TOPIC, PARTITIONS)
    admin.register_schema(settings, TOPIC, SCHEMA)
    return features.apply(settings, Definitions(GROUPS, {JOIN.name: JOIN}), actor="benchmarks", reason="a measurement")


def entities(seed: int) -> Iterator[dict[str, str]]:
    """Keys without end, the same ones each time: the n-th most popular of a kind occurs in proportion to 1/n."""
    chosen = random.Random(seed)
    weights = {name: list(accumulate(1 / rank for rank in range(1, size + 1))) for name, size in KEYS.items()}
    while True:
        columns = [
            [f"{name}-{number}" for number in chosen.choices(range(size), cum_weights=weights[name], k=1_000)]
            for name, size in KEYS.items()
        ]
        for values in zip(*columns, strict=True):
            yield dict(zip(KEYS, values, strict=True))


def publish(publisher: Publisher, entity: dict[str, str], amount: float, at_ms: int) -> None:
    """Publishes one purchase."""
    record = {**entity, "amount": amount, "made_ms": at_ms}
    publisher.publish_record(TOPIC, NAME, record, key=entity["account"], time_ms=at_ms)


def fill(settings: Settings, events: int, days: int = 7) -> list[Position]:
    """Publishes the purchases of the last days; where they lie."""
    publisher, end_ms = Publisher(settings, "benchmarks"), wall_clock_ms()
    length_ms = days * 24 * 3_600_000
    for number, entity in zip(range(events), entities(1), strict=False):
        at_ms = end_ms - length_ms + number * length_ms // events
        publish(publisher, entity, number % 10_000 / 100, at_ms)
    return list(publisher.flush())


def main() -> None:
    """Publishes on a fixed schedule; says `{}` when it begins."""
    rate = float(sys.argv[1])
    publisher = Publisher(config.load(), "benchmarks")
    purchases = entities(2)
    publish(publisher, next(purchases), 1.0, wall_clock_ms())
    publisher.flush()
    print("{}", flush=True)
    first_s = time.monotonic()
    for number, entity in enumerate(purchases):
        left_s = first_s + number / rate - time.monotonic()
        if left_s > 0:
            time.sleep(left_s)
        publish(publisher, entity, number % 10_000 / 100, wall_clock_ms())


if __name__ == "__main__":
    main()
