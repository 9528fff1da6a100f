"""Which model servers live, and what each made of a deployment: heartbeats in the online store, reports in the log.

A heartbeat says that a server is there; what it did is an event. Knows Redis by its client.
"""

import contextlib
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import redis

from bighead.client.store import client_of
from bighead.config import Settings
from bighead.errors import StoreError
from bighead.events.base import Event
from bighead.events.types import ModelLoaded, ModelLoadFailed, ModelSwapped
from bighead.registry.state import PRODUCTION

TTL_S = 5
"""A server that was not heard of for so long is not there."""
_POLL_S = 0.3
_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a server says of itself. at_ms: by its own clock.

    live: for each model the version that answers there, and the last command that was followed. environment: the one
    whose deployments it follows.
    """

    server: str
    address: str
    live: Mapping[str, Sequence[int | str]]
    at_ms: int
    environment: str = PRODUCTION

    @classmethod
    def of(cls, server: str, said: str | bytes) -> Self:
        """What a server said. One of a later release may say more, which does not count."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in json.loads(said).items() if name in known} | {"server": server})

    def commands(self, prefix: str) -> list[tuple[Any, ...]]:
        """What tells the online store; within TTL_S it has to be told again."""
        about = {"address": self.address, "at_ms": self.at_ms, "environment": self.environment}
        said = json.dumps(about | {"live": dict(self.live)})
        return [("SET", _key(prefix, self.server), said, "EX", TTL_S), ("SADD", _names(prefix), self.server)]


def farewell(prefix: str, server: str) -> list[tuple[Any, ...]]:
    """What tells the online store that a server is gone."""
    return [("DEL", _key(prefix, server)), ("SREM", _names(prefix), server)]


def live_servers(settings: Settings, environment: str | None = None) -> list[Heartbeat]:
    """The servers of an environment (None: of any) that are ready, by name.

    Raises StoreError where the online store does not say.
    """
    prefix = settings.topic_prefix
    try:
        with contextlib.closing(client_of(settings.redis, _TIMEOUT_S)) as client:
            store: Any = client
            names = sorted(name.decode() for name in store.smembers(_names(prefix)))
            beats = {name: store.get(_key(prefix, name)) for name in names}
            gone = [name for name, beat in beats.items() if beat is None]
            if gone:
                store.srem(_names(prefix), *gone)  # one that lives after all says so again at once
    except redis.RedisError as error:
        raise StoreError(f"the online store does not say which model servers live: {error}") from error
    found = [Heartbeat.of(name, beat) for name, beat in beats.items() if beat is not None]
    return [beat for beat in found if environment in (None, beat.environment)]


def _names(prefix: str) -> str:
    return f"bh:{prefix}:servers"


def _key(prefix: str, server: str) -> str:
    return f"bh:{prefix}:server:{server}"


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What one server made of a deployment. error: why it could not load the version; kept: what answers instead.

    swap_us is None where it did not report its swap: it serves the version since its start.
    """

    server: str
    serves: bool = False
    steps: Mapping[str, float] = field(default_factory=dict)
    swap_us: int | None = None
    error: str | None = None
    kept: int | None = None

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.serves or self.error is not None


class Fleet:
    """The answers to one deployment, from what is heard; `live` is asked again and again who has to answer."""

    def __init__(self, model: str, live: Callable[[], Collection[Heartbeat]]) -> None:
        self._model = model
        self._version = 0
        self._command_id = ""
        self._live = live
        self._early: list[Event] = []
        self._heard: dict[str, ServerAnswer] = {}
        self._there: dict[str, Heartbeat] | None = None
        self._asked_s = 0.0

    def follow(self, command_id: str, version: int) -> None:
        """This deployment is what servers have to answer to; before, nothing is settled."""
        self._command_id, self._version = command_id, version
        for event in self._early:
            self.hear(event)

    def hear(self, event: Event) -> None:
        """Takes in what a server reports, also before the deployment is known: the two are told in different topics."""
        if not isinstance(event, ModelLoaded | ModelLoadFailed | ModelSwapped):
            return
        if not self._command_id:
            self._early.append(event)
            return
        if (event.command_id, event.version) != (self._command_id, self._version):
            return
        answer = self._heard.get(event.server, ServerAnswer(event.server))
        match event:
            case ModelLoaded():
                answer = replace(answer, steps=event.steps)
            case ModelSwapped():
                answer = replace(answer, serves=True, swap_us=event.swap_us, error=None)
            case ModelLoadFailed():
                error = f"step {event.step!r} failed: {event.error}"
                answer = replace(answer, serves=False, error=error, kept=event.kept_version)
        self._heard[event.server] = answer

    def is_settled(self) -> bool:
        """Whether every server that lives has answered. Asks who lives, but not all the time."""
        if not self._command_id:
            return False
        if time.monotonic() - self._asked_s >= _POLL_S:
            self._there = {beat.server: beat for beat in self._live()}
            self._asked_s = time.monotonic()
        answers = self.answers
        return bool(answers) and all(answer.is_settled for answer in answers)

    @property
    def answers(self) -> tuple[ServerAnswer, ...]:
        """Of the servers that live; and of those that were heard of, where no heartbeat is known."""
        there = self._there or {}
        found = {name: self._answer(name, beat) for name, beat in there.items()} or self._heard
        return tuple(found[name] for name in sorted(found))

    def _answer(self, name: str, beat: Heartbeat) -> ServerAnswer:
        answer = self._heard.get(name, ServerAnswer(name))
        if not answer.is_settled and list(beat.live.get(self._model, ())) == [self._version, self._command_id]:
            return replace(answer, serves=True)
        return answer
