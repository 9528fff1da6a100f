"""Makes stores.tar.xz, which the tests of the importer read, by a real MLflow: 3.17.2 made the one that lies here.

In an environment with `mlflow>=3`, `onnx` and `onnxruntime`: `python tests/unit/mlflow/make_stores.py`. It is made in
another folder than it is read in, as a store that was copied is.
"""

import os
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

import mlflow
import numpy as np
import onnx
import pandas as pd
from mlflow.models import infer_signature
from mlflow.tracking import MlflowClient
from onnx import TensorProto, helper


def linear(weight: float) -> onnx.ModelProto:
    """fare = weight x distance + 2.5, of doubles in rows of one column."""
    nodes = [
        helper.make_node("Mul", ["distance", "weight"], ["scaled"]),
        helper.make_node("Add", ["scaled", "base"], ["fare"]),
    ]
    graph = helper.make_graph(
        nodes,
        "fare",
        [helper.make_tensor_value_info("distance", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("fare", TensorProto.FLOAT, [None, 1])],
        [
            helper.make_tensor("weight", TensorProto.FLOAT, [1], [weight]),
            helper.make_tensor("base", TensorProto.FLOAT, [1], [2.5]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


class Doubler(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A model that is code: nothing that an importer may run."""

    def predict(self, context: Any, model_input: Any) -> Any:
        """Twice its input."""
        return model_input


def fill(uri: str, artifacts: str | None) -> None:
    """Two versions of `fare` as ONNX, the first with an input example, and one of `code`, which is not."""
    mlflow.set_tracking_uri(uri)
    client = MlflowClient()
    experiment = client.create_experiment("taxi", artifact_location=artifacts)
    example = np.array([[1.0], [4.0]], np.float32)
    for version, weight in enumerate((1.5, 1.75), 1):
        with mlflow.start_run(experiment_id=experiment, run_name=f"fit {version}"):
            mlflow.log_params({"weight": weight, "solver": "exact"})
            mlflow.log_metrics({"rmse": 0.5 / version, "mae": 0.25})
            mlflow.set_tag("team", "rides")
            mlflow.set_tag("mlflow.note.content", "Fitted on **October**.")
            model = linear(weight)
            signature = infer_signature(example, example * np.float32(weight) + np.float32(2.5))
            info = mlflow.onnx.log_model(
                model, name="model", signature=signature, input_example=example if version == 1 else None
            )
            mlflow.register_model(info.model_uri, "fare")
    client.update_registered_model("fare", "What a ride costs.")
    client.update_model_version("fare", "1", "The first **fit**.")
    client.set_registered_model_alias("fare", "champion", "1")
    client.set_model_version_tag("fare", "1", "approved", "yes")
    client.transition_model_version_stage("fare", "2", "Staging")
    with mlflow.start_run(experiment_id=experiment):
        info = mlflow.pyfunc.log_model(name="model", python_model=Doubler(), input_example=pd.DataFrame({"x": [1.0]}))
        mlflow.register_model(info.model_uri, "code")


def main() -> None:
    """Writes `mlruns`, and `mlflow.db` with `artifacts`, into the archive."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill((folder / "mlruns").as_uri(), None)
        fill(f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri())
        with closing(sqlite3.connect(folder / "mlflow.db")) as database:
            database.execute("VACUUM")
        with tarfile.open(Path(__file__).with_name("stores.tar.xz"), "w:xz") as archive:
            for part in ("mlruns", "artifacts", "mlflow.db"):
                archive.add(folder / part, part)


if __name__ == "__main__":
    main()
