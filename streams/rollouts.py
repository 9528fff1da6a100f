"""Advances the roll-outs that are under way, and ends those that break a rule; see `bighead.registry.rollouts`.

Keeps nothing and decides nothing for good: both logs say what is known, and the registry takes each command once.
"""

import asyncio
from typing import assert_never

from mode import Service

from bighead.client.fleet import live_servers
from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import PlatformError, StoreError
from bighead.events.codec import Codec
from bighead.events.guard import Guard
from bighead.events.topics import MODELS_COMMANDS, MODELS_EVENTS, MONITORING, SERVING_EVENTS, topic_name
from bighead.events.types import AdvanceRollout, MetricComputed, StopRollout
from bighead.registry import REGISTRY_EVENTS, ModelState, evolve_unnoted
from bighead.registry.rollouts import (
    NOTHING,
    SERVER_METRICS,
    Advance,
    LoadEvent,
    Move,
    Observed,
    Stop,
    Unloadable,
    given_up,
    hear,
    next_move,
    observe,
)
from bighead.registry.state import Rollout
from streams.kafka import TopicReader, message_of

POLL_MS = 250
MOST_RECORDS = 2_000
CLOCKS_APART_MS = 60_000
"""How much earlier than a stage began its first metrics may seem to have been sent, by another machine's clock."""
SOURCE = "bighead/rollouts"
Place = tuple[str, str]
"""A model and an environment."""


class RolloutsService(Service):
    """Asks after every batch of metrics, and four times a second, what is to be done about each roll-out.

    A command's identity follows from the roll-out and its stage, so that services that are restarted, or run twice,
    command the same thing, which is decided once.
    """

    def __init__(self, settings: Settings, codec: Codec, guard: Guard) -> None:
        super().__init__()
        self.models: dict[str, ModelState] = {}
        self._observed: dict[Place, Observed] = {}
        self._unloadable: Unloadable = {}
        self._sent: set[tuple[str, str]] = set()
        self._settings = settings
        self._guard = guard
        self._commands = topic_name(settings.topic_prefix, MODELS_COMMANDS)
        self._publisher = Publisher(settings, SOURCE, codec=codec)
        self._log = TopicReader(settings, topic_name(settings.topic_prefix, MODELS_EVENTS))
        self._metrics = TopicReader(settings, topic_name(settings.topic_prefix, MONITORING))
        self._servers = TopicReader(settings, topic_name(settings.topic_prefix, SERVING_EVENTS))

    async def on_shutdown(self) -> None:
        """Disconnects."""
        for reader in (self._log, self._metrics, self._servers):
            await reader.stop()

    @property
    def running(self) -> dict[Place, Rollout]:
        """The roll-outs under way, by model and environment."""
        return {
            (name, environment): slot.rollout
            for name, state in self.models.items()
            for environment, slot in state.slots.items()
            if slot.rollout is not None
        }

    @Service.task
    async def _run(self) -> None:
        for reader in (self._log, self._metrics, self._servers):
            await reader.start()
            if not await reader.assign():
                raise PlatformError(f"topic {reader.topic} does not exist; `bighead up` creates the platform's topics")
        now_ms = wall_clock_ms()  # a roll-out may start while the rest is read
        await self._hear()
        await self._catch_up()
        oldest_ms = min([now_ms, *(rollout.since_ms for rollout in self.running.values())]) - CLOCKS_APART_MS
        self._metrics.seek(await self._metrics.offsets_at(oldest_ms))
        while not self.should_stop:
            await self._observe()
            for place, rollout in self.running.items():
                move = next_move(rollout, self._observed.get(place, NOTHING), wall_clock_ms())
                move = move or await self._given_up(place, rollout)
                if move is None:
                    continue
                command = command_of(place, rollout, move, wall_clock_ms())
                if (command.model, command.command_id) not in self._sent:  # who starts one may choose its id
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
                        after = evolve_unnoted(before, event)
                        self.models[event.model] = after
                        for environment, slot in after.slots.items():
                            if slot.rollout != before.slot(environment).rollout:
                                self._observed.pop((event.model, environment), None)
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
                model = (record.key or b"").decode("utf-8", "replace")
                places = [place for place in running if place[0] == model]
                event = self._guard.accept(message_of(self._metrics.topic, partition, record)) if places else None
                if isinstance(event, MetricComputed):
                    for place in places:
                        if event.metric not in SERVER_METRICS or event.environment == place[1]:
                            before = self._observed.get(place, NOTHING)
                            self._observed[place] = observe(before, running[place], event)
        await self._hear()
        if polled:
            await asyncio.to_thread(self._guard.flush)

    async def _hear(self) -> None:
        """Takes in what the servers said of versions, up to the end of it as of now."""
        ends, positions = await self._servers.ends(), await self._servers.positions()
        while not self.should_stop and any(positions[partition] < end for partition, end in ends.items()):
            for partition, records in (await self._servers.poll(POLL_MS, MOST_RECORDS)).items():
                for record in records:
                    event = self._guard.accept(message_of(self._servers.topic, partition, record))
                    if isinstance(event, LoadEvent):
                        self._unloadable = hear(self._unloadable, event)
            positions = await self._servers.positions()

    async def _given_up(self, place: Place, rollout: Rollout) -> Stop | None:
        """The end of a roll-out that no server can serve. Who lives is asked only where one could not load it."""
        model, environment = place
        said = self._unloadable.get((model, rollout.version))
        if said is None:
            return None
        try:
            live = await asyncio.to_thread(live_servers, self._settings, environment)
        except StoreError as error:
            self.log.warning("a roll-out of model %r in %s waits: %s", model, environment, error)
            return None
        return given_up(rollout, said, [beat.server for beat in live])

    def _send(self, command: AdvanceRollout | StopRollout) -> None:
        self._publisher.publish(command, key=command.model, topic=self._commands).position()
        self._sent.add((command.model, command.command_id))
        self.log.info("%s %s: %s", type(command).__name__, command.command_id, command.reason)


def command_of(place: Place, rollout: Rollout, move: Move, at_ms: int) -> AdvanceRollout | StopRollout:
    """The command that makes a move, the same identity for the same move."""
    model, environment = place
    match move:
        case Advance(stage=stage, reason=reason):
            return AdvanceRollout(
                command_id=f"{rollout.id}/stage-{stage}",
                model=model,
                environment=environment,
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
                environment=environment,
                rollout_id=rollout.id,
                actor=SOURCE,
                reason=reason,
                at_ms=at_ms,
            )
        case _:
            assert_never(move)
