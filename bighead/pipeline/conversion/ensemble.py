"""Trees in ONNX without a rounding: the ai.onnx.ml TreeEnsemble of opset 5, in double precision. Pure.

skl2onnx and onnxmltools round every threshold to float32. scikit-learn puts thresholds on values that the data has, so
rows change sides: of 28,617 flights 4,829 got another probability, by up to 0.056. In double precision they differ by
1e-15.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

LESS_OR_EQUAL, LESS = 0, 1  # BRANCH_LEQ and BRANCH_LT of TreeEnsemble's nodes_modes

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Link(StrEnum):
    """From the sum of a model's leaves to what it answers."""

    VALUE = "the sum itself"
    EXP = "its exponential"
    SHARES = "the sums are the probabilities of the classes but the first"
    SIGMOID = "its sigmoid, the second class's probability"
    SOFTMAX = "the softmax of the sums"
    DEPTH = "an isolation forest's score, from the sum of its depths"


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One tree, a place in each array for every node; a node is a leaf where `left` is negative.

    target: which sum its leaves are added to. missing_left: where a row without the feature goes.
    """

    target: int
    feature: Ints
    threshold: Doubles
    left: Ints
    right: Ints
    missing_left: Flags
    value: Doubles


@dataclass(frozen=True, eq=False, kw_only=True)
class Ensemble:
    """A model of trees: its answer is link(base + the sums of the leaves that a row falls into).

    mode: whether a row goes left at a threshold that it is equal to. single: rows are rounded to float32 before they
    are compared, as scikit-learn's own trees and XGBoost do.
    """

    trees: Sequence[Tree]
    base: Doubles
    link: Link
    mode: int = LESS_OR_EQUAL
    single: bool = False

    def thresholds(self) -> list[tuple[int, float]]:
        """Every (index of the feature, threshold) at which the model's answer can change."""
        features = np.concatenate([tree.feature[tree.left >= 0] for tree in self.trees])
        values = np.concatenate([tree.threshold[tree.left >= 0] for tree in self.trees])
        return sorted(set(zip(features.tolist(), values.tolist(), strict=True)))

    def attributes(self) -> dict[str, Any]:
        """Those of one TreeEnsemble node that gives the sums."""
        parts, roots, nodes, leaves = [], [], 0, 0
        for tree in self.trees:
            roots.append(nodes)
            parts.append(_flat(tree, nodes, leaves))
            nodes, leaves = nodes + len(parts[-1].split), leaves + len(parts[-1].weight)
        flat = _Flat(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        return {
            "n_targets": len(self.base),
            "tree_roots": roots,
            "nodes_featureids": flat.feature.tolist(),
            "nodes_splits": helper.make_tensor("splits", TensorProto.DOUBLE, [nodes], flat.split),
            "nodes_modes": helper.make_tensor("modes", TensorProto.UINT8, [nodes], np.full(nodes, self.mode, np.uint8)),
            "nodes_missing_value_tracks_true": flat.missing.astype(np.int64).tolist(),
            "nodes_truenodeids": flat.true.tolist(),
            "nodes_trueleafs": flat.true_leaf.astype(np.int64).tolist(),
            "nodes_falsenodeids": flat.false.tolist(),
            "nodes_falseleafs": flat.false_leaf.astype(np.int64).tolist(),
            "leaf_targetids": flat.target.tolist(),
            "leaf_weights": helper.make_tensor("weights", TensorProto.DOUBLE, [leaves], flat.weight),
        }


class _Flat(NamedTuple):
    """A tree's part of the node's attributes."""

    feature: Ints
    split: Doubles
    missing: Flags
    true: Ints
    true_leaf: Flags
    false: Ints
    false_leaf: Flags
    target: Ints
    weight: Doubles


def _flat(tree: Tree, nodes: int, leaves: int) -> _Flat:
    """One tree, its splits numbered from `nodes` and its leaves from `leaves`."""
    inner = tree.left >= 0
    weights = tree.value[~inner]
    targets = np.full(len(weights), tree.target, np.int64)
    if not inner.any():  # a tree that is one leaf has one node whose two branches lead to it
        one, yes = np.array([leaves]), np.array([True])
        return _Flat(np.array([0]), np.array([0.0]), ~yes, one, yes, one, yes, targets, weights)
    place = np.where(inner, nodes + np.cumsum(inner) - 1, leaves + np.cumsum(~inner) - 1)
    left, right = tree.left[inner], tree.right[inner]
    return _Flat(
        tree.feature[inner],
        tree.threshold[inner],
        tree.missing_left[inner],
        place[left],
        ~inner[left],
        place[right],
        ~inner[right],
        targets,
        weights,
    )
