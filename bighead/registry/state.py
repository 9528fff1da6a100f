"""What the log says about one model: its versions, what is live, how it came to be so.

Pure: knows the event types and nothing else. `evolve` never refuses; whatever was written has happened.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypedDict, assert_never

from bighead.events.types import (
    CommandRejected,
    DeploymentChanged,
    ModelRecord,
    ModelRegistered,
    ModelRetired,
    RolledBack,
    RolloutAdvanced,
    RolloutEnded,
    RolloutRule,
    RolloutStage,
    RolloutStarted,
    SegmentsChanged,
    TrafficArm,
    TrafficChanged,
)

RolloutEvent = RolloutStarted | RolloutAdvanced | RolloutEnded
RegistryEvent = (
    ModelRegistered
    | DeploymentChanged
    | TrafficChanged
    | SegmentsChanged
    | RolloutEvent
    | RolledBack
    | ModelRetired
    | CommandRejected
)
REGISTRY_EVENTS = (
    ModelRegistered,
    DeploymentChanged,
    TrafficChanged,
    SegmentsChanged,
    RolloutStarted,
    RolloutAdvanced,
    RolloutEnded,
    RolledBack,
    ModelRetired,
    CommandRejected,
)
COMPLETED, ROLLED_BACK, SUPERSEDED = "completed", "rolled back", "superseded"
"""How a roll-out ends."""


class Signed(Protocol):
    """What every command says: its identity, about which model, who and why."""

    @property
    def command_id(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def actor(self) -> str: ...
    @property
    def reason(self) -> str: ...


class By(TypedDict):
    """The fields by which each event says which command it answers, and when."""

    command_id: str
    actor: str
    reason: str
    at_ms: int


def by(command: Signed, at_ms: int) -> By:
    """Those of an event that `command` causes."""
    return By(command_id=command.command_id, actor=command.actor, reason=command.reason, at_ms=at_ms)


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who did something, why and when."""

    command_id: str
    actor: str
    reason: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable model version."""

    number: int
    record: ModelRecord
    registered: Stamp
    retired: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """How requests are divided: arms by share, labels by name, `unit` and `salt` of the stable hash."""

    arms: tuple[TrafficArm, ...]
    labels: Mapping[str, int]
    unit: str | None
    salt: str

    @property
    def versions(self) -> frozenset[int]:
        """Every version that may be asked."""
        return frozenset((*(arm.version for arm in self.arms), *self.labels.values()))


@dataclass(frozen=True, slots=True)
class Segments:
    """How a model is partitioned: the keys by which a row is looked up, the finest first, and versions by key=value."""

    keys: tuple[str, ...]
    versions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Rollout:
    """A version that gets more and more traffic; `stage` counts from 0 and began at `since_ms`."""

    id: str
    version: int
    stages: tuple[RolloutStage, ...]
    rules: tuple[RolloutRule, ...]
    unit: str | None
    salt: str
    stage: int
    since_ms: int

    @property
    def percent(self) -> float:
        """The share of the units that the version answers now."""
        return self.stages[self.stage].percent


@dataclass(frozen=True, slots=True)
class ModelState:
    """One model. `deployed` is the path that roll-backs walk down: the live version is its last element.

    Without `traffic` the live version answers everything. `segments` are answered by versions of their own, whatever
    the live one and its traffic. `rollout` is the one that is under way.
    """

    name: str
    versions: tuple[Version, ...] = ()
    deployed: tuple[int, ...] = ()
    deployment: Stamp | None = None
    traffic: Traffic | None = None
    segments: Segments | None = None
    rollout: Rollout | None = None
    answered: frozenset[str] = frozenset()
    at_ms: int = 0

    @property
    def live(self) -> int | None:
        """The version that answers requests, or None."""
        return self.deployed[-1] if self.deployed else None

    @property
    def previous(self) -> int | None:
        """The version to which a roll-back returns (N-1), or None."""
        return self.deployed[-2] if len(self.deployed) > 1 else None

    @property
    def shared(self) -> frozenset[int]:
        """Versions that answer beside the live one: those of arms, labels and segments."""
        segments = self.segments.versions.values() if self.segments else ()
        return (self.traffic.versions if self.traffic else frozenset()) | frozenset(segments)

    def version(self, number: int) -> Version | None:
        """Versions are dense and start at 1."""
        return self.versions[number - 1] if 1 <= number <= len(self.versions) else None


def evolve(state: ModelState, event: RegistryEvent) -> ModelState:
    """The state after `event`."""
    stamp = Stamp(event.command_id, event.actor, event.reason, event.at_ms)
    after = replace(state, answered=state.answered | {event.command_id}, at_ms=event.at_ms)
    match event:
        case ModelRegistered():
            return replace(after, versions=(*state.versions, Version(event.version, event.record, stamp)))
        case DeploymentChanged():
            path = state.deployed if state.live == event.version else (*state.deployed, event.version)
            return _deployed(after, path, stamp)
        case RolledBack():
            return _deployed(after, path_back(state.deployed, event.version) or (event.version,), stamp)
        case TrafficChanged():
            return replace(after, traffic=Traffic(event.arms, event.labels, event.unit, event.salt))
        case SegmentsChanged():
            return replace(after, segments=Segments(event.keys, event.versions) if event.versions else None)
        case RolloutStarted() | RolloutAdvanced() | RolloutEnded():
            return replace(after, rollout=_rolled(state.rollout, event))
        case ModelRetired():
            return _retired(after, event.version, stamp)
        case CommandRejected():
            return after
        case _:
            assert_never(event)


def replay(name: str, events: Iterable[RegistryEvent], as_of_ms: int | None = None) -> ModelState:
    """The model as its events left it, at the end or as of a time (inclusive)."""
    state = ModelState(name)
    for event in events:
        if as_of_ms is None or event.at_ms <= as_of_ms:
            state = evolve(state, event)
    return state


def path_back(deployed: tuple[int, ...], version: int) -> tuple[int, ...]:
    """The path cut after the newest place of `version` below the live one; empty when it is not there."""
    for length in range(len(deployed) - 1, 0, -1):
        if deployed[length - 1] == version:
            return deployed[:length]
    return ()


def _rolled(rollout: Rollout | None, event: RolloutEvent) -> Rollout | None:
    match event:
        case RolloutStarted():
            return Rollout(
                id=event.rollout_id,
                version=event.version,
                stages=event.stages,
                rules=event.rules,
                unit=event.unit,
                salt=event.salt,
                stage=0,
                since_ms=event.at_ms,
            )
        case RolloutAdvanced():
            return None if rollout is None else replace(rollout, stage=event.stage, since_ms=event.at_ms)
        case RolloutEnded():
            return None
        case _:
            assert_never(event)


def _deployed(state: ModelState, path: tuple[int, ...], stamp: Stamp) -> ModelState:
    """A change of the live version ends a division of traffic: it was chosen for the versions of before."""
    return replace(state, deployed=path, deployment=stamp, traffic=None)


def _retired(state: ModelState, version: int | None, stamp: Stamp) -> ModelState:
    versions = tuple(
        replace(item, retired=stamp) if item.retired is None and version in (None, item.number) else item
        for item in state.versions
    )
    if version is None:
        return replace(state, versions=versions, deployed=(), deployment=stamp, traffic=None, segments=None)
    return replace(state, versions=versions, deployed=_without(state.deployed, version))


def _without(path: tuple[int, ...], version: int) -> tuple[int, ...]:
    """The path without `version`, and without the equal neighbours that its removal may leave."""
    left: list[int] = []
    for number in path:
        if number != version and left[-1:] != [number]:
            left.append(number)
    return tuple(left)
