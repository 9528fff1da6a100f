"""What a part of a program takes: time, CPU and memory, of this process and of those below it. Knows psutil."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_SAMPLE_S = 0.25
"""How often the memory is looked at: what is held for less is missed."""
_MB = 1 << 20


class Meter:
    """What was taken so far; of what happened beside it in the same processes as well."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._began_s = time.monotonic()
        self._began_cpu_s, self._peak = self._look()

    def look(self) -> None:
        """Takes a sample of the memory."""
        self._peak = max(self._peak, self._look()[1])

    def taken(self) -> dict[str, float]:
        """wall_s, cpu_s (of all cores together) and peak_mb, the most resident memory that was seen at a time."""
        cpu_s, memory = self._look()
        return {
            "wall_s": round(time.monotonic() - self._began_s, 3),
            "cpu_s": round(max(0.0, cpu_s - self._began_cpu_s), 3),
            "peak_mb": round(max(self._peak, memory) / _MB, 1),
        }

    def _look(self) -> tuple[float, int]:
        """CPU seconds so far, and bytes now. What a child took is its parent's once it has ended."""
        own = self._process.cpu_times()
        cpu_s, memory = own.user + own.system + own.children_user + own.children_system, self._process.memory_info().rss
        for child in self._process.children(recursive=True):
            try:
                times = child.cpu_times()
                cpu_s += times.user + times.system + times.children_user + times.children_system
                memory += child.memory_info().rss
            except psutil.Error:  # it has ended meanwhile
                continue
        return cpu_s, memory


@contextmanager
def metered() -> Iterator[Meter]:
    """A meter whose memory is looked at until the end of the block."""
    meter, over = Meter(), threading.Event()

    def watch() -> None:
        while not over.wait(_SAMPLE_S):
            meter.look()

    watching = threading.Thread(target=watch, name="bighead-meter", daemon=True)
    watching.start()
    try:
        yield meter
    finally:
        over.set()
        watching.join()
