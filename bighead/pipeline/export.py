"""A fitted scikit-learn pipeline as ONNX: one input per column, plain tensors out, the same bytes each time.

Whether the two agree is not known here: see `parity`.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from sklearn.pipeline import Pipeline

from bighead.errors import ModelError
from bighead.events.types import Tensor
from bighead.pipeline import trees
from bighead.pipeline.tensors import DATATYPES, LABEL, PROBABILITY, check_inputs

OPSET = 21
PROBABILITY_TYPES: dict[int, str] = {TensorProto.DOUBLE: "FP64", TensorProto.FLOAT: "FP32"}


def export(pipeline: Pipeline, inputs: Sequence[Tensor]) -> bytes:
    """A fitted binary classifier as the bytes of an ONNX model with the outputs probability and label."""
    check_inputs(inputs)
    classes = getattr(pipeline, "classes_", ())
    if len(classes) != 2:
        raise ModelError(f"the pipeline has the classes {list(classes)}; expected a fitted classifier of two classes")
    trees.register()
    try:
        model = convert_sklearn(
            pipeline,
            name="bighead",
            initial_types=[(tensor.name, DATATYPES[tensor.type].onnx([None, 1])) for tensor in inputs],
            options={id(pipeline): {"zipmap": False}},
            target_opset={"": OPSET, "ai.onnx.ml": trees.SKL2ONNX_ML_OPSET},
        )
    except ModelError:
        raise
    except Exception as error:  # skl2onnx raises errors of many kinds; all of them mean the same here
        raise ModelError(f"{pipeline} cannot be converted to ONNX: {error}") from error
    _raise_tree_opset(model)
    _plain_outputs(model)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def probability_type(content: bytes) -> str:
    """The datatype of an exported model's probability."""
    model = onnx.load_from_string(content)
    return PROBABILITY_TYPES[model.graph.output[0].type.tensor_type.elem_type]


def _raise_tree_opset(model: onnx.ModelProto) -> None:
    if any(node.op_type == "TreeEnsemble" for node in model.graph.node):
        for opset in model.opset_import:
            if opset.domain == "ai.onnx.ml":
                opset.version = trees.ML_OPSET


def _plain_outputs(model: onnx.ModelProto) -> None:
    """Replaces (label [N], probabilities [N, 2]) by (probability of the second class [N, 1], label [N, 1])."""
    graph = model.graph
    _rename(graph, LABEL, "bighead_converted_label")
    label, probabilities = graph.output
    kind = probabilities.type.tensor_type.elem_type
    if kind not in PROBABILITY_TYPES or label.type.tensor_type.elem_type != TensorProto.INT64:
        raise ModelError("the converted model's label is not INT64; train with the labels 0 and 1, as integers")
    one = numpy_helper.from_array(np.array([1], np.int64), "bighead_one")
    column = numpy_helper.from_array(np.array([-1, 1], np.int64), "bighead_column")
    graph.initializer.extend([one, column])
    graph.node.extend(
        [
            helper.make_node("Gather", [probabilities.name, one.name], [PROBABILITY], "bighead_positive", axis=1),
            helper.make_node("Reshape", [label.name, column.name], [LABEL], "bighead_label"),
        ]
    )
    del graph.output[:]
    graph.output.extend(
        [
            helper.make_tensor_value_info(PROBABILITY, kind, [None, 1]),
            helper.make_tensor_value_info(LABEL, TensorProto.INT64, [None, 1]),
        ]
    )


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """skl2onnx names the label of a classifier like ours; a name may be written once only."""
    for names in [part for node in graph.node for part in (node.input, node.output)]:
        names[:] = [new if name == old else name for name in names]
    for output in graph.output:
        output.name = new if output.name == old else output.name
