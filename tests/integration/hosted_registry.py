"""The registry's writer in a thread of the test, over the real log."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.testing import eventually
from streams.registry import RegistryWriter, WriterState


class Hosted:
    """A writer in a thread of this process, and what it raised."""

    def __init__(self, settings: Settings) -> None:
        self.writer = RegistryWriter(settings)
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.writer.run(self._stop)
        except PlatformError as error:
            self.error = error

    def ready(self) -> "Hosted":
        eventually(lambda: self.writer.state is WriterState.DECIDING, 30)
        return self

    def ended(self) -> bool:
        return not self._thread.is_alive()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def hosted(settings: Settings) -> Iterator[Hosted]:
    running = Hosted(settings)
    try:
        yield running.ready()
    finally:
        running.stop()
