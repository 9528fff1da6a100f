"""The one wrapper around what every consumer does with a message: decode, validate, handle.

A message that fails goes to the dead letters untouched, is counted, and the consumer goes on. What is not the
message's fault (a part of the platform that does not answer) is raised instead, so that the message is read again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from confluent_kafka import KafkaException

from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import (
    ConfigError,
    DeadlineExceeded,
    InvalidEvent,
    NotReady,
    Overloaded,
    PlatformError,
    StoreError,
)
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.headers import REPLAY_STAGE
from bighead.events.message import Message
from bighead.events.times import check_time
from bighead.events.topics import check_belongs, spec_of

Result = TypeVar("Result")

NOT_THE_MESSAGES_FAULT = (
    PlatformError,
    ConfigError,
    StoreError,
    NotReady,
    Overloaded,
    DeadlineExceeded,
    KafkaException,
    OSError,
)


class DeadLetterSink(Protocol):
    """Where dead letters go: `bighead.events.dead_letters.DeadLetters`, or a list in a test."""

    def send(self, message: Message, error: Exception, stage: str) -> None:
        """Takes a message that failed."""

    def flush(self) -> None:
        """Returns once all that were taken are safe."""


@dataclass(slots=True)
class Counts:
    """What became of the messages so far. `skipped`: replays that are meant for another stage."""

    accepted: int = 0
    dead: int = 0
    skipped: int = 0


class Guard:
    """Guards one consumer, named `stage`. A stage's name must not change: replays are addressed to it."""

    def __init__(
        self,
        codec: Codec,
        dead_letters: DeadLetterSink,
        stage: str,
        settings: Settings,
        *,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.counts = Counts()
        self.stage = stage
        self._codec = codec
        self._dead_letters = dead_letters
        self._prefix = settings.topic_prefix
        self._max_future_ms = settings.max_future_ms
        self._clock_ms = clock_ms

    def run(self, message: Message, handle: Callable[[Event, Message], Result]) -> Result | None:
        """Hands a platform event to `handle`; None where the message was not for us or died, safely written down."""
        event = self.accept(message)
        try:
            if event is not None:
                return handle(event, message)
        except NOT_THE_MESSAGES_FAULT:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, the message is kept and we go on
            self.reject(message, error)
        self.flush()
        return None

    async def run_async(self, message: Message, handle: Callable[[Event, Message], Awaitable[Result]]) -> Result | None:
        """Like `run`, for a handler that is a coroutine."""
        event = await asyncio.to_thread(self.accept, message)
        try:
            if event is not None:
                return await handle(event, message)
        except NOT_THE_MESSAGES_FAULT:
            raise
        except Exception as error:  # noqa: BLE001 - as in `run`
            self.reject(message, error)
        await asyncio.to_thread(self.flush)
        return None

    def accept(self, message: Message) -> Event | None:
        """A decoded and valid platform event; None where the message is not for us or was rejected.

        For consumers that handle batches: call `reject` for what fails later, and `flush` before committing.
        """
        if self._is_for_another_stage(message):
            return None
        try:
            event = self._codec.decode(message.value)
            self._check_event(event, message)
        except NOT_THE_MESSAGES_FAULT:
            raise
        except Exception as error:  # noqa: BLE001 - as in `run`
            self.reject(message, error)
            return None
        self.counts.accepted += 1
        return event

    def accept_record(self, message: Message, time_field: str | None = None) -> tuple[str, dict[str, Any]] | None:
        """Like `accept` for a user's event: its full name and fields, with a believable time in `time_field`."""
        if self._is_for_another_stage(message):
            return None
        try:
            full_name, record = self._codec.decode_record(message.value)
            if time_field is not None:
                self._check_time_field(full_name, record, time_field)
        except NOT_THE_MESSAGES_FAULT:
            raise
        except Exception as error:  # noqa: BLE001 - as in `run`
            self.reject(message, error)
            return None
        self.counts.accepted += 1
        return full_name, record

    def reject(self, message: Message, error: Exception) -> None:
        """Puts a message with the dead letters."""
        self.counts.dead += 1
        self._dead_letters.send(message, error, self.stage)

    def flush(self) -> None:
        """Waits until every dead letter is safe; to be called before the consumer commits its position."""
        self._dead_letters.flush()

    def _is_for_another_stage(self, message: Message) -> bool:
        if not message.headers:
            return False
        stage = message.header(REPLAY_STAGE)
        if stage is None or stage == self.stage:
            return False
        self.counts.skipped += 1
        return True

    def _check_event(self, event: Event, message: Message) -> None:
        check_belongs(self._prefix, message.topic, event.FULL_NAME)
        spec = spec_of(self._prefix, message.topic)
        if spec is not None and spec.key_required and not message.key:
            raise InvalidEvent(f"a {event.FULL_NAME} on {message.topic} has no key; expected: {spec.key}")
        check_time(
            event.time_ms,
            now_ms=self._clock_ms(),
            max_future_ms=self._max_future_ms,
            name=f"the time of a {event.FULL_NAME}",
        )

    def _check_time_field(self, full_name: str, record: dict[str, Any], time_field: str) -> None:
        if time_field not in record:
            raise InvalidEvent(f"a {full_name} has no field {time_field!r}; it has {', '.join(record)}")
        check_time(
            record[time_field],
            now_ms=self._clock_ms(),
            max_future_ms=self._max_future_ms,
            name=f"{time_field} of a {full_name}",
        )
