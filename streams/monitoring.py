"""Joins predictions with outcomes as they come, and publishes what the models are worth; see `streams.metrics`.

Keeps nothing: it reads both logs from the beginning, so what it says follows from them; saying it twice is harmless.
"""

import asyncio

from mode import Service

from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.codec import Codec
from bighead.events.guard import Guard
from bighead.events.topics import MONITORING, OUTCOMES, PREDICTIONS, topic_name
from bighead.events.types import MetricComputed, OutcomeObserved, PredictionServed
from streams.kafka import TopicReader, message_of
from streams.metrics import Figures, ModelScores

EVERY_S = 1.0
REST = 4
"""How many times as long as computing took is waited before the next: with many predictions, metrics are rarer."""
POLL_MS = 100
MOST_RECORDS = 2_000
SOURCE = "bighead/monitoring"


class MonitoringService(Service):
    """Publishes metrics of each model about a second after what is new, once it has read both logs to their ends."""

    def __init__(self, settings: Settings, codec: Codec, guard: Guard) -> None:
        super().__init__()
        self.models: dict[str, ModelScores] = {}
        self._changed: set[str] = set()
        self._guard = guard
        self._topic = topic_name(settings.topic_prefix, MONITORING)
        self._publisher = Publisher(settings, SOURCE, codec=codec)
        self._readers = [
            TopicReader(settings, topic_name(settings.topic_prefix, name)) for name in (PREDICTIONS, OUTCOMES)
        ]

    async def on_shutdown(self) -> None:
        """Disconnects."""
        for reader in self._readers:
            await reader.stop()

    @Service.task
    async def _run(self) -> None:
        for reader in self._readers:
            await reader.start()
            if not await reader.assign():
                raise PlatformError(f"topic {reader.topic} does not exist; `bighead up` creates the platform's topics")
        while not await self._at_end():
            await self._read()
        due_s = 0.0
        while not self.should_stop:
            await self._read()
            began_s = self.loop.time()
            if self._changed and began_s >= due_s:
                await self._publish()
                ended_s = self.loop.time()
                due_s = ended_s + max(EVERY_S, REST * (ended_s - began_s))

    async def _at_end(self) -> bool:
        for reader in self._readers:
            positions = await reader.positions()
            if any(positions[partition] < end for partition, end in (await reader.ends()).items()):
                return False
        return True

    async def _read(self) -> None:
        for reader in self._readers:
            polled = await reader.poll(POLL_MS, MOST_RECORDS)
            dead = self._guard.counts.dead
            for partition, records in polled.items():
                for record in records:
                    message = message_of(reader.topic, partition, record)
                    match self._guard.accept(message):
                        case PredictionServed() as event:
                            self._of(event.model).predicted(event)
                            self._changed.add(event.model)
                        case OutcomeObserved() as event:
                            self._of(event.model).observed(event, partition, record.offset)
                            self._changed.add(event.model)
            if self._guard.counts.dead > dead:
                await asyncio.to_thread(self._guard.flush)

    def _of(self, model: str) -> ModelScores:
        return self.models.setdefault(model, ModelScores())

    async def _publish(self) -> None:
        changed, self._changed = sorted(self._changed), set()
        for model in changed:
            for figures in await asyncio.to_thread(self.models[model].figures):
                self._say(model, figures)
        await asyncio.to_thread(self._publisher.flush)

    def _say(self, model: str, figures: Figures) -> None:
        for metric, value in figures.values.items():
            event = MetricComputed(
                model=model,
                version=figures.version,
                metric=metric,
                value=value,
                window="all",
                count=figures.count,
                predictions=figures.predictions,
                coverage=figures.coverage,
                from_ms=figures.from_ms,
                to_ms=figures.to_ms,
                at_ms=wall_clock_ms(),
            )
            self._publisher.publish(event, key=model, topic=self._topic)
