"""Publishes payments on a fixed schedule: `python -m benchmarks.freshness_producer TOPIC RATE SECONDS WARM_S FILE`.

FILE gets, for each payment after the warm-up, when it was due (monotonic clock, ns), its partition and its offset.
"""

import sys
import time

import numpy as np

from benchmarks import payments
from bighead import config
from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events.sender import Delivery

_LEAD_NS = 500_000_000


def publish(settings: Settings, topic: str, rate: int, seconds: float, warm_s: float) -> list[tuple[int, Delivery]]:
    """When each payment was due, and its delivery. A late producer sends at once and does not move the schedule."""
    publisher = Publisher(settings, "benchmarks")
    payment = payments.records(wall_clock_ms(), rate / 1000)
    send(publisher, topic, next(payment))  # finds the schema and the topic's partitions
    publisher.flush()
    first_ns = time.monotonic_ns() + _LEAD_NS
    sent: list[tuple[int, Delivery]] = []
    for number in range(int(rate * (warm_s + seconds))):
        due_ns = first_ns + number * 1_000_000_000 // rate
        record = next(payment)
        while (left_ns := due_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns / 1e9)
        delivery = send(publisher, topic, record)
        if number >= rate * warm_s:
            sent.append((due_ns, delivery))
    publisher.flush()
    return sent


def send(publisher: Publisher, topic: str, record: dict[str, object]) -> Delivery:
    """Publishes one payment as of now."""
    now_ms = wall_clock_ms()
    record["made_ms"] = now_ms
    return publisher.publish_record(topic, payments.NAME, record, key=str(record["account"]), time_ms=now_ms)


def main() -> None:
    """Publishes, then writes the file."""
    _, topic, rate, seconds, warm_s, file = sys.argv
    sent = publish(config.load(), topic, int(rate), float(seconds), float(warm_s))
    positions = [(due_ns, delivery.position()) for due_ns, delivery in sent]
    np.save(file, np.array([(due_ns, one.partition, one.offset) for due_ns, one in positions], np.int64))


if __name__ == "__main__":
    main()
