"""What each column adds to the answer for a row, for models of trees: SHAP values, exact for trees (Lundberg 2020).

Base and contributions add up to the model's raw score: log-odds of boosted classifiers, else a probability or value.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from bighead.errors import ModelError
from bighead.pipeline.fitted_trees import input_names
from bighead.pipeline.reports.answers import Numbers
from bighead.pipeline.wrapped import FittedPipeline, Rows

_LOG_ODDS = (HistGradientBoostingClassifier, GradientBoostingClassifier)
_SHARES = (RandomForestClassifier, ExtraTreesClassifier, DecisionTreeClassifier)
_VALUES = (
    HistGradientBoostingRegressor,
    GradientBoostingRegressor,
    RandomForestRegressor,
    ExtraTreesRegressor,
    DecisionTreeRegressor,
)
_OTHERS = {"xgboost": {"output_margin": True}, "lightgbm": {"raw_score": True}}
"""Boosting libraries by the root of their modules, and how their `predict` gives raw scores."""
_APART = 1e-4
"""Of the size of a score: XGBoost adds up its leaves in single precision."""


@dataclass(frozen=True, eq=False)
class Contributions:
    """names: the columns that reach the last step; base: [k], values: [N, columns, k], score: [N, k].

    k: one number for two classes and for values, else one for each class. output: what a score is, in words.
    """

    names: tuple[str, ...]
    output: str
    base: Numbers
    values: Numbers
    score: Numbers

    def of_inputs(self, model: FittedPipeline) -> "Contributions":
        """The same by input: columns that are made of one input alone are added up; the sums stay as they are."""
        made = model.lineage().model_inputs
        if len(made) != len(self.names):  # a transformer that does not name its columns
            return self
        owners = [one.of[0] if len(one.of) == 1 else name for name, one in zip(self.names, made, strict=True)]
        names = tuple(dict.fromkeys(owners))
        member = np.array([[float(owner == name) for owner in owners] for name in names])
        return replace(self, names=names, values=np.einsum("fc,nck->nfk", member, self.values))

    @property
    def mean_size(self) -> dict[str, float]:
        """The mean absolute contribution of each column, those to all classes added."""
        sizes = np.abs(self.values).mean(axis=0).sum(axis=1)
        return {name: float(size) for name, size in zip(self.names, sizes, strict=True)}


def explainable(model: FittedPipeline) -> bool:
    """Whether the last step is made of trees that can be explained."""
    return isinstance(model.model, (*_LOG_ODDS, *_SHARES, *_VALUES)) or _library(model.model) in _OTHERS


def contributions(model: FittedPipeline, rows: Rows) -> Contributions:
    """Explains the answers for these rows; ModelError for other models, and where the sums are not the scores."""
    if not explainable(model):
        raise ModelError(
            f"{type(model.model).__name__} is not made of trees; contributions are exact for those of scikit-learn, "
            "XGBoost and LightGBM"
        )
    typed = model.typed(rows)
    columns = model.estimator[:-1].transform(typed) if len(model.estimator) > 1 else typed
    if hasattr(columns, "toarray"):
        columns = columns.toarray()
    explained = _explainer(model.model)(columns, check_additivity=False)
    values, base = np.asarray(explained.values, np.float64), np.asarray(explained.base_values, np.float64)
    output, score = _scores(model, columns)
    if values.ndim == 2:
        values = values[:, :, None]
    base = base.reshape(len(values), -1) if base.size > values.shape[2] else np.tile(base.ravel(), (len(values), 1))
    if score.shape[1] == 1 and values.shape[2] == 2:
        values, base = values[:, :, 1:], base[:, 1:]
    difference = np.abs(base + values.sum(axis=1) - score) / (1 + np.abs(score))
    if difference.max(initial=0.0) > _APART:
        raise ModelError(
            f"the contributions to {type(model.model).__name__} do not add up to its scores: they are off by up to "
            f"{difference.max():g} of a score; its splits on sets of categories, or its weights, are not explained"
        )
    return Contributions(tuple(input_names(model.estimator)), output, base[0], values, score)


def _explainer(model: Any) -> Any:
    try:
        import shap
    except ImportError:
        raise ModelError("contributions need SHAP; install it with: pip install 'bighead[explain]'") from None
    try:
        return shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
    except Exception as error:  # SHAP tells what it does not support by many kinds of errors
        raise ModelError(f"{type(model).__name__} cannot be explained by SHAP: {error}") from error


def _scores(model: FittedPipeline, columns: Any) -> tuple[str, Numbers]:
    last = model.model
    if isinstance(last, _SHARES):
        found, output = last.predict_proba(columns), "probability"
        found = found[:, 1:] if found.shape[1] == 2 else found
    elif isinstance(last, _LOG_ODDS):
        found, output = last.decision_function(columns), "log-odds"
    elif isinstance(last, _VALUES):
        found, output = last.predict(columns), "value"
    else:
        found, output = last.predict(columns, **_OTHERS[_library(last)]), "raw score"
    scores = np.asarray(found, np.float64)
    return output, scores.reshape(len(scores), -1)


def _library(model: Any) -> str:
    return type(model).__module__.partition(".")[0]
