"""What the console knows of models, features, runs, monitoring, dead letters and commands, folded from the log by a
thread of its own.

Nothing is stored but a copy of what the registry wrote, so that a start is short; it counts while it is what the log
says.
"""

import logging
import threading
from collections.abc import Callable

from bighead.client.registry_log import RegistryLog, many_objects
from bighead.client.run_state import RunState
from bighead.config import Settings
from bighead.errors import BigheadError, UndecodableEvent
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.log import follow
from bighead.events.message import Message, Position
from bighead.events.topics import (
    DEAD_LETTERS,
    EXPERIMENTS,
    FEATURES_EVENTS,
    MODELS_COMMANDS,
    MODELS_EVENTS,
    MONITORING,
    RUNS,
    SERVING_EVENTS,
    topic_name,
)
from bighead.registry import REGISTRY_EVENTS, RegistryEvent
from bighead.registry.timeline import Recorded, Timelines
from bighead.registry.views import VIEWED_EVENTS, ModelView, ServingEvent
from serving.console.audit_state import AuditState
from serving.console.event_rate import EventRate
from serving.console.feature_state import FeatureState
from serving.console.letter_state import DeadLetterCount, LetterState
from serving.console.monitoring_state import MonitoringState

_log = logging.getLogger(__name__)
_TOPICS = (
    MODELS_EVENTS,
    SERVING_EVENTS,
    DEAD_LETTERS,
    FEATURES_EVENTS,
    MODELS_COMMANDS,
    MONITORING,
    RUNS,
    EXPERIMENTS,
)
_RETRY_S = 2.0
_KEPT = "console-registry.events"


class LogState:
    """What was read of the log, each part as of any time. Applying a message twice changes nothing.

    A thread writes and others read; what a reader was given does not change any more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timelines = Timelines()
        self.features = FeatureState()
        self.runs = RunState()
        self.monitoring = MonitoringState()
        self.letters = LetterState()
        self.audit = AuditState()
        self.rate = EventRate()
        self.first_ms: int | None = None
        """When the first thing happened that it knows of, milliseconds since the epoch, UTC; None: nothing did."""
        self._next: dict[tuple[str, int], int] = {}
        self._folds: tuple[Callable[[Event, Position], None], ...] = (
            lambda event, _: self.features.apply(event),
            lambda event, _: self.runs.apply(event),
            lambda event, _: self.monitoring.apply(event),
            self.letters.apply,
            self.audit.apply,
        )

    def apply(self, message: Message, codec: Codec) -> None:
        """Folds a message in; raises UndecodableEvent."""
        self.take(codec.decode(message.value), message.position)

    def take(self, event: Event, position: Position) -> None:
        """Folds an event in. A part that cannot says so: one event that nobody should have written hides no other."""
        with self._lock:
            place = (position.topic, position.partition)
            if position.offset < self._next.get(place, 0):
                return
            self._next[place] = position.offset + 1
            self.first_ms = event.time_ms if self.first_ms is None else min(self.first_ms, event.time_ms)
            self.rate.apply(event.time_ms)
            if isinstance(event, VIEWED_EVENTS):
                self._timelines.apply(event, position)
            for fold in self._folds:
                try:
                    fold(event, position)
                except Exception as error:  # noqa: BLE001 - read anew it would fail again, for ever
                    _log.warning("%s, a %s, is not shown: %r", position, event.FULL_NAME, error)

    def models(self, as_of_ms: int | None = None) -> dict[str, ModelView]:
        """The models that had a version by then (inclusive; milliseconds since the epoch, UTC), or have one now."""
        with self._lock:
            return self._timelines.models(as_of_ms)

    def model(self, name: str, as_of_ms: int | None = None) -> ModelView:
        """One model as of a time, or now; raises UnknownModel where it had no version by then."""
        with self._lock:
            return self._timelines.model(name, as_of_ms)

    def events_of(self, name: str, as_of_ms: int | None = None) -> tuple[Recorded[RegistryEvent], ...]:
        """All that was asked of a model until then, with positions, the oldest first; raises UnknownModel."""
        with self._lock:
            return self._timelines.timeline(name).until(as_of_ms)

    def asked_of(self, name: str) -> tuple[Recorded[RegistryEvent], ...]:
        """The same of a name that may have no model: what it was refused."""
        with self._lock:
            return self._timelines.asked(name)

    def reports_of(self, name: str) -> tuple[Recorded[ServingEvent], ...]:
        """All that servers reported of a model with positions, by time; raises UnknownModel."""
        with self._lock:
            return self._timelines.timeline(name).reports

    @property
    def dead_letters(self) -> list[DeadLetterCount]:
        """Counts by stage, in the order of their names."""
        return self.letters.counts()


class LogFollower:
    """Keeps `state` current; `problem` says why it cannot, or is None."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self.state = LogState()
        self.problem: str | None = "the log was not read yet"
        self._settings = settings
        self._codec = codec
        self._topics = [topic_name(settings.topic_prefix, name) for name in _TOPICS]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="console-log", daemon=True)

    def start(self) -> None:
        """Starts to read."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread."""
        self._stopped.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._follow()
            except BigheadError as error:
                self.problem = str(error)
                _log.warning("the log is read again from its beginning: %s", error)
            except Exception as error:  # noqa: BLE001 - a dead thread would show an old page for ever
                self.problem = f"{type(error).__name__}: {error}"
                _log.exception("the log is read again from its beginning")
            self._stopped.wait(_RETRY_S)

    def _follow(self) -> None:
        state, log = LogState(), RegistryLog(self._settings, self._settings.state / _KEPT, self._event)
        with many_objects():
            for event, position in log.read():
                state.take(event, position)
        messages = follow(self._settings, self._topics, start=log.positions, stop=self._stopped.is_set)
        self.state, self.problem = state, None
        for message in messages:
            followed = self._event(message)
            if followed is not None:
                state.take(followed, message.position)
            if isinstance(followed, REGISTRY_EVENTS):
                log.add(followed, message.position)

    def _event(self, message: Message) -> Event | None:
        try:
            return self._codec.decode(message.value)
        except UndecodableEvent as error:
            _log.warning("%s is not shown: %s", message.position, error)
            return None
