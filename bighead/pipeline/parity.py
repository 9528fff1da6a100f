"""The proof that an ONNX model answers like the pipeline it was made from; without it nothing is registered.

Rows that occurred and rows made to hurt go through both; the worst difference goes into the record or into the error.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pandas as pd
from sklearn.pipeline import Pipeline

from bighead.errors import ModelError, ParityError
from bighead.events.types import Signature, Tensor
from bighead.pipeline import adversarial
from bighead.pipeline.export import probability_type
from bighead.pipeline.tensors import LABEL, PROBABILITY, frame, json_values, signature_of, tensors

TOLERANCE = 1e-6
GOLDEN_OCCURRED = 8

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Parity:
    """What was measured: the largest difference in probability, on how many rows, and the row where it is."""

    max_abs_diff: float
    tolerance: float
    rows: int
    worst: Mapping[str, Any]
    worst_kind: str
    pipeline: float
    onnx: float

    def to_json(self) -> str:
        """The form of the registry's record."""
        return json.dumps(
            {
                "max_abs_diff": self.max_abs_diff,
                "tolerance": self.tolerance,
                "rows": self.rows,
                "worst": {
                    "kind": self.worst_kind,
                    "inputs": self.worst,
                    "pipeline": self.pipeline,
                    "onnx": self.onnx,
                },
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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._inputs = inputs

    def predict(self, rows: pd.DataFrame) -> tuple[Scores, npt.NDArray[np.int64]]:
        """Probabilities and labels of typed rows (see `tensors.frame`), one call for all of them."""
        probability, label = self._session.run([PROBABILITY, LABEL], tensors(self._inputs, rows))
        return probability.ravel().astype(np.float64), label.ravel()

    def predict_each(self, rows: pd.DataFrame) -> Scores:
        """Probabilities by one call per row, as single requests get them: a batch may add up in another order."""
        return np.array([self.predict(rows.iloc[[index]])[0][0] for index in range(len(rows))])


def prove(
    pipeline: Pipeline,
    content: bytes,
    inputs: Sequence[Tensor],
    rows: pd.DataFrame,
    *,
    tolerance: float = TOLERANCE,
) -> ProvenModel:
    """Compares pipeline and model on `rows` and on adversarial rows; raises ParityError beyond the tolerance."""
    if rows.empty:
        raise ModelError("parity needs rows to start from and received none; pass rows of the training set")
    occurred = frame(inputs, rows).reset_index(drop=True)
    hurtful, kinds = adversarial.rows(pipeline, inputs, occurred)
    everything = pd.concat([occurred, hurtful], ignore_index=True)
    session = Session(content, inputs)
    parity = _compare(pipeline, session, everything, ["occurred"] * len(occurred) + kinds, tolerance)
    chosen = pd.concat([_spread(session, occurred), adversarial.one_of_each(hurtful, kinds)], ignore_index=True)
    return ProvenModel(content, signature_of(inputs, probability_type(content)), parity, _golden(session, chosen))


def _compare(
    pipeline: Pipeline, session: Session, rows: pd.DataFrame, kinds: Sequence[str], tolerance: float
) -> Parity:
    expected = _pipeline_scores(pipeline, rows, kinds)
    received, labels = session.predict(rows)
    difference = np.abs(expected - received)
    difference[np.isnan(expected) & np.isnan(received)] = 0.0
    difference[np.isnan(expected) != np.isnan(received)] = np.inf
    worst = int(np.argmax(difference))
    row = json_values(rows.iloc[worst])
    if not difference[worst] <= tolerance:
        beyond = int(np.sum(~(difference <= tolerance)))
        raise ParityError(
            f"the ONNX model differs from its pipeline in {beyond} of {len(rows)} rows, at most by "
            f"{difference[worst]:.3g} (tolerance {tolerance:g}); the worst row ({kinds[worst]}) gives "
            f"{expected[worst]!r} in scikit-learn and {received[worst]!r} in ONNX: {row}; declare its numbers FP64, "
            "or replace the step that does not convert exactly"
        )
    _check_labels(pipeline, labels, received, tolerance)
    return Parity(
        float(difference[worst]),
        tolerance,
        len(rows),
        row,
        kinds[worst],
        float(expected[worst]),
        float(received[worst]),
    )


def _check_labels(pipeline: Pipeline, labels: npt.NDArray[np.int64], scores: Scores, tolerance: float) -> None:
    decided = np.abs(scores - 0.5) > tolerance
    wrong = labels[decided] != np.asarray(pipeline.classes_)[(scores[decided] > 0.5).astype(int)]
    if wrong.any():
        raise ParityError(f"{int(wrong.sum())} of {len(labels)} labels of the ONNX model contradict its probabilities")


def _pipeline_scores(pipeline: Pipeline, rows: pd.DataFrame, kinds: Sequence[str]) -> Scores:
    try:
        return np.asarray(pipeline.predict_proba(rows)[:, 1], np.float64)
    except Exception as error:  # any estimator's own error; which row is at fault is found one by one
        for index in range(len(rows)):
            row = rows.iloc[[index]]
            try:
                pipeline.predict_proba(row)
            except Exception as cause:  # noqa: BLE001
                raise ParityError(
                    f"the pipeline itself fails on a row that serving can meet ({kinds[index]}): {_first_line(cause)}; "
                    f"the row is {json_values(row.iloc[0])}; impute, or encode unseen categories too"
                ) from error
        raise


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _spread(session: Session, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows from the lowest to the highest probability in equal steps."""
    order = np.argsort(session.predict(rows)[0], kind="stable")
    return rows.iloc[order[np.linspace(0, len(order) - 1, min(GOLDEN_OCCURRED, len(order))).astype(int)]]


def _golden(session: Session, rows: pd.DataFrame) -> list[dict[str, dict[str, Any]]]:
    """The rows with what the ONNX model answers to each of them alone."""
    golden = []
    for index in range(len(rows)):
        row = rows.iloc[[index]]
        probability, label = session.predict(row)
        outputs = {PROBABILITY: float(probability[0]), LABEL: int(label[0])}
        golden.append({"inputs": json_values(row.iloc[0]), "outputs": outputs})
    return golden
