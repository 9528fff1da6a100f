"""Tells the online store every second that this worker lives and how its services are; see `bighead.health`."""

import os
from collections.abc import Callable, Mapping

import redis.asyncio as redis
from mode import Service

from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.health import HEARTBEAT_KEY, HEARTBEAT_TTL_S, heartbeat

BEAT_S = 1.0


class HeartbeatService(Service):
    """`states` gives each service's state, `running` or what is wrong; `key` is where it is told."""

    def __init__(self, settings: Settings, states: Callable[[], Mapping[str, str]], key: str = HEARTBEAT_KEY) -> None:
        super().__init__()
        self._store = redis.Redis.from_url(settings.redis, socket_timeout=BEAT_S, socket_connect_timeout=BEAT_S)
        self._states = states
        self._key = key

    @Service.task
    async def _beat(self) -> None:
        while not self.should_stop:
            try:
                await self._store.set(
                    self._key, heartbeat(os.getpid(), wall_clock_ms(), self._states()), ex=HEARTBEAT_TTL_S
                )
            except redis.RedisError as error:
                self.log.warning("no heartbeat: the online store does not answer (%s)", error)
            await self.sleep(BEAT_S)

    async def on_shutdown(self) -> None:
        """Disconnects."""
        await self._store.aclose()
