"""Who asked for what, when, why, and what came of it: commands to the registry, and all else that names an actor.

Knows no Kafka: it is told of commands and events; which of two topics is read first does not matter.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bighead.events.base import Event
from bighead.events.message import Position
from bighead.events.topics import MODELS_COMMANDS, MODELS_EVENTS, TOPICS
from bighead.events.types import CommandRejected, DeadLetterReplayed

MOST_ENTRIES = 100_000
"""How many entries are kept, the newest. All are counted."""
ACCEPTED, REFUSED, WAITING = "accepted", "refused", "waiting"
OUTCOMES = (ACCEPTED, REFUSED, WAITING)
_TYPES = {spec.name: spec.types for spec in TOPICS}
_COMMANDS, _ANSWERS = _TYPES[MODELS_COMMANDS], _TYPES[MODELS_EVENTS]
ASKED_BY = {
    "ModelRegistered": "RegisterModel",
    "DeploymentChanged": "DeployModel",
    "TrafficChanged": "SetTraffic",
    "SegmentsChanged": "SetSegments",
    "RolloutStarted": "StartRollout",
    "RolloutAdvanced": "AdvanceRollout",
    "RolloutEnded": "StopRollout",
    "RolledBack": "RollBack",
    "ModelRetired": "RetireModel",
    "LabelPromoted": "PromoteLabel",
    "VersionApproved": "Approve",
    "PolicyChanged": "SetPolicy",
}
"""The command that leads to an event as its first; any other answer is listed by its own name."""
_SUBJECTS = ("model", "group", "join", "experiment", "name", "run_id")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that somebody asked for.

    asked_ms by the clock of who asked, None where the command is no longer in the log; decided_ms None: not answered
    yet. refused: why. version None: it names none. position: of the answer, or of the command before there is one.
    """

    id: str
    type: str
    subject: str
    version: int | None
    actor: str
    reason: str
    asked_ms: int | None
    decided_ms: int | None
    outcome: str
    refused: str
    position: Position

    @property
    def at_ms(self) -> int:
        """When it was decided, or else asked."""
        return self.decided_ms if self.decided_ms is not None else self.asked_ms or 0


class AuditState:
    """Folds commands and events. `count` is the number of all entries, those included that are not kept."""

    def __init__(self) -> None:
        self.count = 0
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._changes = 0
        self._newest: tuple[int, list[Entry]] = (0, [])

    def apply(self, event: Event, position: Position) -> None:
        """Folds one command or event in; those that name no actor change nothing."""
        self._fold(event, position)
        self._changes += 1

    def _fold(self, event: Event, position: Position) -> None:
        if isinstance(event, _COMMANDS):
            known = self._entries.get(event.command_id)  # type: ignore[attr-defined]
            entry = _asked(event, position)
            if known is None:
                self._put(entry)
            elif known.asked_ms is None:
                # The answer was read first: topics have no order against each other.
                self._entries[known.id] = replace(known, type=entry.type, asked_ms=entry.asked_ms)
        elif isinstance(event, _ANSWERS):
            known = self._entries.get(event.command_id)  # type: ignore[attr-defined]
            if known is None:
                self._put(_answer(event, position))
            elif known.outcome == WAITING:
                answer = _answer(event, position)
                version = answer.version if answer.version is not None else known.version
                self._entries[known.id] = replace(answer, type=known.type, asked_ms=known.asked_ms, version=version)
        elif getattr(event, "actor", ""):
            self._put(_done(event, position))

    def entries(self, as_of_ms: int | None) -> Sequence[Entry]:
        """What had been asked by a time, the newest first; what was decided later is waiting. None: now."""
        # Kept until something comes: this list is long, and open pages read it every few seconds.
        changes = self._changes
        if self._newest[0] != changes:
            self._newest = changes, _ordered(list(self._entries.values()))
        every = self._newest[1]
        if as_of_ms is None:
            return every
        later = bisect_left(every, -as_of_ms, key=lambda one: -one.at_ms)
        waiting = [one for one in map(partial(_waiting, as_of_ms=as_of_ms), every[:later]) if one is not None]
        return _ordered([*waiting, *every[later:]]) if waiting else every[later:]

    def _put(self, entry: Entry) -> None:
        if entry.id not in self._entries:
            self.count += 1
        self._entries[entry.id] = entry
        if len(self._entries) > MOST_ENTRIES:
            self._entries.popitem(last=False)


def _ordered(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda one: (one.at_ms, one.position), reverse=True)


def _waiting(entry: Entry, as_of_ms: int) -> Entry | None:
    """What was decided after a time, as it was by then; None where nobody had asked for it yet."""
    if entry.asked_ms is None or entry.asked_ms > as_of_ms:
        return None
    return replace(entry, decided_ms=None, outcome=WAITING, refused="")


def _asked(event: Event, position: Position) -> Entry:
    return _entry(event, position, type(event).__name__, asked_ms=event.time_ms, decided_ms=None, outcome=WAITING)


def _answer(event: Event, position: Position) -> Entry:
    if isinstance(event, CommandRejected):
        asked = event.command_type.rpartition(".")[2]
        return _entry(event, position, asked, outcome=REFUSED, refused=event.reason_rejected, decided_ms=event.at_ms)
    kind = type(event).__name__
    return _entry(event, position, ASKED_BY.get(kind, kind), decided_ms=event.time_ms)


def _done(event: Event, position: Position) -> Entry:
    return _entry(event, position, type(event).__name__, decided_ms=event.time_ms)


def _entry(
    event: Event,
    position: Position,
    kind: str,
    *,
    decided_ms: int | None,
    asked_ms: int | None = None,
    outcome: str = ACCEPTED,
    refused: str = "",
) -> Entry:
    version = getattr(event, "version", None)
    return Entry(
        id=getattr(event, "command_id", None) or str(position),
        type=kind,
        subject=_subject(event),
        version=version if isinstance(version, int) else None,
        actor=getattr(event, "actor", ""),
        reason=getattr(event, "reason", ""),
        asked_ms=asked_ms,
        decided_ms=decided_ms,
        outcome=outcome,
        refused=refused,
        position=position,
    )


def _subject(event: Event) -> str:
    if isinstance(event, DeadLetterReplayed):
        return str(Position(event.topic, event.partition, event.offset))
    return next((str(getattr(event, name)) for name in _SUBJECTS if getattr(event, name, "")), "")
