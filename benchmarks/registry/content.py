"""What both registries are filled with: models, versions with full records, and what is done with them. Deterministic.

Events are built as the registry's writer writes them, one for each accepted command, without asking it.
"""

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bighead.events.types import (
    Attachment,
    CommandRejected,
    DeploymentChanged,
    ModelRecord,
    ModelRegistered,
    RolledBack,
    Signature,
    Tensor,
    TrafficArm,
    TrafficChanged,
)
from bighead.registry import RegistryEvent

BEGIN_MS = 1_760_000_000_000
STEP_MS = 60_000
ACTORS = ("ada", "bob", "cy", "dana")
FEATURES = 30


@dataclass(frozen=True, slots=True)
class Size:
    """How many models, versions of each and events in all."""

    models: int = 1_000
    versions: int = 50
    events: int = 100_000

    @property
    def per_model(self) -> int:
        """Events of one model."""
        return self.events // self.models


def model_names(size: Size) -> list[str]:
    """Names as teams give them, such as delay_eta_0042."""
    words = ("delay", "price", "fraud", "churn", "demand", "ranking", "search", "spam")
    kinds = ("eta", "score", "class", "risk")
    return [f"{words[one % len(words)]}_{kinds[one % len(kinds)]}_{one:04}" for one in range(size.models)]


def events(size: Size) -> Iterator[RegistryEvent]:
    """All events by time: the models take turns, so that a model's lie apart as they do in life."""
    stories = [_story(name, number, size) for number, name in enumerate(model_names(size))]
    for turn in range(size.per_model):
        for number, story in enumerate(stories):
            yield story(turn, BEGIN_MS + (turn * size.models + number) * STEP_MS)


def record(name: str, version: int) -> ModelRecord:
    """A record as training writes one."""
    luck = random.Random(f"{name}/{version}")
    digest = hashlib.sha256(f"{name}/{version}".encode()).hexdigest()
    inputs = tuple(Tensor(name=f"{name}_feature_{one}", type="FP32", shape=(-1, 1)) for one in range(FEATURES))
    configuration = {
        "estimator": "HistGradientBoostingClassifier",
        "parameters": {"max_iter": luck.randint(50, 500), "learning_rate": luck.random(), "max_depth": 6, "seed": 7},
        "features": [tensor.name for tensor in inputs],
    }
    data = {"table": f"training/{name}", "version": version, "rows": luck.randint(10_000, 9_000_000)}
    golden = [{"inputs": {tensor.name: luck.random() for tensor in inputs[:3]}, "outputs": {"late": luck.random()}}]
    return ModelRecord(
        artifact_uri=f"file:///artifacts/sha256/{digest[:2]}/{digest}",
        artifact_sha256=digest,
        artifact_size=luck.randint(10_000, 10_000_000),
        signature=Signature(inputs=inputs, outputs=(Tensor(name="late", type="FP32"),)),
        join=f"{name}_join",
        join_epoch=1,
        join_hash=digest,
        golden=json.dumps(golden),
        parity=json.dumps({"max_abs_diff": 1e-7, "tolerance": 1e-5, "rows": 1_000}),
        metrics={metric: luck.random() for metric in ("auc", "log_loss", "brier", "precision", "recall")},
        config=json.dumps(configuration),
        training_data=json.dumps(data),
        code_version=digest[:40],
        environment=f"sha256:{digest}",
        started_ms=BEGIN_MS,
        finished_ms=BEGIN_MS + luck.randint(60_000, 3_600_000),
        family=name.partition("_")[0],
        tags={"team": name.partition("_")[0], "stage": "weekly"},
        trained_by=ACTORS[version % len(ACTORS)],
        attachments=tuple(
            Attachment(name=kind, kind=kind, media_type="application/json", sha256=digest, size=20_000, uri=digest)
            for kind in ("feature_report", "chart")
        ),
    )


class _story:
    """A model's events: half of its turns register, the others deploy, divide, roll back, or are refused."""

    def __init__(self, name: str, number: int, size: Size) -> None:
        self._name, self._size = name, size
        self._luck = random.Random(number)
        self._registered = self._turns = 0

    def __call__(self, turn: int, at_ms: int) -> RegistryEvent:
        stamp: Any = {
            "model": self._name,
            "command_id": f"{self._name}-{turn}",
            "actor": self._luck.choice(ACTORS),
            "reason": f"week {turn}: figures of the last seven days are better than those before",
            "at_ms": at_ms,
        }
        due = (turn + 1) * self._size.versions // self._size.per_model
        if self._registered < max(1, due):
            self._registered += 1
            return ModelRegistered(version=self._registered, record=record(self._name, self._registered), **stamp)
        self._turns += 1
        version = self._registered
        match self._turns % 4:
            case 1 | 2:
                return DeploymentChanged(version=version, previous_version=None, **stamp)
            case 3:
                arms = (
                    TrafficArm(arm="a", version=version, percent=90.0),
                    TrafficArm(arm="b", version=max(1, version - 1), percent=10.0),
                )
                return TrafficChanged(arms=arms, labels={"champion": version}, unit=None, salt="", **stamp)
        if self._turns % 8:
            return CommandRejected(command_type="DeployModel", reason_rejected="it has no version 99", **stamp)
        return RolledBack(version=max(1, version - 1), from_version=version, **stamp)
