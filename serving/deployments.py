"""Follows the registry's events and keeps the model host at what they say.

Runs in a thread of its own: loading a model never stops the event loop.
"""

import logging
import threading
from collections.abc import Callable

from bighead.config import Settings
from bighead.errors import BigheadError
from bighead.events.base import Event
from bighead.events.guard import Guard
from bighead.events.log import follow, read_log
from bighead.events.message import Message
from bighead.events.topics import MODELS_EVENTS, topic_name
from bighead.registry.deployments import Deployments
from bighead.registry.state import RegistryEvent
from serving.host import ModelHost

_log = logging.getLogger(__name__)
_RETRY_S = 1.0


class DeploymentFollower:
    """Ready once the log was read to its end and every live version was loaded or refused."""

    def __init__(self, settings: Settings, guard: Guard, host: ModelHost, on_ready: Callable[[], None]) -> None:
        self._settings = settings
        self._topic = topic_name(settings.topic_prefix, MODELS_EVENTS)
        self._guard = guard
        self._host = host
        self._on_ready = on_ready
        self._ready = False
        self._deployments = Deployments(self._settings.environment)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="deployments", daemon=True)

    def start(self) -> None:
        """Starts to read; `on_ready` is called from the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread; a load that takes longer is left to end with the process."""
        self._stopped.set()
        if self._thread.is_alive():  # it may be stopped while it starts
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._follow()
            except BigheadError as error:
                _log.warning("%s is read again from its beginning: %s", self._topic, error)
            except Exception:  # noqa: BLE001 - a dead thread would leave this server behind the log, unseen
                _log.exception("%s is read again from its beginning", self._topic)
            self._stopped.wait(_RETRY_S)

    def _follow(self) -> None:
        """Folds what there is and acts on its outcome alone; from then on acts on each event."""
        self._deployments = Deployments(self._settings.environment)
        seen: dict[int, int] = {}
        for message in read_log(self._settings, self._topic):
            self._apply(message)
            seen[message.partition] = message.offset
        self._converge_all()
        for message in follow(self._settings, [self._topic], stop=self._stopped.is_set):
            if message.offset > seen.get(message.partition, -1):
                model = self._apply(message)
                if model is not None:
                    self._host.converge(model, self._deployments.of(model))

    def _apply(self, message: Message) -> str | None:
        """Folds one message in; the name of its model, or None where the message was none for us."""
        return self._guard.run(message, self._fold)

    def _fold(self, event: Event, message: Message) -> str:
        if not isinstance(event, RegistryEvent):
            raise TypeError(f"{event.FULL_NAME} at {message.position} is no event of the registry")
        self._deployments = self._deployments.apply(event)
        return event.model

    def _converge_all(self) -> None:
        wanted = self._deployments.all()
        for model in self._host.models:
            if model not in wanted:
                self._host.converge(model, None)
        for model, deployment in wanted.items():
            self._host.converge(model, deployment, live_only=True)
        if not self._ready:
            self._ready = True
            self._host.declare_ready()
            self._on_ready()
        for model, deployment in wanted.items():
            self._host.converge(model, deployment)
