"""From a registered record to a proven model in memory: fetched, verified, loaded, golden rows equal, warmed.

Knows ONNX Runtime; nothing that a model file holds is executed as code, and nothing outside the file is read.
"""

import ctypes
import json
import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from bighead.artifacts import fetch
from bighead.errors import ArtifactError, InvalidInput
from bighead.events.types import ModelRecord
from bighead.inference.batches import ALONE, batch_rows
from bighead.inference.datatypes import Array
from bighead.inference.folders import loading_folder
from bighead.inference.model import LoadedModel
from bighead.inference.outline import check_file
from bighead.inference.runtime import ort, ort_state
from bighead.inference.signature import Column, Signature, compiled, tensor_of
from bighead.registry.manifest import check_trusted

_log = logging.getLogger(__name__)
_MB = 1 << 20
_WARM_RUNS = 5
_INLINE_S = 500e-6
_MAX_INLINE_ROWS = 256
_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
# ONNX Runtime's errors have no common base of their own.
_RUN_ERRORS = (
    ort_state.Fail,
    ort_state.InvalidArgument,
    ort_state.RuntimeException,
    ort_state.NotImplemented,
    ort_state.EPFail,
    RuntimeError,
    ValueError,
)

Run = Callable[[Mapping[str, Array]], list[Array]]
Trial = Callable[[Path, ModelRecord], int]


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """An ONNX file that nothing has vouched for yet: what it takes and gives, and how to run it."""

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    run: Run


class LoadFailed(ArtifactError):
    """A version could not be loaded; `step` is where it failed."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step


class Steps:
    """Times the steps of one load and remembers which one it is in."""

    def __init__(self) -> None:
        self.current = "fetch"
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.current, started = name, perf_counter()
        yield
        self.seconds[name] = perf_counter() - started


def load(
    name: str,
    version: int,
    record: ModelRecord,
    trial: Trial | None = None,
    room_bytes: int | None = None,
    trusted: Collection[str] = (),
) -> tuple[LoadedModel, dict[str, float]]:
    """The model and the seconds that each step took; raises LoadFailed whatever goes wrong.

    trial: tries the file first, where a crash hurts nobody, and says how many bytes of memory it needs. room_bytes: how
    many it may take. trusted: public keys, one of which must have signed the version's manifest; none: it need not be.
    """
    steps = Steps()
    try:
        if trusted:
            with steps.step("signature"):
                check_trusted(name, record, trusted)
        return _load(name, version, record, steps, trial, room_bytes), steps.seconds
    except Exception as error:
        _log.warning("model %r version %d failed in step %r", name, version, steps.current, exc_info=error)
        if isinstance(error, LoadFailed):
            raise
        raise LoadFailed(steps.current, f"{type(error).__name__}: {error}") from error


def return_memory() -> None:
    """Gives what dropped models leave behind back to the system, where the C library can (glibc keeps it else)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def open_file(path: Path) -> OpenedFile:
    """A file that `check_file` has passed; raises ArtifactError for inputs or outputs that are no tensors."""
    session = _open(path)
    inputs, outputs = _inputs(session), _outputs(session)
    signature = Signature(tuple(inputs), tuple(outputs))
    return OpenedFile(signature.inputs, signature.outputs, _runner(path.name, 0, session, signature))


def prove(name: str, version: int, path: Path, record: ModelRecord, steps: Steps) -> LoadedModel:
    """A verified file as a model that answers its golden rows."""
    with steps.step("load"):
        session = _session(path)
        signature = compiled(record.signature.inputs, record.signature.outputs, _inputs(session), _outputs(session))
    run = _runner(name, version, session, signature)
    with steps.step("golden"):
        tensors = _check_golden(record, signature, run)
    with steps.step("warm"):
        one_s = _warm(tensors, run)
        inline_rows = min(_MAX_INLINE_ROWS, int(_INLINE_S / one_s))
        together = ALONE if inline_rows else batch_rows(signature, tensors, run, one_s)  # what is quick never waits
    return LoadedModel(name, version, signature, record.join, run, inline_rows, tensors, batch_rows=together)


def _load(
    name: str, version: int, record: ModelRecord, steps: Steps, trial: Trial | None, room_bytes: int | None
) -> LoadedModel:
    with loading_folder() as folder:
        with steps.step("fetch"):
            path = fetch(record.artifact_uri, record.artifact_sha256, record.artifact_size, folder)
        with steps.step("verify"):
            check_file(path)
        needed = 0
        if trial is not None:
            with steps.step("trial"):
                needed = trial(path, record)
                _check_room(needed, room_bytes)
        return replace(prove(name, version, path, record, steps), memory_bytes=needed)


def _check_room(needed: int, room_bytes: int | None) -> None:
    if room_bytes is not None and needed > room_bytes:
        raise ArtifactError(
            f"it needs {needed / _MB:.0f} MB of memory and {max(0, room_bytes) / _MB:.0f} MB of the budget are left; "
            "raise BIGHEAD_MODEL_MEMORY_MB, or take another model out of use"
        )


def _open(path: Path) -> ort.InferenceSession:
    try:
        return _session(path)
    except _RUN_ERRORS as error:
        raise ArtifactError(f"{path.name} cannot be opened: {error}") from error


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _inputs(session: ort.InferenceSession) -> list[Column]:
    return [_column("input", node) for node in session.get_inputs()]


def _outputs(session: ort.InferenceSession) -> list[Column]:
    return [_column("output", node) for node in session.get_outputs()]


def _column(side: str, node: ort.NodeArg) -> Column:
    datatype = _DATATYPES.get(node.type)
    if datatype is None:
        raise ArtifactError(f"{side} {node.name!r} is a {node.type}; export classifiers without the ZipMap operator")
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return Column(node.name, datatype, shape, "request")


def _runner(name: str, version: int, session: ort.InferenceSession, signature: Signature) -> Run:
    outputs = [column.name for column in signature.outputs]

    def run(tensors: Mapping[str, Array]) -> list[Array]:
        try:
            return list(session.run(outputs, dict(tensors)))
        except _RUN_ERRORS as error:
            # Names, types and shapes were checked: it is the values that the graph cannot take.
            raise InvalidInput(f"model {name!r} version {version} cannot compute these values: {error}") from error

    return run


def _check_golden(record: ModelRecord, signature: Signature, run: Run) -> dict[str, Array]:
    """Runs the golden rows as one batch and compares; returns their tensors."""
    rows = json.loads(record.golden)
    if not rows:
        raise ArtifactError("the record has no golden rows; register the version with at least one")
    tolerance = float(json.loads(record.parity)["tolerance"])
    tensors = {
        column.name: tensor_of(column, [row["inputs"][column.name] for row in rows]) for column in signature.inputs
    }
    for column, array in zip(signature.outputs, run(tensors), strict=True):
        if array.shape[:1] != (len(rows),):
            raise ArtifactError(f"output {column.name!r} has the shape {list(array.shape)} for {len(rows)} rows")
        for index, row in enumerate(rows):
            if column.name in row["outputs"]:
                _compare(column.name, index, row["outputs"][column.name], array[index], tolerance)
    return tensors


def _compare(name: str, index: int, expected: Any, received: Any, tolerance: float) -> None:
    wanted = expected if isinstance(expected, list) else [expected]
    found = received.ravel().tolist() if hasattr(received, "ravel") else [received]
    if len(wanted) != len(found) or not all(map(_equal, wanted, found, [tolerance] * len(found))):
        raise ArtifactError(f"golden row {index}: output {name!r} is {found}; expected {wanted} within {tolerance:g}")


def _equal(wanted: Any, found: Any, tolerance: float) -> bool:
    if not isinstance(found, float):
        return bool(wanted == found)
    if wanted is None or math.isnan(wanted) or math.isnan(found):
        return (wanted is None or math.isnan(wanted)) and math.isnan(found)
    return bool(wanted == found or abs(wanted - found) <= tolerance)


def _warm(tensors: dict[str, Array], run: Run) -> float:
    """Runs the model until its first-call costs are paid; the seconds that one row then takes."""
    first = {name: array[:1] for name, array in tensors.items()}
    seconds = []
    for _ in range(_WARM_RUNS):
        started = perf_counter()
        run(first)
        seconds.append(perf_counter() - started)
    return max(min(seconds), 1e-9)
