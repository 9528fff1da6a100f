"""The events of the benchmarks: payments of some thousand accounts, their schema and one group over them.

Three operations over windows that need tiles of three levels: five minutes, an hour, a day.
"""

import random
from collections.abc import Iterator
from io import BytesIO
from itertools import count
from typing import Any

from fastavro import parse_schema, schemaless_writer

from bighead.client import features
from bighead.client.features import Applied, Definitions
from bighead.config import Settings
from bighead.events import admin
from bighead.events.codec import FRAME
from bighead.features import Aggregation, EventSource, GroupBy, Op

TOPIC = "payments.made.v1"
PARTITIONS = 4
ACCOUNTS = 1_000
NAME = "bench.Payment"
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Payment",
    "namespace": "bench",
    "fields": [
        {"name": "payment_id", "type": "string", "default": ""},
        {"name": "account", "type": "string", "default": ""},
        {"name": "city", "type": ["null", "string"], "default": None},
        {"name": "amount", "type": "double", "default": 0.0},
        {"name": "items", "type": "long", "default": 0},
        {"name": "made_ms", "type": "long", "default": 0},
    ],
}
WINDOWS = ["1h", "1d", "7d"]
GROUP = GroupBy(
    "account",
    EventSource(topic=TOPIC, table="payments/made", time="made_ms"),
    ["account"],
    [Aggregation("amount", op, WINDOWS) for op in (Op.COUNT, Op.SUM, Op.MAX)],
)


def create(settings: Settings, topic: str = TOPIC) -> int:
    """Creates a topic of payments and registers their schema; the schema's id."""
    admin.create_topic(settings, topic, PARTITIONS)
    return admin.register_schema(settings, topic, SCHEMA)


def apply(settings: Settings) -> Applied:
    """Applies the group, which is then active."""
    definitions = Definitions({GROUP.name: GROUP}, {})
    return features.apply(settings, definitions, actor="benchmarks", reason="a measurement")


def records(first_ms: int, per_ms: float, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Payments without end, the same ones each time; their times go on by `per_ms` payments each millisecond."""
    chosen = random.Random(seed)
    for number in count():
        yield {
            "payment_id": f"{number:032x}",
            "account": f"account-{chosen.randrange(ACCOUNTS)}",
            "city": "Lisbon",
            "amount": chosen.randrange(100_000) / 100,
            "items": chosen.randrange(1, 9),
            "made_ms": first_ms + int(number / per_ms),
        }


def messages(schema_id: int, first_ms: int, per_ms: float) -> Iterator[tuple[bytes, bytes]]:
    """Keys and framed values of the same payments."""
    schema, frame = parse_schema(SCHEMA), FRAME.pack(0, schema_id)
    for record in records(first_ms, per_ms):
        body = BytesIO()
        body.write(frame)
        schemaless_writer(body, schema, record)
        yield record["account"].encode(), body.getvalue()
