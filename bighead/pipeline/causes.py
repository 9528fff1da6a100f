"""Which step of a pipeline cannot be converted, answers otherwise, or fails: found by taking it apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from bighead.errors import ModelError, ParityError
from bighead.events.types import Tensor
from bighead.pipeline.advice import instead_of, mending
from bighead.pipeline.conversion.boosters import is_xgboost
from bighead.pipeline.conversion.graphs import converted, opened
from bighead.pipeline.conversion.operators import is_trees
from bighead.pipeline.tensors import tensors

_MOST_ROWS = 64


@dataclass(frozen=True)
class Step:
    """A step by what the pipeline calls it: 'columns: text' is the branch text of the ColumnTransformer columns."""

    name: str
    it: Any

    def __str__(self) -> str:
        kind = type(self.it).__name__
        return f"step {self.name!r} ({kind})" if self.name else kind


def conversion_failed(estimator: Any, inputs: Sequence[Tensor], error: Exception) -> ModelError:
    """The error of a conversion, with the step that caused it and what to use instead."""
    step = _unconverted(estimator, inputs)
    what = error if isinstance(error, ModelError) else f"{type(error).__name__}: {first_line(error)}"
    return ModelError(f"{step} cannot be converted to ONNX: {what}; use instead: {instead_of(step.it)}")


def run_failed(estimator: Any, inputs: Sequence[Tensor], rows: pd.DataFrame, error: Exception) -> ParityError:
    """The error of a model that fails on typed rows to which its pipeline has an answer, with the step that fails."""
    step = _last(estimator)
    for place, prefix in _prefixes(estimator):
        try:
            _transformed(prefix, inputs, rows)
        except Exception:  # noqa: BLE001 - it is what is looked for
            name, it = estimator.steps[place]
            step = _failing_in_onnx(name, it, inputs, rows)
            break
    return ParityError(
        f"{step} does not run in ONNX on rows that serving can meet: {first_line(error)}; use instead: "
        f"{instead_of(step.it)}"
    )


def difference_told(estimator: Any, inputs: Sequence[Tensor], rows: pd.DataFrame, tolerance: float) -> str:
    """The first step whose converted answer to these typed rows is not its own, and what to do about it.

    Where no transformer differs it is the last step; before trees a step that differs at all may be the cause, because
    a row next to a threshold goes to the other side.
    """
    rows, last = rows.iloc[:_MOST_ROWS], _last(estimator)
    if step := _differing_prefix(estimator, inputs, rows, tolerance):
        return f"{step}: {mending(step.it)}"
    if takes_zero_for_missing(estimator, rows):
        return f"{last}: in sparse rows it takes zero for missing; give it dense ones (sparse_threshold=0)"
    if is_trees(last.it) and (step := _differing_prefix(estimator, inputs, rows, 0.0)):
        return (
            f"{step}: in ONNX it rounds otherwise, by which rows change sides at a threshold of {last}; use a step "
            "that is exact in double precision (StandardScaler, OneHotEncoder), or a model without thresholds"
        )
    return f"{last}: {mending(last.it)}"


def takes_zero_for_missing(estimator: Any, rows: pd.DataFrame) -> bool:
    """Whether XGBoost gets sparse rows, in which it takes what is not stored for missing."""
    if not (isinstance(estimator, Pipeline) and len(estimator) > 1 and is_xgboost(estimator[-1])):
        return False
    return hasattr(estimator[:-1].transform(rows), "toarray")


def failing_step(estimator: Any, row: pd.DataFrame) -> Step:
    """The step that raises on a row."""
    if not isinstance(estimator, Pipeline):
        return Step("", estimator)
    given: Any = row
    for name, it in estimator.steps[:-1]:
        try:
            given = it.transform(given) if it not in (None, "passthrough") else given
        except Exception:  # noqa: BLE001 - it is what is looked for
            return _failing_branch(name, it, given)
    return _last(estimator)


def first_line(error: Exception) -> str:
    """What an error says, without its explanations."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0]


def _differing_prefix(estimator: Any, inputs: Sequence[Tensor], rows: pd.DataFrame, tolerance: float) -> Step | None:
    for place, prefix in _prefixes(estimator):
        try:
            expected, received = _dense(prefix.transform(rows)), _transformed(prefix, inputs, rows)
        except Exception:  # noqa: BLE001 - whatever it is, this step cannot be compared alone
            continue
        apart = _unequal_columns(expected, received, tolerance)
        if len(apart):
            name, it = estimator.steps[place]
            return _branch(name, it, int(apart[0]))
    return None


def _prefixes(estimator: Any) -> Iterator[tuple[int, Pipeline]]:
    if isinstance(estimator, Pipeline):
        for place in range(len(estimator.steps) - 1):
            yield place, estimator[: place + 1]


def _last(estimator: Any) -> Step:
    return Step(*estimator.steps[-1]) if isinstance(estimator, Pipeline) else Step("", estimator)


def _unconverted(estimator: Any, inputs: Sequence[Tensor]) -> Step:
    for place, prefix in _prefixes(estimator):
        if not _converts(prefix, inputs):
            name, it = estimator.steps[place]
            if place == 0 and isinstance(it, ColumnTransformer):
                return _unconverted_branch(name, it, inputs)
            return Step(name, it)
    return _last(estimator)


def _failing_in_onnx(name: str, it: Any, inputs: Sequence[Tensor], rows: pd.DataFrame) -> Step:
    for branch, transformer, taken in _branches(it, inputs):
        try:
            _transformed(transformer, taken, rows[[tensor.name for tensor in taken]])
        except Exception:  # noqa: BLE001 - it is what is looked for
            return Step(f"{name}: {branch}", transformer)
    return Step(name, it)


def _branches(it: Any, inputs: Sequence[Tensor]) -> Iterator[tuple[str, Any, list[Tensor]]]:
    """Each transformer of a ColumnTransformer, with the inputs that it takes."""
    by_name = {tensor.name: tensor for tensor in inputs}
    for branch, transformer, columns in it.transformers_ if isinstance(it, ColumnTransformer) else ():
        named = [columns] if isinstance(columns, str) else [str(column) for column in np.atleast_1d(columns)]
        taken = [by_name[column] for column in named if column in by_name]
        if taken and not isinstance(transformer, str):
            yield branch, transformer, taken


def _unconverted_branch(name: str, it: ColumnTransformer, inputs: Sequence[Tensor]) -> Step:
    for branch, transformer, taken in _branches(it, inputs):
        if not _converts(transformer, taken):
            inner = _unconverted(transformer, taken) if isinstance(transformer, Pipeline) else Step("", transformer)
            return Step(": ".join(part for part in (name, branch, inner.name) if part), inner.it)
    return Step(name, it)


def _converts(estimator: Any, inputs: Sequence[Tensor]) -> bool:
    try:
        opened(converted(estimator, inputs).SerializeToString())
    except Exception:  # noqa: BLE001 - it is what is looked for
        return False
    return True


def _transformed(prefix: Any, inputs: Sequence[Tensor], rows: pd.DataFrame) -> npt.NDArray[Any]:
    session = opened(converted(prefix, inputs).SerializeToString())
    taken = {one.name for one in session.get_inputs()}
    given = {name: value for name, value in tensors(inputs, rows).items() if name in taken}
    return np.asarray(session.run(None, given)[0])


def _unequal_columns(expected: npt.NDArray[Any], received: npt.NDArray[Any], tolerance: float) -> npt.NDArray[Any]:
    if expected.shape != received.shape:
        return np.arange(1)
    if expected.dtype.kind in "OU":
        return np.flatnonzero((expected.astype(str) != received.astype(str)).any(axis=0))
    with np.errstate(all="ignore"):
        close = np.isclose(
            received.astype(float), expected.astype(float), rtol=tolerance, atol=tolerance, equal_nan=True
        )
    return np.flatnonzero(~close.all(axis=0))


def _branch(name: str, it: Any, column: int) -> Step:
    """The branch of a ColumnTransformer that makes a column of its result."""
    if isinstance(it, ColumnTransformer):
        for branch, made in it.output_indices_.items():
            if made.start <= column < made.stop:
                inner = it.named_transformers_[branch]
                return Step(f"{name}: {branch}", inner[-1] if isinstance(inner, Pipeline) else inner)
    return Step(name, it)


def _failing_branch(name: str, it: Any, given: Any) -> Step:
    if isinstance(it, ColumnTransformer):
        for branch, transformer, columns in it.transformers_:
            if isinstance(transformer, str):
                continue
            try:
                transformer.transform(given[columns])
            except Exception:  # noqa: BLE001 - it is what is looked for
                return Step(f"{name}: {branch}", transformer)
    return Step(name, it)


def _dense(values: Any) -> npt.NDArray[Any]:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)
