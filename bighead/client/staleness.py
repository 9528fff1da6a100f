"""Which source topics the online store is behind of, followed by a thread beside the requests.

A topic is behind when the store does not reflect an event for longer than `STALE_AFTER_S`, by the marks that the
stream leaves in it. Knows Kafka's end offsets and the marks; the features of such a topic are STALE.
"""

import logging
import threading
from collections.abc import Callable
from time import monotonic

import redis

from bighead.client.visibility import Visibility
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.log import end_offsets, read_log
from bighead.features.catalog import Catalog

_log = logging.getLogger(__name__)
STALE_AFTER_S = 10.0
"""Longer than a stream engine takes between two of its checkpoints, after which what it did becomes visible."""
_EVERY_S = 5.0


class StalenessFollower:
    """`topics` are behind as of now. Where Kafka or the store does not answer, it stays as it was last known."""

    def __init__(
        self,
        settings: Settings,
        catalog: Callable[[], Catalog],
        *,
        stale_after_s: float = STALE_AFTER_S,
        every_s: float = _EVERY_S,
    ) -> None:
        self.topics: frozenset[str] = frozenset()
        self._catalog = catalog
        self._stale_after_s = stale_after_s
        self._every_s = every_s
        self._visibility = Visibility(settings)
        self._settings = settings
        self._due: dict[str, tuple[float, dict[int, int]]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="staleness", daemon=True)

    def start(self) -> None:
        """Starts to follow."""
        self._thread.start()

    def current(self) -> frozenset[str]:
        """The topics that are behind as of now."""
        return self.topics

    def stop(self) -> None:
        """Ends the thread and the connections."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self._visibility.close()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            catalog = self._catalog()
            topics = {catalog.group(name).group.definition.source.topic for name in catalog.active}
            try:
                behind = frozenset(topic for topic in topics if self._is_behind(topic))
            except (PlatformError, redis.RedisError) as error:
                _log.warning("whether the stream is behind is not known: %s", error)
                continue
            if behind != self.topics:
                _log.warning("the stream is behind of: %s", ", ".join(sorted(behind)) or "nothing any more")
            self.topics = behind

    def _is_behind(self, topic: str) -> bool:
        """Whether what the topic held some time ago is not visible yet."""
        now_s = monotonic()
        seen_s, wanted = self._due.get(topic, (now_s, {}))
        reached = self._visibility.reached(topic, wanted)
        if all(reached[partition] >= offset for partition, offset in wanted.items()):
            self._due[topic] = (now_s, end_offsets(self._settings, topic))
            return False
        if now_s - seen_s < self._stale_after_s:
            return topic in self.topics
        # A transaction leaves offsets without events, which no mark ever passes.
        if any(
            message.offset < wanted[message.partition] for message in read_log(self._settings, topic, start=reached)
        ):
            return True
        del self._due[topic]
        return False
