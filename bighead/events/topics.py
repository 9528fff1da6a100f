"""The platform's topics, one row each; names, settings, keys and types are derived from here and nowhere else.

Knows no broker. A topic's name on the broker is `topic_name(prefix, name)`.
"""

from dataclasses import dataclass
from typing import Literal

from bighead.config import Settings
from bighead.errors import InvalidEvent
from bighead.events import types as t
from bighead.events.base import Event

FEATURES_EVENTS = "features.events.v1"
FEATURES_STATE = "features.state.v1"
MODELS_COMMANDS = "models.commands.v1"
MODELS_EVENTS = "models.events.v1"
SERVING_EVENTS = "serving.events.v1"
PREDICTIONS = "predictions.v1"
OUTCOMES = "outcomes.v1"
MONITORING = "monitoring.v1"
RUNS = "runs.v1"
EXPERIMENTS = "experiments.v1"
DEAD_LETTERS = "dead-letters.v1"

DAY_MS = 24 * 60 * 60 * 1000
FOREVER = -1
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """One topic: what it carries, keyed by what, kept for how long. `partitions` None: as many as the settings say."""

    name: str
    key: str
    types: tuple[type[Event], ...]
    cleanup: Literal["delete", "compact"] = "delete"
    retention_ms: int = FOREVER
    partitions: int | None = None
    max_bytes: int = MEBIBYTE
    key_required: bool = True

    def broker_settings(self) -> dict[str, str]:
        """The topic's configuration on the broker."""
        settings = {"cleanup.policy": self.cleanup, "max.message.bytes": str(self.max_bytes)}
        if self.cleanup == "compact":
            # The active segment is never compacted: small segments keep what a restore reads short.
            return settings | {"segment.bytes": str(64 * MEBIBYTE)}
        return settings | {"retention.ms": str(self.retention_ms)}


TOPICS: tuple[TopicSpec, ...] = (
    # One partition: a Join refers to GroupBys, so their order counts.
    TopicSpec(
        name=FEATURES_EVENTS,
        key="group or join",
        partitions=1,
        types=(
            t.GroupByApplied,
            t.JoinApplied,
            t.GroupByActivated,
            t.GroupRetired,
            t.JoinRetired,
            t.BackfillCompleted,
            t.TrainingSetCreated,
            t.KeyForgotten,
        ),
    ),
    TopicSpec(
        name=FEATURES_STATE,
        key="group, epoch, entity, level, start; or lane, source partition",
        cleanup="compact",
        types=(t.FeatureTile, t.PositionReached),
    ),
    TopicSpec(
        name=MODELS_COMMANDS,
        key="model",
        retention_ms=30 * DAY_MS,
        types=(
            t.RegisterModel,
            t.DeployModel,
            t.SetTraffic,
            t.SetSegments,
            t.StartRollout,
            t.AdvanceRollout,
            t.StopRollout,
            t.RollBack,
            t.RetireModel,
            t.PromoteLabel,
            t.Approve,
            t.SetPolicy,
        ),
        max_bytes=4 * MEBIBYTE,
    ),
    TopicSpec(
        name=MODELS_EVENTS,
        key="model",
        types=(
            t.ModelRegistered,
            t.DeploymentChanged,
            t.TrafficChanged,
            t.SegmentsChanged,
            t.RolloutStarted,
            t.RolloutAdvanced,
            t.RolloutEnded,
            t.RolledBack,
            t.ModelRetired,
            t.LabelPromoted,
            t.VersionApproved,
            t.PolicyChanged,
            t.CommandRejected,
        ),
        max_bytes=4 * MEBIBYTE,
    ),
    TopicSpec(
        name=SERVING_EVENTS,
        key="server",
        retention_ms=30 * DAY_MS,
        types=(t.ServerStarted, t.ModelLoaded, t.ModelLoadFailed, t.ModelSwapped, t.ServerStopped),
    ),
    TopicSpec(name=PREDICTIONS, key="entity", retention_ms=30 * DAY_MS, types=(t.PredictionServed,)),
    TopicSpec(name=OUTCOMES, key="entity", retention_ms=30 * DAY_MS, types=(t.OutcomeObserved,)),
    TopicSpec(
        name=MONITORING,
        key="model, or the feature's group or join",
        retention_ms=90 * DAY_MS,
        types=(t.MetricComputed, t.DriftComputed, t.FeatureStatisticsComputed, t.AlertRaised, t.AlertResolved),
    ),
    TopicSpec(
        name=RUNS,
        key="run",
        types=(t.RunStarted, t.RunBeat, t.RunMetric, t.RunArtifact, t.StepFinished, t.RunFinished, t.HealthChecked),
    ),
    TopicSpec(
        name=EXPERIMENTS,
        key="experiment",
        types=(t.ExperimentStarted, t.ExperimentAnalysed, t.ExperimentStopped),
    ),
    # A dead letter wraps a message that was itself up to a topic's limit.
    TopicSpec(
        name=DEAD_LETTERS,
        key="that of the original message",
        retention_ms=90 * DAY_MS,
        types=(t.DeadLetter, t.DeadLetterReplayed),
        max_bytes=8 * MEBIBYTE,
        key_required=False,
    ),
)
_BY_NAME = {spec.name: spec for spec in TOPICS}


def topic_name(prefix: str, name: str) -> str:
    """The topic's name on the broker."""
    return f"{prefix}.{name}"


def spec_of(prefix: str, topic: str) -> TopicSpec | None:
    """The row of a topic of the broker; None for a user's own topic."""
    return _BY_NAME.get(topic[len(prefix) + 1 :]) if topic.startswith(f"{prefix}.") else None


def partitions_of(spec: TopicSpec, settings: Settings) -> int:
    """How many partitions the topic has."""
    return settings.partitions if spec.partitions is None else spec.partitions


def check_belongs(prefix: str, topic: str, full_name: str) -> None:
    """Refuses an event type that the topic does not carry, or a platform event on a user's topic."""
    spec = spec_of(prefix, topic)
    if spec is None:
        if full_name not in t.EVENT_TYPES:
            return
        names = [topic_name(prefix, row.name) for row in TOPICS if any(full_name == c.FULL_NAME for c in row.types)]
        raise InvalidEvent(f"{full_name} was sent to {topic}; it belongs on {' or '.join(names)}")
    if all(full_name != event_class.FULL_NAME for event_class in spec.types):
        carried = ", ".join(event_class.FULL_NAME for event_class in spec.types)
        raise InvalidEvent(f"{full_name} was sent to {topic}, which carries {carried}")
