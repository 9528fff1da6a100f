"""Every model as of any time: its events with their positions, and the state that each left. Pure.

A time is answered by bisection, since times do not run backwards within a model, nor within what a server reports of
it; where a log has it otherwise, the events up to the time are folded again. Of the states only every so many are kept,
and none with the ids of the commands that were answered: between two of them the events are folded.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bighead.errors import UnknownModel
from bighead.events.message import Position
from bighead.events.types import ServerStopped
from bighead.registry.state import ModelState, RegistryEvent, evolve_unnoted
from bighead.registry.suggestions import did_you_mean
from bighead.registry.views import Change, ModelView, ServerStatus, ServingEvent, ViewedEvent, change, reported

E = TypeVar("E", bound=ViewedEvent)
STEP = 8
"""A model's state is kept after every so many events. Those of a model with very many versions are large."""


@dataclass(frozen=True, slots=True)
class Recorded(Generic[E]):
    """An event and where it lies."""

    event: E
    position: Position


@dataclass(slots=True)
class _Line(Generic[E]):
    """Events in the order of their log, and which of them are not newer than a time."""

    facts: list[Recorded[E]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    in_order: bool = True

    def add(self, fact: Recorded[E]) -> None:
        self.in_order = self.in_order and (not self.times or self.times[-1] <= fact.event.at_ms)
        self.facts.append(fact)
        self.times.append(fact.event.at_ms)

    def count(self, as_of_ms: int | None) -> int | None:
        """How many of the first ones are not newer; None where they are not the first ones."""
        if as_of_ms is None:
            return len(self.facts)
        return bisect_right(self.times, as_of_ms) if self.in_order else None

    def until(self, as_of_ms: int | None) -> Sequence[Recorded[E]]:
        count = self.count(as_of_ms)
        if count is not None:
            return self.facts[:count]
        return [fact for fact, at_ms in zip(self.facts, self.times, strict=True) if at_ms <= (as_of_ms or 0)]

    def last(self, as_of_ms: int | None) -> Recorded[E] | None:
        count = self.count(as_of_ms)
        if count is not None:
            return self.facts[count - 1] if count else None
        return next(reversed(self.until(as_of_ms)), None)


@dataclass(slots=True)
class _Server:
    """What one server reported of one model, and its status after each report; None: it was stopped."""

    line: _Line[ServingEvent] = field(default_factory=_Line)
    statuses: list[ServerStatus | None] = field(default_factory=list)

    def add(self, fact: Recorded[ServingEvent]) -> None:
        self.line.add(fact)
        self.statuses.append(reported(self.statuses[-1] if self.statuses else None, fact.event))

    def at(self, as_of_ms: int | None) -> tuple[ServerStatus | None, Position | None]:
        """The status as of a time, and the position of the last report by then."""
        count = self.line.count(as_of_ms)
        if count is not None:
            return (self.statuses[count - 1], self.line.facts[count - 1].position) if count else (None, None)
        status, position = None, None
        for fact in self.line.until(as_of_ms):
            status, position = reported(status, fact.event), fact.position
        return status, position


class Timeline:
    """One model: all that was asked of it and what servers reported, and its view as of any time."""

    def __init__(self, name: str, stops: Callable[[int | None], dict[str, int]] = lambda as_of_ms: {}) -> None:
        """stops: the next offset of each `topic/partition` after the servers' stops by a time, of any server."""
        self.name = name
        self._stops = stops
        self._line = _Line[RegistryEvent]()
        self._newest = ModelState(name)
        self._kept = [self._newest]
        self._history: list[Change] = []
        self._servers: dict[str, _Server] = {}
        self._viewed: tuple[dict[str, int], ModelView] | None = None

    def until(self, as_of_ms: int | None = None) -> tuple[Recorded[RegistryEvent], ...]:
        """All that was asked of the model until then (inclusive), the oldest first."""
        return tuple(self._line.until(as_of_ms))

    @property
    def reports(self) -> tuple[Recorded[ServingEvent], ...]:
        """All that servers reported of the model, by time."""
        facts = (fact for server in self._servers.values() for fact in server.line.facts)
        return tuple(sorted(facts, key=lambda fact: (fact.event.at_ms, fact.position)))

    def apply(self, event: RegistryEvent, position: Position) -> None:
        """Adds an event of the model; the caller leaves out duplicates."""
        self._newest = evolve_unnoted(self._newest, event)
        self._history.append(change(event, self._newest, position))
        self._line.add(Recorded(event, position))
        if len(self._history) % STEP == 0:
            self._kept.append(self._newest)
        self._viewed = None

    def report(self, server: str, event: ServingEvent, position: Position) -> None:
        """Adds what a server reported; that it stopped counts where it had reported something."""
        if server not in self._servers:
            if isinstance(event, ServerStopped):
                return
            self._servers[server] = _Server()
        self._servers[server].add(Recorded(event, position))
        self._viewed = None

    def at(self, as_of_ms: int | None = None) -> ModelView:
        """The view of what happened until then (inclusive; milliseconds since the epoch, UTC), or of everything."""
        return self._view(as_of_ms, self._stops(as_of_ms))

    def _view(self, as_of_ms: int | None, stops: dict[str, int]) -> ModelView:
        if as_of_ms is not None:
            return self._viewed_at(as_of_ms, stops)
        # Kept until something comes: lists ask for every model, and pages that are open ask again and again.
        if self._viewed is None or self._viewed[0] is not stops:
            self._viewed = stops, self._viewed_at(None, stops)
        return self._viewed[1]

    def _viewed_at(self, as_of_ms: int | None, stops: dict[str, int]) -> ModelView:
        state, history = self._asked(as_of_ms)
        servers, positions = {}, dict(stops)
        if (last := self._line.last(as_of_ms)) is not None:
            positions[_partition(last.position)] = last.position.offset + 1
        for name, server in self._servers.items():
            status, position = server.at(as_of_ms)
            if position is not None:
                partition = _partition(position)
                positions[partition] = max(positions.get(partition, 0), position.offset + 1)
            if status is not None:
                servers[name] = status
        return ModelView(state, history, servers, positions)

    def _asked(self, as_of_ms: int | None) -> tuple[ModelState, tuple[Change, ...]]:
        count = self._line.count(as_of_ms)
        if count is None:
            return self._folded(as_of_ms)
        if count == len(self._history):
            return self._newest, tuple(self._history)
        state = self._kept[count // STEP]
        for fact in self._line.facts[count // STEP * STEP : count]:
            state = evolve_unnoted(state, fact.event)
        return state, tuple(self._history[:count])

    def _folded(self, as_of_ms: int | None) -> tuple[ModelState, tuple[Change, ...]]:
        state, history = ModelState(self.name), []
        for fact in self._line.until(as_of_ms):
            state = evolve_unnoted(state, fact.event)
            history.append(change(fact.event, state, fact.position))
        return state, tuple(history)


class Timelines:
    """All models. Each partition is handed in in the order of its offsets; what comes twice changes nothing."""

    def __init__(self) -> None:
        self._models: dict[str, Timeline] = {}
        self._next: dict[str, int] = {}
        self._stopped: list[Recorded[ServerStopped]] = []
        self._newest_stops: dict[str, int] = {}

    @property
    def positions(self) -> dict[str, int]:
        """The next offset of each `topic/partition` that was read."""
        return dict(self._next)

    def apply(self, event: ViewedEvent, position: Position) -> None:
        """Adds an event."""
        partition = _partition(position)
        if position.offset < self._next.get(partition, 0):
            return
        self._next[partition] = position.offset + 1
        if isinstance(event, ServerStopped):
            self._stopped.append(Recorded(event, position))
            self._newest_stops = {**self._newest_stops, partition: position.offset + 1}
            for timeline in self._models.values():
                timeline.report(event.server, event, position)
        elif isinstance(event, ServingEvent):
            self._timeline(event.model).report(event.server, event, position)
        else:
            self._timeline(event.model).apply(event, position)

    def models(self, as_of_ms: int | None = None) -> dict[str, ModelView]:
        """The models that had a version by then, by name."""
        stops = self._stops(as_of_ms)
        views = ((name, self._models[name]._view(as_of_ms, stops)) for name in sorted(self._models))
        return {name: view for name, view in views if view.state.versions}

    def model(self, name: str, as_of_ms: int | None = None) -> ModelView:
        """One model as of a time; raises UnknownModel where it had no version by then."""
        view = self._models[name].at(as_of_ms) if name in self._models else None
        if view is None or not view.state.versions:
            when = "" if as_of_ms is None else " by then"
            near = did_you_mean(name, self.models(as_of_ms))
            raise UnknownModel(f"no model is named {name!r}{when}{near}; `bighead models ls` lists them")
        return view

    def timeline(self, name: str) -> Timeline:
        """All of one model; raises UnknownModel where it never had a version."""
        self.model(name)
        return self._models[name]

    def asked(self, name: str) -> tuple[Recorded[RegistryEvent], ...]:
        """All that was asked of whatever has the name, also where no version of it came to be."""
        return self._models[name].until(None) if name in self._models else ()

    def __iter__(self) -> Iterator[Timeline]:
        return iter(list(self._models.values()))

    def _timeline(self, name: str) -> Timeline:
        if name not in self._models:
            self._models[name] = Timeline(name, self._stops)
        return self._models[name]

    def _stops(self, as_of_ms: int | None) -> dict[str, int]:
        if as_of_ms is None:
            return self._newest_stops
        ends: dict[str, int] = {}
        for fact in self._stopped:
            if fact.event.at_ms <= as_of_ms:
                partition = _partition(fact.position)
                ends[partition] = max(ends.get(partition, 0), fact.position.offset + 1)
        return ends


def _partition(position: Position) -> str:
    return f"{position.topic}/{position.partition}"
