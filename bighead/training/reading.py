"""The rows of a training: from a file, a function, or by name from Delta, which Spark reads in a process of its own."""

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from bighead import config
from bighead.client.catalog import read_catalog
from bighead.config import Settings
from bighead.errors import DefinitionError, ModelError, PlatformError, near
from bighead.events.codec import Codec
from bighead.events.types import Tensor
from bighead.features.compiled import CompiledJoin
from bighead.features.types import ValueType
from bighead.pipeline.lineage import sources_of
from bighead.pipeline.tensors import feature, request
from bighead.pipeline.training_set import TrainingSet
from bighead.training.fingerprint import row_hashes
from bighead.training.specification import DeltaRows, ParquetRows, Specification

Progress = Callable[[str], None]
_FAILED = 1


@dataclass(frozen=True)
class Read:
    """A training set, and what names the very rows again: the version of a table, or the SHA-256 of a file."""

    rows: TrainingSet
    identity: Mapping[str, Any]


def read_rows(specification: Specification, settings: Settings, say: Progress, pinned: Mapping[str, Any]) -> Read:
    """The rows of a specification. pinned: the identity of an earlier read, whose table version is read again."""
    data = specification.training.data
    if isinstance(data, ParquetRows):
        return _parquet(data, specification.folder)
    if isinstance(data, DeltaRows):
        return _delta(data, settings, say, pinned.get("version", data.version))
    found = specification.examples()
    if not isinstance(found, TrainingSet):
        raise DefinitionError(f"the training's data gave a {type(found).__name__}; expected a TrainingSet")
    return Read(found, {})


def _parquet(data: ParquetRows, folder: Path) -> Read:
    path = folder / data.path
    if not path.is_file():
        raise DefinitionError(
            f"there is no file {path}; expected the Parquet file that ParquetRows(path={data.path!r}) names, from the "
            "specification's folder on"
        )
    try:
        rows = pq.read_table(path).to_pandas()
    except (OSError, ValueError) as error:
        raise DefinitionError(f"{path} cannot be read as Parquet: {error}") from error
    made = TrainingSet(
        name=data.path,
        rows=rows,
        inputs=tuple(request(name, datatype) for name, datatype in data.inputs.items()),
        label=data.label,
        time=data.time,
        known=data.known,
        entities=data.entities,
    )
    return Read(made, {"file": data.path, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})


def _delta(data: DeltaRows, settings: Settings, say: Progress, version: int | None) -> Read:
    codec = Codec(settings.schema_registry)
    try:
        catalog = read_catalog(settings, codec)
    finally:
        codec.close()
    join = catalog.join(data.join)
    inputs = _inputs(data, join)
    with tempfile.TemporaryDirectory(prefix="bighead-rows-") as folder:
        target = Path(folder) / "rows"
        say(f"Spark reads {data.table}")
        told = _spark(settings, data, version, target)
        rows = pads.dataset(str(target), format="parquet").to_table().to_pandas()
    identity = {"table": told["table"], "version": told["version"]}
    made_from = told["made_from"]
    made = TrainingSet(
        name=data.table,
        rows=_ordered(rows, data),
        inputs=inputs,
        label=data.label,
        time=data.time,
        known=data.known,
        entities=data.entities,
        join=data.join,
        join_epoch=catalog.joins[data.join].epoch,
        join_hash=made_from.get("join_hash", join.hash),
        sources=sources_of(join),
        origin=identity | {"rows": len(rows), "sources": made_from.get("sources", {})},
    )
    return Read(made, identity)


def _ordered(rows: pd.DataFrame, data: DeltaRows) -> pd.DataFrame:
    """Spark gives them in any order; sums, and so models, depend on it."""
    if data.time not in rows.columns:
        raise ModelError(f"{data.table} has no column {data.time!r}{near(data.time, rows.columns)}")
    plain = rows[sorted(rows.columns)]
    return rows.iloc[np.lexsort((row_hashes(plain), rows[data.time].to_numpy()))].reset_index(drop=True)


def _inputs(data: DeltaRows, join: CompiledJoin) -> tuple[Tensor, ...]:
    """What the request brings, then features; a number that may be missing is FP64."""
    datatypes = {name: "BYTES" if kind is ValueType.STRING else "FP64" for name, kind in join.kinds.items()}
    asked = {name: datatypes[name] for name, kind in join.request_kinds.items() if kind.is_scalar} | dict(data.request)
    single = [name for name, kind in join.kinds.items() if kind.is_scalar and name not in asked]
    unknown = [name for name in data.features if name not in single]
    if unknown:
        raise DefinitionError(f"join {join.name!r} gives no single value {unknown[0]!r}{near(unknown[0], single)}")
    chosen = data.features or tuple(single)
    return (
        *(request(name, datatype) for name, datatype in asked.items()),
        *(feature(name, datatypes[name]) for name in chosen),
    )


def _spark(settings: Settings, data: DeltaRows, version: int | None, target: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "batch", "rows", "--table", data.table, "--to", str(target), "--json"]
    command += [] if version is None else ["--version", str(version)]
    command += ["--where", data.where] if data.where else []
    environment = config.inherited_environment() | config.variables(settings)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        error = PlatformError if done.returncode == _FAILED else ModelError
        raise error(f"Spark did not read {data.table}: {said[0]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
