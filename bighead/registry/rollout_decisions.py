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
from bighead.registry.checks import usable_version
from bighead.registry.rollouts import METRICS
from bighead.registry.segments import check_fits
from bighead.registry.state import COMPLETED, ROLLED_BACK, SUPERSEDED, ModelState, RegistryEvent, Rollout, Signed, by

_NEAR = 0.8
"""How alike a name must be to one of ours to be taken for a slip: other metrics are welcome, auc_pr beside auc."""


def start(state: ModelState, command: StartRollout, at_ms: int) -> tuple[RegistryEvent, ...]:
    """A roll-out begins at its first stage."""
    if state.live is None:
        raise CommandRefused(f"no version of {command.model!r} is deployed; deploy one before another is rolled out")
    if state.rollout is not None:
        running = state.rollout
        raise CommandRefused(
            f"version {running.version} of {command.model!r} is being rolled out, at stage {running.stage + 1} of "
            f"{len(running.stages)}; stop that roll-out first"
        )
    version = usable_version(state, command.version, "rolled out")
    if command.version == state.live:
        raise CommandRefused(f"version {state.live} of {command.model!r} is live already")
    check_fits(state, version)
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
        **by(command, at_ms),
    )
    share = {command.version: command.stages[0].percent}
    return started, _traffic(state, share, command.unit, command.salt, command, at_ms)


def advance(state: ModelState, command: AdvanceRollout, at_ms: int) -> tuple[RegistryEvent, ...]:
    """The next stage, or after the last one the deployment."""
    rollout = _running(state, command.model, command.rollout_id)
    if command.stage != rollout.stage + 1:
        raise CommandRefused(
            f"roll-out {rollout.id} of {command.model!r} is at stage {rollout.stage}; received stage {command.stage}; "
            f"only stage {rollout.stage + 1} can follow"
        )
    usable_version(state, rollout.version, "rolled out")
    if command.stage == len(rollout.stages):
        why = f"every stage was passed ({_shares(rollout.stages)})"
        return _ended(rollout, COMPLETED, why, command, at_ms), _deployed(state, rollout, command, at_ms)
    percent = rollout.stages[command.stage].percent
    advanced = RolloutAdvanced(
        model=command.model,
        rollout_id=rollout.id,
        version=rollout.version,
        stage=command.stage,
        percent=percent,
        **by(command, at_ms),
    )
    return advanced, _traffic(state, {rollout.version: percent}, rollout.unit, rollout.salt, command, at_ms)


def stop(state: ModelState, command: StopRollout, at_ms: int) -> tuple[RegistryEvent, ...]:
    """The roll-out ends, and the live version has all traffic again."""
    rollout = _running(state, command.model, command.rollout_id)
    why = f"it was stopped at stage {rollout.stage + 1} of {len(rollout.stages)} ({rollout.percent:g}%)"
    ended = _ended(rollout, ROLLED_BACK, why, command, at_ms)
    return ended, _traffic(state, {}, rollout.unit, rollout.salt, command, at_ms)


def superseded(state: ModelState, command: Signed, at_ms: int) -> tuple[RegistryEvent, ...]:
    """The end of the roll-out under way, if there is one: somebody else decides who answers."""
    if state.rollout is None:
        return ()
    return (_ended(state.rollout, SUPERSEDED, f"{type(command).__name__} by {command.actor}", command, at_ms),)


def _running(state: ModelState, model: str, rollout_id: str | None) -> Rollout:
    if state.rollout is None:
        raise CommandRefused(f"no roll-out of {model!r} is under way")
    if rollout_id not in (None, state.rollout.id):
        raise CommandRefused(f"roll-out {rollout_id} of {model!r} is not under way; {state.rollout.id} is")
    return state.rollout


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
    state: ModelState, shares: dict[int, float], unit: str | None, salt: str, command: Signed, at_ms: int
) -> TrafficChanged:
    """`shares` beside the live version, which has the rest. Labels stay as they are."""
    left = {state.live or 0: 100 - math.fsum(shares.values()), **shares}
    return TrafficChanged(
        model=state.name,
        arms=tuple(TrafficArm(arm=f"v{number}", version=number, percent=share) for number, share in left.items()),
        labels=state.traffic.labels if state.traffic is not None else {},
        unit=unit,
        salt=salt,
        **by(command, at_ms),
    )


def _deployed(state: ModelState, rollout: Rollout, command: Signed, at_ms: int) -> DeploymentChanged:
    return DeploymentChanged(
        model=state.name,
        version=rollout.version,
        previous_version=state.live,
        **by(command, at_ms),
    )


def _ended(rollout: Rollout, outcome: str, why: str, command: Signed, at_ms: int) -> RolloutEnded:
    return RolloutEnded(
        model=command.model,
        rollout_id=rollout.id,
        version=rollout.version,
        stage=rollout.stage,
        outcome=outcome,
        why=why,
        **by(command, at_ms),
    )


def _shares(stages: Sequence[RolloutStage]) -> str:
    return ", ".join(f"{stage.percent:g}%" for stage in stages)
