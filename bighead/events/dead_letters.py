"""What consumers could not handle: written untouched, listed, and sent back for the stage that had failed."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.headers import REPLAY_OF, REPLAY_STAGE, cloud_event
from bighead.events.log import read_at, read_log
from bighead.events.message import Message, Position
from bighead.events.sender import Delivery, Sender
from bighead.events.topics import DEAD_LETTERS, topic_name
from bighead.events.types import DeadLetter, DeadLetterReplayed, Header

LOGGER = logging.getLogger("bighead.dead_letters")


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter, where it lies, and whether it was sent back."""

    position: Position
    letter: DeadLetter
    replayed: bool


class DeadLetters:
    """Writes dead letters. They are safe once `flush` has returned: call it before the consumer commits."""

    def __init__(self, settings: Settings, codec: Codec, *, clock_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._topic = topic_name(settings.topic_prefix, DEAD_LETTERS)
        self._codec = codec
        self._sender = Sender(settings)
        self._clock_ms = clock_ms

    def send(self, message: Message, error: Exception, stage: str) -> None:
        """Queues the message with its bytes, key and headers as they are."""
        LOGGER.warning("%s: dead letter of %s: %s", stage, message.position, error)
        letter = DeadLetter(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            stage=stage,
            error_class=type(error).__name__,
            error_message=str(error) or repr(error),
            key=message.key,
            value=message.value,
            headers=tuple(Header(name=name, value=value) for name, value in message.headers),
            timestamp_ms=message.timestamp_ms,
            at_ms=self._clock_ms(),
        )
        self._write(letter, message.key, letter.at_ms, stage)

    def mark_replayed(self, letter: DeadLetter, actor: str, reason: str = "") -> None:
        """Queues the fact that a dead letter was sent back."""
        event = DeadLetterReplayed(
            topic=letter.topic,
            partition=letter.partition,
            offset=letter.offset,
            stage=letter.stage,
            actor=actor,
            reason=reason,
            at_ms=self._clock_ms(),
        )
        self._write(event, letter.key, event.at_ms, letter.stage)

    def flush(self) -> None:
        """Waits until everything written so far is acknowledged."""
        self._sender.flush()

    def _write(self, event: DeadLetter | DeadLetterReplayed, key: bytes | None, at_ms: int, stage: str) -> Delivery:
        subject = str(Position(event.topic, event.partition, event.offset))
        headers = cloud_event(event_type=event.FULL_NAME, source=f"bighead/{stage}", subject=subject, time_ms=at_ms)
        return self._sender.send(self._topic, key, self._codec.encode(event, self._topic), headers)


def read_dead_letters(settings: Settings, codec: Codec) -> list[StoredDeadLetter]:
    """Every dead letter in the order of writing. One that a restarted consumer wrote again is listed once."""
    letters: dict[tuple[str, int, int, str], tuple[Position, DeadLetter]] = {}
    replayed: set[tuple[str, int, int, str]] = set()
    for message in read_log(settings, topic_name(settings.topic_prefix, DEAD_LETTERS)):
        match codec.decode(message.value):
            case DeadLetter() as event:
                letters.setdefault(_identity(event), (message.position, event))
            case DeadLetterReplayed() as event:
                replayed.add(_identity(event))
    stored = [
        StoredDeadLetter(position, letter, identity in replayed) for identity, (position, letter) in letters.items()
    ]
    return sorted(stored, key=lambda row: (row.letter.at_ms, row.position))


def dead_letters_at(settings: Settings, codec: Codec, positions: Iterable[Position]) -> dict[Position, DeadLetter]:
    """The dead letters that lie at positions of their topic; what is not there any more, or is none, is left out."""
    topic = topic_name(settings.topic_prefix, DEAD_LETTERS)
    messages = read_at(settings, [position for position in positions if position.topic == topic])
    return {one.position: event for one, event in codec.decoded(messages) if isinstance(event, DeadLetter)}


def replay(
    settings: Settings, codec: Codec, letters: Iterable[DeadLetter], actor: str, reason: str = ""
) -> list[Position]:
    """Sends the original messages back to their topics; where each came to lie.

    Two headers are added: where the original lay, and the stage that failed; every other stage skips the message.
    """
    sender, register = Sender(settings), DeadLetters(settings, codec)
    chosen = list(letters)
    deliveries = []
    for letter in chosen:
        origin = str(Position(letter.topic, letter.partition, letter.offset))
        kept = [(row.name, row.value) for row in letter.headers if row.name not in (REPLAY_OF, REPLAY_STAGE)]
        added: list[tuple[str, bytes | None]] = [(REPLAY_OF, origin.encode()), (REPLAY_STAGE, letter.stage.encode())]
        # To the partition that it came from: that one's consumer holds the state which it belongs to.
        deliveries.append(sender.send(letter.topic, letter.key, letter.value, kept + added, letter.partition))
    positions = [delivery.position() for delivery in deliveries]
    for letter in chosen:
        register.mark_replayed(letter, actor, reason)
    register.flush()
    return positions


def _identity(event: DeadLetter | DeadLetterReplayed) -> tuple[str, int, int, str]:
    return event.topic, event.partition, event.offset, event.stage
