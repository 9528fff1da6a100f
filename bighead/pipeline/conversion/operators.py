"""Our conversions as skl2onnx takes them: the shapes of the results, and the nodes of the graph."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.base import ClassifierMixin, is_classifier
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer

from bighead.errors import ModelError
from bighead.pipeline.conversion import boosters, sklearn_trees
from bighead.pipeline.conversion.columns import Together
from bighead.pipeline.conversion.ensemble import Ensemble, Link

SKL2ONNX_ML_OPSET = 3  # the highest that skl2onnx writes; `export` raises it to ML_OPSET afterwards
_CONVERTING = threading.RLock()
ML_OPSET = 5  # the first with TreeEnsemble, the only tree operator that ONNX has in double precision


def is_trees(model: object) -> bool:
    """Whether `ensemble_of` takes it."""
    return isinstance(model, sklearn_trees.CONVERTED) or boosters.is_xgboost(model) or boosters.is_lightgbm(model)


def ensemble_of(model: Any) -> Ensemble:
    """The trees of a fitted model of scikit-learn, XGBoost or LightGBM."""
    if isinstance(model, sklearn_trees.CONVERTED):
        return sklearn_trees.ensemble_of(model)
    return boosters.ensemble_of(model)


def adds_single(estimator: Any) -> bool:
    """Whether it, or a model that it holds, adds up its leaves in float32, as XGBoost does."""
    return any(boosters.is_xgboost(one) for one in held(estimator))


@contextmanager
def registered(estimator: Any) -> Iterator[None]:
    """Makes skl2onnx use these conversions: for what scikit-learn has, and for the boosters that `estimator` holds.

    Only within the block: skl2onnx keeps them for the whole process, and whoever calls it themselves expects its own.
    """
    boosted = {type(one) for one in held(estimator) if boosters.is_xgboost(one) or boosters.is_lightgbm(one)}
    with _CONVERTING:
        names = dict(sklearn_operator_name_map)
        try:
            for kind in {*sklearn_trees.CONVERTED, *boosted}:
                name, options = f"Bighead{kind.__name__}", _options(kind)
                update_registered_converter(
                    kind, name, _shapes_of_trees, _convert_trees, options=options, overwrite=True
                )
            update_registered_converter(
                SimpleImputer, "BigheadSimpleImputer", _shape_of_filled, _convert_imputer, overwrite=True
            )
            update_registered_converter(
                Together,
                "BigheadTogether",
                _shape_of_together,
                _convert_together,
                parser=_parse_together,
                overwrite=True,
            )
            yield
        finally:
            sklearn_operator_name_map.clear()
            sklearn_operator_name_map.update(names)


class Nodes:
    """Adds nodes and constants to the graph of one operator, under names of their own."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope, self._container = scope, container

    def add(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """The name of the node's one output."""
        name = output or self._scope.get_unique_variable_name(kind.lower())
        trees = kind == "TreeEnsemble"
        domain, version = ("ai.onnx.ml", SKL2ONNX_ML_OPSET) if trees else ("", self._container.target_opset)
        unique = self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, inputs, [name], op_domain=domain, op_version=version, name=unique, **attributes)
        return name

    def constant(self, kind: int, shape: list[int], values: list[Any]) -> str:
        """The name of an initializer."""
        name: str = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, kind, shape, values)
        return name

    def doubles(self, *values: float) -> str:
        """One row of numbers."""
        return self.constant(TensorProto.DOUBLE, [1, len(values)], [float(value) for value in values])

    def together(self, operator: Any, kind: int) -> str:
        """All inputs of the operator side by side, each cast to the type."""
        cast = [self.add("Cast", [one.full_name], to=kind) for one in operator.inputs]
        return cast[0] if len(cast) == 1 else self.add("Concat", cast, axis=1)


def held(estimator: Any) -> list[Any]:
    """An estimator and what it is made of, however deep."""
    return [estimator, *(estimator.get_params(deep=True).values() if hasattr(estimator, "get_params") else ())]


def _options(kind: type) -> dict[str, list[Any]] | None:
    """Those that skl2onnx itself asks for."""
    if issubclass(kind, ClassifierMixin):
        return {"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False, True]}
    return {"score_samples": [False]} if issubclass(kind, IsolationForest) else None


def _shapes_of_trees(operator: Any) -> None:
    model, rows = operator.raw_operator, operator.inputs[0].get_first_dimension()
    if is_classifier(model):
        operator.outputs[0].type = _label_type(model.classes_)([rows])
        operator.outputs[1].type = DoubleTensorType([rows, len(model.classes_)])
    elif isinstance(model, IsolationForest):
        operator.outputs[0].type = Int64TensorType([rows, 1])
        operator.outputs[1].type = DoubleTensorType([rows, 1])
    else:
        operator.outputs[0].type = DoubleTensorType([rows, 1])


def _label_type(classes: Any) -> Any:
    return StringTensorType if np.asarray(classes).dtype.kind in "UO" else Int64TensorType


def _convert_trees(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    ensemble = ensemble_of(model)
    nodes = Nodes(scope, container)
    columns = nodes.together(operator, TensorProto.FLOAT if ensemble.single else TensorProto.DOUBLE)
    if ensemble.single:
        columns = nodes.add("Cast", [columns], to=TensorProto.DOUBLE)
    leaves = nodes.add("TreeEnsemble", [columns], **ensemble.attributes())
    sums = nodes.add("Add", [leaves, nodes.doubles(*ensemble.base)])
    outputs = [one.full_name for one in operator.outputs]
    if is_classifier(model):
        probabilities = _PROBABILITIES[ensemble.link](nodes, sums)
        nodes.add("Identity", [probabilities], outputs[1])
        _add_label(nodes, probabilities, model.classes_, outputs[0])
    elif ensemble.link is Link.DEPTH:
        _add_isolation(nodes, sums, float(model.offset_), outputs)
    else:
        kinds = {Link.VALUE: "Identity", Link.EXP: "Exp", Link.SIGMOID: "Sigmoid"}
        nodes.add(kinds[ensemble.link], [sums], outputs[0])


def _two(nodes: Nodes, sums: str) -> str:
    return _shares(nodes, nodes.add("Sigmoid", [sums]))


def _shares(nodes: Nodes, others: str) -> str:
    axes = nodes.constant(TensorProto.INT64, [1], [1])
    first = nodes.add("Sub", [nodes.doubles(1.0), nodes.add("ReduceSum", [others, axes], keepdims=1)])
    return nodes.add("Concat", [first, others], axis=1)


def _softmax(nodes: Nodes, sums: str) -> str:
    return nodes.add("Softmax", [sums], axis=1)


_PROBABILITIES: dict[Link, Callable[[Nodes, str], str]] = {
    Link.SIGMOID: _two,
    Link.SHARES: _shares,
    Link.SOFTMAX: _softmax,
}


def _add_label(nodes: Nodes, probabilities: str, classes: Any, output: str) -> None:
    best = nodes.add("ArgMax", [probabilities], axis=1, keepdims=0)
    texts = _label_type(classes) is StringTensorType
    values = [str(one).encode() for one in classes] if texts else [int(one) for one in classes]
    known = nodes.constant(TensorProto.STRING if texts else TensorProto.INT64, [len(values)], values)
    nodes.add("Gather", [known, best], output, axis=0)


def _add_isolation(nodes: Nodes, depths: str, offset: float, outputs: list[str]) -> None:
    samples = nodes.add("Neg", [nodes.add("Pow", [nodes.doubles(2.0), nodes.add("Neg", [depths])])])
    score = nodes.add("Sub", [samples, nodes.doubles(offset)], outputs[1])
    outlier = nodes.add("Less", [score, nodes.doubles(0.0)])
    minus, plus = (nodes.constant(TensorProto.INT64, [1, 1], [value]) for value in (-1, 1))
    nodes.add("Where", [outlier, minus, plus], outputs[0])


def _shape_of_filled(operator: Any) -> None:
    first = operator.inputs[0]
    rows, columns = first.get_first_dimension(), len(operator.raw_operator.statistics_)
    kind = type(first.type) if isinstance(first.type, StringTensorType | FloatTensorType) else DoubleTensorType
    operator.outputs[0].type = kind([rows, columns])


def _convert_imputer(scope: Any, operator: Any, container: Any) -> None:
    """Where a value is missing, its column's statistic: skl2onnx's operator takes no doubles."""
    imputer = operator.raw_operator
    texts = isinstance(operator.outputs[0].type, StringTensorType)
    if imputer.add_indicator:
        raise ModelError("add_indicator=True is not converted; add a MissingIndicator-like column as a derivation")
    if not texts and any(one is None or one != one for one in imputer.statistics_):
        raise ModelError("a column without a single value cannot be filled; drop it, or set keep_empty_features=True")
    nodes = Nodes(scope, container)
    output = operator.outputs[0].full_name
    if texts:
        if not isinstance(imputer.missing_values, str):
            raise ModelError("a missing string is the empty string here; set missing_values='' and retrain")
        given = nodes.together(operator, TensorProto.STRING)
        shape = [1, len(imputer.statistics_)]
        fill = nodes.constant(TensorProto.STRING, shape, [str(one).encode() for one in imputer.statistics_])
        missing = nodes.add(
            "Equal", [given, nodes.constant(TensorProto.STRING, [1], [imputer.missing_values.encode()])]
        )
        nodes.add("Where", [missing, fill, given], output)
        return
    kind = TensorProto.FLOAT if isinstance(operator.outputs[0].type, FloatTensorType) else TensorProto.DOUBLE
    given = nodes.together(operator, kind)
    values = [float(one) for one in imputer.statistics_]
    fill = nodes.constant(kind, [1, len(values)], values)
    if imputer.missing_values is None or imputer.missing_values != imputer.missing_values:
        missing = nodes.add("IsNaN", [given])
    else:
        missing = nodes.add("Equal", [given, nodes.constant(kind, [1], [float(imputer.missing_values)])])
    nodes.add("Where", [missing, fill, given], output)


def _parse_together(scope: Any, model: Together, inputs: list[Any], custom_parsers: Any = None) -> list[Any]:
    """Says at once what comes out: skl2onnx would guess it from the first column, and choose float32 from there on."""
    operator = scope.declare_local_operator("BigheadTogether", model)
    operator.inputs = inputs
    operator.outputs.append(scope.declare_local_variable("together", _together([one.type for one in inputs])()))
    outputs: list[Any] = operator.outputs
    return outputs


def _together(types: list[Any]) -> Any:
    """Doubles, unless all columns are strings, or float32 as they were given."""
    kinds = {type(one) for one in types}
    alike = kinds == {StringTensorType} or (kinds == {FloatTensorType} and len(types) > 1)
    return kinds.pop() if alike else DoubleTensorType


def _shape_of_together(operator: Any) -> None:
    types = [one.type for one in operator.inputs]
    widths = [one.shape[1] for one in types]
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = _together(types)([rows, None if None in widths else sum(widths)])


def _convert_together(scope: Any, operator: Any, container: Any) -> None:
    kinds = {StringTensorType: TensorProto.STRING, FloatTensorType: TensorProto.FLOAT}
    made, nodes = operator.outputs[0], Nodes(scope, container)
    nodes.add("Identity", [nodes.together(operator, kinds.get(type(made.type), TensorProto.DOUBLE))], made.full_name)
