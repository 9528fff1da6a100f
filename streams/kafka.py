"""A typed face for aiokafka: one consumer over all partitions of one topic, assigned by hand, committing nothing.

Nobody shares the work of a topic: the state that it folds into is local, so one worker owns a source topic whole.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

from bighead.config import Settings
from bighead.events.headers import REPLAY_STAGE
from bighead.events.message import Message

_METADATA_AGE_MS = 10_000
_FETCH_BYTES = 4 * 1024 * 1024


class Record(Protocol):
    """A message as aiokafka gives it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


def message_of(topic: str, partition: int, record: Record) -> Message:
    """The message in the form that the event layer knows."""
    headers = tuple(record.headers)
    return Message(topic, partition, record.offset, record.key, record.value, headers, record.timestamp)


def replay_stage(record: Record) -> str | None:
    """The stage that a replayed dead letter is meant for; None for an ordinary message."""
    stage = dict(record.headers).get(REPLAY_STAGE) if record.headers else None
    return None if stage is None else stage.decode("utf-8", "replace")


class TopicReader:
    """Reads one topic from given offsets on; sees committed messages alone."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self._settings = settings
        self._consumer: Any = None

    async def start(self) -> None:
        """Connects."""
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka.split(","),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            metadata_max_age_ms=_METADATA_AGE_MS,
            max_partition_fetch_bytes=_FETCH_BYTES,
        )
        await self._consumer.start()

    async def assign(self) -> bool:
        """Takes all partitions that there are now, from their beginnings; False where the topic does not exist."""
        partitions = await self._partitions()
        if partitions:
            self._consumer.assign([TopicPartition(self.topic, one) for one in partitions])
            self.seek(await self.beginnings())
        return bool(partitions)

    async def stop(self) -> None:
        """Disconnects, where it was connected."""
        if self._consumer is not None:
            await self._consumer.stop()

    def partitions(self) -> list[int]:
        """The partitions that are read."""
        return sorted(part.partition for part in self._consumer.assignment())

    def grown(self) -> bool:
        """Whether the topic has more partitions than are read."""
        known = self._consumer.partitions_for_topic(self.topic) or set()
        return len(known) > len(self._consumer.assignment())

    async def beginnings(self) -> dict[int, int]:
        """For each partition the first offset that is still there."""
        return self._by_partition(await self._consumer.beginning_offsets(self._parts()))

    async def ends(self) -> dict[int, int]:
        """For each partition the offset after the last message."""
        return self._by_partition(await self._consumer.end_offsets(self._parts()))

    async def positions(self) -> dict[int, int]:
        """For each partition the offset that is read next."""
        return {part.partition: await self._consumer.position(part) for part in self._parts()}

    async def offsets_at(self, time_ms: int) -> dict[int, int]:
        """For each partition the first offset that was sent at that time or later, or the one after the last."""
        ends = await self.ends()
        found = await self._consumer.offsets_for_times(dict.fromkeys(self._parts(), time_ms))
        return {part.partition: ends[part.partition] if at is None else at.offset for part, at in found.items()}

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Goes on from these offsets."""
        for partition, offset in offsets.items():
            self._consumer.seek(TopicPartition(self.topic, partition), offset)

    async def poll(self, timeout_ms: int, max_records: int) -> dict[int, list[Record]]:
        """What is there, by partition in offset order; waits for the first message up to `timeout_ms`."""
        polled = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=max_records)
        return {part.partition: records for part, records in polled.items() if records}

    async def _partitions(self) -> set[int]:
        # The consumer itself can only ask for the metadata of topics that it is assigned to already.
        await self._consumer._client.add_topic(self.topic)
        await self._consumer._client.force_metadata_update()
        found: set[int] | None = self._consumer.partitions_for_topic(self.topic)
        return found or set()

    def _parts(self) -> list[Any]:
        return sorted(self._consumer.assignment())

    @staticmethod
    def _by_partition(offsets: Mapping[Any, int]) -> dict[int, int]:
        return {part.partition: offset for part, offset in offsets.items()}
