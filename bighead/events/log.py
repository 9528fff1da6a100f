"""Reads topics as logs: from the beginning to the end, or on and on. Commits nothing, joins no group."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Literal, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.kafka import LOGGER, Config, consumer_config
from bighead.events.message import Headers, Message

_BATCH = 2000
_WAIT_S = 0.1
_TIMEOUT_S = 10.0


def message_of(message: KafkaMessage) -> Message:
    """A message of confluent-kafka as ours."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise PlatformError(f"a message without a position was received: {message.error()}")
    kind, timestamp_ms = message.timestamp()
    return Message(
        topic=topic,
        partition=partition,
        offset=offset,
        key=message.key(),
        value=message.value(),
        headers=cast(Headers, tuple(message.headers() or ())),
        timestamp_ms=timestamp_ms if kind else -1,
    )


def end_offsets(settings: Settings, topic: str) -> dict[int, int]:
    """For each partition the offset after the last committed message."""
    consumer = _reader(settings)
    try:
        return {part.partition: high for part, (_, high) in _bounds(consumer, [topic]).items()}
    finally:
        consumer.close()


def read_log(
    settings: Settings, topic: str, *, stop_at_end: bool = True, start: Mapping[int, int] | None = None
) -> Iterator[Message]:
    """Every committed message from the beginning to the end as of the call, in order within each partition.

    With `stop_at_end=False` it goes on waiting for new ones. `start` gives partitions another first offset, and is
    for reading to the end.
    """
    if not stop_at_end:
        yield from follow(settings, [topic])
        return
    consumer = _reader(settings, at_end=True)
    try:
        first = start or {}
        ends = {
            part: high
            for part, (low, high) in _bounds(consumer, [topic]).items()
            if high > max(low, first.get(part.partition, low))
        }
        consumer.assign(
            [TopicPartition(part.topic, part.partition, first.get(part.partition, OFFSET_BEGINNING)) for part in ends]
        )
        open_ends = {part.partition: high for part, high in ends.items()}
        while open_ends:
            for received in consumer.consume(_BATCH, _WAIT_S):
                partition = received.partition()
                if _is_end(received) and partition is not None:
                    # Compaction and transaction markers leave no message at the last offset: the broker says so.
                    open_ends.pop(partition, None)
                    continue
                message = message_of(received)
                if message.offset < open_ends.get(message.partition, 0):
                    yield message
                if message.offset + 1 >= open_ends.get(message.partition, 0):
                    open_ends.pop(message.partition, None)
    finally:
        consumer.close()


def follow(
    settings: Settings,
    topics: Sequence[str],
    *,
    start: Literal["beginning", "end"] = "beginning",
    stop: Callable[[], bool] = lambda: False,
) -> Generator[Message, None, None]:
    """Messages of topics as they come, until `stop()`. `end` is the end as of the call."""
    consumer = _reader(settings)
    try:
        bounds = _bounds(consumer, topics)
        index = 0 if start == "beginning" else 1
        consumer.assign([TopicPartition(part.topic, part.partition, ends[index]) for part, ends in bounds.items()])
    except BaseException:
        consumer.close()
        raise
    return _followed(consumer, stop)


def _followed(consumer: Consumer, stop: Callable[[], bool]) -> Generator[Message, None, None]:
    try:
        while not stop():
            for received in consumer.consume(_BATCH, _WAIT_S):
                if not _is_end(received):
                    yield message_of(received)
    finally:
        consumer.close()


def _reader(settings: Settings, *, at_end: bool = False) -> Consumer:
    # An end is told when the broker has nothing to answer with for as long.
    at_once: Config = {"enable.partition.eof": True, "fetch.wait.max.ms": 20} if at_end else {}
    return Consumer(consumer_config(settings, "bighead-log") | at_once, logger=LOGGER)


def _bounds(consumer: Consumer, topics: Sequence[str]) -> dict[TopicPartition, tuple[int, int]]:
    """First offset and the one after the last, of each partition."""
    bounds = {}
    try:
        for topic in topics:
            found = consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic]
            if found.error is not None:
                raise PlatformError(
                    f"topic {topic} cannot be read: {found.error.str()}; `bighead events topics` lists those that exist"
                )
            for partition in sorted(found.partitions):
                part = TopicPartition(topic, partition)
                low, high = consumer.get_watermark_offsets(part, timeout=_TIMEOUT_S)
                bounds[part] = (low, high)
    except KafkaException as error:
        raise PlatformError(f"Kafka does not answer for {', '.join(topics)}: {error.args[0].str()}") from error
    return bounds


def _is_end(received: KafkaMessage) -> bool:
    """Whether this marks the end of a partition; raises where the broker reports a failure."""
    error = received.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:
        return True
    raise PlatformError(f"{received.topic()} cannot be read: {error.str()}")
