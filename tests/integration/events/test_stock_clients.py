"""Clients that know nothing of us read every topic, and we read whatever compression a producer chose."""

from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import DeserializingConsumer, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer

from bighead.client.publish import Publisher
from bighead.config import Settings
from bighead.events import admin
from bighead.events.codec import Codec
from bighead.events.log import read_log
from bighead.events.topics import TOPICS, topic_name
from tests.event_examples import TIME_MS, example_event

COMPRESSIONS = ["none", "gzip", "snappy", "lz4", "zstd"]
ORDER = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [{"name": "at_ms", "type": "long"}, {"name": "note", "type": "string"}],
}


def test_a_stock_avro_consumer_reads_every_event_type_on_every_topic(ready_settings: Settings) -> None:
    publisher = Publisher(ready_settings, "test/stock")
    sent = {}
    for spec in TOPICS:
        topic = topic_name(ready_settings.topic_prefix, spec.name)
        for event_class in spec.types:
            event = example_event(event_class.FULL_NAME)
            publisher.publish(event, key="the key", topic=topic)
            sent[topic, event.FULL_NAME] = event.to_record()
    publisher.flush()

    received = {}
    for message in stock_messages(ready_settings, [topic for topic, _ in sent], len(sent)):
        headers = dict(message.headers())
        assert message.key() == b"the key"
        assert headers["ce_specversion"] == b"1.0"
        assert headers["ce_source"] == b"test/stock"
        assert headers["ce_time"] == b"2013-11-01T00:00:00.000Z"
        assert headers["ce_subject"] == b"the key"
        assert headers["content-type"] == b"application/avro"
        received[message.topic(), headers["ce_type"].decode()] = message.value()
    assert received == sent


def stock_messages(settings: Settings, topics: list[str], count: int) -> Iterator[Any]:
    registry = SchemaRegistryClient({"url": settings.schema_registry})
    consumer = DeserializingConsumer(
        {
            "bootstrap.servers": settings.kafka,
            "group.id": f"{settings.topic_prefix}-stock",
            "auto.offset.reset": "earliest",
            "value.deserializer": AvroDeserializer(registry),
        }
    )
    partitions = {topic: range(admin.list_topics(settings)[topic]) for topic in topics}
    consumer.assign([TopicPartition(topic, number, 0) for topic, numbers in partitions.items() for number in numbers])
    try:
        for _ in range(count):
            message = consumer.poll(20)
            assert message is not None, "a message is missing"
            yield message
    finally:
        consumer.close()


@pytest.fixture
def orders(settings: Settings) -> Settings:
    """Settings under which a topic of the prefix's name carries orders."""
    admin.create_topic(settings, orders_topic(settings), 1)
    admin.register_schema(settings, orders_topic(settings), ORDER)
    return settings


def orders_topic(settings: Settings) -> str:
    return f"{settings.topic_prefix}-orders.v1"


async def test_every_compression_is_read_by_every_client_that_we_use(orders: Settings) -> None:
    topic, codec = orders_topic(orders), Codec(orders.schema_registry)
    sent = []
    for compression in COMPRESSIONS:
        producer = Producer({"bootstrap.servers": orders.kafka, "compression.type": compression, "linger.ms": 50})
        for number in range(100):
            record = {"at_ms": TIME_MS + number, "note": f"{compression} {'same ' * 20}"}
            producer.produce(topic, codec.encode_record(topic, "shop.Order", record), key=b"k")
            sent.append(record)
        assert producer.flush(20) == 0

    by_confluent = [codec.decode_record(message.value)[1] for message in read_log(orders, topic)]
    assert by_confluent == sent

    consumer = AIOKafkaConsumer(topic, bootstrap_servers=orders.kafka, auto_offset_reset="earliest")
    await consumer.start()
    by_aiokafka: list[dict[str, Any]] = []
    try:
        while len(by_aiokafka) < len(sent):
            batches = await consumer.getmany(timeout_ms=20_000)
            assert batches, "messages are missing"
            by_aiokafka += [codec.decode_record(row.value)[1] for rows in batches.values() for row in rows]
    finally:
        await consumer.stop()
    assert by_aiokafka == sent
