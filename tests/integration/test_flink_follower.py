"""What the lane knows of groups that Flink computes: how far they are, and how new the newest event there is."""

import asyncio

from confluent_kafka import Consumer, TopicPartition

from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.kafka import consumer_config
from bighead.events.sender import Sender
from bighead.features import Aggregation, EventSource, GroupBy, Op
from bighead.features.catalog import FLINK, GroupEpoch
from bighead.features.compiled import compile_group
from bighead.features.types import ValueType
from streams.flink.follower import FlinkFollower, Followed
from streams.flink.names import job_name
from tests.conformance.cases import MIDNIGHT_MS
from tests.e2e.kit import Source
from tests.lane_kit import avro_schema

COLUMNS = {"at_ms": ValueType.LONG, "carrier": ValueType.STRING}
TOPIC = "flink.followed.v1"


def test_marks_know_the_newest_event_below_what_flink_has_committed(ready_settings: Settings) -> None:
    source = Source(ready_settings, TOPIC, avro_schema("Seen", COLUMNS, list(COLUMNS)), "carrier", partitions=1)
    times_ms = [MIDNIGHT_MS + 5, MIDNIGHT_MS + 9, MIDNIGHT_MS + 7]
    source.publish({"at_ms": time_ms, "carrier": "C"} for time_ms in times_ms)
    codec, sender = Codec(ready_settings.schema_registry), Sender(ready_settings)
    early = codec.encode_record(TOPIC, "conformance.Seen", {"at_ms": -1, "carrier": "C"})
    for value in (b"no Avro", early):
        sender.send(TOPIC, b"C", value, [])
    sender.flush()
    source.publish([{"at_ms": MIDNIGHT_MS + 11, "carrier": "C"}])
    group = compile_group(
        GroupBy("seen", EventSource(TOPIC, TOPIC, "at_ms"), ["carrier"], [Aggregation("carrier", Op.COUNT)]), COLUMNS
    )
    follower = FlinkFollower(ready_settings, codec)
    committed = Committed(ready_settings, group.name)

    async def followed() -> list[Followed]:
        committed.at(1)
        (one,) = await follower.take([GroupEpoch(1, group, None, engine=FLINK)])
        found = [Followed(one.place, one.topic, one.time, dict(one.offsets), dict(one.newest_ms))]
        moved = asyncio.Event()

        async def told() -> None:
            moved.set()

        following = asyncio.create_task(follower.run(told))
        for offset in (3, 5, 6):
            committed.at(offset)
            await asyncio.wait_for(moved.wait(), 30)
            moved.clear()
            found.append(Followed(one.place, one.topic, one.time, dict(one.offsets), dict(one.newest_ms)))
        following.cancel()
        return found

    states = asyncio.run(followed())
    codec.close()
    # What Flink has not taken yet does not count, nor does what it put with the dead letters.
    assert [(one.offsets, one.newest_ms) for one in states] == [
        ({0: 1}, {0: MIDNIGHT_MS + 5}),
        ({0: 3}, {0: MIDNIGHT_MS + 9}),
        ({0: 5}, {0: MIDNIGHT_MS + 9}),
        ({0: 6}, {0: MIDNIGHT_MS + 11}),
    ]


class Committed:
    """Commits as a Flink job does when a checkpoint is complete."""

    def __init__(self, settings: Settings, group: str) -> None:
        name = job_name(settings.topic_prefix, TOPIC, [(group, 1)])
        self._consumer = Consumer(consumer_config(settings, name))

    def at(self, offset: int) -> None:
        self._consumer.commit(offsets=[TopicPartition(TOPIC, 0, offset)], asynchronous=False)
