"""What a command would do, decided as the registry decides: the events or why it refuses, before and after. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from bighead.events.types import Approve, CommandRejected, DeployModel, RollBack, SetTraffic, StartRollout
from bighead.registry import Command, ModelState, RegistryEvent, decide, evolve
from bighead.registry.policies import told
from bighead.registry.policy_checks import Verdict, verdicts
from bighead.registry.rollouts import bounds
from bighead.registry.state import PRODUCTION, Slot, Version
from serving.console.pages import slots


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing about a model, before and after."""

    name: str
    before: str
    after: str

    @property
    def changed(self) -> bool:
        """Whether the command changes it."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class Consequences:
    """refused: why nothing would happen; else what differs in `environment`, with what stays as it is."""

    environment: str
    events: tuple[RegistryEvent, ...]
    refused: str
    facts: tuple[Fact, ...]
    judged: tuple[tuple[int, tuple[Verdict, ...]], ...]
    """What the policy says of each version that would answer."""


def consequences(state: ModelState, command: Command, now_ms: int) -> Consequences:
    """What the registry would make of the command if it read it next."""
    environment = str(getattr(command, "environment", ""))
    events = decide(state, command, now_ms)
    refusal = events[0] if events and isinstance(events[0], CommandRejected) else None
    after = state
    for event in events:
        after = evolve(after, event)
    names = [environment] if environment else slots.environments(state)
    return Consequences(
        environment=environment,
        judged=tuple((one.number, verdicts(state, environment, one)) for one in _answering(state, command)),
        events=() if refusal else events,
        refused=refusal.reason_rejected if refusal else "",
        facts=() if refusal else tuple(fact for name in names for fact in compared(state, after, name, len(names) > 1)),
    )


def _answering(state: ModelState, command: Command) -> list[Version]:
    """The versions that the command would make answer, or vouches for, where a policy has a say."""
    slot = state.slot(getattr(command, "environment", PRODUCTION))
    match command:
        case DeployModel() | StartRollout() | Approve():
            numbers = [command.version]
        case RollBack():
            numbers = [command.version or slot.previous or 0]
        case SetTraffic():
            numbers = [arm.version for arm in command.arms if not arm.shadow]
        case _:
            numbers = []
    found = (state.version(number) for number in numbers if number != slot.live)
    return [version for version in found if version is not None and slot.policy]


def compared(before: ModelState, after: ModelState, environment: str, named: bool) -> list[Fact]:
    """Each fact about the model in an environment; `named`: said with the environment's name."""
    old, new = _facts(before.slot(environment)), _facts(after.slot(environment))
    suffix = f" in {environment}" if named else ""
    facts = [Fact(f"{name}{suffix}", old[name], new[name]) for name in old]
    retired = [
        Fact(f"Version {one.number}", "usable", "retired")
        for one, other in zip(before.versions, after.versions, strict=False)
        if one.retired is None and other.retired is not None
    ]
    return facts + (retired if not named or environment == slots.environments(before)[0] else [])


def _facts(slot: Slot) -> dict[str, str]:
    rollout = slot.rollout
    arms = slot.traffic.arms if slot.traffic else ()
    return {
        "Live version": f"version {slot.live}" if slot.live else "nothing",
        "A roll-back leads to": f"version {slot.previous}" if slot.previous else "nothing",
        "Traffic": listed([f"{name} {percent:g}%" for name, percent in slots.shares(slot)]),
        "Shadows": listed([f"version {arm.version}" for arm in arms if arm.shadow]),
        "Stays with its arm": (slot.traffic.unit or "all keys") if slot.traffic else "–",
        "Roll-out": "none"
        if rollout is None
        else f"version {rollout.version} by {', '.join(f'{stage.percent:g}%' for stage in rollout.stages)}, now "
        f"{rollout.percent:g}%; rules: {listed([bounds(rule) for rule in rollout.rules])}",
        "Labels": listed([f"{label} → version {number}" for label, number in sorted(slot.labelled.items())]),
        "Segments": listed([f"{name} → version {one}" for name, one in sorted(slot.segments.versions.items())])
        if slot.segments
        else "none",
        "Policy": listed([told(rule) for rule in slot.policy]),
        "Approvals": listed(
            [f"version {one}: {', '.join(by.actor for by in stamps)}" for one, stamps in sorted(slot.approvals.items())]
        ),
    }


def listed(items: Sequence[str]) -> str:
    """The items, or that there are none."""
    return ", ".join(items) or "none"
