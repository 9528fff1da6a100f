"""The registry's events from their beginning: from a file where it has them, the rest from Kafka.

Decoding a hundred thousand events is what a start takes longest for, and the file holds them in a form that takes a
fraction of it. It counts only while its last event of each partition is the log's too, and whoever folds cannot tell
where an event came from.
"""

import gc
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bighead.client.registry_rows import Fact, Packing, fingerprint, packed
from bighead.config import Settings
from bighead.events.base import Event
from bighead.events.kept import KeptRows, Row
from bighead.events.log import read_at, read_log
from bighead.events.message import Message, Position
from bighead.events.topics import MODELS_EVENTS, topic_name
from bighead.registry import REGISTRY_EVENTS, RegistryEvent

_log = logging.getLogger(__name__)
CHUNK = 5_000
"""So many events are written at once; fewer are read from Kafka again."""


class RegistryLog:
    """Reads the log. `accept` gives a message's event, or None where it is to be passed over."""

    def __init__(self, settings: Settings, path: Path, accept: Callable[[Message], Event | None]) -> None:
        self._settings = settings
        self._accept = accept
        self._topic = topic_name(settings.topic_prefix, MODELS_EVENTS)
        self._kept = KeptRows(path, fingerprint(self._topic))
        self._packing = Packing()
        self._pending: list[Row] = []
        self._last: dict[int, Fact] = {}
        self._loaded = False

    @property
    def positions(self) -> dict[tuple[str, int], int]:
        """The offset after the last event of each topic and partition."""
        return {(self._topic, partition): at.offset + 1 for partition, (_, at) in self._last.items()}

    def read(self) -> Iterator[Fact]:
        """What was not given yet, to the end of the log as of now: the first time all of it."""
        if not self._loaded:
            facts = self._from_file()
            self._loaded = True
            yield from facts
        start = {partition: offset for (_, partition), offset in self.positions.items()}
        for message in read_log(self._settings, self._topic, start=start):
            event = self._accept(message)
            if isinstance(event, REGISTRY_EVENTS):
                self.add(event, message.position)
                yield event, message.position

    def add(self, event: RegistryEvent, position: Position) -> None:
        """Takes note of an event that its user read by other means, the next one of its partition."""
        self._last[position.partition] = event, position
        self._pending += self._packing.rows(event, position)
        if len(self._pending) >= CHUNK:
            self._kept.add(self._pending)
            self._pending = []

    def _from_file(self) -> list[Fact]:
        self._packing = Packing()
        facts = [fact for rows in self._kept.load() for fact in self._packing.facts(rows, self._topic)]
        last = {position.partition: (event, position) for event, position in facts}
        if not (_is_in_order(facts) and self._is_of_this_log(last)):
            _log.warning("what was kept of %s is not what the log says; all of it is read again", self._topic)
            self._kept.forget()
            self._packing = Packing()
            return []
        self._last = last
        return facts

    def _is_of_this_log(self, last: dict[int, Fact]) -> bool:
        there = {message.position: message for message in read_at(self._settings, (at for _, at in last.values()))}
        for event, position in last.values():
            found = self._accept(there[position]) if position in there else None
            if found is None or packed(found) != packed(event):
                return False
        return True


def _is_in_order(facts: Iterable[Fact]) -> bool:
    """Whether each partition has every offset once, growing: an event that is folded twice would make two versions."""
    after: dict[int, int] = {}
    for _, position in facts:
        if position.offset < after.get(position.partition, 0):
            return False
        after[position.partition] = position.offset + 1
    return True


@contextmanager
def many_objects() -> Iterator[None]:
    """For the making of very many objects that stay: Python looks for garbage among them neither now nor later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
