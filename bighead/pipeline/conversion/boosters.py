"""XGBoost's and LightGBM's fitted trees as an `Ensemble`, read from what the libraries themselves write out.

Both are optional: nothing here imports them, a model of theirs has done so.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from bighead.errors import ModelError
from bighead.pipeline.conversion.ensemble import LESS, LESS_OR_EQUAL, Doubles, Ensemble, Link, Tree

_XGBOOST_LINKS = {
    "binary:logistic": Link.SIGMOID,
    "reg:logistic": Link.SIGMOID,
    "multi:softprob": Link.SOFTMAX,
    "multi:softmax": Link.SOFTMAX,
    "count:poisson": Link.EXP,
    "reg:gamma": Link.EXP,
    "reg:tweedie": Link.EXP,
    "reg:squarederror": Link.VALUE,
    "reg:absoluteerror": Link.VALUE,
    "reg:pseudohubererror": Link.VALUE,
    "reg:quantileerror": Link.VALUE,
    "reg:squaredlogerror": Link.VALUE,
}
_LIGHTGBM_LINKS = {
    "binary": Link.SIGMOID,
    "cross_entropy": Link.SIGMOID,
    "multiclass": Link.SOFTMAX,
    "poisson": Link.EXP,
    "gamma": Link.EXP,
    "tweedie": Link.EXP,
    **dict.fromkeys(("regression", "regression_l1", "huber", "fair", "quantile", "mape"), Link.VALUE),
}


def is_xgboost(model: object) -> bool:
    """Whether it is a model of XGBoost's scikit-learn interface."""
    return _comes_from(model, "xgboost")


def is_lightgbm(model: object) -> bool:
    """Whether it is a model of LightGBM's scikit-learn interface."""
    return _comes_from(model, "lightgbm")


def ensemble_of(model: Any) -> Ensemble:
    """The trees of a fitted model of either library; raises ModelError for what is not converted."""
    return _xgboost(model) if is_xgboost(model) else _lightgbm(model)


def _comes_from(model: object, package: str) -> bool:
    return any(one.__module__.partition(".")[0] == package for one in type(model).__mro__)


def _xgboost(model: Any) -> Ensemble:
    """Thresholds and leaves are float32; a row goes left below a threshold, and is rounded to float32 first."""
    learner = json.loads(model.get_booster().save_raw("json"))["learner"]
    booster, objective = learner["gradient_booster"], learner["objective"]["name"]
    if booster["name"] != "gbtree":
        raise ModelError(f"its booster is {booster['name']!r}, which is not converted; use booster='gbtree'")
    link = _known(_XGBOOST_LINKS, objective)
    base = np.array(json.loads(learner["learner_model_param"]["base_score"]), np.float32).astype(np.float64).ravel()
    made = booster["model"]
    until = len(made["trees"])
    if getattr(model, "early_stopping_rounds", None) is not None:
        until = made["iteration_indptr"][model.best_iteration + 1]
    targets = max(1, int(learner["learner_model_param"]["num_class"]))
    trees = [
        _xgboost_tree(tree, target)
        for tree, target in zip(made["trees"][:until], made["tree_info"][:until], strict=True)
    ]
    start = np.broadcast_to(_before_link(base, link), (targets,)).copy()
    return Ensemble(trees=trees, base=start, link=link, mode=LESS, single=True)


def _before_link(base: Doubles, link: Link) -> Doubles:
    """XGBoost keeps the base score as a prediction, and adds it to the trees as the sum that would predict it."""
    if link is Link.SIGMOID:
        return np.asarray(np.log(base) - np.log1p(-base))
    return np.asarray(np.log(base)) if link is Link.EXP else base


def _xgboost_tree(tree: Mapping[str, Any], target: int) -> Tree:
    if any(tree["split_type"]):
        raise ModelError("it splits on sets of categories (enable_categorical), which are not converted; encode them")
    if tree["tree_param"]["size_leaf_vector"] not in ("0", "1"):
        raise ModelError("its leaves hold several values (multi_strategy), which are not converted; use one tree each")
    conditions = np.array(tree["split_conditions"], np.float32).astype(np.float64)  # of a leaf: its value
    return Tree(
        target,
        np.array(tree["split_indices"], np.int64),
        conditions,
        np.array(tree["left_children"], np.int64),
        np.array(tree["right_children"], np.int64),
        np.array(tree["default_left"], bool),
        conditions,
    )


def _lightgbm(model: Any) -> Ensemble:
    told = model.booster_.dump_model()
    objective, *options = told["objective"].split()
    link = _known(_LIGHTGBM_LINKS, objective)
    if "sqrt" in options:
        raise ModelError("it predicts a square root (reg_sqrt), which is not converted; transform the label instead")
    slope = next((float(one.partition(":")[2]) for one in options if one.startswith("sigmoid:")), 1.0)
    targets, found = int(told["num_tree_per_iteration"]), told["tree_info"]
    weight = slope / (len(found) / targets) if told["average_output"] else slope
    trees = [_lightgbm_tree(one["tree_structure"], place % targets, weight) for place, one in enumerate(found)]
    return Ensemble(trees=trees, base=np.zeros(targets), link=link, mode=LESS_OR_EQUAL)


def _lightgbm_tree(root: Mapping[str, Any], target: int, weight: float) -> Tree:
    nodes: list[tuple[int, float, int, int, bool, float]] = []
    _add(root, nodes, weight)
    feature, threshold, left, right, missing, value = zip(*nodes, strict=True)
    return Tree(
        target,
        np.array(feature, np.int64),
        np.array(threshold, np.float64),
        np.array(left, np.int64),
        np.array(right, np.int64),
        np.array(missing, bool),
        np.array(value, np.float64),
    )


def _add(node: Mapping[str, Any], nodes: list[Any], weight: float) -> int:
    """Appends a node and all below it; returns its place. Depth is bounded by LightGBM's number of leaves."""
    place = len(nodes)
    if "leaf_value" in node:
        if "leaf_coeff" in node:
            raise ModelError("its leaves are linear models (linear_tree), which are not converted")
        nodes.append((0, 0.0, -1, -1, False, weight * node["leaf_value"]))
        return place
    if node["decision_type"] != "<=":
        raise ModelError("it splits on sets of categories (categorical_feature), which are not converted; encode them")
    if node["missing_type"] == "Zero":
        raise ModelError("it takes zero for missing (zero_as_missing), which is not converted")
    threshold = float(node["threshold"])
    # Where no row of training lacked the feature, LightGBM takes a missing one for zero.
    missing = bool(node["default_left"]) if node["missing_type"] == "NaN" else threshold >= 0.0
    nodes.append(None)
    left = _add(node["left_child"], nodes, weight)
    right = _add(node["right_child"], nodes, weight)
    nodes[place] = (int(node["split_feature"]), threshold, left, right, missing, 0.0)
    return place


def _known(links: Mapping[str, Link], objective: str) -> Link:
    if objective not in links:
        raise ModelError(f"its objective is {objective!r}, which is not converted; expected one of {', '.join(links)}")
    return links[objective]
