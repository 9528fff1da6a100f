"""Advances the roll-outs that are under way, and ends those that break a rule; see `bighead.registry.rollouts`.

Keeps nothing and decides nothing for good: both logs say what is known, and the registry takes each command once.
"""

import asyncio
from typing import assert_never

from mode import Service

from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.codec import Codec
from bighead.events.guard import Guard
from bighead.events.topics import MODELS_COMMANDS, MODELS_EVENTS, MONITORING, topic_name
from bighead.events.types import AdvanceRollout, MetricComputed, StopRollout
from bighead.registry import REGISTRY_EVENTS, ModelState, evolve
from bighead.registry.rollouts import NOTHING, Advance, Move, Observed, Stop, next_move, observe
from bighead.registry.state import Rollout
from streams.kafka import TopicReader, message_of

POLL_MS = 250
MOST_RECORDS = 2_000
CLOCKS_APART_MS = 60_000
"""How much earlier than a stage began its first metrics may seem to have been sent, by another machine's clock."""
SOURCE = "bighead/rollouts"


class RolloutsService(Service):
    """Asks after every batch of metrics, and four times a second, what is to be done about each roll-out.

    A command's identity follows from the roll-out and its stage, so that services that are restarted, or run twice,
    command the same thing, which is decided once.
    """

    def __init__(self, settings: Settings, codec: Codec, guard: Guard) -> None:
        super().__init__()
        self.models: dict[str, ModelState] = {}
        self._observed: dict[str, Observed] = {}
        self._sent: set[str] = set()
        self._guard = guard
        self._commands = topic_name(settings.topic_prefix, MODELS_COMMANDS)
        self._publisher = Publisher(settings, SOURCE, codec=codec)
        self._log = TopicReader(settings, topic_name(settings.topic_prefix, MODELS_EVENTS))
        self._metrics = TopicReader(settings, topic_name(settings.topic_prefix, MONITORING))

    async def on_shutdown(self) -> None:
        """Disconnects."""
        for reader in (self._log, self._metrics):
            await reader.stop()

    @property
    def running(self) -> dict[str, Rollout]:
        """The roll-outs under way, by model."""
        return {name: state.rollout for name, state in self.models.items() if state.rollout is not None}

    @Service.task
    async def _run(self) -> None:
        for reader in (self._log, self._metrics):
            await reader.start()
            if not await reader.assign():
                raise PlatformError(f"topic {reader.topic} does not exist; `bighead up` creates the platform's topics")
        await self._catch_up()
        stages = [rollout.since_ms for rollout in self.running.values()]
        oldest_ms = min(stages) - CLOCKS_APART_MS if stages else wall_clock_ms()
        self._metrics.seek(await self._metrics.offsets_at(oldest_ms))
        while not self.should_stop:
            await self._observe()
            for model, rollout in self.running.items():
                move = next_move(rollout, self._observed.get(model, NOTHING), wall_clock_ms())
                if move is None:
                    continue
                command = command_of(model, rollout, move, wall_clock_ms())
                if command.command_id not in self._sent:
                    await asyncio.to_thread(self._send, command)

    async def _catch_up(self) -> None:
        """Folds the registry's events up to their end as of now."""
        ends, positions = await self._log.ends(), await self._log.positions()
        while not self.should_stop and any(positions[partition] < end for partition, end in ends.items()):
            for partition, records in (await self._log.poll(POLL_MS, MOST_RECORDS)).items():
                for record in records:
                    event = self._guard.accept(message_of(self._log.topic, partition, record))
                    if isinstance(event, REGISTRY_EVENTS):
                        before = self.models.get(event.model, ModelState(event.model))
                        after = self.models[event.model] = evolve(before, event)
                        if after.rollout != before.rollout:
                            self._observed.pop(event.model, None)
            positions = await self._log.positions()
        await asyncio.to_thread(self._guard.flush)

    async def _observe(self) -> None:
        """Takes new metrics. Stages that began before a metric was sent are known before it is judged."""
        polled = await self._metrics.poll(POLL_MS, MOST_RECORDS)
        await self._catch_up()
        running = self.running
        for partition, records in polled.items():
            for record in records:
                # Nothing is decoded of models that are not rolled out: that is most of what comes.
                rollout = running.get((record.key or b"").decode("utf-8", "replace"))
                if rollout is None:
                    continue
                event = self._guard.accept(message_of(self._metrics.topic, partition, record))
                if isinstance(event, MetricComputed):
                    self._observed[event.model] = observe(self._observed.get(event.model, NOTHING), rollout, event)
        if polled:
            await asyncio.to_thread(self._guard.flush)

    def _send(self, command: AdvanceRollout | StopRollout) -> None:
        self._publisher.publish(command, key=command.model, topic=self._commands).position()
        self._sent.add(command.command_id)
        self.log.info("%s %s: %s", type(command).__name__, command.command_id, command.reason)


def command_of(model: str, rollout: Rollout, move: Move, at_ms: int) -> AdvanceRollout | StopRollout:
    """The command that makes a move, the same identity for the same move."""
    match move:
        case Advance(stage=stage, reason=reason):
            return AdvanceRollout(
                command_id=f"{rollout.id}/stage-{stage}",
                model=model,
                rollout_id=rollout.id,
                stage=stage,
                actor=SOURCE,
                reason=reason,
                at_ms=at_ms,
            )
        case Stop(reason=reason):
            return StopRollout(
                command_id=f"{rollout.id}/stop",
                model=model,
                rollout_id=rollout.id,
                actor=SOURCE,
                reason=reason,
                at_ms=at_ms,
            )
        case _:
            assert_never(move)
