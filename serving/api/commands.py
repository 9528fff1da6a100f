"""Carries commands to the registry once each, and waits until the console's own view of the log has their answers.

Knows threads and the models' client; nothing of HTTP.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from bighead.client.fleet import ServerAnswer
from bighead.errors import CommandRefused, DeadlineExceeded, Overloaded, StaleRevision
from bighead.events.types import CommandRejected
from bighead.registry import Command, RegistryEvent
from bighead.registry.timeline import Recorded
from serving.console.audit_state import ASKED_BY
from serving.console.log_state import LogState


class Registry(Protocol):
    """What carries commands: `bighead.client.models.ModelsClient`."""

    def carry_out(self, command: Command, wait: bool = False) -> tuple[RegistryEvent, tuple[ServerAnswer, ...]]:
        """Sends a command; the first event that it led to, and what servers made of it."""


MOST_AT_ONCE = 64
MOST_KEYS = 10_000
"""How many command ids are known with what was asked under them, the newest; of older ones the log says the kind."""
_THREADS = 16
_SEEN_S = 10.0
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Answered:
    """The event that answered a command, the revision that the model had then, and what servers made of it.

    replayed: it had been answered before.
    """

    event: RegistryEvent
    revision: int
    servers: tuple[ServerAnswer, ...] = ()
    waited: bool = False
    replayed: bool = False


class Commands:
    """Commands in anybody's name. The same command id is sent once, however often and at once it is given."""

    def __init__(self, client: Registry, state: Callable[[], LogState]) -> None:
        self._client = client
        self._state = state
        self._pool = ThreadPoolExecutor(_THREADS, "console-command")
        self._under_way: dict[str, asyncio.Task[Answered]] = {}
        self._asked: OrderedDict[str, str] = OrderedDict()

    def close(self) -> None:
        """Takes no command any more; those under way are on the log."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def carry_out(self, command: Command, asked: str, *, wait: bool) -> Answered:
        """The answer of the registry, and with `wait` of the model's servers. asked: what the caller said, in any form.

        Raises CommandRefused (also where something else was asked under the id), StaleRevision, DeadlineExceeded where
        it is not decided in time, and Overloaded.
        """
        if self._asked.get(command.command_id, asked) != asked:
            raise _used(command)
        before = _answer(self._state(), command)
        if before is not None:
            return _replayed(command, *before)
        task = self._under_way.get(command.command_id)
        if task is not None:
            answered = await asyncio.shield(task)
            return _replayed(command, answered.event, answered.revision)
        if len(self._under_way) >= MOST_AT_ONCE:
            raise Overloaded(f"{MOST_AT_ONCE} commands wait for their answers; try again later")
        self._asked[command.command_id] = asked
        if len(self._asked) > MOST_KEYS:
            self._asked.popitem(last=False)
        task = asyncio.create_task(self._sent(command, wait))
        self._under_way[command.command_id] = task
        task.add_done_callback(lambda _: self._under_way.pop(command.command_id, None))
        return await asyncio.shield(task)

    async def _sent(self, command: Command, wait: bool) -> Answered:
        loop = asyncio.get_running_loop()
        servers: tuple[ServerAnswer, ...] = ()
        try:
            _, servers = await loop.run_in_executor(self._pool, self._client.carry_out, command, wait)
        except CommandRefused:
            pass  # its event says so too, and at which revision
        except DeadlineExceeded:
            if _answer(self._state(), command) is None:
                raise
        event, revision = await self._seen(command)
        return Answered(_accepted(event, revision, command), revision, servers, wait)

    async def _seen(self, command: Command) -> tuple[RegistryEvent, int]:
        """The answer as the console has read it: whoever asks afterwards is told what this command did."""
        deadline = time.monotonic() + _SEEN_S
        while (found := _answer(self._state(), command)) is None:
            if time.monotonic() > deadline:
                raise DeadlineExceeded(
                    f"{type(command).__name__} {command.command_id} was answered, but the console has not read the "
                    f"answer within {_SEEN_S:g} s; ask for the model's history later"
                )
            await asyncio.sleep(_LOOK_S)
        return found


def revisions(events: tuple[Recorded[RegistryEvent], ...]) -> list[tuple[RegistryEvent, int]]:
    """Each event with the revision that the model had from then on: refused commands do not count."""
    counted, revision = [], 0
    for recorded in events:
        revision += not isinstance(recorded.event, CommandRejected)
        counted.append((recorded.event, revision))
    return counted


def _answer(state: LogState, command: Command) -> tuple[RegistryEvent, int] | None:
    """The first event that a command led to, with the revision that all of its events led to; None: not yet."""
    counted = revisions(state.asked_of(command.model))
    ours = [(event, revision) for event, revision in counted if event.command_id == command.command_id]
    return (ours[0][0], ours[-1][1]) if ours else None


def _replayed(command: Command, event: RegistryEvent, revision: int) -> Answered:
    name = event.command_type.rpartition(".")[2] if isinstance(event, CommandRejected) else type(event).__name__
    said = (event.actor, event.reason, ASKED_BY.get(name, name))
    if said != (command.actor, command.reason, type(command).__name__):
        raise _used(command, f", by {event.actor} ({event.reason})")
    return Answered(_accepted(event, revision, command), revision, replayed=True)


def _used(command: Command, by: str = "") -> CommandRefused:
    return CommandRefused(
        f"the Idempotency-Key {command.command_id} was used for another command{by}; give each command a key of its own"
    )


def _accepted(event: RegistryEvent, revision: int, command: Command) -> RegistryEvent:
    if not isinstance(event, CommandRejected):
        return event
    expected = getattr(command, "expected_revision", None)
    stale = expected is not None and expected != revision
    raise StaleRevision(event.reason_rejected) if stale else CommandRefused(event.reason_rejected)
