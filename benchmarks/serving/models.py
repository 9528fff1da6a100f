"""What is served: models of 100 boosted trees that take one tensor, ten columns, or features from the online store.

Trained on made-up rows, proven, registered and deployed as any other.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from numpy.typing import NDArray
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import HistGradientBoostingRegressor

from benchmarks import purchases
from benchmarks.trained import train
from bighead.client.catalog import read_catalog
from bighead.client.proto.inference_pb2 import ModelInferRequest
from bighead.client.proto.prediction_pb2 import PredictRequest
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.types import ModelRecord, Signature, Tensor
from bighead.pipeline import feature, request
from examples.flights.recipes import PARAMETERS

TENSOR, COLUMNS, FEATURES = "trees", "columns", "features"
INFER = "/inference.GRPCInferenceService/ModelInfer"
PREDICT = "/bighead.v1.Prediction/Predict"
TREES = 100
WIDTH = 10
_ROWS = 2_000


def batch_of(rows: int) -> NDArray[np.float32]:
    """Rows for the model of one tensor, the same ones each time."""
    return np.random.default_rng(3).normal(0, 1, (rows, WIDTH)).astype(np.float32)


def tensor_model(folder: Path) -> tuple[Path, ModelRecord]:
    """Trees over one tensor [rows, 10] of FP32, and what the registry records of them."""
    rows = np.random.default_rng(7).normal(0, 1, (_ROWS, WIDTH)).astype(np.float32)
    trees = HistGradientBoostingRegressor(max_iter=TREES, early_stopping=False, random_state=7)
    trees.fit(rows, rows[:, 0] * rows[:, 1] + rows[:, 2:].sum(axis=1))
    converted = convert_sklearn(trees, initial_types=[("x", FloatTensorType([None, WIDTH]))], target_opset=18)
    path = folder / "model.onnx"
    onnx.save(converted, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    output, golden = session.get_outputs()[0].name, batch_of(1)
    (answer,) = session.run(None, {"x": golden})
    signature = Signature(
        inputs=(Tensor(name="x", type="FP32", source="request", shape=(WIDTH,)),),
        outputs=(Tensor(name=output, type="FP32"),),
    )
    record = ModelRecord(
        artifact_uri="",
        artifact_sha256="",
        artifact_size=0,
        signature=signature,
        golden=json.dumps([{"inputs": {"x": golden[0].tolist()}, "outputs": {output: answer[0].tolist()}}]),
        parity=json.dumps({"max_abs_diff": 0.0, "tolerance": 1e-6, "rows": 1}),
        started_ms=wall_clock_ms(),
        finished_ms=wall_clock_ms(),
    )
    return path, record


def column_model(settings: Settings, join: str | None, seed: int = 7) -> tuple[Path, ModelRecord]:
    """Trees over ten columns of the request, or over the features of a Join."""
    inputs, compiled = [request(f"c{number}") for number in range(WIDTH)], None
    if join is not None:
        codec = Codec(settings.schema_registry)
        compiled = read_catalog(settings, codec).join(join)
        codec.close()
        inputs = [feature(name) for name, kind in compiled.kinds.items() if kind in ("double", "long")]
    path = settings.home / "models" / f"{join}-{seed}.onnx"
    parameters = {**PARAMETERS, "max_iter": TREES, "learning_rate": 0.08}
    return train(settings, path, inputs, _rows(inputs, seed), parameters, compiled, seed)


def infer_request(rows: int) -> bytes:
    """A request for the model of one tensor, raw contents."""
    batch = batch_of(rows)
    made = ModelInferRequest(model_name=TENSOR)
    made.inputs.add(name="x", datatype="FP32", shape=batch.shape)
    made.raw_input_contents.append(batch.tobytes())
    return made.SerializeToString()


def columns_request() -> bytes:
    """A prediction for one entity that the request describes whole."""
    made = PredictRequest(model=COLUMNS)
    entity = made.entities.add()
    entity.keys["id"].string_value = "1"
    for number in range(WIDTH):
        entity.inputs[f"c{number}"].double_value = number / 10
    return made.SerializeToString()


def features_request() -> bytes:
    """A prediction for the most popular entity of each kind."""
    made = PredictRequest(model=FEATURES)
    entity = made.entities.add()
    for name in purchases.KEYS:
        entity.keys[name].string_value = f"{name}-0"
    return made.SerializeToString()


def _rows(inputs: Sequence[Tensor], seed: int) -> pd.DataFrame:
    drawn = np.random.default_rng(seed)
    rows = pd.DataFrame({one.name: drawn.normal(0, 1, _ROWS) for one in inputs})
    signal = rows.sum(axis=1) + drawn.normal(0, 1, _ROWS)
    return rows.assign(late=signal > signal.median())
