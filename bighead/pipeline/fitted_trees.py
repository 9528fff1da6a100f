"""The fitted trees of a model as data, so that each can be drawn: what splits where, and what leaves say. Pure."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from bighead.charts.trees import Node, Tree, Trees

MOST_TREES, MOST_NODES = 20, 127
"""The first trees, and of each the splits nearest to its root: what a person looks at. A forest has millions."""
_BOOSTED = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
_GRADIENT = (GradientBoostingClassifier, GradientBoostingRegressor)
_FOREST = (RandomForestClassifier, RandomForestRegressor)
_SINGLE = (DecisionTreeClassifier, DecisionTreeRegressor)
_ADDS = "what it adds to the score"


def trees_of(pipeline: Pipeline, most: int = MOST_TREES) -> Trees | None:
    """The first trees of the pipeline's last step; None where it has none, or splits on sets of categories."""
    model, names = pipeline[-1], input_names(pipeline)
    if isinstance(model, _BOOSTED):
        boosted = [(one.nodes, output) for step in model._predictors for output, one in enumerate(step)]
        if any(nodes["is_categorical"].any() for nodes, _ in boosted):
            return None
        return _trees(model, names, boosted, _boosted_node, _ADDS, most)
    if isinstance(model, _GRADIENT):
        steps = [(one.tree_, output) for step in model.estimators_ for output, one in enumerate(step)]
        return _trees(model, names, steps, _node(0), _ADDS, most)
    if not isinstance(model, _FOREST + _SINGLE):
        return None
    found = [(one.tree_, 0) for one in (model.estimators_ if isinstance(model, _FOREST) else [model])]
    classes = getattr(model, "classes_", ())
    column = 1 if len(classes) == 2 else 0
    says = f"the share of {classes[column]}" if len(classes) else "the value"
    return _trees(model, names, found, _node(column), says, most)


def trees_document(trees: Trees) -> dict[str, Any]:
    """As JSON has it (`bighead.charts.trees_from_json` reads it)."""
    return {
        "estimator": trees.estimator,
        "total": trees.total,
        "value_label": trees.value_label,
        "trees": [
            {"number": tree.number, "output": tree.output, "nodes": [_document(node) for node in tree.nodes]}
            for tree in trees.trees
        ],
    }


def input_names(pipeline: Pipeline) -> list[str]:
    """What the columns are called that reach the last step."""
    if len(pipeline) < 2:
        return [str(name) for name in pipeline.feature_names_in_]
    return [str(name).rpartition("__")[2] for name in pipeline[:-1].get_feature_names_out()]


def _trees(
    model: Any,
    names: Sequence[str],
    found: Sequence[tuple[Any, int]],
    node: Callable[[Any, int, Sequence[str]], Node],
    says: str,
    most: int,
) -> Trees:
    classes = [str(one) for one in getattr(model, "classes_", ())]
    trees = tuple(
        Tree(
            number=place + 1,
            nodes=_cut(lambda index, of=of: node(of, index, names)),  # type: ignore[misc]
            output=classes[output] if len(classes) > 2 and isinstance(model, (*_BOOSTED, *_GRADIENT)) else "",
        )
        for place, (of, output) in enumerate(found[:most])
    )
    return Trees(estimator=type(model).__name__, total=len(found), value_label=says, trees=trees)


def _cut(node: Callable[[int], Node]) -> tuple[Node, ...]:
    """A tree level by level from its root; what is beyond the bound is a leaf with what the model knows of it."""
    nodes: list[Node] = [node(0)]
    pending = deque([0])
    while pending:
        place = pending.popleft()
        here = nodes[place]
        if here.feature is None:
            continue
        if len(nodes) + 2 > MOST_NODES:
            nodes[place] = Node(value=here.value, samples=here.samples)
            continue
        nodes[place] = replace(here, yes=len(nodes), no=len(nodes) + 1)
        pending += (len(nodes), len(nodes) + 1)
        nodes += (node(here.yes), node(here.no))
    return tuple(nodes)


def _boosted_node(nodes: Any, index: int, names: Sequence[str]) -> Node:
    row = nodes[index]
    value, samples, threshold = float(row["value"]), float(row["count"]), float(row["num_threshold"])
    if row["is_leaf"]:
        return Node(value=value, samples=samples)
    return Node(
        value=value,
        samples=samples,
        feature=names[row["feature_idx"]],
        # Infinite where rows are divided by whether they have the feature.
        threshold=threshold if math.isfinite(threshold) else None,
        yes=int(row["left"]),
        no=int(row["right"]),
        missing_yes=bool(row["missing_go_to_left"]),
    )


def _node(column: int) -> Callable[[Any, int, Sequence[str]], Node]:
    """Reads scikit-learn's own trees; of each value the given column."""

    def read(tree: Any, index: int, names: Sequence[str]) -> Node:
        value, samples = float(tree.value[index, 0, column]), float(tree.n_node_samples[index])
        if tree.children_left[index] < 0:
            return Node(value=value, samples=samples)
        return Node(
            value=value,
            samples=samples,
            feature=names[tree.feature[index]],
            threshold=float(tree.threshold[index]),
            yes=int(tree.children_left[index]),
            no=int(tree.children_right[index]),
            missing_yes=bool(tree.missing_go_to_left[index]),
        )

    return read


def _document(node: Node) -> dict[str, Any]:
    told: dict[str, Any] = {"value": node.value, "samples": node.samples}
    if node.feature is None:
        return told
    split = {"feature": node.feature, "threshold": node.threshold, "yes": node.yes, "no": node.no}
    return told | split | ({} if node.missing_yes is None else {"missing_yes": node.missing_yes})
