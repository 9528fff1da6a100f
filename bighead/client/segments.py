"""Partitioned models in bulk: hundreds of versions registered at once, and one deployment of all of them.

Knows Kafka through the log and the publisher, as `bighead.client.models` does.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bighead import artifacts
from bighead.client.models import ModelsClient, unexpected
from bighead.errors import ArtifactError, CommandRefused, DeadlineExceeded, ModelError
from bighead.events.base import Event
from bighead.events.log import follow
from bighead.events.types import (
    CommandRejected,
    ModelLoaded,
    ModelLoadFailed,
    ModelRecord,
    ModelRegistered,
    RegisterModel,
)
from bighead.registry import REGISTRY_EVENTS, RegistryEvent


@dataclass(frozen=True, slots=True)
class Loading:
    """What one server made of the versions of the segments: how many it holds, and why it refused others."""

    server: str
    loaded: int
    refused: Mapping[int, str]


class SegmentsClient(ModelsClient):
    """`timeout_s` is how long nothing may be heard: many versions take as long as they take."""

    def register_all(
        self,
        name: str,
        models: Sequence[tuple[ModelRecord, bytes]],
        reason: str,
        *,
        secret: Ed25519PrivateKey | None = None,
    ) -> tuple[int, ...]:
        """Stores the artifacts and registers a version for each record, signed where there is a secret; their numbers.

        Raises CommandRefused with the first refusal; what was registered beside it stays.
        """
        commands = [self._stored(name, record, content, reason, secret) for record, content in models]
        answers: dict[str, RegistryEvent] = {}
        with closing(self._followed([self._events], lambda: len(answers) == len(commands))) as log:
            for command in commands:
                self._publisher.publish(command, key=name, topic=self._commands)
            self._publisher.flush(self._timeout_s)
            wanted = {command.command_id for command in commands}
            for event in log:
                if isinstance(event, REGISTRY_EVENTS) and event.command_id in wanted:
                    answers.setdefault(event.command_id, event)
        return tuple(_number(command, answers.get(command.command_id)) for command in commands)

    def partition(
        self, name: str, live: int, versions: Mapping[str, int], keys: Sequence[str], reason: str
    ) -> tuple[Loading, ...]:
        """Deploys `live` for what is in no segment and `versions` for the segments; waits until the servers have them.

        Raises ModelError where a server refused one: the next level answers for that segment there.
        """
        deployed = self.deploy(name, live, reason)
        numbers = set(versions.values()) - {live}
        servers = [answer.server for answer in deployed.servers]
        heard: dict[str, dict[int, str]] = {server: {} for server in servers}
        with closing(self._followed([self._serving], lambda: self._all_told(heard, numbers))) as log:
            self.set_segments(name, versions, keys, reason)
            for event in log:
                if isinstance(event, ModelLoaded | ModelLoadFailed) and event.model == name and event.server in heard:
                    error = event.error if isinstance(event, ModelLoadFailed) else ""
                    heard[event.server][event.version] = error
        loading = tuple(_loading(server, told) for server, told in sorted(heard.items()))
        if any(one.refused for one in loading):
            said = "; ".join(f"{one.server} refused {dict(one.refused)}" for one in loading if one.refused)
            raise ModelError(f"{name!r} is partitioned, but not every version is loaded: {said}")
        return loading

    def _all_told(self, heard: Mapping[str, Mapping[int, str]], numbers: set[int]) -> bool:
        return all(numbers <= told.keys() for told in heard.values())

    def _stored(
        self, name: str, record: ModelRecord, content: bytes, reason: str, secret: Ed25519PrivateKey | None
    ) -> RegisterModel:
        stored = artifacts.put_bytes(self._settings.artifacts, f"a model of {name!r}", content)
        if record.artifact_sha256 not in ("", stored.sha256):
            raise ArtifactError(f"a record of {name!r} was written for other bytes than those given with it")
        return self.registration(name, record, stored, reason, secret)

    def _followed(self, topics: Sequence[str], done: Callable[[], bool]) -> Generator[Event, None, None]:
        """What is written to the topics from this call on, until it is done; raises DeadlineExceeded in a silence."""
        heard_s = time.monotonic()

        def stop() -> bool:
            if not done() and time.monotonic() - heard_s > self._timeout_s:
                raise DeadlineExceeded(
                    f"nothing was heard for {self._timeout_s:g} s; are the stream worker and the model server running "
                    "(`bighead status`)? What was sent stays in the log and may still be carried out"
                )
            return done()

        messages = follow(self._settings, topics, start="end", stop=stop)

        def events() -> Generator[Event, None, None]:
            nonlocal heard_s
            try:
                for _, event in self._codec.decoded(messages):
                    heard_s = time.monotonic()
                    yield event
                    if done():
                        return
            finally:
                messages.close()

        return events()


def _number(command: RegisterModel, answer: RegistryEvent | None) -> int:
    match answer:
        case ModelRegistered(version=version):
            return version
        case CommandRejected(reason_rejected=reason):
            raise CommandRefused(reason)
        case None:
            raise DeadlineExceeded(f"no answer to {command.command_id}, which registers a version of {command.model!r}")
        case other:
            raise unexpected(command, other)


def _loading(server: str, told: Mapping[int, str]) -> Loading:
    refused = {version: error for version, error in sorted(told.items()) if error}
    return Loading(server, len(told) - len(refused), refused)
