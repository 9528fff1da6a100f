"""What the console knows of models and dead letters, folded from the log by a thread of its own.

Nothing is stored: a console that starts reads the log again.
"""

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from bighead.config import Settings
from bighead.errors import BigheadError, UndecodableEvent
from bighead.events.codec import Codec
from bighead.events.log import follow
from bighead.events.message import Message
from bighead.events.topics import DEAD_LETTERS, MODELS_EVENTS, SERVING_EVENTS, topic_name
from bighead.events.types import DeadLetter, DeadLetterReplayed, ServerStopped
from bighead.registry import ModelState
from bighead.registry.views import VIEWED_EVENTS, ModelView, project

_log = logging.getLogger(__name__)
_TOPICS = (MODELS_EVENTS, SERVING_EVENTS, DEAD_LETTERS)
_RETRY_S = 2.0

LetterId = tuple[str, int, int, str]


@dataclass(frozen=True, slots=True)
class DeadLetterCount:
    """Dead letters of one stage; `waiting` were not sent back yet."""

    stage: str
    total: int
    waiting: int


@dataclass(slots=True)
class LogState:
    """Models by name and dead letters by stage. Applying a message twice changes nothing."""

    models: dict[str, ModelView] = field(default_factory=dict)
    _letters: set[LetterId] = field(default_factory=set)
    _replayed: set[LetterId] = field(default_factory=set)

    def apply(self, message: Message, codec: Codec) -> None:
        """Folds a message in; raises UndecodableEvent."""
        match codec.decode(message.value):
            case DeadLetter() as letter:
                self._letters.add((letter.topic, letter.partition, letter.offset, letter.stage))
            case DeadLetterReplayed() as letter:
                self._replayed.add((letter.topic, letter.partition, letter.offset, letter.stage))
            case event if isinstance(event, VIEWED_EVENTS):
                concerned = list(self.models) if isinstance(event, ServerStopped) else [event.model]
                views = {name: self.models.get(name, ModelView(ModelState(name))) for name in concerned}
                changed = {name: project(view, event, message.position) for name, view in views.items()}
                # A new dict for each change: a page that is being written keeps the one it began with.
                self.models = {**self.models, **changed}

    @property
    def dead_letters(self) -> list[DeadLetterCount]:
        """Counts by stage, in the order of their names."""
        letters, replayed = self._letters.copy(), self._replayed.copy()
        totals = Counter(stage for *_, stage in letters)
        done = Counter(stage for *_, stage in letters & replayed)
        return [DeadLetterCount(stage, total, total - done[stage]) for stage, total in sorted(totals.items())]

    @property
    def known_models(self) -> Mapping[str, ModelView]:
        """Models that have a version, by name."""
        return {name: view for name, view in sorted(self.models.items()) if view.state.versions}


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
        messages = follow(self._settings, self._topics, stop=self._stopped.is_set)
        self.state, self.problem = LogState(), None
        for message in messages:
            try:
                self.state.apply(message, self._codec)
            except UndecodableEvent as error:
                _log.warning("%s is not shown: %s", message.position, error)
