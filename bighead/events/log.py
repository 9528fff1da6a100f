"""Reads topics as logs: from the beginning to the end, or on and on. Commits nothing, joins no group."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Literal, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.kafka import LOGGER, Config, consumer_config
from bighead.events.message import Headers, Message, Position

Places = Mapping[tuple[str, int], int]
"""For each topic and partition the offset of the next message."""
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


def offsets_at(settings: Settings, topic: str, at_ms: int) -> dict[int, int]:
    """For each partition the offset of the first message that was written at a time or later."""
    consumer = _reader(settings)
    try:
        ends = {part.partition: high for part, (_, high) in _bounds(consumer, [topic]).items()}
        return _ends_at(consumer, topic, ends, at_ms - 1)
    finally:
        consumer.close()


def bounds(settings: Settings, topics: Sequence[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """For each topic and partition its first offset, and the one after its last committed message."""
    consumer = _reader(settings)
    try:
        return {(part.topic, part.partition): ends for part, ends in _bounds(consumer, topics).items()}
    finally:
        consumer.close()


def read_page(settings: Settings, start: Places, most: int) -> dict[tuple[str, int], list[Message]]:
    """Of each partition up to `most` committed messages from its place on, as far as there are any."""
    found: dict[tuple[str, int], list[Message]] = {place: [] for place in start}
    consumer = _reader(settings, at_end=True)
    try:
        consumer.assign([TopicPartition(*place, offset) for place, offset in start.items()])
        reading = set(start)
        while reading:
            for received in consumer.consume(_BATCH, _WAIT_S):
                place = (str(received.topic()), int(received.partition() or 0))
                if _is_end(received) or len(found[place]) == most:
                    reading.discard(place)
                else:
                    found[place].append(message_of(received))
            done = [TopicPartition(*place) for place in start if place not in reading]
            if done:
                consumer.pause(done)
    finally:
        consumer.close()
    return found


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
        bounds = _bounds(consumer, [topic])
        ends = {part.partition: high for part, (_, high) in bounds.items()}
        first = start or {}
        starts = {part.partition: max(low, first.get(part.partition, low)) for part, (low, _) in bounds.items()}
        yield from _between(consumer, topic, starts, ends)
    finally:
        consumer.close()


def read_last(
    settings: Settings, topic: str, most: int, most_bytes: int, *, until_ms: int | None = None
) -> list[Message]:
    """At most `most` messages of each partition, the newest, by time; none that was written after `until_ms`.

    Of all that are read those that were read last are given, as many as have `most_bytes` together.

    What aborted transactions left counts among them, and is not given.
    """
    consumer = _reader(settings, at_end=True)
    try:
        bounds = _bounds(consumer, [topic])
        ends = {part.partition: high for part, (_, high) in bounds.items()}
        if until_ms is not None:
            ends = _ends_at(consumer, topic, ends, until_ms)
        starts = {part.partition: max(low, ends[part.partition] - most) for part, (low, _) in bounds.items()}
        found, held = deque[Message](), 0
        for message in _between(consumer, topic, starts, ends):
            found.append(message)
            held += len(message.value or b"")
            while held > most_bytes and len(found) > 1:
                held -= len(found.popleft().value or b"")
    finally:
        consumer.close()
    return sorted(found, key=lambda one: (one.timestamp_ms, one.partition, one.offset))


def read_at(settings: Settings, positions: Iterable[Position]) -> list[Message]:
    """The messages at positions, in order; what is not there any more is left out."""
    found: list[Message] = []
    consumer = _reader(settings, at_end=True)
    try:
        for position in sorted(set(positions)):
            first, end = {position.partition: position.offset}, {position.partition: position.offset + 1}
            bounds = _bounds(consumer, [position.topic])
            low, high = bounds.get(TopicPartition(position.topic, position.partition), (0, 0))
            if low <= position.offset < high:
                found += _between(consumer, position.topic, first, end)
    finally:
        consumer.close()
    return found


def follow(
    settings: Settings,
    topics: Sequence[str],
    *,
    start: Literal["beginning", "end"] | Places = "beginning",
    stop: Callable[[], bool] = lambda: False,
) -> Generator[Message, None, None]:
    """Messages of topics as they come, until `stop()`. `end` is the end as of the call; a partition without a place
    is read from its beginning.
    """
    consumer = _reader(settings)
    try:
        known = _bounds(consumer, topics)
        consumer.assign(
            [TopicPartition(part.topic, part.partition, _first(part, ends, start)) for part, ends in known.items()]
        )
    except BaseException:
        consumer.close()
        raise
    return _followed(consumer, stop)


def _first(part: TopicPartition, ends: tuple[int, int], start: Literal["beginning", "end"] | Places) -> int:
    if isinstance(start, str):
        return ends[0 if start == "beginning" else 1]
    return max(ends[0], start.get((part.topic, part.partition), ends[0]))


def _followed(consumer: Consumer, stop: Callable[[], bool]) -> Generator[Message, None, None]:
    try:
        while not stop():
            for received in consumer.consume(_BATCH, _WAIT_S):
                if not _is_end(received):
                    yield message_of(received)
    finally:
        consumer.close()


def _between(consumer: Consumer, topic: str, starts: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Message]:
    """The committed messages of each partition from a first offset to the one before an end."""
    left = {partition: end for partition, end in ends.items() if starts[partition] < end}
    consumer.assign([TopicPartition(topic, partition, starts[partition]) for partition in left])
    while left:
        for received in consumer.consume(_BATCH, _WAIT_S):
            partition = received.partition()
            if _is_end(received) and partition is not None:
                # Compaction and transaction markers leave no message at the last offset: the broker says so.
                left.pop(partition, None)
                continue
            message = message_of(received)
            if message.offset < left.get(message.partition, 0):
                yield message
            if message.offset + 1 >= left.get(message.partition, 0):
                left.pop(message.partition, None)


def _ends_at(consumer: Consumer, topic: str, ends: Mapping[int, int], until_ms: int) -> dict[int, int]:
    """For each partition the offset of the first message after a time."""
    asked = [TopicPartition(topic, partition, until_ms + 1) for partition in ends]
    try:
        found = consumer.offsets_for_times(asked, timeout=_TIMEOUT_S)
    except KafkaException as error:
        raise PlatformError(f"Kafka does not answer for {topic}: {error.args[0].str()}") from error
    return {one.partition: one.offset if one.offset >= 0 else ends[one.partition] for one in found}


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
