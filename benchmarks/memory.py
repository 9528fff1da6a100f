"""How much memory a worker needs for a million live keys, and how many bytes of Redis each of them costs.

One event a key: the most keys for the fewest events. The lane's state is on disk; what it keeps in memory is bounded.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from io import BytesIO
from itertools import chain

import psutil
import redis
from confluent_kafka import Producer
from fastavro import parse_schema, schemaless_writer

from benchmarks import payments
from benchmarks.report import Report, Row
from benchmarks.stack import say, stack
from bighead.client.visibility import Visibility
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events.codec import FRAME
from bighead.events.kafka import LOGGER, producer_config
from bighead.events.log import end_offsets
from bighead.events.message import Position
from bighead.features.tiles import store_key
from bighead.local.parts import INFRASTRUCTURE
from bighead.local.platform import PartStatus

KEYS = 1_000_000
GOAL_MB = 700
PARTS = ("worker", "materializer")
_LATEST_S = 1_800.0
_SAMPLE = 1_000
_MB = 1024 * 1024


def run(keys: int = KEYS) -> Report:
    """Publishes one payment for each of so many accounts, and weighs everybody when all are visible."""
    with stack((*INFRASTRUCTURE, *PARTS)) as platform:
        settings = platform.settings
        schema_id = payments.create(settings)
        with closing(Visibility(settings)) as visibility, redis.Redis.from_url(settings.redis) as store:
            visibility.wait(payments.apply(settings).positions, _LATEST_S)
            empty = store.info("memory")["used_memory"]
            before = _rss_mb(platform.status(PARTS))
            say(f"publishing {keys:,} accounts")
            publish(settings, schema_id, keys)
            ends = end_offsets(settings, payments.TOPIC)
            visibility.wait([Position(payments.TOPIC, one, end - 1) for one, end in ends.items() if end], _LATEST_S)
            after, used = _rss_mb(platform.status(PARTS)), store.info("memory")["used_memory"]
            names = [store_key(settings.topic_prefix, payments.GROUP.name, 1, entity(one)) for one in range(_SAMPLE)]
            weights = [store.memory_usage(name) or 0 for name in names]
            contents = [len(name) + sum(map(len, chain(*store.hgetall(name).items()))) for name in names]
    rows: list[Row] = [{"part": part, "before MB": before[part], "after MB": after[part]} for part in PARTS]
    return Report(
        "memory",
        f"{keys:,} live keys, 3 operations x 3 levels, one event each",
        rows,
        {
            "bytes of Redis a key, of its whole memory": (used - empty) / keys,
            "bytes of Redis a key, as MEMORY USAGE says": sum(weights) / len(weights),
            "of the bytes of names, fields and values alone": (used - empty) / keys / (sum(contents) / len(contents)),
        },
        {f"worker below {GOAL_MB} MB": after["worker"] < GOAL_MB},
        ["MB is resident memory; state of the worker is in RocksDB, whose files are mapped and cached by the system"],
    )


def entity(number: int) -> str:
    """An account as a key of the online store."""
    return f'["account-{number}"]'


def publish(settings: Settings, schema_id: int, keys: int) -> None:
    """One payment for each account."""
    settled = {"linger.ms": 50, "queue.buffering.max.messages": 200_000}
    producer = Producer(producer_config(settings) | settled, logger=LOGGER)
    for key, value in _messages(schema_id, keys):
        while True:
            try:
                producer.produce(payments.TOPIC, value, key)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()


def _messages(schema_id: int, keys: int) -> Iterator[tuple[bytes, bytes]]:
    schema, frame, now_ms = parse_schema(payments.SCHEMA), FRAME.pack(0, schema_id), wall_clock_ms()
    record = {"payment_id": "1", "account": "", "city": "Lisbon", "amount": 1.5, "items": 1, "made_ms": now_ms}
    for number in range(keys):
        record["account"] = f"account-{number}"
        body = BytesIO()
        body.write(frame)
        schemaless_writer(body, schema, record)
        yield f"account-{number}".encode(), body.getvalue()


def _rss_mb(statuses: Sequence[PartStatus]) -> dict[str, float]:
    return {one.part: psutil.Process(one.pid).memory_info().rss / _MB for one in statuses}
