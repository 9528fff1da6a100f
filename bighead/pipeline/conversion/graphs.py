"""A fitted estimator, or the first steps of a pipeline, as skl2onnx's graph, with our conversions and settings."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import onnx
import onnxruntime
from onnx import TensorProto, helper
from skl2onnx import convert_sklearn
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline

from bighead.events.types import Tensor
from bighead.pipeline.conversion.columns import Together
from bighead.pipeline.conversion.operators import ML_OPSET, SKL2ONNX_ML_OPSET, held, registered
from bighead.pipeline.tensors import DATATYPES

OPSET = 21
_WHOLE = {"INT64": TensorProto.INT64, "BOOL": TensorProto.BOOL}
_LOCALE = "C.UTF-8"
"""Lower case as Unicode has it; skl2onnx's en_US.UTF-8 is not on every server."""


def converted(estimator: Any, inputs: Sequence[Tensor]) -> onnx.ModelProto:
    """skl2onnx's model of a fitted estimator, one input for each column; raises whatever skl2onnx raises.

    Whole numbers are made doubles first, as scikit-learn does: skl2onnx would go on in float32. Where a step takes
    them for categories, they stay what they are.
    """
    pipeline = _with_casts(estimator if isinstance(estimator, Pipeline) else Pipeline([("model", estimator)]), inputs)
    whole = [tensor.name for tensor in inputs if tensor.type in _WHOLE]
    try:
        model = _convert(pipeline, {tensor.name: "FP64" if tensor.name in whole else tensor.type for tensor in inputs})
        _cast_inputs(model, {tensor.name: tensor.type for tensor in inputs if tensor.name in whole})
    except Exception:
        if not whole:
            raise
        model = _convert(pipeline, {tensor.name: tensor.type for tensor in inputs})
    if any(node.op_type == "TreeEnsemble" for node in model.graph.node):
        for opset in model.opset_import:
            if opset.domain == "ai.onnx.ml":
                opset.version = ML_OPSET
    return model


def _convert(pipeline: Pipeline, types: Mapping[str, str]) -> onnx.ModelProto:
    with registered(pipeline), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a conversion only warns of is measured afterwards
        model: onnx.ModelProto = convert_sklearn(
            pipeline,
            name="bighead",
            initial_types=[(name, DATATYPES[kind].onnx([None, 1])) for name, kind in types.items()],
            options=_options(pipeline),
            target_opset={"": OPSET, "ai.onnx.ml": SKL2ONNX_ML_OPSET},
        )
    _name_inputs(model.graph, list(types))
    return model


def _name_inputs(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """Gives the inputs, which are in order, their own names: skl2onnx makes identifiers of them ('a b' is a_b)."""
    new = {value.name: name for value, name in zip(graph.input, names, strict=True) if value.name != name}
    taken = {name for node in graph.node for name in node.output}
    new |= {name: old for old, name in new.items() if name in taken}  # what has the name gets the other one
    for values in [part for node in graph.node for part in (node.input, node.output)]:
        values[:] = [new.get(name, name) for name in values]
    for value in (*graph.input, *graph.output):
        value.name = new.get(value.name, value.name)


def _cast_inputs(model: onnx.ModelProto, types: Mapping[str, str]) -> None:
    """Gives inputs that were converted as doubles the types that they have, and casts them."""
    graph = model.graph
    for node in graph.node:
        node.input[:] = [f"bighead_double_{name}" if name in types else name for name in node.input]
    for value in graph.input:
        if value.name in types:
            value.type.tensor_type.elem_type = _WHOLE[types[value.name]]
    casts = [
        helper.make_node("Cast", [name], [f"bighead_double_{name}"], f"bighead_cast_{name}", to=TensorProto.DOUBLE)
        for name in types
    ]
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _with_casts(pipeline: Pipeline, inputs: Sequence[Tensor]) -> Pipeline:
    """Puts what scikit-learn does unasked between the steps: columns are put together, as doubles if any is one."""
    first = [("bighead columns", Together())] if _takes_all_alike(pipeline[0], inputs) else []
    if _is_single(inputs):
        return Pipeline([*first, *pipeline.steps]) if first else pipeline
    between = [
        [(name, step), (f"bighead doubles {place}", Together())]
        for place, (name, step) in enumerate(pipeline.steps[:-1])
    ]
    return Pipeline([*first, *(step for pair in between for step in pair), pipeline.steps[-1]])


def _is_single(inputs: Sequence[Tensor]) -> bool:
    return {tensor.type for tensor in inputs} <= {"FP32", "BYTES"} and any(tensor.type == "FP32" for tensor in inputs)


def opened(content: bytes) -> onnxruntime.InferenceSession:
    """A model on one thread, as the server runs it; raises ONNX Runtime's errors, which have no base of their own."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised as well
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def steps_within(estimator: Any) -> list[Any]:
    """An estimator and all that it holds, fitted or to be copied, however deep."""
    if isinstance(estimator, Pipeline):
        return [estimator, *(one for _, step in estimator.steps for one in steps_within(step))]
    if isinstance(estimator, ColumnTransformer):
        parts = [part for _, part, _ in getattr(estimator, "transformers_", ())]
    elif isinstance(estimator, FeatureUnion):
        parts = [part for _, part in estimator.transformer_list]
    else:
        parts = []
    return [estimator, *(one for part in parts for one in steps_within(part))]


def _takes_all_alike(step: Any, inputs: Sequence[Tensor]) -> bool:
    """Whether the first step gets all columns as one array, and skl2onnx would not make it of several inputs."""
    kinds = {tensor.type for tensor in inputs}
    alone = len(inputs) == 1 and kinds <= {"FP64", "FP32", "BYTES"}
    by_name = any(isinstance(one, ColumnTransformer | FeatureUnion) for one in held(step))
    return not (alone or by_name or ("BYTES" in kinds and len(kinds) > 1))


def _options(pipeline: Pipeline) -> dict[int, dict[str, Any]]:
    options: dict[int, dict[str, Any]] = {}
    if hasattr(pipeline, "classes_"):
        options[id(pipeline)] = {"zipmap": False}
    for step in steps_within(pipeline):
        if isinstance(step, CountVectorizer | TfidfVectorizer):
            options[id(step)] = {"locale": _LOCALE}
    return options
