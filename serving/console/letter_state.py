"""What the console knows of dead letters: which there are, why, and which were sent back.

Their bytes are not kept: they are read from the log by position when somebody looks. Knows no Kafka.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass

from bighead.events.base import Event
from bighead.events.message import Position
from bighead.events.types import DeadLetter, DeadLetterReplayed

MOST_LETTERS = 10_000
"""How many dead letters are listed, the newest. All are counted."""
_CAUSE_CHARACTERS = 600

LetterId = tuple[str, int, int, str]
"""Topic, partition and offset of the original message, and the stage that could not handle it."""


@dataclass(frozen=True, slots=True)
class DeadLetterCount:
    """Dead letters of one stage; `waiting` were not sent back yet."""

    stage: str
    total: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Replay:
    """When a dead letter was sent back, by whom and why."""

    at_ms: int
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A dead letter without its bytes. position: where the dead letter lies; origin: where the original lay."""

    position: Position
    origin: Position
    stage: str
    error_class: str
    error_message: str
    at_ms: int
    replay: Replay | None = None


class LetterState:
    """Folds the events of dead letters. One that a restarted consumer wrote again counts once."""

    def __init__(self) -> None:
        self._at_ms: dict[LetterId, int] = {}
        self._replays: dict[LetterId, Replay] = {}
        self._rows: OrderedDict[LetterId, LetterRow] = OrderedDict()

    def apply(self, event: Event, position: Position) -> None:
        """Folds one event in; events of other things change nothing."""
        match event:
            case DeadLetter():
                identity = _identity(event)
                if identity not in self._at_ms:
                    self._rows[identity] = _row(event, position)
                    self._at_ms[identity] = event.at_ms
                if len(self._rows) > MOST_LETTERS:
                    self._rows.popitem(last=False)
            case DeadLetterReplayed():
                self._replays[_identity(event)] = Replay(event.at_ms, event.actor, event.reason)

    def counts(self, as_of_ms: int | None = None) -> list[DeadLetterCount]:
        """All there were by a time, by stage, in the order of their names. None: now."""
        known = [one for one, at_ms in list(self._at_ms.items()) if as_of_ms is None or at_ms <= as_of_ms]
        totals = Counter(stage for *_, stage in known)
        done = Counter(one[3] for one in known if self._replay(one, as_of_ms) is not None)
        return [DeadLetterCount(stage, total, total - done[stage]) for stage, total in sorted(totals.items())]

    def rows(self, as_of_ms: int | None = None) -> list[LetterRow]:
        """Those that are listed and had happened by a time, the newest first."""
        found = [
            LetterRow(
                row.position, row.origin, row.stage, row.error_class, row.error_message, row.at_ms,
                self._replay(identity, as_of_ms),
            )
            for identity, row in reversed(list(self._rows.items()))
            if as_of_ms is None or row.at_ms <= as_of_ms
        ]  # fmt: skip
        return sorted(found, key=lambda row: row.at_ms, reverse=True)

    def row(self, position: Position, as_of_ms: int | None = None) -> LetterRow | None:
        """The dead letter that lies at a position; None where none that is listed does."""
        return next((row for row in self.rows(as_of_ms) if row.position == position), None)

    def _replay(self, identity: LetterId, as_of_ms: int | None) -> Replay | None:
        replay = self._replays.get(identity)
        return replay if replay is not None and (as_of_ms is None or replay.at_ms <= as_of_ms) else None


def _identity(event: DeadLetter | DeadLetterReplayed) -> LetterId:
    return event.topic, event.partition, event.offset, event.stage


def _row(event: DeadLetter, position: Position) -> LetterRow:
    origin = Position(event.topic, event.partition, event.offset)
    message = event.error_message[:_CAUSE_CHARACTERS]
    return LetterRow(position, origin, event.stage, event.error_class, message, event.at_ms)
