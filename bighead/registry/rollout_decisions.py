"""What the commands of a roll-out lead to: a version gets growing shares of the traffic until it is live.

Pure, as `decisions`, which calls this. The first event is the answer; the others follow from it.
"""

import math
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise

from bighead.errors import CommandRefused
from bighead.events.types import (
    AdvanceRollout,
    DeploymentChanged,
    RolloutAdvanced,
    RolloutEnded,
    RolloutRule,
    RolloutStage,
    RolloutStarted,
    StartRollout,
    StopRollout,
    TrafficArm,
    TrafficChanged,
)
from bighead.registry.checks import usable_version, within
from bighead.registry.policy_checks import check_policy
from bighead.registry.rollouts import METRICS
from bighead.registry.segments import check_fits
from bighead.registry.state import (
    COMPLETED,
    ROLLED_BACK,
    SUPERSEDED,
    ModelState,
    RegistryEvent,
    Rollout,
    Signed,
    Slot,
    by,
)

RolloutCommand = StartRollout | AdvanceRollout | StopRollout
_NEAR = 0.8
"""How alike a name must be to one of ours to be taken for a slip: other metrics are welcome, auc_pr beside auc."""


def start(state: ModelState, slot: Slot, command: StartRollout, at_ms: int) -> tuple[RegistryEvent, ...]:
    """A roll-out begins at its first stage."""
    if slot.live is None:
        raise CommandRefused(
            f"no version of {command.model!r} is deployed{within(command.environment)}; deploy one before another is "
            "rolled out"
        )
    if slot.rollout is not None:
        running = slot.rollout
        raise CommandRefused(
            f"version {running.version} of {command.model!r} is being rolled out{within(command.environment)}, at "
            f"stage {running.stage + 1} of {len(running.stages)}; stop that roll-out first"
        )
    version = usable_version(state, command.version, "rolled out")
    if command.version == slot.live:
        raise CommandRefused(f"version {slot.live} of {command.model!r} is live already")
    check_fits(state, slot, version)
    check_policy(state, command.environment, version)
    _check_stages(command.stages)
    for rule in command.rules:
        _check_rule(rule)
    started = RolloutStarted(
        model=command.model,
        rollout_id=command.command_id,
        version=command.version,
        stages=command.stages,
        rules=command.rules,
        unit=command.unit,
        salt=command.salt,
        environment=command.environment,
        **by(command, at_ms),
    )
    share = {command.version: command.stages[0].percent}
    return started, _traffic(slot, share, command.unit, command.salt, command, at_ms)


def advance(state: ModelState, slot: Slot, command: AdvanceRollout, at_ms: int) -> tuple[RegistryEvent, ...]:
    """The next stage, or after the last one the deployment; or the end, where the policy was changed meanwhile.

    A refusal would leave it where it is for good: whoever advances it commands each stage once.
    """
    rollout = _running(slot, command)
    if command.stage != rollout.stage + 1:
        raise CommandRefused(
            f"roll-out {rollout.id} of {command.model!r} is at stage {rollout.stage}; received stage {command.stage}; "
            f"only stage {rollout.stage + 1} can follow"
        )
    try:
        check_policy(state, command.environment, usable_version(state, rollout.version, "rolled out"))
    except CommandRefused as refusal:
        return _given_back(slot, rollout, str(refusal), command, at_ms)
    if command.stage == len(rollout.stages):
        why = f"every stage was passed ({_shares(rollout.stages)})"
        ended = _ended(rollout, COMPLETED, why, command, command.environment, at_ms)
        return ended, _deployed(slot, rollout, command, at_ms)
    percent = rollout.stages[command.stage].percent
    advanced = RolloutAdvanced(
        model=command.model,
        rollout_id=rollout.id,
        version=rollout.version,
        stage=command.stage,
        percent=percent,
        environment=command.environment,
        **by(command, at_ms),
    )
    return advanced, _traffic(slot, {rollout.version: percent}, rollout.unit, rollout.salt, command, at_ms)


def stop(slot: Slot, command: StopRollout, at_ms: int) -> tuple[RegistryEvent, ...]:
    """The roll-out ends, and the live version has all traffic again."""
    rollout = _running(slot, command)
    why = f"it was stopped at stage {rollout.stage + 1} of {len(rollout.stages)} ({rollout.percent:g}%)"
    return _given_back(slot, rollout, why, command, at_ms)


def superseded(slot: Slot, command: Signed, environment: str, at_ms: int) -> tuple[RegistryEvent, ...]:
    """The end of the roll-out under way there, if there is one: somebody else decides who answers."""
    if slot.rollout is None:
        return ()
    why = f"{type(command).__name__} by {command.actor}"
    return (_ended(slot.rollout, SUPERSEDED, why, command, environment, at_ms),)


def all_superseded(state: ModelState, command: Signed, at_ms: int) -> tuple[RegistryEvent, ...]:
    """The ends of the roll-outs under way in any environment."""
    return tuple(end for name, slot in state.slots.items() for end in superseded(slot, command, name, at_ms))


def _given_back(
    slot: Slot, rollout: Rollout, why: str, command: AdvanceRollout | StopRollout, at_ms: int
) -> tuple[RegistryEvent, ...]:
    ended = _ended(rollout, ROLLED_BACK, why, command, command.environment, at_ms)
    return ended, _traffic(slot, {}, rollout.unit, rollout.salt, command, at_ms)


def _running(slot: Slot, command: AdvanceRollout | StopRollout) -> Rollout:
    there = within(command.environment)
    if slot.rollout is None:
        raise CommandRefused(f"no roll-out of {command.model!r} is under way{there}")
    if command.rollout_id not in (None, slot.rollout.id):
        raise CommandRefused(
            f"roll-out {command.rollout_id} of {command.model!r} is not under way{there}; {slot.rollout.id} is"
        )
    return slot.rollout


def _check_stages(stages: Sequence[RolloutStage]) -> None:
    percents = [stage.percent for stage in stages]
    ranged = all(0 < percent <= 100 for percent in percents)
    if not percents or not ranged or any(later <= earlier for earlier, later in pairwise(percents)):
        raise CommandRefused(
            f"the stages have {_shares(stages) or 'no share'}; expected growing shares above 0 and up to 100, "
            "for example 1%, 10%, 50%, 100%"
        )
    for stage in stages:
        if stage.hold_ms < 0 or stage.predictions < 0:
            raise CommandRefused(
                f"the stage of {stage.percent:g}% holds {stage.hold_ms} ms and {stage.predictions} predictions; "
                "expected 0 or more of each"
            )


def _check_rule(rule: RolloutRule) -> None:
    bounds = [bound for bound in (rule.at_least, rule.at_most) if bound is not None]
    if not bounds or not all(math.isfinite(bound) for bound in bounds) or bounds != sorted(bounds):
        raise CommandRefused(
            f"the rule about {rule.metric!r} allows from {rule.at_least} to {rule.at_most}; expected a number as one "
            "of the bounds, the lower one first"
        )
    near = get_close_matches(rule.metric, METRICS, n=1, cutoff=_NEAR)
    if not rule.metric.strip() or (near and rule.metric not in METRICS):
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise CommandRefused(f"{rule.metric!r} is no metric{meant}; there are {', '.join(METRICS)}, and your own")


def _traffic(
    slot: Slot, shares: dict[int, float], unit: str | None, salt: str, command: RolloutCommand, at_ms: int
) -> TrafficChanged:
    """`shares` beside the live version, which has the rest. Labels stay as they are."""
    left = {slot.live or 0: 100 - math.fsum(shares.values()), **shares}
    return TrafficChanged(
        model=command.model,
        arms=tuple(TrafficArm(arm=f"v{number}", version=number, percent=share) for number, share in left.items()),
        labels=slot.traffic.labels if slot.traffic is not None else {},
        unit=unit,
        salt=salt,
        environment=command.environment,
        **by(command, at_ms),
    )


def _deployed(slot: Slot, rollout: Rollout, command: RolloutCommand, at_ms: int) -> DeploymentChanged:
    return DeploymentChanged(
        model=command.model,
        version=rollout.version,
        previous_version=slot.live,
        environment=command.environment,
        **by(command, at_ms),
    )


def _ended(rollout: Rollout, outcome: str, why: str, command: Signed, environment: str, at_ms: int) -> RolloutEnded:
    return RolloutEnded(
        model=command.model,
        rollout_id=rollout.id,
        version=rollout.version,
        stage=rollout.stage,
        outcome=outcome,
        why=why,
        environment=environment,
        **by(command, at_ms),
    )


def _shares(stages: Sequence[RolloutStage]) -> str:
    return ", ".join(f"{stage.percent:g}%" for stage in stages)
