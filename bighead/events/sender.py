"""Sends bytes to Kafka and says where they came to lie. Knows confluent-kafka, and nothing of what the bytes mean."""

import time
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from bighead.config import Settings
from bighead.errors import DeadlineExceeded, Overloaded, PlatformError
from bighead.events.kafka import LOGGER, producer_config
from bighead.events.message import Position

_QUEUE_FULL_S = 30.0
_POLL_S = 0.01


class Delivery:
    """A message under way."""

    __slots__ = ("_failure", "_position", "_sender", "_topic")

    def __init__(self, sender: "Sender", topic: str) -> None:
        self._sender = sender
        self._topic = topic
        self._position: Position | None = None
        self._failure = ""

    def position(self, timeout_s: float = 30.0) -> Position:
        """Where it lies; waits until the broker has acknowledged it."""
        deadline_s = time.monotonic() + timeout_s
        while self._position is None:
            if self._failure:
                raise PlatformError(self._failure)
            if time.monotonic() > deadline_s:
                raise DeadlineExceeded(f"{self._topic} did not acknowledge a message within {timeout_s} s")
            self._sender.poll(_POLL_S)
        return self._position

    def resolve(self, error: KafkaError | None, message: KafkaMessage) -> None:
        """Called by the client, once."""
        partition, offset = message.partition(), message.offset()
        if error is not None or partition is None or offset is None:
            self._failure = f"{self._topic} did not take a message: {error.str() if error else 'no position was given'}"
            self._sender.failed(self._failure)
            return
        self._position = Position(self._topic, partition, offset)
        self._sender.acknowledged(self._position)


class Sender:
    """A producer that loses nothing: what could not be delivered is raised by `flush`."""

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(producer_config(settings), logger=LOGGER)
        self._newest: dict[tuple[str, int], Position] = {}
        self._failures: list[str] = []

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
        partition: int = -1,
    ) -> Delivery:
        """Queues a message; waits while the queue is full."""
        delivery = Delivery(self, topic)
        deadline_s = time.monotonic() + _QUEUE_FULL_S
        while True:
            try:
                self._producer.produce(
                    topic, value, key, partition, on_delivery=delivery.resolve, headers=list(headers)
                )
            except BufferError:
                if time.monotonic() > deadline_s:
                    raise Overloaded(f"Kafka has taken no message for {_QUEUE_FULL_S} s; is the broker up?") from None
                self._producer.poll(_POLL_S)
            except KafkaException as error:
                raise PlatformError(f"{topic} cannot take the message: {error.args[0].str()}") from error
            else:
                self._producer.poll(0)
                return delivery

    def flush(self, timeout_s: float = 30.0) -> list[Position]:
        """Waits for every acknowledgement; for each partition written to since the last flush, its newest position."""
        left = self._producer.flush(timeout_s)
        if left:
            raise DeadlineExceeded(f"{left} messages were not acknowledged within {timeout_s} s; is the broker up?")
        failures, self._failures = self._failures, []
        newest, self._newest = self._newest, {}
        if failures:
            raise PlatformError(f"{len(failures)} messages were not delivered; the first: {failures[0]}")
        return sorted(newest.values())

    def poll(self, timeout_s: float) -> None:
        """Hears acknowledgements."""
        self._producer.poll(timeout_s)

    def acknowledged(self, position: Position) -> None:
        """Called by a delivery."""
        known = self._newest.get((position.topic, position.partition))
        if known is None or known.offset < position.offset:
            self._newest[position.topic, position.partition] = position

    def failed(self, failure: str) -> None:
        """Called by a delivery."""
        self._failures.append(failure)
