"""The feature catalog as its log says it is: read once, or followed by a thread of its own."""

import logging
import threading

from bighead.config import Settings
from bighead.errors import BigheadError, NotReady
from bighead.events.codec import Codec
from bighead.events.log import end_offsets, follow, read_log
from bighead.events.message import Message
from bighead.events.topics import FEATURES_EVENTS, topic_name
from bighead.features.catalog import Catalog, evolve
from bighead.features.served import ServedDefinitions, served_definitions

_log = logging.getLogger(__name__)


def read_catalog(settings: Settings, codec: Codec) -> Catalog:
    """The catalog as of now."""
    catalog = Catalog()
    for message in read_log(settings, topic_name(settings.topic_prefix, FEATURES_EVENTS)):
        catalog = _after(catalog, codec, message)
    return catalog


def read_served(settings: Settings) -> ServedDefinitions:
    """The definitions that are served as of now, with which training data is compared."""
    codec = Codec(settings.schema_registry)
    try:
        return served_definitions(read_catalog(settings, codec))
    finally:
        codec.close()


class CatalogFollower:
    """Keeps `catalog` current. Each change is a new value, so whoever holds one holds a consistent one."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self.catalog = Catalog()
        self._settings = settings
        self._codec = codec
        self._topic = topic_name(settings.topic_prefix, FEATURES_EVENTS)
        self._stopped = threading.Event()
        self._complete = threading.Event()
        self._thread = threading.Thread(target=self._run, name="catalog", daemon=True)

    def start(self, timeout_s: float = 30.0) -> None:
        """Returns when everything that was applied before the call is in the catalog; raises NotReady otherwise."""
        self._thread.start()
        if not self._complete.wait(timeout_s):
            raise NotReady(f"the feature catalog could not be read from {self._topic} within {timeout_s:g} s")

    def current(self) -> Catalog:
        """The catalog as of now."""
        return self.catalog

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._follow()
            except BigheadError as error:
                _log.warning("the feature catalog is read again from its beginning: %s", error)
                self._stopped.wait(1.0)

    def _follow(self) -> None:
        end = sum(end_offsets(self._settings, self._topic).values())
        catalog = Catalog()
        if end == 0:
            self._complete.set()
        for message in follow(self._settings, [self._topic], stop=self._stopped.is_set):
            catalog = _after(catalog, self._codec, message)
            if message.offset + 1 >= end:
                self.catalog = catalog
                self._complete.set()


def _after(catalog: Catalog, codec: Codec, message: Message) -> Catalog:
    try:
        return evolve(catalog, codec.decode(message.value))
    except BigheadError as error:
        _log.error("%s of the feature log is left out: %s", message.position, error)
        return catalog
