"""Commands to the registry and their answers.

Knows Kafka through the log and the publisher. Nothing sleeps: an answer is an event, followed from the end of the log
as it was before the command was sent.
"""

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bighead import artifacts
from bighead.artifacts import Artifact
from bighead.client.fleet import Fleet, ServerAnswer, live_servers
from bighead.client.model_reads import ModelReads
from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import ArtifactError, CommandRefused, DeadlineExceeded, ModelError, StoreError
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.log import follow
from bighead.events.topics import MODELS_COMMANDS, topic_name
from bighead.events.types import (
    CommandRejected,
    DeploymentChanged,
    DeployModel,
    ModelRecord,
    ModelRegistered,
    RegisterModel,
    RetireModel,
    RollBack,
    RolledBack,
    SetSegments,
    SetTraffic,
    TrafficArm,
)
from bighead.registry import REGISTRY_EVENTS, Command, RegistryEvent
from bighead.registry.checks import within
from bighead.registry.manifest import signed
from bighead.registry.state import PRODUCTION


@dataclass(frozen=True, slots=True)
class Deployed:
    """The outcome of a deployment or roll-back. The servers' part is empty when nobody waited for it.

    server, steps, swap_us: of the first server that answers with the version; servers: what each that lives made of it.
    """

    model: str
    version: int
    previous_version: int | None
    command_id: str
    environment: str = PRODUCTION
    server: str | None = None
    steps: Mapping[str, float] = field(default_factory=dict)
    swap_us: int | None = None
    servers: tuple[ServerAnswer, ...] = ()

    def require_all(self, timeout_s: float) -> "Deployed":
        """Itself; raises ModelError where a server could not load it, DeadlineExceeded where one has not answered."""
        others = [answer for answer in self.servers if not answer.serves]
        there = ", ".join(answer.server for answer in self.servers if answer.serves) or "none"
        if any(answer.error for answer in others):
            said = "; ".join(_said(self, answer) for answer in sorted(others, key=lambda one: one.error is None))
            raise ModelError(f"{said}. Servers that answer with version {self.version}: {there}")
        if others or not self.servers:
            names = ", ".join(answer.server for answer in others) or "any server"
            raise DeadlineExceeded(
                f"version {self.version} of {self.model!r} is deployed, but within {timeout_s:g} s no report came from "
                f"{names}{within(self.environment)}; servers that answer with it: {there}; is the "
                f"model server running (`bighead status`)?"
            )
        return self


def _said(deployed: Deployed, answer: ServerAnswer) -> str:
    if answer.error is None:
        return f"{answer.server} has not reported"
    kept = "No version" if answer.kept is None else f"Version {answer.kept} still"
    what = f"version {deployed.version} of {deployed.model!r}"
    return f"{answer.server} could not load {what}: {answer.error}. {kept} answers"


class ModelsClient(ModelReads):
    """What a person or a program asks of the registry, in the name of `actor` (None: that of the settings).

    Commands are about one `environment` (None: that of the settings); versions are common to all.

    A command that is not answered within `timeout_s` raises DeadlineExceeded and stays in the log: it may be decided
    later. One that is refused raises CommandRefused with the registry's reason. A command with an `expected_revision`
    is refused where the model has another one: somebody changed it since its sender looked.
    """

    def __init__(
        self,
        settings: Settings,
        actor: str | None = None,
        *,
        environment: str | None = None,
        timeout_s: float = 30.0,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        super().__init__(settings, Codec(settings.schema_registry))
        self._actor = actor or settings.actor
        self._environment = environment or settings.environment
        self._timeout_s = timeout_s
        self._clock_ms = clock_ms
        self._publisher = Publisher(settings, "bighead/client", codec=self._codec)
        self._commands = topic_name(settings.topic_prefix, MODELS_COMMANDS)

    def register(
        self,
        name: str,
        record: ModelRecord,
        artifact_path: Path,
        reason: str,
        *,
        secret: Ed25519PrivateKey | None = None,
    ) -> int:
        """Stores the artifact and registers it, signed with `secret` where it is given; the new version's number."""
        artifact = artifacts.put(self._settings.artifacts, artifact_path)
        if record.artifact_sha256 not in ("", artifact.sha256):
            raise ArtifactError(
                f"{artifact_path} has the SHA-256 {artifact.sha256}, but its record was written for "
                f"{record.artifact_sha256}; give the file that belongs to the record"
            )
        command = self.registration(name, record, artifact, reason, secret)
        match self.ask(command):
            case ModelRegistered(version=version):
                return version
            case other:
                raise unexpected(command, other)

    def registration(
        self, name: str, record: ModelRecord, artifact: Artifact, reason: str, secret: Ed25519PrivateKey | None
    ) -> RegisterModel:
        """The command that registers a stored artifact with its record, which is signed where there is a secret."""
        complete = replace(
            record, artifact_uri=artifact.uri, artifact_sha256=artifact.sha256, artifact_size=artifact.size
        )
        return RegisterModel(
            command_id=new_id(),
            model=name,
            record=complete if secret is None else signed(name, complete, secret),
            actor=self._actor,
            reason=reason,
            at_ms=self._clock_ms(),
        )

    def deploy(
        self,
        model: str,
        version: int | None,
        reason: str,
        wait: bool = True,
        check: bool = True,
        *,
        expected_revision: int | None = None,
    ) -> Deployed:
        """Makes a version live (None: the newest that is not retired); `wait`: until all live servers answer with it.

        With `check` raises ModelError when one could not load it: the version before it keeps answering there; and
        DeadlineExceeded where one did not report in time. Without, the outcome says so.
        """
        number = self.newest(model) if version is None else version
        command = DeployModel(
            command_id=new_id(),
            model=model,
            version=number,
            environment=self._environment,
            expected_revision=expected_revision,
            actor=self._actor,
            reason=reason,
            at_ms=self._clock_ms(),
        )
        return self._deploy(command, wait, check)

    def rollback(
        self,
        model: str,
        reason: str,
        version: int | None = None,
        wait: bool = True,
        check: bool = True,
        *,
        expected_revision: int | None = None,
    ) -> Deployed:
        """Returns to the version before the live one, or to a named one that was live before."""
        command = RollBack(
            command_id=new_id(),
            model=model,
            version=version,
            environment=self._environment,
            expected_revision=expected_revision,
            actor=self._actor,
            reason=reason,
            at_ms=self._clock_ms(),
        )
        return self._deploy(command, wait, check)

    def set_traffic(
        self,
        model: str,
        shares: Mapping[int, float],
        reason: str,
        *,
        shadows: Collection[int] = (),
        labels: Mapping[str, int] | None = None,
        unit: str | None = None,
        salt: str = "",
        expected_revision: int | None = None,
    ) -> None:
        """Divides a model's requests among versions, in percent, until the next deployment.

        shadows: versions that see every request and answer none. labels: names that requests may ask for. unit: the key
        or input whose value decides the arm, so that it stays with it; None: all keys. salt: another one assigns anew.
        """
        arms = [TrafficArm(arm=f"v{version}", version=version, percent=percent) for version, percent in shares.items()]
        arms += [TrafficArm(arm=f"shadow-v{one}", version=one, percent=100.0, shadow=True) for one in shadows]
        self.ask(
            SetTraffic(
                command_id=new_id(),
                model=model,
                arms=tuple(arms),
                labels=dict(labels or {}),
                unit=unit,
                salt=salt,
                environment=self._environment,
                expected_revision=expected_revision,
                actor=self._actor,
                reason=reason,
                at_ms=self._clock_ms(),
            )
        )

    def set_segments(
        self,
        model: str,
        versions: Mapping[str, int],
        keys: Collection[str],
        reason: str,
        *,
        expected_revision: int | None = None,
    ) -> None:
        """Partitions a model: `key=value` segments are answered by versions of their own; none: no longer partitioned.

        keys: those of the segments, the finest first. A row is answered by the first of its segments that there is,
        and by the live version and its traffic where there is none.
        """
        self.ask(
            SetSegments(
                command_id=new_id(),
                model=model,
                keys=tuple(keys),
                versions=versions,
                environment=self._environment,
                expected_revision=expected_revision,
                actor=self._actor,
                reason=reason,
                at_ms=self._clock_ms(),
            )
        )

    def retire(
        self, model: str, reason: str, version: int | None = None, *, expected_revision: int | None = None
    ) -> None:
        """Takes a version out of use for good, or (None) every version of the model."""
        self.ask(
            RetireModel(
                command_id=new_id(),
                model=model,
                version=version,
                expected_revision=expected_revision,
                actor=self._actor,
                reason=reason,
                at_ms=self._clock_ms(),
            )
        )

    def ask(self, command: Command) -> RegistryEvent:
        """Sends a command; the first event that it led to."""
        return self.carry_out(command)[0]

    def carry_out(self, command: Command, wait: bool = False) -> tuple[RegistryEvent, tuple[ServerAnswer, ...]]:
        """Sends a command; the first event that it led to. With `wait`, where that changes what is live, also what each
        live model server of its environment made of it.
        """
        there = self._environment if isinstance(command, RegisterModel | RetireModel) else command.environment
        fleet = Fleet(command.model, lambda: live_servers(self._settings, there))
        with self._sent(command, fleet.is_settled) as log:
            event = self._answer(command, log, fleet.hear)
            if not wait or not isinstance(event, DeploymentChanged | RolledBack):
                return event, ()
            fleet.follow(event.command_id, event.version)
            try:
                for heard in log:
                    fleet.hear(heard)
            except StoreError as error:
                raise StoreError(
                    f"version {event.version} of {event.model!r} is deployed, but not known is which servers "
                    f"answer with it: {error}"
                ) from error
        return event, fleet.answers

    def _deploy(self, command: DeployModel | RollBack, wait: bool, check: bool) -> Deployed:
        event, servers = self.carry_out(command, wait)
        match event:
            case DeploymentChanged(version=version, previous_version=previous):
                changed = Deployed(command.model, version, previous, command.command_id, self._environment)
            case RolledBack(version=version, from_version=previous):
                changed = Deployed(command.model, version, previous, command.command_id, self._environment)
            case other:
                raise unexpected(command, other)
        if not wait:
            return changed
        first = next((answer for answer in servers if answer.serves), None)
        outcome = replace(changed, servers=servers)
        if first is not None:
            outcome = replace(outcome, server=first.server, steps=first.steps, swap_us=first.swap_us)
        return outcome.require_all(self._timeout_s) if check else outcome

    @contextmanager
    def _sent(self, command: Command, is_settled: Callable[[], bool] = lambda: False) -> Iterator[Iterator[Event]]:
        """Publishes the command; what is written from just before it on, until it is settled or the deadline."""
        deadline_s = time.monotonic() + self._timeout_s
        messages = follow(
            self._settings,
            [self._events, self._serving],
            start="end",
            stop=lambda: time.monotonic() > deadline_s or is_settled(),
        )
        log = (event for _, event in self._codec.decoded(messages))
        try:
            self._publisher.publish(command, key=command.model, topic=self._commands).position(self._timeout_s)
            yield log
        finally:
            log.close()
            messages.close()

    def _answer(
        self, command: Command, log: Iterator[Event], hear: Callable[[Event], None] = lambda event: None
    ) -> RegistryEvent:
        """What the registry made of a command; `hear` is told what was read before it."""
        for event in log:
            if isinstance(event, REGISTRY_EVENTS) and event.command_id == command.command_id:
                if isinstance(event, CommandRejected):
                    raise CommandRefused(event.reason_rejected)
                return event
            hear(event)
        raise DeadlineExceeded(
            f"no answer to {type(command).__name__} {command.command_id} for {command.model!r} within "
            f"{self._timeout_s:g} s; is the stream worker running (`bighead status`)? The command stays in the log "
            "and may still be decided"
        )


def new_id() -> str:
    """The identity of a new command."""
    return uuid.uuid4().hex


def unexpected(command: Command, event: RegistryEvent) -> ModelError:
    """What is raised where a command has an answer of another kind."""
    return ModelError(f"{type(command).__name__} {command.command_id} was answered by a {type(event).__name__}")
