"""A version is loaded only when every proof holds; what fails says in which step and why."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bighead.events.types import ModelRecord, Signature, Tensor
from bighead.inference.loading import LoadFailed, load
from tests.unit.serving.models import (
    FLOAT,
    damaged,
    external,
    mixed_stored,
    save,
    stored,
    times_record,
    times_stored,
)


def refusal(record: ModelRecord) -> tuple[str, str]:
    with pytest.raises(LoadFailed) as failed:
        load("m", 1, record)
    return failed.value.step, str(failed.value)


def test_a_proven_model_answers(tmp_path: Path) -> None:
    model, steps = load("m", 3, times_stored(tmp_path, 2.0))
    assert (model.name, model.version) == ("m", 3)
    assert model.run({"x": np.array([[3.0]], np.float32)})[0].tolist() == [[6.0]]
    assert list(steps) == ["fetch", "verify", "load", "golden", "warm"]
    assert all(seconds >= 0 for seconds in steps.values())
    assert model.inline_rows > 0


def test_columns_of_every_kind_load(tmp_path: Path) -> None:
    model, _ = load("m", 1, mixed_stored(tmp_path))
    assert [column.name for column in model.signature.features] == ["delay", "flights"]
    assert [str(column) for column in model.signature.outputs] == ["FP32 [-1, 1]", "FP32 [-1, 2]", "BYTES [-1, 1]"]


def test_changed_bytes_are_refused(tmp_path: Path) -> None:
    step, why = refusal(damaged(times_stored(tmp_path, 2.0)))
    assert step == "fetch"
    assert "is not what was registered" in why


def test_an_artifact_that_is_gone_is_named(tmp_path: Path) -> None:
    step, why = refusal(replace(times_stored(tmp_path, 2.0), artifact_uri=str(tmp_path / "none.onnx")))
    assert step == "fetch"
    assert "none.onnx" in why


@pytest.mark.parametrize("content", [b"\x00\x01not onnx", b"", b"\x08\x09", b"PK\x03\x04" * 10])
def test_what_is_not_onnx_is_refused_before_it_is_loaded(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    step, why = refusal(times_record(stored(tmp_path, path), 2.0))
    assert step == "verify"
    assert "not an ONNX model" in why


def test_external_data_is_refused_even_where_it_exists(tmp_path: Path) -> None:
    step, why = refusal(times_record(stored(tmp_path, external(tmp_path, 2.0)), 2.0))
    assert step == "verify"
    assert "tensor 'w' lies outside the model (location=weights.bin)" in why


def test_external_data_is_found_however_deep_it_lies(tmp_path: Path) -> None:
    hidden = helper.make_tensor("hidden", FLOAT, [1], [1.0])
    hidden.data_location = TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="/etc/passwd")
    inner = helper.make_node("Constant", [], ["c"], value=hidden)
    branch = helper.make_graph([inner], "branch", [], [helper.make_tensor_value_info("c", FLOAT, [1])])
    outer = helper.make_node("If", ["condition"], ["y"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph(
        [outer],
        "g",
        [helper.make_tensor_value_info("condition", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
    )
    step, why = refusal(times_record(stored(tmp_path, save(tmp_path / "deep.onnx", graph)), 2.0))
    assert step == "verify"
    assert "'hidden'" in why
    assert "/etc/passwd" in why


def test_golden_rows_must_come_out_equal(tmp_path: Path) -> None:
    record = times_stored(tmp_path, 2.0)
    artifact = stored(tmp_path, Path(record.artifact_uri.removeprefix("file://")))
    step, why = refusal(times_record(artifact, 2.0, golden_factor=2.1))
    assert step == "golden"
    assert "golden row 0: output 'y' is [3.0]; expected [3.15" in why


def test_golden_rows_may_differ_within_the_tolerance(tmp_path: Path) -> None:
    record = times_stored(tmp_path, 2.0)
    golden = json.dumps([{"inputs": {"x": 1.5}, "outputs": {"y": 3.0000005}}])
    load("m", 1, replace(record, golden=golden))
    assert refusal(replace(record, golden=golden, parity=json.dumps({"tolerance": 0.0})))[0] == "golden"


@pytest.mark.parametrize(("given", "expected"), [(None, None), (float("nan"), float("nan")), (1e30, 2e30)])
def test_golden_rows_compare_null_and_large_values(tmp_path: Path, given: float | None, expected: float | None) -> None:
    golden = json.dumps([{"inputs": {"x": given}, "outputs": {"y": expected}}])
    tolerance = json.dumps({"tolerance": 1e24})
    load("m", 1, replace(times_stored(tmp_path, 2.0), golden=golden, parity=tolerance))


@pytest.mark.parametrize("golden", ["[]", "no json", '[{"inputs": {}, "outputs": {}}]'])
def test_a_record_without_usable_golden_rows_is_refused(tmp_path: Path, golden: str) -> None:
    assert refusal(replace(times_stored(tmp_path, 2.0), golden=golden))[0] == "golden"


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [
        ([("z", "FP32")], [("y", "FP32")], "the signature's inputs are ['z']; the model has ['x']"),
        ([("x", "FP64")], [("y", "FP32")], "input 'x' is FP64 in the signature and FP32 in the model"),
        ([("x", "FP32")], [("y", "FP32"), ("q", "FP32")], "the signature's outputs are ['q', 'y']"),
    ],
)
def test_the_signature_must_be_that_of_the_graph(
    tmp_path: Path, inputs: list[tuple[str, str]], outputs: list[tuple[str, str]], expected: str
) -> None:
    signature = Signature(
        inputs=tuple(Tensor(name=name, type=kind, source="request") for name, kind in inputs),
        outputs=tuple(Tensor(name=name, type=kind) for name, kind in outputs),
    )
    step, why = refusal(replace(times_stored(tmp_path, 2.0), signature=signature))
    assert step == "load"
    assert expected in why


def test_rows_of_another_shape_are_refused(tmp_path: Path) -> None:
    record = times_stored(tmp_path, 2.0)
    wide = replace(record.signature.inputs[0], shape=(3,))
    signature = replace(record.signature, inputs=(wide,))
    step, why = refusal(replace(record, signature=signature))
    assert step == "load"
    assert "rows of shape [3] in the signature, [1] in the model" in why


def test_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "fixed",
        [helper.make_tensor_value_info("x", FLOAT, [1, 1])],
        [helper.make_tensor_value_info("y", FLOAT, [1, 1])],
    )
    step, why = refusal(times_record(stored(tmp_path, save(tmp_path / "fixed.onnx", graph)), 1.0))
    assert step == "load"
    assert "expected a free batch dimension" in why


def test_a_classifier_with_maps_as_output_is_refused(tmp_path: Path) -> None:
    zipped = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0])
    sequence = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(FLOAT, []))
    )
    graph = helper.make_graph(
        [zipped],
        "zipped",
        [helper.make_tensor_value_info("x", FLOAT, [None, 1])],
        [onnx.ValueInfoProto(name="y", type=sequence)],
    )
    step, why = refusal(times_record(stored(tmp_path, save(tmp_path / "zipped.onnx", graph)), 1.0))
    assert step == "load"
    assert "without the ZipMap operator" in why
