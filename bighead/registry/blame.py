"""Which command put each thing there that is so now: what is live where, each arm, label, segment, approval. Pure.

As git blame does for lines: of each present fact, the event since which it has been as it is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bighead.events.types import CommandRejected
from bighead.registry.policies import told
from bighead.registry.rollouts import bounds
from bighead.registry.state import PRODUCTION, ModelState, RegistryEvent, Slot, evolve_unnoted
from bighead.registry.timeline import Recorded


@dataclass(frozen=True, slots=True)
class Blamed:
    """A present fact, such as `live` and `version 2`, and the event that made it so, at `position` in the log.

    environment: empty where it is so in all of them.
    """

    environment: str
    fact: str
    value: str
    event: str
    command_id: str
    actor: str
    reason: str
    at_ms: int
    position: str
    revision: int


_Fact = tuple[str, str]


def blame(name: str, events: Iterable[Recorded[RegistryEvent]]) -> tuple[Blamed, ...]:
    """Every fact that `events` of the model leave, production's first, in a fixed order."""
    state = ModelState(name)
    found: dict[_Fact, tuple[object, Blamed]] = {}
    for recorded in events:
        if isinstance(recorded.event, CommandRejected):
            continue
        state = evolve_unnoted(state, recorded.event)
        before, found = found, {}
        for environment, fact, value, key in _facts(state):
            known = before.get((environment, fact))
            same = known is not None and known[0] == key
            blamed = known[1] if known and same else _blamed(environment, fact, value, recorded, state.revision)
            found[environment, fact] = key, blamed
    return tuple(blamed for _, blamed in found.values())


def _facts(state: ModelState) -> Iterator[tuple[str, str, str, object]]:
    """Environment, fact and value, as people read them, and what changes when somebody makes it so again."""
    for environment, slot in sorted(state.slots.items(), key=lambda item: (item[0] != PRODUCTION, item[0])):
        for fact, value, key in _in_slot(slot):
            yield environment, fact, value, key
    for version in state.versions:
        if version.retired is not None:
            yield "", f"version {version.number}", "retired", version.retired.command_id


def _in_slot(slot: Slot) -> Iterator[tuple[str, str, object]]:
    if slot.deployment is not None:
        # Deploying the live version again is a deployment too: servers try it once more.
        live = "nothing" if slot.live is None else f"version {slot.live}"
        yield "live", live, (slot.live, slot.deployment.command_id)
    if slot.traffic is not None:
        for arm in slot.traffic.arms:
            share = "sees everything as a shadow" if arm.shadow else f"{arm.percent:g}%"
            yield f"arm {arm.arm}", f"version {arm.version}, {share}", arm
        yield "unit", slot.traffic.unit or "all keys", (slot.traffic.unit, slot.traffic.salt)
    for label, number in sorted(slot.labelled.items()):
        yield f"label {label}", f"version {number}", number
    if slot.segments is not None:
        for segment, number in sorted(slot.segments.versions.items()):
            yield f"segment {segment}", f"version {number}", number
    if (rollout := slot.rollout) is not None:
        rules = ", ".join(map(bounds, rollout.rules)) or "none"
        plan = ", ".join(f"{stage.percent:g}%" for stage in rollout.stages)
        yield "roll-out", f"version {rollout.version} by {plan}; rules: {rules}", rollout.id
        stage = f"{rollout.stage + 1} of {len(rollout.stages)}, {rollout.percent:g}%"
        yield "roll-out's stage", stage, rollout.since_ms
    for rule in slot.policy:
        yield f"rule {told(rule)}", "must hold", rule
    for version, approvals in sorted(slot.approvals.items()):
        for approval in approvals:
            yield f"approval of version {version} by {approval.actor}", "given", approval.command_id


def _blamed(environment: str, fact: str, value: str, recorded: Recorded[RegistryEvent], revision: int) -> Blamed:
    event = recorded.event
    return Blamed(
        environment=environment,
        fact=fact,
        value=value,
        event=type(event).__name__,
        command_id=event.command_id,
        actor=event.actor,
        reason=event.reason,
        at_ms=event.at_ms,
        position=str(recorded.position),
        revision=revision,
    )
