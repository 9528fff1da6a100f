"""Reads one topic for those who read every event: confluent-kafka in a thread, which fetches ahead without Python.

aiokafka asks the broker anew for each poll and builds each record in Python: at thousands of events a second that costs
more than what is done with them. One reader has all partitions; it commits nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.kafka import LOGGER, consumer_config
from streams.kafka import Record

_METADATA_AGE_S = 10.0
_TIMEOUT_S = 10.0
# How much is fetched ahead, so that a reader that waits for another part keeps its memory: a message of 100 bytes takes
# six times as much, so their number in each partition counts as well.
_LIMITS: dict[str, str | int | bool] = {
    "queued.max.messages.kbytes": 16 * 1024,
    "queued.min.messages": 10_000,
    "fetch.message.max.bytes": 4 * 1024 * 1024,
    "fetch.queue.backoff.ms": 5,
    # A reader that goes back waits for the answer to what it has asked.
    "fetch.wait.max.ms": 100,
}
Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class _Read(NamedTuple):
    """A message in the form that decoding takes."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class FastReader:
    """Reads one topic from given offsets on; sees committed messages alone."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"read-{topic}")
        self._consumer: Consumer | None = None
        self._next: dict[int, int] = {}
        self._known = 0
        self._known_s = 0.0

    async def start(self) -> None:
        """Connects."""
        config = consumer_config(self._settings, "bighead-stream") | _LIMITS
        self._consumer = await self._run(lambda: Consumer(config, logger=LOGGER))

    async def assign(self) -> bool:
        """Takes all partitions that there are now, from their beginnings; False where the topic does not exist."""
        partitions = await self._run(self._partitions)
        self._known = len(partitions)
        self._next = dict.fromkeys(partitions, 0)
        if partitions:
            self.seek(await self.beginnings())
        return bool(partitions)

    async def stop(self) -> None:
        """Disconnects, where it was connected."""
        if self._consumer is not None:
            await self._run(self._consumer.close)
        self._thread.shutdown(wait=False)

    def grown(self) -> bool:
        """Whether the topic has more partitions than are read."""
        return self._known > len(self._next)

    async def beginnings(self) -> dict[int, int]:
        """For each partition the first offset that is still there."""
        return await self._run(self._lows)

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Goes on from these offsets."""
        self._next |= offsets
        self._opened.assign([TopicPartition(self.topic, one, offset) for one, offset in self._next.items()])

    async def poll(self, timeout_ms: int, max_records: int) -> dict[int, list[Record]]:
        """What is there, by partition in offset order; waits for the first message up to `timeout_ms`."""
        return await self._run(lambda: self._poll(timeout_ms / 1000, max_records))

    def _poll(self, timeout_s: float, max_records: int) -> dict[int, list[Record]]:
        if time.monotonic() - self._known_s > _METADATA_AGE_S:
            self._known = len(self._partitions()) or self._known
        first = self._opened.poll(timeout_s)
        if first is None:
            return {}
        polled: dict[int, list[Record]] = {}
        for message in (first, *self._opened.consume(max_records - 1, 0)):
            partition = message.partition()
            if partition is not None and self._is_message(message):
                polled.setdefault(partition, []).append(_read(message))
        self._next |= {partition: records[-1].offset + 1 for partition, records in polled.items()}
        return polled

    def _is_message(self, message: KafkaMessage) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.fatal():
            raise PlatformError(f"{self.topic} cannot be read: {error.str()}")
        _log.warning("%s: %s", self.topic, error.str())  # the client tries again by itself
        return False

    def _partitions(self) -> list[int]:
        try:
            found = self._opened.list_topics(self.topic, timeout=_TIMEOUT_S).topics[self.topic]
        except KafkaException as error:
            _log.warning("Kafka does not tell the partitions of %s: %s", self.topic, error.args[0].str())
            return []
        finally:
            self._known_s = time.monotonic()
        return [] if found.error is not None else sorted(found.partitions)

    def _lows(self) -> dict[int, int]:
        lows: dict[int, int] = {}
        for one in self._next:
            try:
                low, _ = self._opened.get_watermark_offsets(TopicPartition(self.topic, one), timeout=_TIMEOUT_S)
            except KafkaException as error:
                raise PlatformError(f"Kafka does not answer for {self.topic}: {error.args[0].str()}") from error
            lows[one] = low
        return lows

    async def _run(self, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    @property
    def _opened(self) -> Consumer:
        if self._consumer is None:
            raise RuntimeError(f"the reader of {self.topic} was not started")
        return self._consumer


def _read(message: KafkaMessage) -> _Read:
    kind, timestamp_ms = message.timestamp()
    headers: Any = message.headers()
    return _Read(message.offset() or 0, timestamp_ms if kind else -1, message.key(), message.value(), headers or ())
