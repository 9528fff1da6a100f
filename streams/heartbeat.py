"""Tells the online store every second that this worker lives and how its services are; see `bighead.health`."""

import os
from collections.abc import Callable, Mapping

from mode import Service

from bighead.client.store import pipeline_of
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import DeadlineExceeded, StoreError
from bighead.health import HEARTBEAT_KEY, HEARTBEAT_TTL_S, heartbeat

BEAT_S = 1.0


class HeartbeatService(Service):
    """`states` gives each service's state, `running` or what is wrong; `key` is where it is told."""

    def __init__(self, settings: Settings, states: Callable[[], Mapping[str, str]], key: str = HEARTBEAT_KEY) -> None:
        super().__init__()
        self._store = pipeline_of(settings.redis)
        self._states = states
        self._key = key

    @Service.task
    async def _beat(self) -> None:
        while not self.should_stop:
            try:
                beat = heartbeat(os.getpid(), wall_clock_ms(), self._states())
                await self._store.execute([("SET", self._key, beat, "EX", HEARTBEAT_TTL_S)], BEAT_S)
            except (StoreError, DeadlineExceeded) as error:
                self.log.warning("no heartbeat: %s", error)
            await self.sleep(BEAT_S)

    async def on_shutdown(self) -> None:
        """Disconnects."""
        await self._store.close()
