"""The registry's record of a trained and proven model."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bighead.artifacts import Artifact
from bighead.errors import ModelError
from bighead.events.types import Attachment, ModelRecord
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
    code_dirty_sha256: str = ""
    trained_by: str = ""
    parent_version: int | None = None


@dataclass(frozen=True)
class About:
    """What a model is, and its documents, stored (`bighead.client.attachments.store_documents`)."""

    model_type: str = ""
    family: str = ""
    positive_label: str | None = None
    decision_threshold: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()


def save(model: ProvenModel, path: Path) -> Path:
    """Writes the model's bytes to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.content)
    return path


def model_record(
    model: ProvenModel, artifact: Artifact, metrics: Mapping[str, float], origin: Origin, about: About = About()
) -> ModelRecord:
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
        code_dirty_sha256=origin.code_dirty_sha256,
        trained_by=origin.trained_by,
        parent_version=origin.parent_version,
        model_type=about.model_type,
        family=about.family,
        positive_label=about.positive_label,
        decision_threshold=about.decision_threshold,
        tags=dict(about.tags),
        attachments=tuple(about.attachments),
    )
