"""The times of the newest events that Flink has taken, from the messages that lie below the offsets it has reached.

Knows Kafka and the schema registry. A checkpoint commits offsets and says nothing of times.
"""

import time
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import PlatformError, UndecodableEvent
from bighead.events.codec import Codec
from bighead.events.kafka import LOGGER, consumer_config
from bighead.events.log import message_of
from bighead.events.message import Message
from bighead.events.times import believed

Spans: TypeAlias = Mapping[int, tuple[int, int]]
"""By partition the first offset and the one after the last."""
MOST_MESSAGES = 100
"""So many messages at the end of a span are looked at, in each partition: more would be to read the topic once more."""
_WAIT_S = 0.05
_LONGEST_S = 2.0


class NewestTimes:
    """Reads the ends of spans of source topics. One thread at a time may ask."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._codec = codec
        self._max_future_ms = settings.max_future_ms
        config = consumer_config(settings, "bighead-newest") | {"enable.partition.eof": True, "fetch.wait.max.ms": 20}
        self._consumer = Consumer(config, logger=LOGGER)

    def of(self, topic: str, column: str, spans: Spans) -> dict[int, int]:
        """By partition the greatest of `column` among the last events of its span, milliseconds since the epoch, UTC.

        A partition without a time that is believed is left out. Raises PlatformError where Kafka or the registry fails.
        """
        ends = {partition: end for partition, (_, end) in spans.items()}
        starts = [TopicPartition(topic, one, max(spans[one][0], end - MOST_MESSAGES)) for one, end in ends.items()]
        newest: dict[int, int] = {}
        try:
            self._consumer.assign(starts)
            for message in self._below(ends):
                newest[message.partition] = max(newest.get(message.partition, 0), self._time(message.value, column))
        except KafkaException as error:
            raise PlatformError(f"{topic} cannot be read: {error.args[0].str()}") from error
        finally:
            self._consumer.unassign()  # otherwise it would go on and fetch the rest
        return {partition: time_ms for partition, time_ms in newest.items() if time_ms}

    def _below(self, ends: Mapping[int, int]) -> Iterator[Message]:
        """What is assigned, up to these offsets; less where Kafka does not give it in time."""
        left, deadline_s = dict(ends), time.monotonic() + _LONGEST_S
        while left and time.monotonic() < deadline_s:
            received = self._consumer.poll(_WAIT_S)
            if received is None:
                continue
            error = received.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            if error is not None:
                left.pop(received.partition() or 0, None)  # a marker of a transaction, at the end, is no message
                continue
            message = message_of(received)
            if message.offset < ends[message.partition]:
                yield message
            if message.offset + 1 >= ends[message.partition]:
                left.pop(message.partition, None)

    def _time(self, value: bytes | None, column: str) -> int:
        """The time of an event; 0 for none that is believed, which the job puts with the dead letters."""
        try:
            _, fields = self._codec.decode_record(value)
        except UndecodableEvent:
            return 0
        time_ms = fields.get(column)
        believable = believed(time_ms, now_ms=wall_clock_ms(), max_future_ms=self._max_future_ms)
        return int(time_ms) if believable and time_ms is not None else 0
