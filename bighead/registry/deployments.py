"""What servers should hold: per model the live version, the one before it, and those of traffic, segments and labels.

Pure: folded from the registry's events; the server asks `next_step` and does what it says.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from bighead.events.types import ModelRecord
from bighead.registry.state import PRODUCTION, ModelState, RegistryEvent, Segments, Traffic, evolve


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model's desired state in an environment. `command_id` is the command that made `live` live.

    labels: versions that requests may ask for by name, beside those of the traffic.
    """

    model: str
    live: int
    previous: int | None
    traffic: Traffic | None
    command_id: str
    records: Mapping[int, ModelRecord]
    segments: Segments | None = None
    labels: Mapping[str, int] = field(default_factory=dict)

    @property
    def answering(self) -> frozenset[int]:
        """Versions that requests may reach."""
        segments = self.segments.versions.values() if self.segments else ()
        arms = self.traffic.versions if self.traffic else frozenset()
        return frozenset({self.live, *segments, *self.labels.values()}) | arms

    @property
    def wanted(self) -> tuple[int, ...]:
        """Versions to hold, the most needed first."""
        candidates = [self.live, *sorted(self.answering), self.previous]
        return tuple(dict.fromkeys(number for number in candidates if number is not None))


@dataclass(frozen=True, slots=True)
class Load:
    """Fetch, verify and load this version."""

    version: int


@dataclass(frozen=True, slots=True)
class Swap:
    """Let this loaded version answer from now on."""

    version: int


@dataclass(frozen=True, slots=True)
class Unload:
    """Drain and drop this version."""

    version: int


Step = Load | Swap | Unload


def next_step(
    wanted: Deployment | None,
    loaded: Collection[int],
    serving: int | None,
    failed: Collection[int] = (),
    in_use: Collection[int] = (),
) -> Step | None:
    """The next thing that brings a server closer to `wanted`, or None when there is nothing to do.

    The model stays available: the new version is loaded and swapped in before an old one is dropped, and what
    serves is dropped only when the model itself was taken away. `failed` versions are not tried again; a server
    that serves nothing falls back to the version before the live one. `in_use` are versions that requests still reach.
    """
    if wanted is None:
        return Unload(min(loaded)) if loaded else None
    if wanted.live in loaded and serving != wanted.live:
        return Swap(wanted.live)
    if wanted.live not in loaded and wanted.live not in failed:
        return Load(wanted.live)
    if serving is None and wanted.previous in loaded and wanted.previous is not None:
        return Swap(wanted.previous)
    kept = {*wanted.wanted, *in_use, serving}
    surplus = [number for number in sorted(loaded) if number not in kept]
    if surplus:
        return Unload(surplus[0])
    missing = [number for number in wanted.wanted if number not in loaded and number not in failed]
    return Load(missing[0]) if missing else None


@dataclass(frozen=True, slots=True)
class Deployments:
    """The desired state of all models in one environment."""

    environment: str = PRODUCTION
    models: Mapping[str, ModelState] = field(default_factory=dict)

    def apply(self, event: RegistryEvent) -> "Deployments":
        """The deployments after `event`. Which commands were answered is not kept: a server decides nothing."""
        state = evolve(self.models.get(event.model, ModelState(event.model)), event)
        return replace(self, models={**self.models, event.model: replace(state, answered=frozenset())})

    def of(self, model: str) -> Deployment | None:
        """What servers should hold of `model`; None when nothing is deployed."""
        state = self.models.get(model)
        return None if state is None else deployment(state, self.environment)

    def all(self) -> dict[str, Deployment]:
        """Every deployed model."""
        found = {name: deployment(state, self.environment) for name, state in sorted(self.models.items())}
        return {name: wanted for name, wanted in found.items() if wanted is not None}


def deployment(state: ModelState, environment: str = PRODUCTION) -> Deployment | None:
    """The desired state that follows from one model's state."""
    slot = state.slot(environment)
    if slot.live is None or slot.deployment is None:
        return None
    held = {slot.live, slot.previous} | slot.shared
    return Deployment(
        model=state.name,
        live=slot.live,
        previous=slot.previous,
        traffic=slot.traffic,
        segments=slot.segments,
        labels=slot.labels,
        command_id=slot.deployment.command_id,
        records={item.number: item.record for item in state.versions if item.number in held},
    )
