"""When a roll-out goes on and when it ends: from what was observed of its version since the stage began.

Pure: what is observed are MetricComputed events, and the time is handed in. A service asks and commands.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import assert_never

from bighead.events.types import (
    MetricComputed,
    ModelLoaded,
    ModelLoadFailed,
    ModelSwapped,
    RolloutRule,
    RolloutStage,
    ServerStopped,
)
from bighead.registry.state import Rollout

ERROR_RATE = "error_rate"
LATENCY_P99_MS = "latency_p99_ms"
PREDICTIONS = "predictions"
SERVER_METRICS = (ERROR_RATE, LATENCY_P99_MS, PREDICTIONS)
"""What each model server says of its last seconds; `segment` is the server, and what all said belongs together."""
METRICS = (*SERVER_METRICS, "auc", "brier", "coverage", "log_loss")
"""The metrics that the platform computes by itself."""
ENOUGH = 100
"""A metric that rests on so many predictions can break a rule or keep it, also where a stage asks for more of them."""
_CHANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric of the version since the stage began, and how many predictions it rests on."""

    value: float
    count: int


Observed = Mapping[str, Measured]
"""By metric."""
NOTHING: Observed = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Advance:
    """Go on to this stage, or complete the roll-out where there is none of that number."""

    stage: int
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the roll-out and give all traffic back."""

    reason: str


Move = Advance | Stop


def observe(observed: Observed, rollout: Rollout, event: MetricComputed) -> Observed:
    """What is known after an event; the same where it says nothing of the roll-out's stage.

    Servers speak of intervals, which are counted where they began within the stage: counts are added up, rates and
    latencies averaged by them. Of any other metric the newest value counts, that of all arms and segments.
    """
    if event.version != rollout.version:
        return observed
    if event.metric in SERVER_METRICS:
        if event.from_ms < rollout.since_ms or event.count <= 0:
            return observed
        return {**observed, event.metric: _joined(observed.get(event.metric), event)}
    if event.arm or event.segment or event.at_ms < rollout.since_ms:
        return observed
    return {**observed, event.metric: Measured(event.value, event.count)}


def next_move(rollout: Rollout, observed: Observed, now_ms: int) -> Move | None:
    """What is to be done now, or None: wait.

    A broken rule ends the roll-out at once. A stage has passed when its time is over, its predictions were seen, and
    every rule is known to hold: one about which nothing is known yet holds the roll-out where it is.
    """
    stage = rollout.stages[rollout.stage]
    for rule in rollout.rules:
        measured = observed.get(rule.metric)
        if measured is not None and _breaks(rule, measured, stage):
            return Stop(f"{_told(rule.metric, measured)}; allowed is {bounds(rule)}")
    seen = int(observed[PREDICTIONS].value) if PREDICTIONS in observed else 0
    if now_ms - rollout.since_ms < stage.hold_ms or seen < stage.predictions:
        return None
    if not all(_keeps(rule, observed.get(rule.metric), stage) for rule in rollout.rules):
        return None
    known = [_told(rule.metric, observed[rule.metric]) for rule in rollout.rules]
    passed = f"stage {rollout.stage + 1} of {len(rollout.stages)} ({stage.percent:g}%) passed with {seen} predictions"
    return Advance(rollout.stage + 1, "; ".join((passed, *known)))


LoadEvent = ModelLoaded | ModelLoadFailed | ModelSwapped | ServerStopped
"""What model servers say of the versions that they load."""


@dataclass(frozen=True, slots=True)
class Unable:
    """Why a server could not load a version, and when it said so, by its clock."""

    why: str
    at_ms: int


Unloadable = Mapping[tuple[str, int], Mapping[str, Unable]]
"""By model and version the servers that could not load it, each with what it said. Nothing is kept of others."""


def hear(unloadable: Unloadable, event: LoadEvent) -> Unloadable:
    """What is known after a server's report: its newest word on a version counts, until it is gone."""
    match event:
        case ServerStopped():
            every = {of: _without(told, event.server) for of, told in unloadable.items()}
            return {of: told for of, told in every.items() if told}
        case ModelLoadFailed():
            of = (event.model, event.version)
            said = Unable(f"{event.step}: {event.error}", event.at_ms)
            return {**unloadable, of: {**unloadable.get(of, {}), event.server: said}}
        case ModelLoaded() | ModelSwapped():
            of = (event.model, event.version)
            left = _without(unloadable.get(of, {}), event.server)
            others = {other: told for other, told in unloadable.items() if other != of}
            return {**others, of: left} if left else others
        case _:
            assert_never(event)


def given_up(rollout: Rollout, said: Mapping[str, Unable], live: Collection[str]) -> Stop | None:
    """The end of a roll-out whose version could be loaded by none of the servers that live; else None: wait.

    said: by server why it could not. What one said before the stage began does not count: its share of the traffic asks
    each server for another try. Where nobody lives, one that comes may be able to.
    """
    now = {server: one.why for server, one in said.items() if one.at_ms >= rollout.since_ms}
    if not live or not now.keys() >= set(live):
        return None
    first = min(live)
    others = f" and {len(live) - 1} more" if len(live) > 1 else ""
    return Stop(f"no server could load version {rollout.version}; {first}{others}: {now[first]}")


def _without(said: Mapping[str, Unable], server: str) -> dict[str, Unable]:
    return {name: why for name, why in said.items() if name != server}


def bounds(rule: RolloutRule) -> str:
    """What a rule allows, for example `error_rate <= 0.01`."""
    if rule.at_least is not None and rule.at_most is not None:
        return f"{rule.at_least:g} <= {rule.metric} <= {rule.at_most:g}"
    return f"{rule.metric} <= {rule.at_most:g}" if rule.at_least is None else f"{rule.metric} >= {rule.at_least:g}"


def _joined(before: Measured | None, event: MetricComputed) -> Measured:
    if before is None:
        return Measured(event.value, event.count)
    count = before.count + event.count
    if event.metric == PREDICTIONS:
        return Measured(before.value + event.value, count)
    return Measured((before.value * before.count + event.value * event.count) / count, count)


def _breaks(rule: RolloutRule, measured: Measured, stage: RolloutStage) -> bool:
    if _within(rule, measured.value):
        return False
    if rule.metric == ERROR_RATE and rule.at_most is not None and measured.value > rule.at_most:
        return _beyond_chance(measured, rule.at_most)
    return measured.count >= _enough(stage)


def _keeps(rule: RolloutRule, measured: Measured | None, stage: RolloutStage) -> bool:
    return measured is not None and measured.count >= _enough(stage) and _within(rule, measured.value)


def _within(rule: RolloutRule, value: float) -> bool:
    """False for NaN."""
    return (rule.at_least is None or value >= rule.at_least) and (rule.at_most is None or value <= rule.at_most)


def _enough(stage: RolloutStage) -> int:
    return max(1, min(stage.predictions, ENOUGH))


def _beyond_chance(measured: Measured, rate: float) -> bool:
    """Whether so many failures have a probability below 0.001 where each answer fails with probability `rate`.

    By the bound of Chernoff and Hoeffding (1963, theorem 1): exp(-n D), D the relative entropy of the two rates. A few
    failures among many answers are not a broken rule, and two of two are.
    """
    share = min(measured.value, 1.0)
    if rate <= 0:
        return True
    if rate >= 1:
        return False
    divergence = share * math.log(share / rate)
    if share < 1:
        divergence += (1 - share) * math.log((1 - share) / (1 - rate))
    return measured.count * divergence > -math.log(_CHANCE)


def _told(metric: str, measured: Measured) -> str:
    return f"{metric} is {measured.value:.4g} over {measured.count}"
