"""What is refused before anything is fitted: estimators and rows that cannot become a model, each by its name. Pure."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype
from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor
from sklearn.pipeline import Pipeline as Steps

from bighead.errors import ModelError
from bighead.pipeline.tensors import FLOATS
from bighead.pipeline.training_set import Task, TrainingSet

_MIXED = ("mixed", "mixed-integer")
"""What pandas calls values that are not of one kind; whole and broken numbers beside each other are another."""
_CLASSES = (Task.BINARY, Task.MULTICLASS)
_LABELLED = (*_CLASSES, Task.REGRESSION)
_FEW = 20
"""Labels that are whole numbers and no more than these are classes, where the estimator does not say what it is."""


def check_estimator(estimator: Any) -> None:
    """Raises ModelError where nothing could predict, or a step holds a function without a name."""
    if isinstance(estimator, type):
        raise ModelError(
            f"the estimator is the class {estimator.__name__} itself; make one: {estimator.__name__}() with its "
            "parameters"
        )
    steps = estimator.steps if isinstance(estimator, Steps) else [("model", estimator)]
    if not steps:
        raise ModelError("the pipeline has no steps; its last one has to be an estimator with `fit` and `predict`")
    name, last = steps[-1]
    for what in ("fit", "predict"):
        if not hasattr(last, what):
            raise ModelError(
                f"the last step {name!r} ({type(last).__name__}) has no `{what}`, so it cannot answer new rows; end "
                "the pipeline with an estimator that predicts"
            )
    for path, value in _parameters(steps):
        if _is_lambda(value):
            raise ModelError(
                f"the step {path.partition('__')[0]!r} holds a lambda ({path}), which can neither be converted to ONNX "
                "nor be made again by another process; use a scikit-learn transformer, or make the column before "
                "training (a derivation of the Join)"
            )


def task_of(steps: Steps, rows: TrainingSet, given: Task | None) -> Task:
    """What the estimator predicts of these rows; raises ModelError where label and estimator contradict each other."""
    task = given or _found_task(steps, rows)
    if task in _LABELLED and not rows.label:
        raise ModelError(f"{task} needs labels, and the training set {rows.name!r} names none; give its label")
    if task in _CLASSES:
        _check_classes(rows, task)
    elif task is Task.REGRESSION:
        _check_numbers(rows)
    return task


def checked_columns(rows: TrainingSet) -> pd.DataFrame:
    """The inputs in their types; raises ModelError for one that holds values of several kinds, or infinite ones."""
    for tensor in rows.inputs:
        _check_one_kind(rows.name, f"column {tensor.name!r}", rows.rows[tensor.name])
    typed = rows.columns
    for tensor in rows.inputs:
        if tensor.type in FLOATS:
            _check_finite(rows.name, f"column {tensor.name!r}", typed[tensor.name])
    return typed


def _found_task(steps: Steps, rows: TrainingSet) -> Task:
    last = steps.steps[-1][1]
    if _is(is_outlier_detector, last):
        return Task.OUTLIERS
    if _is(is_clusterer, last):
        return Task.CLUSTERS
    if _is(is_regressor, last):
        return Task.REGRESSION
    if not rows.label:
        raise ModelError(
            f"what {type(last).__name__} predicts cannot be told without a label; give the task: "
            "Pipeline(estimator, task=Task...)"
        )
    kinds = int(rows.rows[rows.label].nunique())
    if _is(is_classifier, last) or not _is_many(rows, kinds):
        return Task.BINARY if kinds <= 2 else Task.MULTICLASS
    return Task.REGRESSION


def _is_many(rows: TrainingSet, kinds: int) -> bool:
    return rows.rows[rows.label].dtype.kind == "f" or kinds > _FEW


def _is(asked: Any, estimator: Any) -> bool:
    try:
        return bool(asked(estimator))
    except (AttributeError, TypeError):  # an estimator that is not of scikit-learn's kind says nothing of itself
        return False


def _check_classes(rows: TrainingSet, task: Task) -> None:
    labels = rows.rows[rows.label]
    _check_one_kind(rows.name, f"label {rows.label!r}", labels)
    found = labels.unique().tolist()
    if len(found) < 2:
        raise ModelError(
            f"the label {rows.label!r} of {rows.name!r} is {found[0]!r} in all {len(rows)} rows; a classifier needs "
            "two classes: take a longer time range, or another filter"
        )
    if task is Task.BINARY and len(found) > 2:
        shown = ", ".join(map(repr, sorted(found, key=str)[:5]))
        raise ModelError(
            f"the label {rows.label!r} of {rows.name!r} has {len(found)} classes ({shown}); {task} has two: give "
            f"task=Task.MULTICLASS"
        )


def _check_numbers(rows: TrainingSet) -> None:
    labels = rows.rows[rows.label]
    if not pd.api.types.is_numeric_dtype(labels.dtype):
        raise ModelError(
            f"the label {rows.label!r} of {rows.name!r} is {labels.dtype}; a regression predicts numbers: use a "
            "classifier, or turn it into numbers"
        )
    _check_finite(rows.name, f"label {rows.label!r}", labels)


def _check_one_kind(name: str, what: str, values: pd.Series) -> None:
    if values.dtype != np.object_ or infer_dtype(values, skipna=True) not in _MIXED:
        return
    examples: dict[str, Any] = {}
    for value in values.dropna():
        examples.setdefault(type(value).__name__, value)
    shown = ", ".join(f"{kind} ({value!r})" for kind, value in examples.items())
    raise ModelError(f"the {what} of {name!r} holds values of several types: {shown}; make them of one type")


def _check_finite(name: str, what: str, values: pd.Series) -> None:
    infinite = np.isinf(values.to_numpy(dtype=np.float64, na_value=np.nan))
    if infinite.any():
        raise ModelError(
            f"the {what} of {name!r} is infinite in {int(infinite.sum())} of {len(values)} rows, first in the row "
            f"{values.index[int(infinite.argmax())]}; leave them out or make them null: no feature of the platform is "
            "infinite when it is served"
        )


def _parameters(steps: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Every parameter of every step, by its path as scikit-learn writes it."""
    for name, step in steps:
        if hasattr(step, "get_params"):
            yield from ((f"{name}__{path}", value) for path, value in step.get_params(deep=True).items())


def _is_lambda(value: Any) -> bool:
    while isinstance(value, functools.partial):
        value = value.func
    return getattr(value, "__name__", "") == "<lambda>"
