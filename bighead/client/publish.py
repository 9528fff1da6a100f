"""Publishes events: the platform's own typed ones, and users' records under their registered schemas.

An event is checked before it is sent, so that a mistake is the producer's error and not a consumer's dead letter.
"""

from collections.abc import Callable, Mapping
from typing import Any

from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import InvalidEvent
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.headers import cloud_event
from bighead.events.message import Position
from bighead.events.sender import Delivery, Sender
from bighead.events.times import check_time
from bighead.events.topics import check_belongs, spec_of


class Publisher:
    """Sends events with lz4, acknowledged by all replicas, without duplicates. `source` names who speaks.

    `topic` is the topic's name on the broker. Kafka's own timestamp is the time of sending, so that retention counts
    from then; the event's time is in the value and in `ce_time`.
    """

    def __init__(
        self,
        settings: Settings,
        source: str,
        *,
        codec: Codec | None = None,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.codec = codec or Codec(settings.schema_registry)
        self._settings = settings
        self._source = source
        self._clock_ms = clock_ms
        self._sender = Sender(settings)
        self._belong: set[tuple[str, str]] = set()

    def publish(self, event: Event, *, key: str, topic: str, traceparent: str | None = None) -> Delivery:
        """Sends a platform event to one of the platform's topics."""
        self._check_once(topic, event.FULL_NAME)
        value = self.codec.encode(event, topic)
        return self._send(topic, event.FULL_NAME, key, value, event.time_ms, traceparent)

    def publish_record(
        self,
        topic: str,
        full_name: str,
        record: Mapping[str, Any],
        *,
        key: str | None,
        time_ms: int,
        traceparent: str | None = None,
    ) -> Delivery:
        """Sends a user's event, or a platform event as a plain record; `time_ms` is when it happened."""
        self._check_once(topic, full_name)
        self.codec.check_record(topic, full_name, record)
        value = self.codec.encode_record(topic, full_name, record)
        return self._send(topic, full_name, key, value, time_ms, traceparent)

    def flush(self, timeout_s: float = 30.0) -> list[Position]:
        """Waits for every acknowledgement; for each partition written to since the last flush, its newest position."""
        return self._sender.flush(timeout_s)

    def _check_once(self, topic: str, full_name: str) -> None:
        if (topic, full_name) not in self._belong:
            check_belongs(self._settings.topic_prefix, topic, full_name)
            self._belong.add((topic, full_name))

    def _send(
        self, topic: str, full_name: str, key: str | None, value: bytes, time_ms: int, traceparent: str | None
    ) -> Delivery:
        spec = spec_of(self._settings.topic_prefix, topic)
        if spec is not None and spec.key_required and not key:
            raise InvalidEvent(f"a {full_name} for {topic} has no key; expected: {spec.key}")
        check_time(
            time_ms,
            now_ms=self._clock_ms(),
            max_future_ms=self._settings.max_future_ms,
            name=f"the time of a {full_name} for {topic}",
        )
        headers = cloud_event(
            event_type=full_name, source=self._source, subject=key, time_ms=time_ms, traceparent=traceparent
        )
        return self._sender.send(topic, None if key is None else key.encode(), value, headers)
