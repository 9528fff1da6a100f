"""A fitted estimator as ONNX: one input per column, plain tensors out, the same bytes each time.

Whether the two agree is not known here: see `parity`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bighead.errors import ModelError
from bighead.events.types import Tensor
from bighead.pipeline.causes import conversion_failed
from bighead.pipeline.conversion.graphs import converted, opened
from bighead.pipeline.outputs import DISTANCES, NUMBERS, check_estimator, has_distances
from bighead.pipeline.tensors import LABEL, PROBABILITY, check_inputs
from bighead.pipeline.training_set import Task

_NUMBER_TYPES: dict[int, str] = {TensorProto.DOUBLE: "FP64", TensorProto.FLOAT: "FP32"}
_LABEL_TYPES: dict[int, str] = {TensorProto.INT64: "INT64", TensorProto.STRING: "BYTES"}
_TYPES = _NUMBER_TYPES | _LABEL_TYPES


def export(estimator: Any, inputs: Sequence[Tensor], task: Task = Task.BINARY) -> bytes:
    """A fitted estimator or Pipeline as the bytes of an ONNX model with the outputs of its task (see `outputs`).

    Raises ModelError that names the step which cannot be converted, and what to use instead.
    """
    check_inputs(inputs)
    _check_names(inputs, task)
    check_estimator(estimator, task)
    try:
        model = converted(estimator, inputs)
        _plain_outputs(model, estimator, task)
        model.opset_import.sort(key=lambda opset: opset.domain)  # a set's order, another one in each process
        onnx.checker.check_model(model)
        opened(model.SerializeToString())
    except Exception as error:  # skl2onnx raises errors of many kinds; all of them mean the same here
        raise conversion_failed(estimator, inputs, error) from error
    helper.set_model_props(model, _properties(estimator, task))
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def outputs_of(content: bytes) -> tuple[Tensor, ...]:
    """The outputs of an exported model, as its signature has them."""
    found = []
    for output in onnx.load_from_string(content).graph.output:
        kind = output.type.tensor_type
        width = [size.dim_value for size in kind.shape.dim][1:]
        found.append(Tensor(name=output.name, type=_TYPES[kind.elem_type], shape=() if width == [1] else tuple(width)))
    return tuple(found)


def _check_names(inputs: Sequence[Tensor], task: Task) -> None:
    taken = sorted({tensor.name for tensor in inputs} & {NUMBERS[task], LABEL})
    if taken:
        raise ModelError(f"inputs {taken} are named like an output of {task}; rename them")


def _properties(estimator: Any, task: Task) -> dict[str, str]:
    classes = getattr(estimator, "classes_", None)
    told = {} if classes is None else {"bighead.classes": ",".join(str(one) for one in classes)}
    return {"bighead.task": str(task), **told}


def _plain_outputs(model: onnx.ModelProto, estimator: Any, task: Task) -> None:
    """Replaces what the converter answers by the outputs of the task, each [N, its width]."""
    graph = model.graph
    kept = {*(output.name for output in graph.output), NUMBERS[task], LABEL}
    _rename(graph, {name: f"bighead_converted_{name}" for name in kept})
    label, numbers = (None, graph.output[0]) if task is Task.REGRESSION else (graph.output[0], graph.output[1])
    made = []
    if NUMBERS[task] != DISTANCES or has_distances(estimator):
        made.append(_number(graph, numbers, estimator, task))
    if label is not None:
        made.append(_column(graph, label, LABEL, _LABEL_TYPES, 1))
    del graph.output[:]
    graph.output.extend(made)


def _number(graph: onnx.GraphProto, numbers: Any, estimator: Any, task: Task) -> onnx.ValueInfoProto:
    if task is Task.BINARY:
        one = numpy_helper.from_array(np.array([1], np.int64), "bighead_one")
        graph.initializer.append(one)
        graph.node.append(helper.make_node("Gather", [numbers.name, one.name], ["bighead_second"], axis=1))
        second = helper.make_tensor_value_info("bighead_second", numbers.type.tensor_type.elem_type, [None, 1])
        return _column(graph, second, PROBABILITY, _NUMBER_TYPES, 1)
    width = 1
    if task is Task.MULTICLASS:
        width = len(estimator.classes_)
    elif task is Task.CLUSTERS:
        width = len((estimator[-1] if hasattr(estimator, "steps") else estimator).cluster_centers_)
    return _column(graph, numbers, NUMBERS[task], _NUMBER_TYPES, width)


def _column(graph: onnx.GraphProto, value: Any, name: str, types: dict[int, str], width: int) -> onnx.ValueInfoProto:
    """The value as the output `name`, [N, width]."""
    kind = value.type.tensor_type.elem_type
    if kind not in types:
        kinds = " or ".join(types.values())
        raise ModelError(f"the converted model's {name} is not {kinds}; train with labels that are integers or strings")
    shape = numpy_helper.from_array(np.array([-1, width], np.int64), f"bighead_shape_of_{name}")
    graph.initializer.append(shape)
    graph.node.append(helper.make_node("Reshape", [value.name, shape.name], [name], f"bighead_{name}"))
    return helper.make_tensor_value_info(name, kind, [None, width])


def _rename(graph: onnx.GraphProto, new: dict[str, str]) -> None:
    """skl2onnx names outputs like ours; a name may be written once only."""
    for names in [part for node in graph.node for part in (node.input, node.output)]:
        names[:] = [new.get(name, name) for name in names]
    for output in graph.output:
        output.name = new.get(output.name, output.name)
