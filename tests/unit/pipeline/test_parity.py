"""A model is registered only with a measured parity: what agrees is proven, what does not is refused by name."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from bighead.artifacts import Artifact, put
from bighead.errors import ModelError, ParityError
from bighead.events.types import Tensor
from bighead.inference.loading import load
from bighead.pipeline import export, feature, model_record, prove, request, save
from bighead.pipeline.parity import Session
from bighead.pipeline.record import Origin
from bighead.pipeline.tensors import frame
from bighead.registry.proof import check_record

INPUTS = [request("carrier", "BYTES"), feature("mean_delay"), feature("late_share")]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """OpenMP waits for its threads by spinning: where cores are shared, one thread is many times as quick."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Shares of small counts: few distinct values, on which trees put their thresholds."""
    random = np.random.default_rng(7)
    flights = random.integers(1, 60, 4_000)
    late = random.binomial(flights, 0.3)
    share = np.where(random.random(4_000) < 0.1, np.nan, late / flights)
    delay = np.nan_to_num(share) * 60 + random.normal(0, 9, 4_000)
    carrier = random.choice(["UA", "AA", "9E"], 4_000)
    target = (delay + 8 * (carrier == "9E") + random.normal(0, 8, 4_000) > 20).astype(int)
    return pd.DataFrame({"carrier": carrier, "mean_delay": delay, "late_share": share, "late": target})


def boosted(rows: pd.DataFrame) -> Pipeline:
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("carrier", encode, ["carrier"])], remainder="passthrough")
    pipeline = Pipeline([("columns", columns), ("trees", HistGradientBoostingClassifier(max_iter=40, random_state=1))])
    pipeline.fit(frame(INPUTS, rows), rows.late)
    return pipeline


@pytest.fixture(scope="module")
def pipeline(rows: pd.DataFrame) -> Pipeline:
    return boosted(rows)


def test_boosted_trees_convert_exactly_at_their_thresholds_too(pipeline: Pipeline, rows: pd.DataFrame) -> None:
    model = prove(pipeline, export(pipeline, INPUTS), INPUTS, rows)
    assert model.parity.max_abs_diff < 1e-14
    assert model.parity.rows > len(rows) + 1_000  # the thresholds and their neighbours were tried


def test_the_same_pipeline_gives_the_same_bytes(rows: pd.DataFrame) -> None:
    assert export(boosted(rows), INPUTS) == export(boosted(rows), INPUTS)


def test_a_planted_difference_is_refused_and_the_worst_row_is_named(pipeline: Pipeline, rows: pd.DataFrame) -> None:
    model = onnx.load_from_string(export(pipeline, INPUTS))
    [trees] = [node for node in model.graph.node if node.op_type == "TreeEnsemble"]
    [splits] = [attribute for attribute in trees.attribute if attribute.name == "nodes_splits"]
    moved = numpy_helper.to_array(splits.t).copy()
    moved[0] = np.nextafter(moved[0], np.inf)  # one threshold, by one ulp
    splits.t.CopyFrom(numpy_helper.from_array(moved, "splits"))
    with pytest.raises(ParityError, match=r"worst row \(a threshold plus one ulp\).*'mean_delay': "):
        prove(pipeline, model.SerializeToString(), INPUTS, rows)


def test_a_pipeline_that_cannot_take_a_null_is_refused(rows: pd.DataFrame) -> None:
    inputs = [feature("mean_delay")]
    pipeline = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())])
    pipeline.fit(frame(inputs, rows), rows.late)
    said = r"on a row that serving can meet \(all missing\): step 'model' .*'mean_delay': None.*put SimpleImputer"
    with pytest.raises(ParityError, match=said):
        prove(pipeline, export(pipeline, inputs), inputs, rows)


def test_golden_rows_are_what_the_model_answers_to_each_alone(pipeline: Pipeline, rows: pd.DataFrame) -> None:
    model = prove(pipeline, export(pipeline, INPUTS), INPUTS, rows)
    golden = json.loads(json.dumps(list(model.golden)))
    assert 10 <= len(golden) <= 32
    assert {"carrier": "", "mean_delay": None, "late_share": None} in [row["inputs"] for row in golden]
    session = Session(model.content, INPUTS)
    for row in golden:
        answer = session.predict(frame(INPUTS, pd.DataFrame([row["inputs"]])))
        assert row["outputs"] == {name: values[0] for name, values in answer.items()}


def test_outputs_are_plain_columns(pipeline: Pipeline, rows: pd.DataFrame) -> None:
    model = prove(pipeline, export(pipeline, INPUTS), INPUTS, rows)
    described = {(tensor.name, tensor.type, tensor.shape) for tensor in model.signature.outputs}
    assert described == {("probability", "FP64", ()), ("label", "INT64", ())}
    graph = onnx.load_from_string(model.content).graph
    assert [value.name for value in graph.input] == ["carrier", "mean_delay", "late_share"]
    assert all(value.type.HasField("tensor_type") for value in graph.output)


def test_the_record_of_a_proven_model_satisfies_the_registry_and_the_server(
    pipeline: Pipeline, rows: pd.DataFrame, tmp_path: Path
) -> None:
    model = prove(pipeline, export(pipeline, INPUTS), INPUTS, rows)
    artifact = put(str(tmp_path), save(model, tmp_path / "model.onnx"))
    origin = Origin("flight", 1, "hash", {"table": "training/flight"}, {"max_iter": 40}, "abc", "test", 1, 2)
    record = model_record(model, artifact, {"auc": 0.74}, origin)
    check_record(record)
    served, _ = load("delay", 1, record)
    assert served.signature.features
    with pytest.raises(ModelError, match="store the file"):
        model_record(model, Artifact("file:///other", "0" * 64, 1), {}, origin)
    with pytest.raises(ModelError, match=r"auc.*not finite"):
        model_record(model, artifact, {"auc": float("nan")}, origin)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "has no input"),
        ([feature("a"), request("a")], "named twice"),
        ([feature("label")], "like an output"),
    ],
)
def test_impossible_inputs_are_refused(pipeline: Pipeline, inputs: list[Tensor], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        export(pipeline, inputs)


def test_an_unknown_datatype_is_refused() -> None:
    with pytest.raises(ModelError, match="'FP8'; expected one of FP64, FP32"):
        feature("a", "FP8")


def test_a_null_in_a_column_that_cannot_hold_one_is_refused() -> None:
    with pytest.raises(ModelError, match="'seats' is INT64, which cannot be missing, and is null in 1 of 2 rows"):
        frame([feature("seats", "INT64")], pd.DataFrame({"seats": [1, None]}))
