"""Dead letters, each written once however often a worker reads its message again: after a kill, a rebuild, a new group.

Knows the dead letters' log, which says what is written. One process at a time speaks for a stage.
"""

import threading
from typing import TypeAlias

from bighead.config import Settings
from bighead.errors import UndecodableEvent
from bighead.events.codec import Codec
from bighead.events.dead_letters import DeadLetters
from bighead.events.log import read_log
from bighead.events.message import Message, Position
from bighead.events.topics import DEAD_LETTERS, topic_name
from bighead.events.types import DeadLetter

Identity: TypeAlias = tuple[Position, str]
"""Where a message lies, and the stage that it failed at."""


class LettersOnce:
    """A sink for guards. Nothing is written, and the log is not read, before the first `flush` after a `send`."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._settings = settings
        self._codec = codec
        self._letters = DeadLetters(settings, codec)
        self._waiting: list[tuple[Message, Exception, str]] = []
        self._written: set[Identity] | None = None
        self._one_at_a_time = threading.Lock()

    def send(self, message: Message, error: Exception, stage: str) -> None:
        """Takes a message that failed."""
        self._waiting.append((message, error, stage))

    def flush(self) -> None:
        """Returns once all that were taken are safe, by whichever thread."""
        with self._one_at_a_time:
            taken = list(self._waiting)
            if not taken:
                return
            if self._written is None:
                self._written = self._read()
            new: set[Identity] = set()
            for message, error, stage in taken:
                identity = (message.position, stage)
                if identity not in self._written and identity not in new:
                    new.add(identity)
                    self._letters.send(message, error, stage)
            self._letters.flush()
            # Not before they are safe: another thread that waits for its letters would think that they were.
            self._written |= new
            del self._waiting[: len(taken)]

    def _read(self) -> set[Identity]:
        found: set[Identity] = set()
        for message in read_log(self._settings, topic_name(self._settings.topic_prefix, DEAD_LETTERS)):
            try:
                event = self._codec.decode(message.value)
            except UndecodableEvent:
                continue  # whoever lists dead letters says so
            if isinstance(event, DeadLetter):
                found.add((Position(event.topic, event.partition, event.offset), event.stage))
        return found
