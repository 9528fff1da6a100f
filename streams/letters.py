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
from streams.ownership import Lease

Identity: TypeAlias = tuple[Position, str]
"""Where a message lies, and the stage that it failed at."""


class LettersOnce:
    """A sink for guards. Nothing is written, and the log is not read, before the first `flush` after a `send`.

    lease: that of the one worker that writes for the stages in question, as long as this sink is used: the log is read
    once. The lease comes first, so that who was paused in between writes nothing that its successor has not read.
    """

    def __init__(self, settings: Settings, codec: Codec, lease: Lease | None = None) -> None:
        self._settings = settings
        self._codec = codec
        self._letters = DeadLetters(settings, codec)
        self._waiting: list[tuple[Message, Exception, str]] = []
        self._written: set[Identity] = set()
        self._read_to: dict[int, int] = {}
        self._lease = lease
        self._alone = False
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
            stamp_ms = 0 if self._lease is None else self._lease.stamp_ms()
            if not self._alone:
                self._read_on()
                self._alone = self._lease is not None
            new: set[Identity] = set()
            for message, error, stage in taken:
                identity = (message.position, stage)
                if identity not in self._written and identity not in new:
                    new.add(identity)
                    self._letters.send(message, error, stage, stamp_ms)
            self._letters.flush()
            # Not before they are safe: another thread that waits for its letters would think that they were.
            self._written |= new
            del self._waiting[: len(taken)]

    def _read_on(self) -> None:
        """Takes in what was written since the last time, by whichever process."""
        topic = topic_name(self._settings.topic_prefix, DEAD_LETTERS)
        for message in read_log(self._settings, topic, start=self._read_to):
            self._read_to[message.partition] = message.offset + 1
            try:
                event = self._codec.decode(message.value)
            except UndecodableEvent:
                continue  # whoever lists dead letters says so
            if isinstance(event, DeadLetter):
                self._written.add((Position(event.topic, event.partition, event.offset), event.stage))
