"""Gradient boosted trees in ONNX without a rounding: the ai.onnx.ml TreeEnsemble of opset 5, in double precision.

skl2onnx rounds every threshold to float32. scikit-learn puts thresholds on values that the data has, so rows change
sides: of 28,617 flights 4,829 got another probability, by up to 0.056. In double precision they differ by 1e-15.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType
from sklearn.ensemble import HistGradientBoostingClassifier

from bighead.errors import ModelError

SKL2ONNX_ML_OPSET = 3  # the highest that skl2onnx writes; `export` raises it to ML_OPSET afterwards
ML_OPSET = 5  # the first with TreeEnsemble, the only tree operator that ONNX has in double precision
LESS_OR_EQUAL = 0  # BRANCH_LEQ

Nodes = npt.NDArray[Any]


def register() -> None:
    """Makes skl2onnx use this conversion for HistGradientBoostingClassifier."""
    update_registered_converter(
        HistGradientBoostingClassifier,
        "BigheadHistGradientBoostingClassifier",
        _shapes,
        _convert,
        options={"zipmap": [True, False], "nocl": [True, False], "output_class_labels": [False, True]},
    )


def thresholds(model: HistGradientBoostingClassifier) -> list[tuple[int, float]]:
    """Every (index of the feature, threshold) at which the model's answer can change."""
    found = {
        (int(node["feature_idx"]), float(node["num_threshold"]))
        for tree in _trees(model)
        for node in tree
        if not node["is_leaf"]
    }
    return sorted(found)


def ensemble_attributes(trees: list[Nodes]) -> dict[str, Any]:
    """The attributes of one TreeEnsemble node that adds up the leaves of these trees."""
    nodes: list[tuple[int, float, int, tuple[int, int], tuple[int, int]]] = []
    leaves: list[float] = []
    roots = [_add_tree(tree, nodes, leaves) for tree in trees]
    features, splits, missing, left, right = zip(*nodes, strict=True)
    return {
        "n_targets": 1,
        "tree_roots": roots,
        "nodes_featureids": features,
        "nodes_splits": helper.make_tensor("splits", TensorProto.DOUBLE, [len(splits)], splits),
        "nodes_modes": helper.make_tensor("modes", TensorProto.UINT8, [len(nodes)], [LESS_OR_EQUAL] * len(nodes)),
        "nodes_missing_value_tracks_true": missing,
        "nodes_truenodeids": [index for index, _ in left],
        "nodes_trueleafs": [is_leaf for _, is_leaf in left],
        "nodes_falsenodeids": [index for index, _ in right],
        "nodes_falseleafs": [is_leaf for _, is_leaf in right],
        "leaf_targetids": [0] * len(leaves),
        "leaf_weights": helper.make_tensor("weights", TensorProto.DOUBLE, [len(leaves)], leaves),
    }


def _add_tree(tree: Nodes, nodes: list[Any], leaves: list[float]) -> int:
    """Appends one tree to the ensemble's flat lists; returns the place of its root."""
    inner = [index for index, node in enumerate(tree) if not node["is_leaf"]]
    place = {index: len(nodes) + position for position, index in enumerate(inner)}

    def child(index: int) -> tuple[int, int]:
        if index in place:
            return place[index], 0
        leaves.append(float(tree[index]["value"]))
        return len(leaves) - 1, 1

    root = len(nodes)
    if not inner:  # a tree that is one leaf has one node whose two branches lead to it
        leaf = child(0)
        nodes.append((0, 0.0, 0, leaf, leaf))
    for index in inner:
        node = tree[index]
        left, right = child(int(node["left"])), child(int(node["right"]))
        missing = int(node["missing_go_to_left"])
        nodes.append((int(node["feature_idx"]), float(node["num_threshold"]), missing, left, right))
    return root


def _trees(model: HistGradientBoostingClassifier) -> list[Nodes]:
    return [iteration[0].nodes for iteration in model._predictors]


def _shapes(operator: Any) -> None:
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = Int64TensorType([rows])
    operator.outputs[1].type = DoubleTensorType([rows, 2])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    _refuse_unsupported(model)

    def add(kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        name = output or scope.get_unique_variable_name(kind.lower())
        domain, version = ("ai.onnx.ml", SKL2ONNX_ML_OPSET) if kind == "TreeEnsemble" else ("", container.target_opset)
        node = scope.get_unique_operator_name(kind)
        container.add_node(kind, inputs, [name], op_domain=domain, op_version=version, name=node, **attributes)
        return name

    def constant(name: str, kind: int, shape: list[int], values: list[Any]) -> str:
        unique: str = scope.get_unique_variable_name(name)
        container.add_initializer(unique, kind, shape, values)
        return unique

    columns = add("Cast", [operator.inputs[0].full_name], to=TensorProto.DOUBLE)
    leaves = add("TreeEnsemble", [columns], **ensemble_attributes(_trees(model)))
    baseline = constant("baseline", TensorProto.DOUBLE, [1, 1], [float(model._baseline_prediction.ravel()[0])])
    positive = add("Sigmoid", [add("Add", [leaves, baseline])])
    negative = add("Sub", [constant("one", TensorProto.DOUBLE, [1, 1], [1.0]), positive])
    both = add("Concat", [negative, positive], operator.outputs[1].full_name, axis=1)
    best = add("ArgMax", [both], axis=1, keepdims=0)
    classes = constant("classes", TensorProto.INT64, [2], [int(label) for label in model.classes_])
    add("Gather", [classes, best], operator.outputs[0].full_name, axis=0)


def _refuse_unsupported(model: HistGradientBoostingClassifier) -> None:
    if len(model.classes_) != 2 or not all(float(label).is_integer() for label in model.classes_):
        raise ModelError(f"the classes are {list(model.classes_)}; expected two whole numbers, for example 0 and 1")
    if model.is_categorical_ is not None and np.any(model.is_categorical_):
        raise ModelError(
            "the model splits on sets of categories (categorical_features), which are not converted; "
            "encode them with OrdinalEncoder or OneHotEncoder and leave categorical_features out"
        )
