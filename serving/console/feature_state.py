"""What the console knows of features: the catalog now and as of any time, each change of it, and daily statistics.

Knows no Kafka: it is told of events in the order of their log.
"""

import logging
from bisect import bisect_right
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from bighead.errors import BigheadError
from bighead.events.base import Event
from bighead.events.types import (
    BackfillCompleted,
    FeatureStatisticsComputed,
    GroupByActivated,
    GroupByApplied,
    GroupRetired,
    JoinApplied,
    JoinRetired,
    KeyForgotten,
    TrainingSetCreated,
)
from bighead.features.catalog import Catalog, evolve

_log = logging.getLogger(__name__)
STEP = 32
"""A catalog is kept after every so many changes: as of a time, at most so many are applied to the one before it."""
MOST_CHANGES = 500
"""How many of a group's or Join's changes are listed, the newest."""
MOST_SERIES = 20_000
MOST_DAYS = 8
"""Of how many features, and of how many days of each, statistics are kept, the newest."""
_CATALOG_EVENTS = (GroupByApplied, GroupByActivated, BackfillCompleted, JoinApplied, GroupRetired, JoinRetired)


@dataclass(frozen=True, slots=True)
class FeatureChange:
    """One line of the history of a group or Join. actor and reason are empty where a batch run speaks."""

    at_ms: int
    kind: str
    name: str
    what: str
    epoch: int | None
    actor: str
    reason: str
    detail: str


@dataclass
class _History:
    newest: deque[FeatureChange] = field(default_factory=lambda: deque(maxlen=MOST_CHANGES))
    count: int = 0


class FeatureState:
    """Folds the events of features, and of monitoring their statistics.

    All events that change the catalog are kept, about half a kilobyte each; everything else is bounded.
    """

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.forgotten: Counter[str] = Counter()
        self._events: list[Event] = []
        self._until_ms: list[int] = []  # the newest time among the first events: it never falls
        self._kept: list[Catalog] = [self.catalog]
        self._histories: dict[str, _History] = {}
        self._statistics: OrderedDict[tuple[str, str, str], dict[int, FeatureStatisticsComputed]] = OrderedDict()

    def apply(self, event: Event) -> None:
        """Folds one event in; events of other things change nothing."""
        if isinstance(event, FeatureStatisticsComputed):
            self._count(event)
            return
        change = change_of(event)
        if change is None:
            return
        history = self._histories.setdefault(change.name, _History())
        history.newest.append(change)
        history.count += 1
        if isinstance(event, KeyForgotten):
            self.forgotten[event.group] += 1
        if isinstance(event, _CATALOG_EVENTS):
            self._evolve(event)

    def at(self, as_of_ms: int | None) -> Catalog:
        """The catalog as of a time, inclusive: what the events that had happened by then make of it. None: now."""
        count = len(self._until_ms)
        if as_of_ms is None or count == 0:
            return self.catalog
        step = bisect_right(self._until_ms, as_of_ms, 0, count) // STEP
        catalog = self._kept[step]
        for event in islice(self._events, step * STEP, count):
            # Clocks differ: an event may lie behind one that happened later.
            if event.time_ms <= as_of_ms:
                catalog = _after(catalog, event)
        return catalog

    def changes(self, name: str, as_of_ms: int | None) -> tuple[tuple[FeatureChange, ...], int]:
        """What happened to a group or Join up to a time, the newest first, and how many older ones are not kept."""
        history = self._histories.get(name)
        if history is None:
            return (), 0
        rows, dropped = list(history.newest), history.count - len(history.newest)
        known = [row for row in reversed(rows) if as_of_ms is None or row.at_ms <= as_of_ms]
        return tuple(sorted(known, key=lambda row: row.at_ms, reverse=True)), max(0, dropped)

    def statistics(self, owner: str, as_of_ms: int | None) -> list[FeatureStatisticsComputed]:
        """The newest statistics of each feature of a group or Join that were known at a time, by name and origin."""
        found = []
        for (name, _, _), days in list(self._statistics.items()):
            if name != owner:
                continue
            known = [one for one in list(days.values()) if as_of_ms is None or one.at_ms <= as_of_ms]
            if known:
                found.append(max(known, key=lambda one: (one.to_ms, one.at_ms)))
        return sorted(found, key=lambda one: (one.feature, one.origin))

    def _evolve(self, event: Event) -> None:
        self.catalog = _after(self.catalog, event)
        self._events.append(event)
        if len(self._events) % STEP == 0:
            self._kept.append(self.catalog)
        # Last: whoever reads meanwhile counts by it.
        self._until_ms.append(max(event.time_ms, self._until_ms[-1] if self._until_ms else event.time_ms))

    def _count(self, event: FeatureStatisticsComputed) -> None:
        series = (event.join or event.group, event.feature, event.origin)
        days = self._statistics.pop(series, {})
        known = days.get(event.from_ms)
        if known is None or known.at_ms <= event.at_ms:
            days = {**days, event.from_ms: event}
        self._statistics[series] = {day: days[day] for day in sorted(days)[-MOST_DAYS:]}
        if len(self._statistics) > MOST_SERIES:
            self._statistics.popitem(last=False)


def change_of(event: Event) -> FeatureChange | None:
    """A line of history; None for an event that is about no group or Join."""
    match event:
        case GroupByApplied():
            detail = f"on {event.engine}"
            return _of_group(event, "applied", event.epoch, event.actor, event.reason, detail)
        case GroupByActivated():
            before = "" if event.previous_epoch is None else f"before it: epoch {event.previous_epoch}"
            return _of_group(event, "activated", event.epoch, event.actor, event.reason, before)
        case BackfillCompleted():
            detail = f"{event.tiles:,} tiles of {event.events:,} events, {event.table} version {event.table_version}"
            return _of_group(event, "backfilled", event.epoch, "", "", detail)
        case KeyForgotten():
            return _of_group(event, "key forgotten", None, event.actor, event.reason, f"{event.tiles:,} tiles")
        case GroupRetired():
            return _of_group(event, "retired", None, event.actor, event.reason, "")
        case JoinApplied():
            groups = ", ".join(f"{name} epoch {epoch}" for name, epoch in sorted(event.groups.items()))
            return FeatureChange(
                event.at_ms, "join", event.join, "applied", event.epoch, event.actor, event.reason, groups
            )
        case JoinRetired():
            return FeatureChange(event.at_ms, "join", event.join, "retired", None, event.actor, event.reason, "")
        case TrainingSetCreated():
            detail = f"{event.table} version {event.table_version}, {event.rows:,} rows"
            return FeatureChange(event.at_ms, "join", event.join, "training set", None, event.actor, "", detail)
        case _:
            return None


def _of_group(
    event: GroupByApplied | GroupByActivated | BackfillCompleted | KeyForgotten | GroupRetired,
    what: str,
    epoch: int | None,
    actor: str,
    reason: str,
    detail: str,
) -> FeatureChange:
    return FeatureChange(event.at_ms, "group", event.group, what, epoch, actor, reason, detail)


def _after(catalog: Catalog, event: Event) -> Catalog:
    try:
        return evolve(catalog, event)
    except BigheadError as error:
        _log.error("an event of the feature log is left out: %s", error)
        return catalog


def epochs_at(changes: Iterable[FeatureChange]) -> Mapping[int, FeatureChange]:
    """By epoch the change that made it known."""
    return {one.epoch: one for one in changes if one.what == "applied" and one.epoch is not None}
