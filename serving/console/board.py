"""The newest probes of the platform's parts, for everybody who looks."""

import asyncio
import time
from collections.abc import Callable, Sequence

from bighead.health import Health

_HEALTH_AGE_S = 3.0
Probe = Callable[[], Sequence[Health]]


class HealthBoard:
    """The newest probes. Asked for often, it probes once in a while and only while somebody looks."""

    def __init__(self, probe: Probe, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._probe = probe
        self._clock_s = clock_s
        self._probing = asyncio.Lock()
        self._newest: Sequence[Health] = ()
        self._at_s: float | None = None

    async def newest(self) -> Sequence[Health]:
        """Probes that are at most some seconds old."""
        async with self._probing:
            if self._at_s is None or self._clock_s() - self._at_s > _HEALTH_AGE_S:
                self._newest = await asyncio.to_thread(self._probe)
                self._at_s = self._clock_s()
            return self._newest
