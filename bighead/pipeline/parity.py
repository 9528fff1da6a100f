"""The proof that an ONNX model answers like the pipeline it was made from; without it nothing is registered.

Rows that occurred and rows made to hurt go through both; the worst difference goes into the record or into the error.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bighead.errors import ModelError, ParityError
from bighead.events.types import Signature, Tensor
from bighead.pipeline import adversarial
from bighead.pipeline.answering import Answered, answered
from bighead.pipeline.causes import difference_told, run_failed
from bighead.pipeline.conversion.graphs import opened
from bighead.pipeline.conversion.operators import adds_single
from bighead.pipeline.export import outputs_of
from bighead.pipeline.outputs import NUMBERS, Answers, differences, is_decided
from bighead.pipeline.tensors import LABEL, frame, json_values, tensors
from bighead.pipeline.training_set import Task

TOLERANCE = 1e-6
SINGLE_TOLERANCE = 1e-5
"""For models that themselves add up in float32, as XGBoost does."""
GOLDEN_OCCURRED, MOST_GOLDEN = 8, 32
_CHUNK = 20_000

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Parity:
    """What was measured: the largest difference, on how many rows, and the row where it is.

    max_abs_diff: absolute up to 1, relative to the pipeline's answer beyond. unanswered: the kinds of rows to which
    the pipeline itself has no answer, infinity for example, and what it says of them; the model's answer to them is
    not compared.
    """

    max_abs_diff: float
    tolerance: float
    rows: int
    worst: Mapping[str, Any]
    worst_kind: str
    pipeline: float | Sequence[float]
    onnx: float | Sequence[float]
    task: Task = Task.BINARY
    unanswered: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The form of the registry's record."""
        return json.dumps(
            {
                "max_abs_diff": self.max_abs_diff,
                "tolerance": self.tolerance,
                "rows": self.rows,
                "task": str(self.task),
                "worst": {
                    "kind": self.worst_kind,
                    "inputs": self.worst,
                    "pipeline": self.pipeline,
                    "onnx": self.onnx,
                },
                "unanswered": dict(self.unanswered),
            }
        )


@dataclass(frozen=True)
class ProvenModel:
    """An ONNX model that was compared with its pipeline; made by `prove` alone."""

    content: bytes
    signature: Signature
    parity: Parity
    golden: Sequence[Mapping[str, Mapping[str, Any]]]

    @property
    def sha256(self) -> str:
        """The checksum of the model's bytes."""
        return hashlib.sha256(self.content).hexdigest()


class Session:
    """An exported model on onnxruntime, one thread, as the server runs it."""

    def __init__(self, content: bytes, inputs: Sequence[Tensor]) -> None:
        self._session = opened(content)
        self._inputs = inputs
        self._outputs = [output.name for output in self._session.get_outputs()]

    def predict(self, rows: pd.DataFrame) -> Answers:
        """What it answers to typed rows (see `tensors.frame`), by output: [N] or [N, k]."""
        parts = [self._run(rows.iloc[start : start + _CHUNK]) for start in range(0, max(1, len(rows)), _CHUNK)]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    def predict_each(self, rows: pd.DataFrame) -> Scores:
        """The first output by one call per row, as single requests get them: a batch may add up in another order."""
        first = self._outputs[0]
        return np.array([self._run(rows.iloc[[index]])[first][0] for index in range(len(rows))])

    def _run(self, rows: pd.DataFrame) -> Answers:
        found = self._session.run(self._outputs, tensors(self._inputs, rows))
        return {name: one[:, 0] if one.shape[1] == 1 else one for name, one in zip(self._outputs, found, strict=True)}


def prove(
    estimator: Any,
    content: bytes,
    inputs: Sequence[Tensor],
    rows: pd.DataFrame,
    *,
    task: Task = Task.BINARY,
    tolerance: float | None = None,
) -> ProvenModel:
    """Compares estimator and model on `rows` and on adversarial rows; raises ParityError beyond the tolerance.

    tolerance: of the numbers that the task answers; by default `default_tolerance`. Labels have to be equal, except
    where the numbers lie within the tolerance of another decision.
    """
    if rows.empty:
        raise ModelError("parity needs rows to start from and received none; pass rows of the training set")
    occurred = frame(inputs, rows).reset_index(drop=True)
    hurtful, changes = adversarial.rows(estimator, inputs, occurred)
    everything = pd.concat([occurred, hurtful], ignore_index=True)
    kinds = ["occurred"] * len(occurred) + [change.kind for change in changes]
    columns = [""] * len(occurred) + [change.column for change in changes]
    own = answered(estimator, task, everything, kinds, columns)
    session = Session(content, inputs)
    try:
        received = session.predict(own.rows)
    except Exception as error:  # ONNX Runtime's errors have no common base
        raise run_failed(estimator, inputs, own.rows, error) from error
    limit = default_tolerance(estimator, task, own) if tolerance is None else tolerance
    parity = _compare(estimator, inputs, task, own, received, limit)
    golden = _golden(session, _chosen(own, received, task), task)
    return ProvenModel(content, Signature(inputs=tuple(inputs), outputs=outputs_of(content)), parity, golden)


def default_tolerance(estimator: Any, task: Task, own: Answered) -> float:
    """1e-6, 1e-5 for a model that adds up in float32; for values smaller than 1 by as much less."""
    tolerance = SINGLE_TOLERANCE if adds_single(estimator) else TOLERANCE
    if task is not Task.REGRESSION:
        return tolerance
    finite = np.abs(own.answers[NUMBERS[task]])
    finite = finite[np.isfinite(finite) & (finite > 0)]
    return tolerance * min(1.0, float(np.median(finite))) if len(finite) else tolerance


def _compare(
    estimator: Any, inputs: Sequence[Tensor], task: Task, own: Answered, received: Answers, tolerance: float
) -> Parity:
    apart = differences(task, own.answers, received)
    wrong = _wrong_decisions(task, own.answers, received, tolerance)
    beyond = ~(apart <= tolerance) | wrong
    worst = int(np.argmax(np.where(wrong & (apart <= tolerance), tolerance, apart)))
    name = NUMBERS[task] if NUMBERS[task] in own.answers else LABEL
    row = json_values(own.rows, worst)
    if beyond.any():
        cause = difference_told(estimator, inputs, own.rows.iloc[np.flatnonzero(beyond)], tolerance)
        shown = name if not apart[worst] <= tolerance else LABEL
        how = f"at most by {apart[worst]:.3g} (tolerance {tolerance:g})" if shown == name else "in their decision"
        raise ParityError(
            f"the ONNX model differs from its pipeline in {int(beyond.sum())} of {len(own.rows)} rows, {how}; the "
            f"worst row ({own.kinds[worst]}) gives the {shown} {_plain(own.answers[shown][worst])!r} in the pipeline "
            f"and {_plain(received[shown][worst])!r} in ONNX: {row}; the cause is {cause}"
        )
    return Parity(
        float(apart[worst]),
        tolerance,
        len(own.rows),
        row,
        own.kinds[worst],
        _plain(own.answers[name][worst]),
        _plain(received[name][worst]),
        task,
        own.unanswered,
    )


def _wrong_decisions(task: Task, expected: Answers, received: Answers, tolerance: float) -> npt.NDArray[np.bool_]:
    if LABEL not in expected:
        return np.zeros(len(expected[NUMBERS[task]]), np.bool_)
    unequal = expected[LABEL].astype(received[LABEL].dtype) != received[LABEL]
    return np.asarray(unequal & is_decided(task, expected, tolerance), np.bool_)


def _chosen(own: Answered, received: Answers, task: Task) -> pd.DataFrame:
    """Occurred rows from the lowest to the highest answer in equal steps, and one of each other kind."""
    kinds = np.array(own.kinds, object)
    occurred = np.flatnonzero(kinds == "occurred")
    numbers = received[next(iter(received))][occurred]
    order = occurred[np.argsort(numbers if numbers.ndim == 1 else numbers[:, -1], kind="stable")]
    spread = order[np.linspace(0, len(order) - 1, min(GOLDEN_OCCURRED, len(order))).astype(int)]
    others = [int(np.argmax(kinds == kind)) for kind in dict.fromkeys(own.kinds) if kind != "occurred"]
    return own.rows.iloc[[*spread, *others]]


def _golden(session: Session, rows: pd.DataFrame, task: Task) -> list[dict[str, dict[str, Any]]]:
    """The rows with what the ONNX model answers to each of them alone; without those that JSON cannot hold."""
    golden: list[dict[str, dict[str, Any]]] = []
    for index in range(len(rows)):
        row = rows.iloc[[index]]
        outputs = {name: _plain(values[0]) for name, values in session.predict(row).items()}
        one = {"inputs": json_values(row, 0), "outputs": outputs}
        if _is_finite(one) and len(golden) < MOST_GOLDEN:
            golden.append(one)
    return golden


def _is_finite(row: Mapping[str, Any]) -> bool:
    try:
        json.dumps(row, allow_nan=False)
    except ValueError:
        return False
    return True


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
