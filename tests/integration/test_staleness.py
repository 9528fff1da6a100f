"""A topic is behind when the store does not show an event for too long, and no longer once it does."""

from collections.abc import Iterator

import pytest
import redis
from confluent_kafka import Producer

from bighead.client.staleness import StalenessFollower
from bighead.config import Settings
from bighead.events import admin
from bighead.events.kafka import producer_config
from bighead.features import Aggregation, EventSource, GroupBy, Op
from bighead.features.catalog import Catalog, GroupEpoch
from bighead.features.compiled import compile_group
from bighead.features.tiles import visible_key
from bighead.features.types import ValueType
from bighead.testing import eventually

COLUMNS = {"at_ms": ValueType.LONG, "carrier": ValueType.STRING}


@pytest.fixture
def topic(ready_settings: Settings) -> str:
    name = f"flights-{ready_settings.topic_prefix}"
    admin.create_topic(ready_settings, name, 1)
    return name


@pytest.fixture
def follower(ready_settings: Settings, topic: str) -> Iterator[StalenessFollower]:
    source = EventSource(topic=topic, table="flights", time="at_ms")
    group = compile_group(GroupBy("carrier", source, ["carrier"], [Aggregation("at_ms", Op.COUNT)]), COLUMNS)
    catalog = Catalog(groups={("carrier", 1): GroupEpoch(1, group, None)}, active={"carrier": 1})
    started = StalenessFollower(ready_settings, lambda: catalog, stale_after_s=0.2, every_s=0.05)
    started.start()
    yield started
    started.stop()


def mark(settings: Settings, topic: str, offset: int) -> None:
    """What the materializer writes when the stream has come so far."""
    with redis.Redis.from_url(settings.redis) as client:
        key = visible_key(settings.topic_prefix, topic)
        client.hset(key, mapping={f"{state}:0": offset for state in range(settings.partitions)})


def test_features_are_stale_until_their_events_are_visible(
    ready_settings: Settings, topic: str, follower: StalenessFollower
) -> None:
    producer = Producer(producer_config(ready_settings))
    producer.produce(topic, b"event")
    producer.flush()
    eventually(lambda: follower.current() == {topic})
    mark(ready_settings, topic, 1)
    eventually(lambda: follower.current() == frozenset())


def test_the_end_of_a_transaction_is_no_event(
    ready_settings: Settings, topic: str, follower: StalenessFollower
) -> None:
    producer = Producer(producer_config(ready_settings) | {"transactional.id": topic})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, b"event")
    producer.commit_transaction()
    eventually(lambda: follower.current() == {topic})
    mark(ready_settings, topic, 1)  # the log ends at 2: the marker of the transaction lies at 1
    eventually(lambda: follower.current() == frozenset())
    producer.begin_transaction()
    producer.produce(topic, b"event")
    producer.commit_transaction()
    eventually(lambda: follower.current() == {topic})
