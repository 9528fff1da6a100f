"""What the log says about one model: its versions, what is live in each environment, how it came to be so.

Pure: knows the event types and nothing else. `evolve` never refuses; whatever was written has happened.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypedDict, assert_never

from bighead.events.types import (
    CommandRejected,
    DeploymentChanged,
    LabelPromoted,
    ModelRecord,
    ModelRegistered,
    ModelRetired,
    PolicyChanged,
    PolicyRule,
    RolledBack,
    RolloutAdvanced,
    RolloutEnded,
    RolloutRule,
    RolloutStage,
    RolloutStarted,
    SegmentsChanged,
    TrafficArm,
    TrafficChanged,
    VersionApproved,
)

RolloutEvent = RolloutStarted | RolloutAdvanced | RolloutEnded
SlotEvent = (
    DeploymentChanged
    | TrafficChanged
    | SegmentsChanged
    | RolloutEvent
    | RolledBack
    | LabelPromoted
    | VersionApproved
    | PolicyChanged
)
"""What changes a model in one environment."""
RegistryEvent = ModelRegistered | SlotEvent | ModelRetired | CommandRejected
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
    LabelPromoted,
    VersionApproved,
    PolicyChanged,
    CommandRejected,
)
PRODUCTION = "production"
"""The environment that is meant where none is named."""
COMPLETED, ROLLED_BACK, SUPERSEDED = "completed", "rolled back", "superseded"
"""How a roll-out ends."""
MOST_STEPS_BACK = 1_000
"""So far goes the path that roll-backs walk down: each state holds its own, and some models are deployed every hour."""


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
class Slot:
    """A model in one environment. `deployed` is the path that roll-backs walk down, no longer than
    MOST_STEPS_BACK: the live version is its last.

    Without `traffic` the live version answers everything. `segments` are answered by versions of their own, whatever
    the live one and its traffic. `rollout` is the one that is under way. `labels` stay until they are given away.
    `approvals`: who vouched for which version. `lived`: every version that was ever live here. `policy`: what must hold
    of a version before it answers here.
    """

    deployed: tuple[int, ...] = ()
    deployment: Stamp | None = None
    traffic: Traffic | None = None
    segments: Segments | None = None
    rollout: Rollout | None = None
    labels: Mapping[str, int] = field(default_factory=dict)
    approvals: Mapping[int, tuple[Stamp, ...]] = field(default_factory=dict)
    lived: frozenset[int] = frozenset()
    policy: tuple[PolicyRule, ...] = ()

    @property
    def live(self) -> int | None:
        """The version that answers requests, or None."""
        return self.deployed[-1] if self.deployed else None

    @property
    def previous(self) -> int | None:
        """The version to which a roll-back returns (N-1), or None."""
        return self.deployed[-2] if len(self.deployed) > 1 else None

    @property
    def labelled(self) -> dict[str, int]:
        """Versions by the label that requests may ask for: those of a division of traffic stand before the others."""
        return {**self.labels, **(self.traffic.labels if self.traffic else {})}

    @property
    def shared(self) -> frozenset[int]:
        """Versions that answer beside the live one: those of arms, labels and segments."""
        segments = self.segments.versions.values() if self.segments else ()
        arms = self.traffic.versions if self.traffic else frozenset()
        return arms | frozenset(segments) | frozenset(self.labels.values())


NOWHERE = Slot()
"""What an environment of which nothing was said makes of a model."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """One model: its versions, and by environment what is made of them. What is asked of itself is that of production.

    `revision` counts the events that changed it, of which `changed` is the last: refused commands do not count.
    """

    name: str
    versions: tuple[Version, ...] = ()
    slots: Mapping[str, Slot] = field(default_factory=dict)
    answered: frozenset[str] = frozenset()
    at_ms: int = 0
    revision: int = 0
    changed: Stamp | None = None

    def slot(self, environment: str = PRODUCTION) -> Slot:
        """The model in an environment."""
        return self.slots.get(environment, NOWHERE)

    @property
    def live(self) -> int | None:
        """The version that answers requests in production, or None."""
        return self.slot().live

    @property
    def previous(self) -> int | None:
        """The version to which a roll-back in production returns (N-1), or None."""
        return self.slot().previous

    @property
    def deployed(self) -> tuple[int, ...]:
        """The path that roll-backs in production walk down."""
        return self.slot().deployed

    @property
    def deployment(self) -> Stamp | None:
        """Who changed what is live in production."""
        return self.slot().deployment

    @property
    def traffic(self) -> Traffic | None:
        """How requests are divided in production."""
        return self.slot().traffic

    @property
    def segments(self) -> Segments | None:
        """How the model is partitioned in production."""
        return self.slot().segments

    @property
    def rollout(self) -> Rollout | None:
        """The roll-out that is under way in production."""
        return self.slot().rollout

    def version(self, number: int) -> Version | None:
        """Versions are dense and start at 1."""
        return self.versions[number - 1] if 1 <= number <= len(self.versions) else None


def evolve(state: ModelState, event: RegistryEvent) -> ModelState:
    """The state after `event`."""
    return _after(state, event, state.answered | {event.command_id})


def evolve_unnoted(state: ModelState, event: RegistryEvent) -> ModelState:
    """The same without the ids of answered commands, for those who decide nothing: at each step the set is copied."""
    return _after(state, event, frozenset())


def _after(state: ModelState, event: RegistryEvent, answered: frozenset[str]) -> ModelState:
    """Built at once: `replace` takes ten times as long, and a start folds a hundred thousand events."""
    if isinstance(event, CommandRejected):
        return ModelState(state.name, state.versions, state.slots, answered, event.at_ms, state.revision, state.changed)
    stamp = Stamp(event.command_id, event.actor, event.reason, event.at_ms)
    versions, slots = state.versions, state.slots
    match event:
        case ModelRegistered():
            versions = (*versions, Version(event.version, event.record, stamp))
        case ModelRetired():
            versions, slots = _retired(versions, slots, event.version, stamp)
        case _:
            slots = {**slots, event.environment: _changed(state.slot(event.environment), event, stamp)}
    return ModelState(state.name, versions, slots, answered, event.at_ms, state.revision + 1, stamp)


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


def _changed(slot: Slot, event: SlotEvent, stamp: Stamp) -> Slot:
    match event:
        case DeploymentChanged():
            path = slot.deployed if slot.live == event.version else (*slot.deployed, event.version)
            return _deployed(slot, path[-MOST_STEPS_BACK:], stamp)
        case RolledBack():
            return _deployed(slot, path_back(slot.deployed, event.version) or (event.version,), stamp)
        case TrafficChanged():
            return replace(slot, traffic=Traffic(event.arms, event.labels, event.unit, event.salt))
        case SegmentsChanged():
            return replace(slot, segments=Segments(event.keys, event.versions) if event.versions else None)
        case RolloutStarted() | RolloutAdvanced() | RolloutEnded():
            return replace(slot, rollout=_rolled(slot.rollout, event))
        case LabelPromoted():
            others = {label: number for label, number in slot.labels.items() if label != event.label}
            named = {} if event.version is None else {event.label: event.version}
            return replace(slot, labels=others | named)
        case VersionApproved():
            before = slot.approvals.get(event.version, ())
            return replace(slot, approvals={**slot.approvals, event.version: (*before, stamp)})
        case PolicyChanged():
            return replace(slot, policy=event.rules)
        case _:
            assert_never(event)


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


def _deployed(slot: Slot, path: tuple[int, ...], stamp: Stamp) -> Slot:
    """A change of the live version ends a division of traffic: it was chosen for the versions of before."""
    lived = slot.lived if path[-1] in slot.lived else slot.lived | {path[-1]}
    return replace(slot, deployed=path, deployment=stamp, traffic=None, lived=lived)


def _retired(
    versions: tuple[Version, ...], slots: Mapping[str, Slot], number: int | None, stamp: Stamp
) -> tuple[tuple[Version, ...], Mapping[str, Slot]]:
    left = tuple(
        replace(item, retired=stamp) if item.retired is None and number in (None, item.number) else item
        for item in versions
    )
    if number is None:
        return left, {name: _emptied(slot, stamp) for name, slot in slots.items()}
    return left, {name: replace(slot, deployed=_without(slot.deployed, number)) for name, slot in slots.items()}


def _emptied(slot: Slot, stamp: Stamp) -> Slot:
    deployment = stamp if slot.deployed else slot.deployment
    return replace(slot, deployed=(), deployment=deployment, traffic=None, segments=None, labels={})


def _without(path: tuple[int, ...], version: int) -> tuple[int, ...]:
    """The path without `version`, and without the equal neighbours that its removal may leave."""
    left: list[int] = []
    for number in path:
        if number != version and left[-1:] != [number]:
            left.append(number)
    return tuple(left)
