"""The commands as the API takes them, and the events that they become. Who commands is not in them: the token says it.

Knows pydantic, which refuses what is malformed; what is wrong is decided by the registry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from bighead.events.types import (
    Approve,
    DeployModel,
    PromoteLabel,
    RetireModel,
    RollBack,
    RolloutRule,
    RolloutStage,
    SetPolicy,
    SetSegments,
    SetTraffic,
    StartRollout,
    StopRollout,
    TrafficArm,
)
from bighead.registry import Command
from bighead.registry.policies import rule_of

Number = Annotated[StrictInt, Field(ge=1, lt=2**31, description="A version's number.")]
Percent = Annotated[StrictFloat | StrictInt, Field(ge=0, le=100, description="Of the requests, 0 to 100.")]
Bound = Annotated[StrictFloat | StrictInt, Field(ge=-1e300, le=1e300)]
"""A finite number: JSON as Python reads it has others, and integers that are larger than any double."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What every command carries beside its body. newest: the version that is meant where none is named."""

    command_id: str
    model: str
    actor: str
    at_ms: int
    environment: str
    expected_revision: int | None
    newest: int


class Body(BaseModel):
    """What every command says."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[StrictStr, Field(max_length=2000, description="Why; it is kept with the event.")]

    def by(self, signed: Signed) -> dict[str, Any]:
        """The fields of the command that say who and why."""
        return {
            "command_id": signed.command_id,
            "model": signed.model,
            "actor": signed.actor,
            "reason": self.reason,
            "at_ms": signed.at_ms,
        }

    def changing(self, signed: Signed) -> dict[str, Any]:
        """The same of a command that is refused where the model has changed."""
        return self.by(signed) | {"expected_revision": signed.expected_revision}

    def there(self, signed: Signed) -> dict[str, Any]:
        """The same of a command that is about one environment."""
        return self.changing(signed) | {"environment": signed.environment}


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [fields]})


class DeployBody(Body):
    """Makes a version live; without one the newest that is not retired."""

    model_config = _example(version=3, reason="better AUC in October")
    version: Number | None = None

    def command(self, signed: Signed) -> Command:
        """The command."""
        return DeployModel(version=self.version or signed.newest, **self.there(signed))


class RollbackBody(Body):
    """Returns to the version that was live before, or to a named one that was."""

    model_config = _example(reason="log loss doubled")
    version: Number | None = None

    def command(self, signed: Signed) -> Command:
        """The command."""
        return RollBack(version=self.version, **self.there(signed))


class RetireBody(Body):
    """Takes a version out of use for good; without one the whole model."""

    model_config = _example(version=1, reason="leaks the label")
    version: Number | None = None

    def command(self, signed: Signed) -> Command:
        """The command."""
        return RetireModel(version=self.version, **self.changing(signed))


class Arm(BaseModel):
    """A version's share of the requests; a shadow sees every request and answers none."""

    model_config = ConfigDict(extra="forbid")
    version: Number
    percent: Percent = 100.0
    shadow: StrictBool = False
    arm: Annotated[StrictStr | None, Field(max_length=100, description="Its name; v3 or shadow-v3 by default.")] = None

    def named(self) -> TrafficArm:
        """The arm of the command."""
        name = self.arm or f"{'shadow-' if self.shadow else ''}v{self.version}"
        return TrafficArm(arm=name, version=self.version, percent=float(self.percent), shadow=self.shadow)


class TrafficBody(Body):
    """Divides the requests among versions until the next deployment; the shares that are no shadows sum to 100."""

    model_config = _example(arms=[{"version": 2, "percent": 90}, {"version": 3, "percent": 10}], reason="canary")
    arms: Annotated[list[Arm], Field(min_length=1, max_length=100)]
    labels: Annotated[Mapping[StrictStr, Number], Field(description="Names that requests may ask for.")] = {}
    unit: Annotated[
        StrictStr | None, Field(description="The key or input that decides the arm; all keys by default.")
    ] = None
    salt: Annotated[StrictStr, Field(description="Another one assigns every unit anew.")] = ""

    def command(self, signed: Signed) -> Command:
        """The command."""
        arms = tuple(arm.named() for arm in self.arms)
        return SetTraffic(arms=arms, labels=dict(self.labels), unit=self.unit, salt=self.salt, **self.there(signed))


class SegmentsBody(Body):
    """Lets versions of their own answer for `key=value` segments of the rows; none: no longer partitioned."""

    model_config = _example(keys=["carrier"], versions={"carrier=AA": 4}, reason="trained by carrier")
    versions: Annotated[Mapping[StrictStr, Number], Field(max_length=10_000)]
    keys: Annotated[list[StrictStr], Field(description="Those of the segments, the finest first.")]

    def command(self, signed: Signed) -> Command:
        """The command."""
        return SetSegments(keys=tuple(self.keys), versions=dict(self.versions), **self.there(signed))


class Stage(BaseModel):
    """A step of a roll-out: the share of the units, and how long and for how many predictions it is held at least."""

    model_config = ConfigDict(extra="forbid")
    percent: Percent
    hold_ms: Annotated[StrictInt, Field(ge=0, lt=2**62)] = 600_000
    predictions: Annotated[StrictInt, Field(ge=0, lt=2**62)] = 100

    def planned(self) -> RolloutStage:
        """The stage of the command."""
        return RolloutStage(percent=float(self.percent), hold_ms=self.hold_ms, predictions=self.predictions)


class Rule(BaseModel):
    """What must hold at every stage: a metric's bound."""

    model_config = ConfigDict(extra="forbid")
    metric: StrictStr
    at_most: Bound | None = None
    at_least: Bound | None = None

    def kept(self) -> RolloutRule:
        """The rule of the command."""
        return RolloutRule(metric=self.metric, at_most=_float(self.at_most), at_least=_float(self.at_least))


class RolloutBody(Body):
    """Gives a version (without one the newest) growing shares, and makes it live after the last stage."""

    model_config = _example(
        version=3, stages=[{"percent": 10}, {"percent": 100}], rules=[{"metric": "auc", "at_least": 0.7}], reason="AUC"
    )
    version: Number | None = None
    stages: Annotated[list[Stage], Field(min_length=1, max_length=100)]
    rules: Annotated[list[Rule], Field(max_length=100)] = []
    unit: StrictStr | None = None
    salt: StrictStr = ""

    def command(self, signed: Signed) -> Command:
        """The command."""
        return StartRollout(
            version=self.version or signed.newest,
            stages=tuple(stage.planned() for stage in self.stages),
            rules=tuple(rule.kept() for rule in self.rules),
            unit=self.unit,
            salt=self.salt,
            **self.there(signed),
        )


class StopBody(Body):
    """Ends a roll-out (without an id the one under way): all traffic goes back to the live version."""

    model_config = _example(reason="complaints")
    rollout_id: StrictStr | None = None

    def command(self, signed: Signed) -> Command:
        """The command."""
        return StopRollout(rollout_id=self.rollout_id, **self.there(signed))


class LabelBody(Body):
    """Gives a label to a version, or (version null) takes it away; it stays over deployments."""

    model_config = _example(label="champion", version=3, reason="won the comparison")
    label: StrictStr
    version: Number | None

    def command(self, signed: Signed) -> Command:
        """The command."""
        return PromoteLabel(label=self.label, version=self.version, **self.there(signed))


class ApproveBody(Body):
    """Vouches for a version in an environment; who registered it cannot, and nobody counts twice."""

    model_config = _example(version=3, reason="reviewed the report")
    version: Number

    def command(self, signed: Signed) -> Command:
        """The command."""
        return Approve(version=self.version, **self.there(signed))


class PolicyBody(Body):
    """Sets what must hold of a version before it answers in an environment; what was set before is replaced."""

    model_config = _example(rules=["approvals=2", "auc>=live-0.005", "lived_in=staging"], reason="two pairs of eyes")
    rules: Annotated[list[StrictStr], Field(max_length=50, description="As `bighead models policy set` takes them.")]

    def command(self, signed: Signed) -> Command:
        """The command; raises InvalidInput for what is no rule."""
        return SetPolicy(rules=tuple(map(rule_of, self.rules)), **self.there(signed))


class RegisterBody(Body):
    """Registers a version: its record, with artifact_sha256 of bytes that were stored by POST /artifacts before."""

    model_config = _example(
        record={"artifact_sha256": "ab" * 32, "signature": {"inputs": [], "outputs": []}, "golden": [], "parity": {}},
        reason="trained anew",
    )
    record: Annotated[dict[str, Any], Field(description="As `bighead models register --record` takes it.")]


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
