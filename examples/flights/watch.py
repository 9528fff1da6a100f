"""Follows what the platform says while the replay runs: the live metrics, as events."""

import threading
from types import TracebackType
from typing import Self

from bighead.config import Settings
from bighead.errors import BigheadError, NotReady
from bighead.events.codec import Codec
from bighead.events.log import follow
from bighead.events.topics import MONITORING, topic_name
from bighead.events.types import MetricComputed

ALL_VERSIONS = 0


class MetricsWatch:
    """The newest value of each metric of a model, by version (0: all) and name; a thread of its own."""

    def __init__(self, settings: Settings, model: str) -> None:
        self.newest: dict[tuple[int, str], MetricComputed] = {}
        self.events = 0
        self._settings = settings
        self._model = model
        self._topic = topic_name(settings.topic_prefix, MONITORING)
        self._codec = Codec(settings.schema_registry)
        self._stopped = False
        self._moved = threading.Condition()
        self._failure: BigheadError | None = None
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        self._thread.join()
        self._codec.close()

    def text(self) -> str:
        """The newest live figures of all versions, for a progress line."""
        found = {name: event for (version, name), event in list(self.newest.items()) if version == ALL_VERSIONS}
        if "auc" not in found:
            return "live AUC: no outcomes yet"
        return f"live AUC {found['auc'].value:.4f}, {found['auc'].coverage:.0%} of predictions have an outcome"

    def wait(self, version: int, predictions: int, outcomes: int, timeout_s: float) -> MetricComputed:
        """The AUC of a version over so many predictions and outcomes; raises NotReady after the time."""

        def seen() -> MetricComputed | None:
            found = self.newest.get((version, "auc"))
            complete = found is not None and (found.predictions, found.count) == (predictions, outcomes)
            return found if complete else None

        with self._moved:
            self._moved.wait_for(lambda: seen() is not None or self._failure is not None, timeout_s)
            found = seen()
        if found is None:
            newest = self.newest.get((version, "auc"))
            counted = f"{newest.predictions} predictions and {newest.count} outcomes" if newest else "nothing"
            raise NotReady(
                f"the live AUC of version {version} covers {counted}; expected {predictions} and {outcomes}"
                f"{f' ({self._failure})' if self._failure else ''}"
            )
        return found

    def _run(self) -> None:
        try:
            for message in follow(self._settings, [self._topic], stop=lambda: self._stopped):
                event = self._codec.decode(message.value)
                if isinstance(event, MetricComputed) and event.model == self._model:
                    with self._moved:
                        self.events += 1
                        self.newest[event.version, event.metric] = event
                        self._moved.notify_all()
        except BigheadError as error:  # said by whoever waits
            with self._moved:
                self._failure = error
                self._moved.notify_all()
