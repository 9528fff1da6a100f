"""Models for measurements, trained on made-up rows, then proven, registered and deployed as any other."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from bighead import artifacts
from bighead.client.models import ModelsClient
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events.types import ModelRecord, Tensor
from bighead.features.compiled import CompiledJoin
from bighead.pipeline import export, model_record, prove, save
from bighead.pipeline.record import Origin
from bighead.pipeline.tensors import frame
from examples.flights.recipes import SEED, trees_over

_REASON = "a measurement"


def train(
    settings: Settings,
    path: Path,
    inputs: Sequence[Tensor],
    rows: pd.DataFrame,
    parameters: Mapping[str, Any],
    join: CompiledJoin | None = None,
    seed: int = SEED,
) -> tuple[Path, ModelRecord]:
    """Boosted trees over these inputs, saved at the path, and what the registry records of them.

    join: the one whose features are among the inputs, in its first epoch.
    """
    started_ms = wall_clock_ms()
    categories = [one.name for one in inputs if one.type == "BYTES"]
    pipeline = trees_over(categories, parameters, seed).fit(frame(inputs, rows), rows.late.astype("int64"))
    proven = prove(pipeline, export(pipeline, inputs), inputs, rows.head(200))
    origin = Origin(
        join=None if join is None else join.name,
        join_epoch=None if join is None else 1,
        join_hash=None if join is None else join.hash,
        training_data={},
        config={},
        code_version=f"bighead {version('bighead')}",
        environment=f"Python {platform.python_version()}",
        started_ms=started_ms,
        finished_ms=wall_clock_ms(),
    )
    saved = save(proven, path)
    return saved, model_record(proven, artifacts.put(settings.artifacts, saved), {}, origin)


def deploy(settings: Settings, name: str, model: tuple[Path, ModelRecord], *, wait: bool = True) -> int:
    """Registers and deploys a version; its number. wait: until a server has it, else servers find it as they start."""
    client = ModelsClient(settings, "benchmarks", timeout_s=60)
    path, record = model
    number = client.register(name, record, path, _REASON)
    client.deploy(name, number, _REASON, wait=wait)
    return number
