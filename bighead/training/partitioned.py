"""The part of a training that is a model for each segment: fitted anywhere, kept one by one, told as figures."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bighead.client.run_log import Outcome, canonical
from bighead.errors import ModelError
from bighead.pipeline.parallel import Workers
from bighead.pipeline.segments import Segmented, train_segments
from bighead.pipeline.segments.hierarchy import WHOLE
from bighead.pipeline.segments.training import Fitted
from bighead.pipeline.splits import Split
from bighead.pipeline.wrapped import steps_of
from bighead.training.seeding import seeded
from bighead.training.specification import Partition, Specification
from bighead.training.steps import KEPT, Steps


@dataclass(frozen=True)
class SegmentMake:
    """The specification's estimator from a seed, in any process."""

    specification: Specification
    parameters: Mapping[str, Any]

    def __call__(self, seed: int) -> Any:
        """Not fitted; what draws without a seed of its own is seeded as well."""
        seeded(seed)
        return steps_of(self.specification.estimator(self.parameters, seed))


@dataclass(frozen=True)
class _Parts:
    """The models of segments as parts of a step."""

    steps: Steps

    def get(self, segment: str, /) -> Fitted | None:
        """What an earlier attempt has fitted."""
        found = self.steps.part(segment)
        return found if isinstance(found, Fitted) else None

    def __setitem__(self, segment: str, fitted: Fitted, /) -> None:
        self.steps.keep_part(segment, fitted)


def fit_segments(
    specification: Specification,
    parameters: Mapping[str, Any],
    split: Split,
    workers: Workers | None,
    steps: Steps,
    outcome: Outcome,
) -> Segmented:
    """Fits, proves and measures the models that no earlier attempt has kept. workers: None: the partition's jobs."""
    training, partition = specification.training, partition_of(specification)
    fitted: list[str] = []

    def tell(segment: str) -> None:
        fitted.append(segment)
        steps.say(f"segments: {segment or 'all rows'}")

    found = train_segments(
        split,
        SegmentMake(specification, parameters),
        levels=partition.levels,
        min_rows=partition.min_rows,
        metrics=partition.metrics,
        seed=training.seed,
        jobs=partition.jobs,
        task=training.task,
        tolerance=training.tolerance,
        tell=tell,
        workers=workers,
        kept=_Parts(steps),
    )
    steps.say(found.text)
    outcome.rows = len(split.train)
    outcome.outputs |= {
        "sha256": sha256_of(found),
        "segments": len(found.models),
        "left": len(found.left),
        KEPT: sum(one.segment not in fitted for one in found.every),
    }
    for name, value in _figures(found).items():
        steps.log.metric(name, value)
    return found


def partition_of(specification: Specification) -> Partition:
    """How the specification parts its rows; raises ModelError where it does not."""
    partition = specification.training.segments
    if partition is None:
        raise ModelError(f"{specification.name} names no segments; expected Training(segments=Partition(...))")
    return partition


def sha256_of(segmented: Segmented) -> str:
    """Of all models at once: that of the JSON of each one's by its segment."""
    return hashlib.sha256(canonical(hashes_of(segmented)).encode()).hexdigest()


def hashes_of(segmented: Segmented) -> dict[str, str]:
    """The SHA-256 of each model by its segment."""
    return {one.segment: one.proven.sha256 for one in segmented.every}


def segments_document(segmented: Segmented) -> bytes:
    """The models by segment with their bytes' SHA-256, those that are left to a higher level and why, and the grid."""
    models = {
        one.segment: {"sha256": one.proven.sha256, "size": len(one.proven.content), "rows": one.rows, "seed": one.seed}
        for one in segmented.every
    }
    told = {"models": models, "left": dict(segmented.left), "grid": segmented.grid.document}
    return json.dumps(told, sort_keys=True, allow_nan=False).encode()


def _figures(found: Segmented) -> dict[str, float]:
    """The segments in a few figures; those of each are in the grid."""
    metric = found.grid.metrics[0]
    known = [
        row.metrics[metric] for row in found.grid.rows if row.segment != WHOLE and math.isfinite(row.metrics[metric])
    ]
    figures = {"segments": float(len(found.models)), "segments left": float(len(found.left))}
    return figures | ({f"{metric} of the worst segment": min(known)} if known else {})
