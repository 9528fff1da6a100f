"""What a Flink job is told: its groups, where it reads and writes, and Flink's own settings for it.

Knows the settings of the platform and the schema registry; the job itself is Java, in streams/flink/java.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bighead.compile.flink import group_job
from bighead.config import Settings
from bighead.errors import ConfigError
from bighead.events.codec import Codec
from bighead.events.schemas import platform_schemas, subject_of
from bighead.events.topics import DEAD_LETTERS, FEATURES_STATE, topic_name
from bighead.events.types import DeadLetter, FeatureTile
from bighead.features.catalog import GroupEpoch

MAIN = "org.bighead.flink.Job"
_PRODUCER = {
    "compression.type": "lz4",
    "acks": "all",
    "enable.idempotence": "true",
    "max.request.size": str(8 * 1024 * 1024),
    "delivery.timeout.ms": "600000",
}
_FLINK = {
    "pipeline.object-reuse": "true",
    "parallelism.default": "1",
    "state.backend.type": "rocksdb",
    "execution.checkpointing.incremental": "true",
    "execution.checkpointing.mode": "AT_LEAST_ONCE",
    "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    "execution.checkpointing.num-retained": "2",
    "execution.checkpointing.min-pause": "50ms",
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "2147483647",
    "restart-strategy.fixed-delay.delay": "500ms",
}


@dataclass(frozen=True)
class Profile:
    """How a job trades latency for throughput.

    linger_ms: how long a changed tile waits for more events; checkpoint_ms: how often what is done becomes visible.
    """

    linger_ms: int
    checkpoint_ms: int
    producer: Mapping[str, str]
    flink: Mapping[str, str]


PROFILES = {
    "low-latency": Profile(1, 200, {"linger.ms": "1"}, {"execution.buffer-timeout.interval": "5ms"}),
    "high-throughput": Profile(
        200, 2_000, {"linger.ms": "20", "batch.size": "262144"}, {"execution.buffer-timeout.interval": "100ms"}
    ),
}


def profile(name: str) -> Profile:
    """A profile by its name; raises ConfigError for one that does not exist."""
    if name not in PROFILES:
        raise ConfigError(f"no profile of the Flink lane is named {name!r}; there are {', '.join(PROFILES)}")
    return PROFILES[name]


def describe(
    settings: Settings,
    codec: Codec,
    epochs: Sequence[GroupEpoch],
    chosen: Profile,
    *,
    consumers: str,
    checkpoints: str,
    one_time: bool,
    bounded: bool = False,
) -> dict[str, Any]:
    """The description of a job over groups of one topic.

    consumers: the consumer group under which it commits its progress. checkpoints: URI of a folder. one_time: all
    groups of the topic read the event's time from the same column. bounded: it ends with what the topic holds now.
    """
    state, letters = (topic_name(settings.topic_prefix, name) for name in (FEATURES_STATE, DEAD_LETTERS))
    columns = {name: str(kind) for one in epochs for name, kind in one.group.columns.items()}
    read = sorted({name for one in epochs for name in one.group.source_columns})
    return {
        "name": consumers,
        "kafka": settings.kafka,
        "registry": settings.schema_registry,
        "topic": epochs[0].group.definition.source.topic,
        "consumers": consumers,
        "state_topic": state,
        "letters_topic": letters,
        "tile_schema_id": _schema_id(codec, state, FeatureTile.FULL_NAME),
        "letter_schema_id": _schema_id(codec, letters, DeadLetter.FULL_NAME),
        "max_future_ms": settings.max_future_ms,
        "one_time": one_time,
        "bounded": bounded,
        "linger_ms": chosen.linger_ms,
        "columns": {name: columns[name] for name in read},
        "groups": [group_job(one.group, one.epoch, one.cut_ms) for one in epochs],
        "producer": {**_PRODUCER, **chosen.producer},
        "settings": {
            **_FLINK,
            **chosen.flink,
            "execution.checkpointing.interval": f"{chosen.checkpoint_ms}ms",
            "execution.checkpointing.dir": checkpoints,
        },
    }


def _schema_id(codec: Codec, topic: str, full_name: str) -> int:
    found = codec.registry.id_of(subject_of(topic, full_name), platform_schemas()[full_name])
    if found is None:
        raise ConfigError(
            f"{full_name} is not registered under {subject_of(topic, full_name)}; the platform registers its schemas "
            "when it starts: `bighead up`"
        )
    return found
