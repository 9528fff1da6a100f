"""A version of an MLflow store as a record of this registry, with golden rows that its ONNX file answered here.

Nothing but ONNX is run: a flavour that is code or a pickle is named as such and left where it is.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bighead.errors import BigheadError, InvalidInput
from bighead.events.types import ModelRecord, Signature, Tensor
from bighead.inference.datatypes import Array
from bighead.inference.loading import OpenedFile, open_file
from bighead.inference.outline import check_file
from bighead.inference.signature import Column, tensor_of
from bighead.inference.trial import try_out
from bighead.mlflow.stores import StoredVersion, model_file

GOLDEN_ROWS = 8
TOLERANCE = 1e-5
_ONNX = "onnx"
_OWN_TAGS = "mlflow."


@dataclass(frozen=True, slots=True)
class Importable:
    """A version that can be registered. golden: what its golden rows were computed from."""

    stored: StoredVersion
    record: ModelRecord
    artifact: Path
    card: str
    golden: str


def identity(stored: StoredVersion) -> dict[str, Any]:
    """What says that a version of this registry is that very version of MLflow's, wherever the store lies."""
    run_id = stored.run.run_id if stored.run else ""
    return {"model": stored.model, "version": stored.version, "run_id": run_id, "created_ms": stored.created_ms}


def imported_as(records: Mapping[int, ModelRecord], stored: StoredVersion) -> int | None:
    """The number under which a version was imported before; None where it was not."""
    wanted = identity(stored)
    for number, record in records.items():
        try:
            config = json.loads(record.config or "{}")
        except ValueError:
            continue
        known = config.get("mlflow") if isinstance(config, dict) else None
        if isinstance(known, dict) and {name: known.get(name) for name in wanted} == wanted:
            return number
    return None


def importable(stored: StoredVersion) -> Importable:
    """The version as a record whose file was proven here; raises InvalidInput that says why not, and what to do."""
    folder = stored.folder
    if folder is None:
        raise InvalidInput(
            f"its artifacts ({stored.source or 'no place is known'}) are not on this machine; copy them below the store"
        )
    try:
        described = model_file(folder)
        artifact = _onnx_file(folder, described)
        check_file(artifact)
        opened = open_file(artifact)
        tensors, said = _example(folder, described, opened.inputs)
        record = _record(stored, described, artifact, opened, _golden(opened, tensors))
        try_out(artifact, record)
    except (OSError, ValueError, BigheadError) as error:
        raise InvalidInput(str(error)) from error
    return Importable(stored, record, artifact, card(stored), said)


def _onnx_file(folder: Path, described: Mapping[str, Any]) -> Path:
    flavors = described.get("flavors")
    names = sorted(flavors) if isinstance(flavors, dict) else []
    if _ONNX not in names:
        raise InvalidInput(
            f"its flavours are {', '.join(names) or 'unknown'}, and only {_ONNX} can be served; convert it "
            "(skl2onnx, or the exporter of its library), log that with mlflow.onnx.log_model, or register it with "
            "`bighead models register`"
        )
    name = str((flavors or {})[_ONNX].get("data") or "model.onnx")
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise InvalidInput(f"its ONNX file {name!r} is not in {folder}")
    return path


def _example(folder: Path, described: Mapping[str, Any], inputs: Sequence[Column]) -> tuple[dict[str, Array], str]:
    """The tensors of the logged input example, or of a row of zeros where none was logged; and which of the two."""
    saved = described.get("saved_input_example_info")
    name = saved.get("artifact_path") if isinstance(saved, dict) else None
    if not name:
        return {column.name: _zeros(column) for column in inputs}, "a row of zeros, as no input example was logged"
    path = (folder / str(name)).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InvalidInput(f"its input example {name!r} is not in {folder}")
    rows = _by_input(json.loads(path.read_text("utf-8")), inputs)
    tensors = {column.name: tensor_of(column, rows[column.name][:GOLDEN_ROWS]) for column in inputs}
    return tensors, "the logged input example"


def _zeros(column: Column) -> Array:
    shape = (1, *(1 if size < 0 else size for size in column.shape[1:]))
    return np.full(shape, "" if column.datatype == "BYTES" else 0, dtype=column.dtype)


def _by_input(example: Any, inputs: Sequence[Column]) -> dict[str, list[Any]]:
    """The rows of an example by input: of a table `{columns, data}`, of tensors by name, or of one tensor."""
    names = [column.name for column in inputs]
    if isinstance(example, dict) and isinstance(example.get("data"), list):
        columns = [str(one) for one in example.get("columns", range(len(example["data"][0])))]
        if set(names) <= set(columns):
            return {name: [row[columns.index(name)] for row in example["data"]] for name in names}
        example = example["data"]
    if isinstance(example, dict) and set(names) <= example.keys():
        return {name: list(example[name]) for name in names}
    if isinstance(example, list) and len(names) == 1:
        return {names[0]: example}
    raise InvalidInput(
        f"its input example does not say what is {', '.join(names)}; log it with an example by the names of the inputs"
    )


def _golden(opened: OpenedFile, tensors: Mapping[str, Array]) -> list[dict[str, dict[str, Any]]]:
    """One row for each of the example's, with what the file answers here."""
    outputs = dict(zip((column.name for column in opened.outputs), opened.run(tensors), strict=True))
    count = len(next(iter(tensors.values())))
    for name, array in outputs.items():
        if array.shape[:1] != (count,):
            raise InvalidInput(
                f"output {name!r} has the shape {list(array.shape)} for {count} rows; expected a row each"
            )
    return [
        {
            "inputs": {name: _plain(array[row]) for name, array in tensors.items()},
            "outputs": {name: _plain(array[row]) for name, array in outputs.items()},
        }
        for row in range(count)
    ]


def _plain(value: Any) -> Any:
    """The values of a row as JSON has them: one by itself, several in a list; not-a-number is null."""
    found = [None if isinstance(one, float) and math.isnan(one) else one for one in np.asarray(value).ravel().tolist()]
    return found[0] if len(found) == 1 else found


def _record(
    stored: StoredVersion,
    described: Mapping[str, Any],
    artifact: Path,
    opened: OpenedFile,
    golden: list[dict[str, dict[str, Any]]],
) -> ModelRecord:
    content, run = artifact.read_bytes(), stored.run
    tags = {name: text for name, text in (run.tags if run else {}).items() if not name.startswith(_OWN_TAGS)}
    source = identity(stored) | {
        "experiment": run.experiment if run else "",
        "run_name": run.name if run else "",
        "source": stored.source,
        "stage": stored.stage,
        "mlflow_version": str(described.get("mlflow_version") or ""),
    }
    started_ms = (run.started_ms if run else None) or stored.created_ms
    return ModelRecord(
        artifact_uri=artifact.as_uri(),
        artifact_sha256=hashlib.sha256(content).hexdigest(),
        artifact_size=len(content),
        signature=Signature(inputs=tuple(map(_tensor, opened.inputs)), outputs=tuple(map(_tensor, opened.outputs))),
        golden=json.dumps(golden),
        parity=json.dumps({"max_abs_diff": 0.0, "tolerance": TOLERANCE, "rows": len(golden)}),
        metrics={name: value for name, value in (run.metrics if run else {}).items() if math.isfinite(value)},
        config=json.dumps({"params": dict(run.params if run else {}), "mlflow": source}, sort_keys=True),
        code_version=(run.tags if run else {}).get("mlflow.source.git.commit", ""),
        environment=_environment(artifact.parent, described),
        started_ms=started_ms,
        finished_ms=max(started_ms, (run.ended_ms if run else None) or stored.created_ms),
        tags=tags | dict(stored.tags) | {"imported_from": "mlflow"},
        trained_by=stored.user,
    )


def _tensor(column: Column) -> Tensor:
    shape = () if column.scalar and len(column.shape) == 1 else tuple(column.shape[1:])
    return Tensor(name=column.name, type=column.datatype, source="request", shape=shape)


def _environment(folder: Path, described: Mapping[str, Any]) -> str:
    """The Python version that the model was logged with, and the hash of its requirements."""
    flavor = (described.get("flavors") or {}).get("python_function") or {}
    python, requirements = flavor.get("python_version"), folder / "requirements.txt"
    said = [f"python {python}"] if python else []
    if requirements.is_file():
        said.append(f"requirements sha256:{hashlib.sha256(requirements.read_bytes()).hexdigest()}")
    return ", ".join(said)


def card(stored: StoredVersion) -> str:
    """The descriptions of the model, the version and the run as a model card in Markdown; empty where there is none."""
    note = stored.run.tags.get("mlflow.note.content", "") if stored.run else ""
    parts = [
        (f"# {stored.model}", stored.model_description),
        (f"## Version {stored.version} in MLflow", stored.description),
        ("## The run that trained it", note),
    ]
    return "\n\n".join(f"{heading}\n\n{text.strip()}" for heading, text in parts if text.strip())


def labels(stored: StoredVersion) -> tuple[str, ...]:
    """The labels that a version is to have: its aliases, and its stage in lower case."""
    stage = (stored.stage.lower(),) if stored.stage and stored.stage != "Archived" else ()
    return tuple(dict.fromkeys((*stored.aliases, *stage)))
