"""Why a served value is not the recomputed one: events that arrived after the request, or something that is wrong.

Knows Spark, and asks Kafka when messages arrived (by their time in Kafka). What an entity did is read and computed by
the reference, so this is for a few differences and not for all.
"""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from confluent_kafka import Consumer, TopicPartition
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from batch.arrow import python_rows
from batch.tables import source_events
from bighead.compile.spark import OFFSET, PARTITION, quoted
from bighead.config import Settings
from bighead.events.kafka import LOGGER, consumer_config
from bighead.events.message import Position
from bighead.features.compiled import CompiledJoin, CompiledPart
from bighead.features.reference import SourceEvent, group_features
from bighead.features.windows import DAY_MS

LATE, WRONG = "late", "wrong"
_UNDER_WAY_MS = 1_000
"""What reached Kafka so shortly before a request may not have been visible yet."""
_MOST_EVENTS = 20_000
_MOST_NAMED = 20
_TIMEOUT_S = 10.0


class Differing(Protocol):
    """What is asked of a difference."""

    entity: str
    as_of_ms: int
    at_ms: int
    feature: str
    served: Any


def explain(
    spark: SparkSession, settings: Settings, join: CompiledJoin, versions: Mapping[str, int], difference: Differing
) -> tuple[str, tuple[str, ...]]:
    """The cause, LATE or WRONG, and the events that arrived after the request, as topic/partition/offset.

    Nothing is said of a derivation: look at the features that it reads.
    """
    part = next((one for one in join.parts if difference.feature in one.columns), None)
    if part is None:
        return "", ()
    events = _events(spark, settings, part, versions, difference)
    topic = part.group.definition.source.topic
    name = part.group.features[part.columns.index(difference.feature)].name
    key = part.key_of(json.loads(difference.entity))
    named: tuple[str, ...] = ()
    for since_ms in (difference.at_ms, difference.at_ms - _UNDER_WAY_MS):
        reached = _offsets_at(settings, topic, since_ms)
        late = [one for one in events if one.offset >= reached.get(one.partition, one.offset + 1)]
        named = tuple(str(Position(topic, one.partition, one.offset)) for one in late[:_MOST_NAMED])
        before = [one for one in events if one.offset < reached.get(one.partition, one.offset + 1)]
        value = group_features(part.group, before, key, difference.as_of_ms)[name]
        if late and type(value) is type(difference.served) and value == difference.served:
            return LATE, named
    return WRONG, named


def _events(
    spark: SparkSession, settings: Settings, part: CompiledPart, versions: Mapping[str, int], difference: Differing
) -> list[SourceEvent]:
    """The events of the entity that its group can see."""
    group = part.group
    table = group.definition.source.table
    time = F.col(quoted(group.definition.source.time))
    found = source_events(spark, settings.lake, group, versions[table]).where(time < difference.as_of_ms)
    if group.longest_ms is not None:
        found = found.where(time >= difference.as_of_ms - group.longest_ms - 2 * DAY_MS)
    for name, value in zip(group.keys, part.key_of(json.loads(difference.entity)), strict=True):
        found = found.where(F.expr(group.inputs[name].sql("spark")) == F.lit(value))
    rows = python_rows(found.orderBy(time.desc()).limit(_MOST_EVENTS).toArrow())
    return [SourceEvent(row, row.pop(PARTITION), row.pop(OFFSET)) for row in rows]


def _offsets_at(settings: Settings, topic: str, time_ms: int) -> dict[int, int]:
    """For each partition the first offset that arrived at or after a time; partitions where none did are left out."""
    consumer = Consumer(consumer_config(settings, "bighead-consistency"), logger=LOGGER)
    try:
        partitions = consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions
        asked = [TopicPartition(topic, partition, time_ms) for partition in partitions]
        found = consumer.offsets_for_times(asked, timeout=_TIMEOUT_S)
        return {one.partition: one.offset for one in found if one.offset >= 0}
    finally:
        consumer.close()
