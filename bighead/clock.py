"""The one place that asks the machine for the time; everything else is given a clock."""

import time


class Clock:
    """Milliseconds since the epoch, UTC. Where the machine's clock is set back, it stands still until that catches up:
    what was believed yesterday is not in the future today."""

    def __init__(self) -> None:
        self._newest_ms = 0

    def __call__(self) -> int:
        """Now."""
        self._newest_ms = max(self._newest_ms, time.time_ns() // 1_000_000)
        return self._newest_ms


wall_clock_ms = Clock()
