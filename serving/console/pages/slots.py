"""What pages say of a model in one environment: live version, traffic, labels, roll-out, approvals. Pure."""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from bighead.registry.policies import told
from bighead.registry.rollouts import bounds
from bighead.registry.state import PRODUCTION, ModelState, Rollout, Slot, Stamp
from bighead.registry.views import ServerStatus


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a roll-out; state: done, now or next."""

    percent: float
    hold_ms: int
    predictions: int
    state: str


@dataclass(frozen=True, slots=True)
class RollingOut:
    """A roll-out that is under way."""

    version: int
    percent: float
    since_ms: int
    stages: tuple[Stage, ...]
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SlotCard:
    """One environment. shares: who answers, as (name, percent); shadows see every request and answer none."""

    environment: str
    live: int | None
    previous: int | None
    deployment: Stamp | None
    shares: tuple[tuple[str, float], ...]
    shadows: tuple[int, ...]
    unit: str | None
    labels: Mapping[str, int]
    segments: tuple[tuple[str, int], ...]
    rollout: RollingOut | None
    approvals: tuple[tuple[int, tuple[Stamp, ...]], ...]
    policy: tuple[str, ...]


def environments(state: ModelState) -> list[str]:
    """The environments of which something is known, production first; it is always there."""
    return sorted({PRODUCTION, *state.slots}, key=lambda name: (name != PRODUCTION, name))


def cards(state: ModelState) -> list[SlotCard]:
    """Each environment."""
    return [card(name, state.slot(name)) for name in environments(state)]


def card(environment: str, slot: Slot) -> SlotCard:
    """One environment as pages show it."""
    return SlotCard(
        environment=environment,
        live=slot.live,
        previous=slot.previous,
        deployment=slot.deployment,
        shares=shares(slot),
        shadows=tuple(arm.version for arm in slot.traffic.arms if arm.shadow) if slot.traffic else (),
        unit=slot.traffic.unit if slot.traffic else None,
        labels=dict(sorted(slot.labelled.items())),
        segments=tuple(sorted(slot.segments.versions.items())) if slot.segments else (),
        rollout=rolling(slot.rollout),
        approvals=tuple(sorted(slot.approvals.items(), reverse=True)),
        policy=tuple(map(told, slot.policy)),
    )


def there(servers: Mapping[str, ServerStatus], alive: Container[str] | None) -> dict[str, ServerStatus]:
    """Those of the servers that live, by name; all where that is not known. One that was killed never says so."""
    return {name: servers[name] for name in sorted(servers) if alive is None or name in alive}


def shares(slot: Slot) -> tuple[tuple[str, float], ...]:
    """Who answers requests that name no version, as (name, percent); nobody where nothing is live."""
    if slot.live is None:
        return ()
    arms = [arm for arm in slot.traffic.arms if not arm.shadow] if slot.traffic else []
    return tuple((f"version {arm.version}", arm.percent) for arm in arms) or ((f"version {slot.live}", 100.0),)


def rolling(rollout: Rollout | None) -> RollingOut | None:
    """A roll-out with what became of each stage."""
    if rollout is None:
        return None
    states = ("done" if at < rollout.stage else "now" if at == rollout.stage else "next" for at in range(99))
    stages = (
        Stage(stage.percent, stage.hold_ms, stage.predictions, state)
        for stage, state in zip(rollout.stages, states, strict=False)
    )
    rules = tuple(map(bounds, rollout.rules))
    return RollingOut(rollout.version, rollout.percent, rollout.since_ms, tuple(stages), rules)
