"""The registry's record of a trained and proven model."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bighead.artifacts import Artifact
from bighead.errors import ModelError
from bighead.events.types import ModelRecord
from bighead.pipeline.parity import ProvenModel


@dataclass(frozen=True)
class Origin:
    """Where a model comes from: what it reads, what it was trained on, by which code, when."""

    join: str | None
    join_epoch: int | None
    join_hash: str | None
    training_data: Mapping[str, Any]
    config: Mapping[str, Any]
    code_version: str
    environment: str
    started_ms: int
    finished_ms: int


def save(model: ProvenModel, path: Path) -> Path:
    """Writes the model's bytes to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.content)
    return path


def model_record(model: ProvenModel, artifact: Artifact, metrics: Mapping[str, float], origin: Origin) -> ModelRecord:
    """What RegisterModel carries. `artifact` is the stored file (`bighead.artifacts.put`) of this very model."""
    if artifact.sha256 != model.sha256:
        raise ModelError(
            f"{artifact.uri} has the SHA-256 {artifact.sha256}, the proven model {model.sha256}; store the file that "
            "`save` wrote for this model"
        )
    unusable = {name: value for name, value in metrics.items() if not math.isfinite(value)}
    if unusable:
        raise ModelError(f"the metrics {unusable} are not finite numbers; leave out what cannot be computed")
    return ModelRecord(
        artifact_uri=artifact.uri,
        artifact_sha256=artifact.sha256,
        artifact_size=artifact.size,
        signature=model.signature,
        join=origin.join,
        join_epoch=origin.join_epoch,
        join_hash=origin.join_hash,
        golden=json.dumps(list(model.golden)),
        parity=model.parity.to_json(),
        metrics=dict(metrics),
        config=json.dumps(origin.config, sort_keys=True),
        training_data=json.dumps(origin.training_data, sort_keys=True),
        code_version=origin.code_version,
        environment=origin.environment,
        started_ms=origin.started_ms,
        finished_ms=origin.finished_ms,
    )
