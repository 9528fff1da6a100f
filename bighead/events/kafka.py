"""How every Kafka client of the platform is configured. Knows confluent-kafka."""

import logging

from bighead.config import Settings

LOGGER = logging.getLogger("bighead.kafka")
LOGGER.addHandler(logging.NullHandler())
"""Without it Python writes librdkafka's lines, hundreds while no broker answers, where nobody has set logging up."""

Config = dict[str, str | int | bool]


def producer_config(settings: Settings) -> Config:
    """A producer that loses nothing, and puts a key where Java, aiokafka and Flink put it."""
    return {
        "bootstrap.servers": settings.kafka,
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": "lz4",
        "linger.ms": 2,
        "partitioner": "murmur2_random",
        "message.max.bytes": 8 * 1024 * 1024,
        # The default of 100 ms would be the time of every transaction's first retry.
        "retry.backoff.ms": 5,
        # How long a topic that the broker does not know is waited for.
        "topic.metadata.propagation.max.ms": 5000,
    }


def consumer_config(settings: Settings, group: str) -> Config:
    """A consumer that sees committed messages alone and commits only when it is told to."""
    return {
        "bootstrap.servers": settings.kafka,
        "group.id": group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        # What comes is answered at once; this is how often an idle consumer asks again.
        "fetch.wait.max.ms": 500,
    }
