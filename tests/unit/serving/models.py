"""Small ONNX models and their records, so that tests of serving are quick."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from bighead import artifacts
from bighead.events.types import ModelRecord, Signature, Tensor

FLOAT = TensorProto.FLOAT


def save(path: Path, graph: onnx.GraphProto) -> Path:
    """Writes a model of one graph, in versions that every supported runtime reads."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def times(path: Path, factor: float) -> Path:
    """y = x * factor, for columns of shape [N, 1]."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "times",
        [helper.make_tensor_value_info("x", FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", FLOAT, [None, 1])],
        [helper.make_tensor("w", FLOAT, [1], [factor])],
    )
    return save(path, graph)


def times_record(artifact: artifacts.Artifact, factor: float, *, golden_factor: float | None = None) -> ModelRecord:
    """The record of `times`; with `golden_factor` its golden row is that of another model."""
    expected = 1.5 * (factor if golden_factor is None else golden_factor)
    return ModelRecord(
        artifact_uri=artifact.uri,
        artifact_sha256=artifact.sha256,
        artifact_size=artifact.size,
        signature=Signature(
            inputs=(Tensor(name="x", type="FP32", source="request"),), outputs=(Tensor(name="y", type="FP32"),)
        ),
        golden=json.dumps([{"inputs": {"x": 1.5}, "outputs": {"y": expected}}]),
        parity=json.dumps({"max_abs_diff": 0.0, "tolerance": 1e-6, "rows": 1}),
        started_ms=0,
        finished_ms=0,
    )


def stored(folder: Path, path: Path) -> artifacts.Artifact:
    """The file as it is put into an artifact store."""
    return artifacts.put(str(folder / "artifacts"), path)


def times_stored(folder: Path, factor: float) -> ModelRecord:
    """`times` in an artifact store, and its record."""
    return times_record(stored(folder, times(folder / f"times-{factor}.onnx", factor)), factor)


# How the inputs of `mixed` are called, typed and sourced, and one golden row.
MIXED_INPUTS = (
    Tensor(name="delay", type="FP32", source="feature"),
    Tensor(name="flights", type="INT64", source="feature"),
    Tensor(name="carrier", type="BYTES", source="request"),
    Tensor(name="is_late", type="BOOL", source="request"),
    Tensor(name="hour", type="INT64", source="request"),
)


def mixed(path: Path) -> Path:
    """One column of each kind: score = delay + flights + hour + is_late, and carrier as it came."""
    columns = {"delay": FLOAT, "flights": TensorProto.INT64, "is_late": TensorProto.BOOL, "hour": TensorProto.INT64}
    casts = [helper.make_node("Cast", [name], [f"{name}_f"], to=FLOAT) for name in columns]
    graph = helper.make_graph(
        [
            *casts,
            helper.make_node("Sum", [f"{name}_f" for name in columns], ["score"]),
            helper.make_node("Concat", ["score", "delay_f"], ["both"], axis=1),
            helper.make_node("Identity", ["carrier"], ["label"]),
        ],
        "mixed",
        [helper.make_tensor_value_info(name, kind, [None, 1]) for name, kind in columns.items()]
        + [helper.make_tensor_value_info("carrier", TensorProto.STRING, [None, 1])],
        [
            helper.make_tensor_value_info("score", FLOAT, [None, 1]),
            helper.make_tensor_value_info("both", FLOAT, [None, 2]),
            helper.make_tensor_value_info("label", TensorProto.STRING, [None, 1]),
        ],
    )
    return save(path, graph)


def mixed_stored(folder: Path, join: str | None = "flight") -> ModelRecord:
    """`mixed` in an artifact store, and its record."""
    inputs = {"delay": 2.5, "flights": 3, "carrier": "UA", "is_late": True, "hour": 7}
    outputs: dict[str, Any] = {"score": 13.5, "both": [13.5, 2.5], "label": "UA"}
    outputs_signature = (
        Tensor(name="score", type="FP32"),
        Tensor(name="both", type="FP32", shape=(2,)),
        Tensor(name="label", type="BYTES"),
    )
    return replace(
        times_record(stored(folder, mixed(folder / "mixed.onnx")), 1.0),
        signature=Signature(inputs=MIXED_INPUTS, outputs=outputs_signature),
        golden=json.dumps([{"inputs": inputs, "outputs": outputs}]),
        join=join,
    )


# One value and another for every datatype of the protocol, as JSON has them.
EVERY: dict[str, tuple[int, list[Any]]] = {
    "BOOL": (TensorProto.BOOL, [True, False]),
    "UINT8": (TensorProto.UINT8, [0, 255]),
    "UINT16": (TensorProto.UINT16, [1, 65535]),
    "UINT32": (TensorProto.UINT32, [2, 4294967295]),
    "UINT64": (TensorProto.UINT64, [3, 18446744073709551615]),
    "INT8": (TensorProto.INT8, [-128, 127]),
    "INT16": (TensorProto.INT16, [-32768, 32767]),
    "INT32": (TensorProto.INT32, [-2147483648, 2147483647]),
    "INT64": (TensorProto.INT64, [-9223372036854775808, 9223372036854775807]),
    "FP16": (TensorProto.FLOAT16, [0.5, -65504.0]),
    "FP32": (TensorProto.FLOAT, [0.25, -1024.5]),
    "FP64": (TensorProto.DOUBLE, [0.1, -1.7e308]),
    "BYTES": (TensorProto.STRING, ["", "Zürich 日本"]),
}


def every(path: Path) -> Path:
    """An input and an output of each datatype, two values a row: `out_fp32` is `in_fp32`."""
    inputs, outputs = (
        [
            helper.make_tensor_value_info(f"{side}_{datatype.lower()}", kind, [None, 2])
            for datatype, (kind, _) in EVERY.items()
        ]
        for side in ("in", "out")
    )
    nodes = [
        helper.make_node("Identity", [f"in_{datatype.lower()}"], [f"out_{datatype.lower()}"]) for datatype in EVERY
    ]
    return save(path, helper.make_graph(nodes, "every", inputs, outputs))


def every_stored(folder: Path) -> ModelRecord:
    """`every` in an artifact store, and its record."""
    inputs = tuple(
        Tensor(name=f"in_{datatype.lower()}", type=datatype, shape=(2,), source="request") for datatype in EVERY
    )
    outputs = tuple(Tensor(name=f"out_{datatype.lower()}", type=datatype, shape=(2,)) for datatype in EVERY)
    row = {
        side: {f"{prefix}_{datatype.lower()}": values for datatype, (_, values) in EVERY.items()}
        for side, prefix in (("inputs", "in"), ("outputs", "out"))
    }
    return replace(
        times_record(stored(folder, every(folder / "every.onnx")), 1.0),
        signature=Signature(inputs=inputs, outputs=outputs),
        golden=json.dumps([row]),
    )


def external(folder: Path, factor: float) -> Path:
    """`times` with its factor in another file beside it, which exists and would be read."""
    path = times(folder / "whole.onnx", factor)
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    (folder / "weights.bin").write_bytes(tensor.raw_data or onnx.numpy_helper.to_array(tensor).tobytes())
    tensor.ClearField("float_data")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    target = folder / "external.onnx"
    target.write_bytes(model.SerializeToString())
    return target


def damaged(record: ModelRecord) -> ModelRecord:
    """Changes a byte of the stored artifact, behind the registry's back."""
    path = Path(record.artifact_uri.removeprefix("file://"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    if hashlib.sha256(content).hexdigest() == record.artifact_sha256:
        raise AssertionError("the file did not change")
    return record


def slow(path: Path, rounds: int) -> Path:
    """y = x after many rounds of a loop: a model that takes its time."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["going_on"]),
            helper.make_node("Neg", ["before"], ["after"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", FLOAT, [None, 1]),
        ],
        [
            helper.make_tensor_value_info("going_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", FLOAT, [None, 1]),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["rounds", "yes", "x"], ["y"], body=body)],
        "slow",
        [helper.make_tensor_value_info("x", FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", FLOAT, [None, 1])],
        [
            helper.make_tensor("rounds", TensorProto.INT64, [], [2 * rounds]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        ],
    )
    return save(path, graph)


def total(path: Path, columns: Sequence[str]) -> Path:
    """score = the sum of some FP32 columns."""
    graph = helper.make_graph(
        [helper.make_node("Sum", list(columns), ["score"])],
        "total",
        [helper.make_tensor_value_info(name, FLOAT, [None, 1]) for name in columns],
        [helper.make_tensor_value_info("score", FLOAT, [None, 1])],
    )
    return save(path, graph)


def total_stored(folder: Path, features: Sequence[str], join: str) -> ModelRecord:
    """`total` of features and of the request's `hour`, in an artifact store, and its record."""
    names = [*features, "hour"]
    inputs = tuple(Tensor(name=name, type="FP32", source="feature") for name in features)
    return replace(
        times_record(stored(folder, total(folder / "total.onnx", names)), 1.0),
        signature=Signature(
            inputs=(*inputs, Tensor(name="hour", type="FP32", source="request")),
            outputs=(Tensor(name="score", type="FP32"),),
        ),
        golden=json.dumps([{"inputs": dict.fromkeys(names, 1.0), "outputs": {"score": float(len(names))}}]),
        join=join,
    )
