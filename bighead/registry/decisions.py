"""What a command leads to: the events it causes, or one CommandRejected that says why not.

Pure: the state, the clock and the known names are handed in; the writer only carries the answer to the log.
"""

import math
from collections.abc import Collection, Sequence
from typing import assert_never

from bighead.errors import ArtifactError, CommandRefused, InvalidEvent
from bighead.events.types import (
    AdvanceRollout,
    Approve,
    CommandRejected,
    DeploymentChanged,
    DeployModel,
    ModelRegistered,
    ModelRetired,
    PolicyChanged,
    PromoteLabel,
    RegisterModel,
    RetireModel,
    RollBack,
    RolledBack,
    SegmentsChanged,
    SetPolicy,
    SetSegments,
    SetTraffic,
    StartRollout,
    StopRollout,
    TrafficArm,
    TrafficChanged,
)
from bighead.registry import promotions, rollout_decisions
from bighead.registry.checks import check_environment, check_revision, usable_version, within
from bighead.registry.manifest import check_signature
from bighead.registry.policies import NO_POLICIES, Policies
from bighead.registry.policy_checks import check_policy, check_required
from bighead.registry.proof import check_name, check_record
from bighead.registry.segments import check_alike, check_fits, check_segments
from bighead.registry.state import ModelState, RegistryEvent, Slot, by, path_back
from bighead.registry.suggestions import did_you_mean

Command = (
    RegisterModel
    | DeployModel
    | SetTraffic
    | SetSegments
    | StartRollout
    | AdvanceRollout
    | StopRollout
    | RollBack
    | RetireModel
    | PromoteLabel
    | Approve
    | SetPolicy
)
COMMANDS = (
    RegisterModel,
    DeployModel,
    SetTraffic,
    SetSegments,
    StartRollout,
    AdvanceRollout,
    StopRollout,
    RollBack,
    RetireModel,
    PromoteLabel,
    Approve,
    SetPolicy,
)


def check_addressed(command: Command, key: str) -> None:
    """A command that cannot be answered or belongs to another model's partition is no command at all."""
    name = type(command).__name__
    if not command.command_id:
        raise InvalidEvent(f"{name} for model {command.model!r} has an empty command_id; give each command a new id")
    if command.model != key:
        raise InvalidEvent(f"{name} for model {command.model!r} has the key {key!r}; the key must be the model's name")


def decide(
    state: ModelState,
    command: Command,
    now_ms: int,
    known: Collection[str] = (),
    defaults: Policies = NO_POLICIES,
) -> tuple[RegistryEvent, ...]:
    """Events that `command` causes in `state`, its answer first; none when this command id was answered before.

    Times never run backwards within a model, so that "as of T" has one answer. `known` are the names that a
    misspelt one may have meant, `defaults` the policies that a model gets with its first version.
    """
    if command.command_id in state.answered:
        return ()
    at_ms = max(now_ms, state.at_ms)
    try:
        _check_signed(command)
        return _accept(state, command, at_ms, known, defaults)
    except CommandRefused as refusal:
        return (_rejected(command, str(refusal), at_ms),)


def _accept(
    state: ModelState, command: Command, at_ms: int, known: Collection[str], defaults: Policies
) -> tuple[RegistryEvent, ...]:
    if isinstance(command, RegisterModel):
        return _register(state, command, at_ms, defaults)
    _known_model(state, command.model, known)
    if not isinstance(command, AdvanceRollout):  # which names the roll-out and the stage that it expects
        check_revision(state, command.expected_revision)
    if isinstance(command, RetireModel):
        # A version that is being rolled out answers requests, so only the whole model can be retired under it.
        ended = rollout_decisions.all_superseded(state, command, at_ms) if command.version is None else ()
        return (_retire(state, command, at_ms), *ended)
    check_environment(command.environment)
    slot = state.slot(command.environment)
    match command:
        case StartRollout():
            return rollout_decisions.start(state, slot, command, at_ms)
        case AdvanceRollout():
            return rollout_decisions.advance(state, slot, command, at_ms)
        case StopRollout():
            return rollout_decisions.stop(slot, command, at_ms)
        case SetSegments():
            return (_set_segments(state, slot, command, at_ms),)
        case PromoteLabel():
            return (promotions.promote(state, slot, command, at_ms),)
        case Approve():
            return (promotions.approve(state, slot, command, at_ms),)
        case SetPolicy():
            return (promotions.set_policy(command, at_ms),)
    ended = rollout_decisions.superseded(slot, command, command.environment, at_ms)
    match command:
        case DeployModel():
            return (_deploy(state, slot, command, at_ms), *ended)
        case SetTraffic():
            return (_set_traffic(state, slot, command, at_ms), *ended)
        case RollBack():
            return (_roll_back(state, slot, command, at_ms), *ended)
        case _:
            assert_never(command)


def _register(
    state: ModelState, command: RegisterModel, at_ms: int, defaults: Policies
) -> tuple[ModelRegistered | PolicyChanged, ...]:
    """The next version; behind the first one the policies that every model begins with."""
    check_name(command.model)
    check_record(command.record)
    try:
        check_signature(command.model, command.record)
    except ArtifactError as error:
        raise CommandRefused(str(error)) from error
    added = {} if state.versions else dict(defaults)
    check_required({name: slot.policy for name, slot in state.slots.items()} | added, command.record)
    registered = ModelRegistered(
        model=command.model,
        version=len(state.versions) + 1,
        record=command.record,
        **by(command, at_ms),
    )
    return registered, *(promotions.default_policy(command, name, rules, at_ms) for name, rules in added.items())


def _deploy(state: ModelState, slot: Slot, command: DeployModel, at_ms: int) -> DeploymentChanged:
    """Deploying the live version again is accepted: it asks servers that failed to load it to try once more."""
    version = usable_version(state, command.version, "deployed")
    check_fits(state, slot, version)
    check_policy(state, command.environment, version)
    return DeploymentChanged(
        model=command.model,
        version=version.number,
        previous_version=slot.previous if slot.live == version.number else slot.live,
        environment=command.environment,
        **by(command, at_ms),
    )


def _set_traffic(state: ModelState, slot: Slot, command: SetTraffic, at_ms: int) -> TrafficChanged:
    if slot.live is None:
        raise CommandRefused(
            f"no version of {command.model!r} is deployed{within(command.environment)}; deploy one before its traffic "
            "is divided"
        )
    for arm in command.arms:
        version = usable_version(state, arm.version, "given traffic")
        if not arm.shadow:  # a shadow answers nobody, and may be tried with outputs of its own
            check_fits(state, slot, version)
            check_policy(state, command.environment, version)
    _check_arms(command.arms)
    for label, number in command.labels.items():
        check_policy(state, command.environment, usable_version(state, number, "given traffic"))
        promotions.check_label(label)
    return TrafficChanged(
        model=command.model,
        arms=command.arms,
        labels=command.labels,
        unit=command.unit,
        salt=command.salt,
        environment=command.environment,
        **by(command, at_ms),
    )


def _check_arms(arms: Sequence[TrafficArm]) -> None:
    names = [arm.arm for arm in arms]
    if len(set(names)) != len(names) or "" in names:
        raise CommandRefused(f"the arms of the traffic are named {names}; give each its own name")
    for arm in arms:
        if not 0 <= arm.percent <= 100:
            raise CommandRefused(f"arm {arm.arm!r} has {arm.percent:g}% of the traffic; expected 0 to 100")
    total = math.fsum(arm.percent for arm in arms if not arm.shadow)
    if not math.isclose(total, 100):
        raise CommandRefused(f"the arms that are not shadows have {total:g}% of the traffic; expected 100")


def _set_segments(state: ModelState, slot: Slot, command: SetSegments, at_ms: int) -> SegmentsChanged:
    live = None if slot.live is None else state.version(slot.live)
    if live is None:
        raise CommandRefused(
            f"no version of {command.model!r} is deployed{within(command.environment)}; deploy the one that "
            "answers what is in no segment"
        )
    check_segments(command.keys, command.versions)
    check_alike(state, command.versions, live)
    for number in sorted(set(command.versions.values())):
        check_policy(state, command.environment, usable_version(state, number, "the version of a segment"))
    for arm in slot.traffic.arms if slot.traffic else ():  # a roll-out goes on, and its version is among them
        if not arm.shadow:
            check_alike(state, command.versions, usable_version(state, arm.version, "given traffic"))
    return SegmentsChanged(
        model=command.model,
        keys=command.keys,
        versions=command.versions,
        environment=command.environment,
        **by(command, at_ms),
    )


def _roll_back(state: ModelState, slot: Slot, command: RollBack, at_ms: int) -> RolledBack:
    live, path = slot.live, slot.deployed
    if live is None:
        raise CommandRefused(
            f"no version of {command.model!r} is deployed{within(command.environment)}, so there is nothing to roll "
            "back from"
        )
    target = slot.previous if command.version is None else command.version
    if target is None:
        raise CommandRefused(f"nothing to roll back to: version {live} of {command.model!r} has no predecessor")
    version = usable_version(state, target, "rolled back to")
    if target == live:
        raise CommandRefused(f"version {live} of {command.model!r} is live already")
    if not path_back(path, target):
        raise CommandRefused(
            f"version {target} of {command.model!r} is not among those that were live before version {live} "
            f"({_listed(path[:-1])}); deploy it instead"
        )
    check_fits(state, slot, version)  # and not the policy: the way back to what answered before is never barred
    return RolledBack(
        model=command.model,
        version=target,
        from_version=live,
        environment=command.environment,
        **by(command, at_ms),
    )


def _retire(state: ModelState, command: RetireModel, at_ms: int) -> ModelRetired:
    if command.version is not None:
        version = usable_version(state, command.version, "retired")
        for environment, slot in state.slots.items():
            _check_idle(command.model, version.number, environment, slot)
    elif all(version.retired for version in state.versions):
        raise CommandRefused(f"every version of {command.model!r} is retired already")
    return ModelRetired(
        model=command.model,
        version=command.version,
        **by(command, at_ms),
    )


def _check_idle(model: str, number: int, environment: str, slot: Slot) -> None:
    """Raises CommandRefused where the version answers in the environment, or a label of it names the version."""
    named = sorted(label for label, labelled in slot.labels.items() if labelled == number)
    if named:
        raise CommandRefused(
            f"version {number} of {model!r} carries the label {', '.join(map(repr, named))} in {environment}; give it "
            "to another version first"
        )
    if number == slot.live or number in slot.shared:
        raise CommandRefused(
            f"version {number} of {model!r} answers requests{within(environment)}; deploy or roll back to another, or "
            "take it out of the segments, first"
        )


def _check_signed(command: Command) -> None:
    for name in ("actor", "reason"):
        if not getattr(command, name).strip():
            raise CommandRefused(f"{type(command).__name__} has no {name}; say who commands and why")


def _known_model(state: ModelState, name: str, known: Collection[str]) -> None:
    if not state.versions:
        raise CommandRefused(f"no model is named {name!r}{did_you_mean(name, known)}; register it first")


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(str(number) for number in numbers) or "none"


def _rejected(command: Command, reason: str, at_ms: int) -> CommandRejected:
    return CommandRejected(
        model=command.model,
        command_type=type(command).__name__,
        reason_rejected=reason,
        environment=None if isinstance(command, RegisterModel | RetireModel) else command.environment,
        **by(command, at_ms),
    )
