"""Logs end where the last committed message ends; topics and schemas are made once, however many make them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from bighead.client.publish import Publisher
from bighead.config import Settings
from bighead.errors import ConfigError, DeadlineExceeded, InvalidEvent, PlatformError
from bighead.events import admin
from bighead.events.log import end_offsets, follow, read_log
from bighead.events.schema_registry import SchemaRegistry
from bighead.events.sender import Sender
from bighead.events.topics import MODELS_COMMANDS, OUTCOMES, RUNS, TOPICS, topic_name
from bighead.events.types import OutcomeObserved
from tests.event_examples import TIME_MS

ORDER = {"type": "record", "name": "Order", "namespace": "shop", "fields": [{"name": "at_ms", "type": "long"}]}


@pytest.fixture
def topic(settings: Settings) -> str:
    """A user's topic with two partitions."""
    name = f"{settings.topic_prefix}-orders.v1"
    admin.create_topic(settings, name, 2)
    return name


def transactional(settings: Settings, identity: str) -> Producer:
    producer = Producer({"bootstrap.servers": settings.kafka, "transactional.id": identity, "retry.backoff.ms": 5})
    producer.init_transactions(20)
    return producer


def test_an_empty_log_has_an_end(settings: Settings, topic: str) -> None:
    assert list(read_log(settings, topic)) == []
    assert end_offsets(settings, topic) == {0: 0, 1: 0}


def test_a_log_is_read_whole_and_in_order(settings: Settings, topic: str) -> None:
    sender = Sender(settings)
    for number in range(5_000):
        sender.send(topic, None, str(number).encode(), (), partition=number % 2)
    assert [(row.partition, row.offset) for row in sender.flush()] == [(0, 2_499), (1, 2_499)]
    messages = list(read_log(settings, topic))
    for partition in (0, 1):
        values = [int(row.value or b"") for row in messages if row.partition == partition]
        assert values == list(range(partition, 5_000, 2))
    assert end_offsets(settings, topic) == {0: 2_500, 1: 2_500}


def test_aborted_and_open_transactions_are_not_there(settings: Settings, topic: str) -> None:
    producer = transactional(settings, f"{settings.topic_prefix}-t")
    for value in (b"committed", b"aborted"):
        producer.begin_transaction()
        producer.produce(topic, value, partition=0)
        producer.flush()
        if value == b"committed":
            producer.commit_transaction(20)
        else:
            producer.abort_transaction(20)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush()
    assert [row.value for row in read_log(settings, topic)] == [b"committed"]
    producer.commit_transaction(20)
    assert [row.value for row in read_log(settings, topic)] == [b"committed", b"open"]


def test_a_log_that_grows_while_it_is_read_ends_where_it_ended_at_the_call(settings: Settings, topic: str) -> None:
    sender = Sender(settings)
    sender.send(topic, None, b"0", (), partition=0).position()
    log = read_log(settings, topic)
    seen = [next(log)]
    sender.send(topic, None, b"1", (), partition=0).position()
    assert [row.value for row in (*seen, *log)] == [b"0"]


def test_following_starts_where_it_is_told_and_goes_on(settings: Settings, topic: str) -> None:
    sender = Sender(settings)
    sender.send(topic, None, b"before", (), partition=0).position()
    from_beginning, from_end = follow(settings, [topic]), follow(settings, [topic], start="end")
    sender.send(topic, None, b"after", (), partition=0).position()
    assert [row.value for row in islice(from_beginning, 2)] == [b"before", b"after"]
    assert next(from_end).value == b"after"
    assert list(follow(settings, [topic], stop=lambda: True)) == []


def test_a_topic_that_is_not_there_is_named(settings: Settings) -> None:
    with pytest.raises(PlatformError, match=r"topic missing\.v1 cannot be read"):
        list(read_log(settings, "missing.v1"))
    with pytest.raises(PlatformError, match=r"missing\.v1"):
        Sender(settings).send("missing.v1", None, b"", ()).position()


def test_a_broker_that_is_not_there_is_named(settings: Settings) -> None:
    nowhere = replace(settings, kafka="127.0.0.1:1")
    with pytest.raises(DeadlineExceeded, match="is the broker up"):
        sender = Sender(nowhere)
        sender.send("t", None, b"", ())
        sender.flush(0.2)


def test_ten_programs_may_start_at_once(settings: Settings) -> None:
    def start(_: int) -> None:
        admin.ensure_topics(settings)
        admin.register_schemas(settings)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(start, range(10)))
    admin.verify_topics(settings)
    registry = SchemaRegistry(settings.schema_registry)
    for spec in TOPICS:
        for event_class in spec.types:
            subject = f"{topic_name(settings.topic_prefix, spec.name)}-{event_class.FULL_NAME}"
            assert registry.versions(subject) == [1]


def test_a_topic_that_differs_from_the_table_is_named(ready_settings: Settings) -> None:
    runs = topic_name(ready_settings.topic_prefix, RUNS)
    broker = AdminClient({"bootstrap.servers": ready_settings.kafka})
    [deleted] = broker.delete_topics([runs]).values()
    deleted.result()
    with pytest.raises(PlatformError, match=f"{runs} does not exist"):
        admin.verify_topics(ready_settings)
    more = replace(ready_settings, partitions=ready_settings.partitions + 1)
    commands = topic_name(ready_settings.topic_prefix, MODELS_COMMANDS)
    with pytest.raises(PlatformError, match=f"{commands}: partitions is {ready_settings.partitions}, expected"):
        admin.verify_topics(more)


def test_an_incompatible_schema_is_refused_with_the_reason(settings: Settings, topic: str) -> None:
    first = admin.register_schema(settings, topic, ORDER)
    assert admin.register_schema(settings, topic, ORDER) == first
    more = ORDER | {"fields": [{"name": "at_ms", "type": "long"}, {"name": "note", "type": "string", "default": ""}]}
    assert admin.register_schema(settings, topic, more) != first
    with pytest.raises(ConfigError, match="incompatible with an earlier version"):
        admin.register_schema(settings, topic, ORDER | {"fields": [{"name": "at_ms", "type": "string"}]})
    with pytest.raises(ConfigError, match="expected an Avro record"):
        admin.register_schema(settings, topic, {"type": "string"})
    with pytest.raises(ConfigError, match="is no Avro schema"):
        admin.register_schema(settings, topic, ORDER | {"fields": [{"name": "a", "type": "longer"}]})


def test_users_topics_keep_away_from_the_platforms(settings: Settings, topic: str) -> None:
    assert not admin.create_topic(settings, topic, 2)
    with pytest.raises(PlatformError, match="exists with 2 partitions; expected 3"):
        admin.create_topic(settings, topic, 3)
    with pytest.raises(ConfigError, match="belongs to the platform"):
        admin.create_topic(settings, f"{settings.topic_prefix}.mine", 1)


def test_a_publisher_refuses_what_consumers_would(ready_settings: Settings) -> None:
    publisher = Publisher(ready_settings, "test")
    outcomes, runs = (topic_name(ready_settings.topic_prefix, name) for name in (OUTCOMES, RUNS))
    good = OutcomeObserved(model="m", entity="{}", label=1.0, event_ms=TIME_MS)
    with pytest.raises(InvalidEvent, match="which carries"):
        publisher.publish(good, key="k", topic=runs)
    with pytest.raises(InvalidEvent, match="has no key; expected: entity"):
        publisher.publish(good, key="", topic=outcomes)
    with pytest.raises(InvalidEvent, match="looks like seconds"):
        publisher.publish(replace(good, event_ms=TIME_MS // 1000), key="k", topic=outcomes)
    position = publisher.publish(good, key="k", topic=outcomes).position()
    assert publisher.flush() == [position]
    assert publisher.flush() == []
    assert [row.position for row in read_log(ready_settings, outcomes)] == [position]


def test_a_users_record_is_checked_before_it_is_sent(settings: Settings, topic: str) -> None:
    admin.register_schema(settings, topic, ORDER)
    publisher = Publisher(settings, "test")
    with pytest.raises(InvalidEvent, match=r"Order\.at_ms is <soon>"):
        publisher.publish_record(topic, "shop.Order", {"at_ms": "soon"}, key=None, time_ms=TIME_MS)
    with pytest.raises(ConfigError, match="register its schema first"):
        publisher.publish_record(topic, "shop.Other", {}, key=None, time_ms=TIME_MS)
    publisher.publish_record(topic, "shop.Order", {"at_ms": TIME_MS}, key=None, time_ms=TIME_MS).position()
    [message] = read_log(settings, topic)
    assert message.key is None
    assert publisher.codec.decode_record(message.value) == ("shop.Order", {"at_ms": TIME_MS})
