"""A model with a past, for the tests of its pages: two versions, a refused command, a canary, two servers."""

import json
from typing import Any

from bighead.events.types import (
    Approve,
    CommandRejected,
    DeploymentChanged,
    ModelLoadFailed,
    ModelRegistered,
    ModelSwapped,
    TrafficArm,
    TrafficChanged,
)
from tests.unit.registry.samples import record
from tests.unit.serving.console.kit import START_MS, stamped

MINUTE_MS = 60_000


def at(minute: int, **fields: object) -> dict[str, Any]:
    """The fields of an event of the model `late`, that many minutes after its start."""
    return stamped(at_ms=START_MS + minute * MINUTE_MS, command_id=f"c{minute}", reason=f"because {minute}") | fields


def past() -> list[object]:
    """Everything that happened to the model."""
    first = record(metrics={"auc": 0.71, "log_loss": 0.52}, config=json.dumps({"depth": 4}))
    second = record(metrics={"auc": 0.76, "log_loss": 0.49}, config=json.dumps({"depth": 6}), artifact_sha256="cd" * 32)
    arms = (TrafficArm(arm="v1", version=1, percent=90), TrafficArm(arm="v2", version=2, percent=10))
    return [
        ModelRegistered(**at(0, version=1, record=first)),
        DeploymentChanged(**at(1, version=1)),
        ModelSwapped(server="s1", model="late", version=1, command_id="c1", swap_us=3, at_ms=START_MS + MINUTE_MS),
        ModelRegistered(**at(2, version=2, record=second, actor="grace")),
        CommandRejected(**at(3, command_type=Approve.__name__, reason_rejected="grace registered it", actor="grace")),
        TrafficChanged(**at(4, arms=arms, labels={"champion": 1}, unit=None, salt="")),
        ModelLoadFailed(
            server="s2",
            model="late",
            version=2,
            command_id="c4",
            step="golden",
            error="row 1 differs",
            kept_version=1,
            at_ms=START_MS + 4 * MINUTE_MS,
        ),
    ]
