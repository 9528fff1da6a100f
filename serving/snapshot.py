"""What a request sees of the models: proven versions in memory and the policy that divides their traffic.

Immutable; replaced as a whole. Knows no transport, store or log.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bighead.errors import NotReady, UnknownModel
from bighead.events.types import TrafficArm
from bighead.inference.model import LoadedModel
from bighead.registry.state import Segments, Traffic
from bighead.registry.traffic import LIVE, choose

PINNED = "pinned"
Wanted = int | str | None
"""What a caller asks for: a version by its number or by its label, or whatever the traffic says."""
UnitOf = Callable[[str | None], str]
"""The text whose hash chooses an arm, for the key that the policy names as its unit (None: the whole entity)."""


@dataclass(frozen=True, slots=True)
class Served:
    """The loaded versions of one model, the one that answers, how its traffic is divided, how it is partitioned, and
    the versions that have a label of their own."""

    live: LoadedModel
    versions: Mapping[int, LoadedModel]
    traffic: Traffic | None = None
    segments: Segments | None = None
    labels: Mapping[str, int] = field(default_factory=dict)

    @property
    def labelled(self) -> Mapping[str, int]:
        """Versions by the label that requests may ask for: those of the traffic stand before the others."""
        return {**self.labels, **self.traffic.labels} if self.traffic is not None else self.labels


@dataclass(frozen=True, slots=True)
class Resolved:
    """Who answers a request, the arm that it is, the versions that see it as well, and why."""

    model: LoadedModel
    arm: str
    shadows: Sequence[tuple[TrafficArm, LoadedModel]]
    why: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a request depends on; replaced as a whole, never changed."""

    models: Mapping[str, Served] = field(default_factory=dict)
    ready: bool = False

    def served(self, model: str) -> Served:
        """What is held of a model; raises UnknownModel or NotReady."""
        served = self.models.get(model)
        if served is None:
            if not self.ready:
                raise NotReady(f"model {model!r} may not be loaded yet: the server still reads the log; try again")
            known = ", ".join(sorted(self.models)) or "none"
            raise UnknownModel(f"no model {model!r} is deployed on this server; it serves: {known}")
        return served

    def version(self, model: str, wanted: Wanted) -> LoadedModel:
        """The version of that number or label, or the live one; raises UnknownModel or NotReady."""
        served = self.served(model)
        if wanted is None:
            return served.live
        number = _labelled(served, model, wanted) if isinstance(wanted, str) else wanted
        found = served.versions.get(number)
        if found is None:
            raise UnknownModel(
                f"version {number} of model {model!r} is not loaded; loaded: {sorted(served.versions)}; "
                "deploy it, or leave the version out to get the live one"
            )
        return found

    def resolve(self, model: str, wanted: Wanted, unit_of: UnitOf) -> Resolved:
        """Who answers a request whose rows are in no segment; raises UnknownModel or NotReady."""
        if wanted is not None:
            return Resolved(self.version(model, wanted), PINNED, (), f"the request asked for {wanted!r}")
        served = self.served(model)
        if served.traffic is None:
            return Resolved(served.live, LIVE, (), f"version {served.live.version} is live, traffic is not divided")
        return _divided(served, served.traffic, unit_of)


def _labelled(served: Served, model: str, label: str) -> int:
    labels = served.labelled
    if label not in labels:
        known = ", ".join(sorted(labels)) or "none"
        raise UnknownModel(
            f"model {model!r} has no version {label[:60]!r}; versions are whole numbers from 1, its labels are: {known}"
        )
    return labels[label]


def _divided(served: Served, traffic: Traffic, unit_of: UnitOf) -> Resolved:
    choice = choose(served.live.version, traffic, unit_of(traffic.unit))
    held = served.versions
    shadows = [(arm, held[arm.version]) for arm in choice.shadows if arm.version in held]
    if choice.version not in held:
        why = f"{choice.why}: arm {choice.arm!r}, but its version {choice.version} is not loaded; the live one answers"
        return Resolved(served.live, LIVE, shadows, why)
    return Resolved(held[choice.version], choice.arm, shadows, choice.why)
