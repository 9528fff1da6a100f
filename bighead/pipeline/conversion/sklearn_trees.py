"""scikit-learn's fitted trees, forests and boosted trees as an `Ensemble`."""

from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.ensemble._iforest import _average_path_length
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from bighead.errors import ModelError
from bighead.pipeline.conversion.ensemble import Doubles, Ensemble, Ints, Link, Tree

HISTOGRAM = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
GRADIENT = (GradientBoostingClassifier, GradientBoostingRegressor)
FORESTS = (RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor)
SINGLE = (DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor)
CONVERTED = (*HISTOGRAM, *GRADIENT, *FORESTS, *SINGLE, IsolationForest)

_LINKS = {
    "HalfBinomialLoss": Link.SIGMOID,
    "HalfMultinomialLoss": Link.SOFTMAX,
    "HalfPoissonLoss": Link.EXP,
    "HalfGammaLoss": Link.EXP,
    "HalfSquaredError": Link.VALUE,
    "AbsoluteError": Link.VALUE,
    "HuberLoss": Link.VALUE,
    "PinballLoss": Link.VALUE,
}


def ensemble_of(model: Any) -> Ensemble:
    """The trees of one of `CONVERTED`; raises ModelError for what a fitted one has that no tree of ONNX can say."""
    if isinstance(model, HISTOGRAM):
        return _histogram(model)
    if isinstance(model, GRADIENT):
        return _gradient(model)
    if isinstance(model, IsolationForest):
        return _isolation(model)
    return _averaged(model, [model] if isinstance(model, SINGLE) else list(model.estimators_))


def _histogram(model: Any) -> Ensemble:
    if model.is_categorical_ is not None and np.any(model.is_categorical_):
        raise ModelError(
            "the model splits on sets of categories (categorical_features), which are not converted; "
            "encode them with OrdinalEncoder or OneHotEncoder and leave categorical_features out"
        )
    trees = [_histogram_tree(one.nodes, target) for step in model._predictors for target, one in enumerate(step)]
    return Ensemble(trees=trees, base=model._baseline_prediction.ravel().astype(np.float64), link=_link(model))


def _histogram_tree(nodes: Any, target: int) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        target,
        nodes["feature_idx"].astype(np.int64),
        nodes["num_threshold"].astype(np.float64),
        np.where(leaf, -1, nodes["left"].astype(np.int64)),
        np.where(leaf, -1, nodes["right"].astype(np.int64)),
        nodes["missing_go_to_left"].astype(bool),
        nodes["value"].astype(np.float64),
    )


def _gradient(model: Any) -> Ensemble:
    start = np.unique(model._raw_predict_init(np.random.default_rng(0).normal(size=(8, model.n_features_in_))), axis=0)
    if len(start) != 1:
        raise ModelError(f"it starts from another model (init={model.init!r}), which is not converted; leave init out")
    twice = 2.0 if type(model._loss).__name__ == "ExponentialLoss" else 1.0  # its probability is that of 2 x the sum
    rate = model.learning_rate * twice
    trees = [
        _tree(one.tree_, target, rate * one.tree_.value[:, 0, 0])
        for step in model.estimators_
        for target, one in enumerate(step)
    ]
    link = Link.SIGMOID if twice == 2.0 else _link(model)
    return Ensemble(trees=trees, base=twice * start[0], link=link, single=True)


def _link(model: Any) -> Link:
    loss = type(model._loss).__name__
    if loss not in _LINKS:
        raise ModelError(f"its loss is {loss}, which is not converted; use another one")
    return _LINKS[loss]


def _averaged(model: Any, members: list[Any]) -> Ensemble:
    if model.n_outputs_ != 1:
        raise ModelError(f"it predicts {model.n_outputs_} values at once; train one model for each")
    classes = len(getattr(model, "classes_", ()))
    columns = range(1, classes) if classes else range(1)
    trees = [
        _tree(one.tree_, target, one.tree_.value[:, 0, column] / len(members))
        for one in members
        for target, column in enumerate(columns)
    ]
    return Ensemble(trees=trees, base=np.zeros(len(columns)), link=Link.SHARES if classes else Link.VALUE, single=True)


def _isolation(model: IsolationForest) -> Ensemble:
    """The expected depth of a row in all trees, as a part of what it would be in a balanced one (Liu et al. 2008)."""
    balanced = len(model.estimators_) * float(_average_path_length([model._max_samples])[0])
    if balanced == 0.0:
        raise ModelError("each of its trees saw a single row, so all scores are equal; raise max_samples")
    paths = zip(model._decision_path_lengths, model._average_path_length_per_tree, strict=True)
    depths = [(path + average - 1.0) / balanced for path, average in paths]
    members = zip(model.estimators_, model.estimators_features_, depths, strict=True)
    trees = [_tree(one.tree_, 0, depth, np.asarray(features)) for one, features, depth in members]
    return Ensemble(trees=trees, base=np.zeros(1), link=Link.DEPTH, single=True)


def _tree(tree: Any, target: int, value: Doubles, features: Ints | None = None) -> Tree:
    """features: what the tree's own numbers of features stand for; by default themselves."""
    feature = np.where(tree.children_left >= 0, tree.feature, 0).astype(np.int64)
    return Tree(
        target,
        feature if features is None else features[feature],
        tree.threshold.astype(np.float64),
        tree.children_left.astype(np.int64),
        tree.children_right.astype(np.int64),
        tree.missing_go_to_left.astype(bool),
        np.asarray(value, np.float64),
    )
