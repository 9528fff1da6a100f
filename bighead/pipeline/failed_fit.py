"""Which step of a pipeline, and which of its columns, a failed fit is to be blamed on: the steps are tried in turn."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline as Steps

from bighead.errors import ModelError
from bighead.pipeline.branches import branches_of
from bighead.pipeline.through import made_by

Labels = npt.NDArray[Any] | None
_EMPTY = "window shape cannot be larger"
"""What gradient boosting says of a column without any value."""
_NUMBERS_WANTED = ("could not convert", "non-numeric", "numeric data", "must be int, float")


def failed_fit(steps: Steps, columns: pd.DataFrame, labels: Labels, error: Exception) -> ModelError:
    """What to raise for `error`, which fitting `steps` to these columns raised."""
    rows: Any = columns
    for name, step in steps.steps[:-1]:
        if step is None or step == "passthrough":
            continue
        fitted = clone(step)
        try:
            behind = fitted.fit_transform(rows, labels)
        except Exception as cause:  # noqa: BLE001  the estimator's own error is what is told
            return _failed_step(name, step, rows, labels, cause)
        rows = _named(behind, fitted, rows)
    name, model = steps.steps[-1]
    return _told(name, model, _suspects(rows, str(error)), error)


def _named(behind: Any, fitted: Any, before: Any) -> Any:
    """What is behind a step with the names of its columns, where it tells them; as it is where it is sparse."""
    if isinstance(behind, pd.DataFrame) or not isinstance(before, pd.DataFrame) or not isinstance(behind, np.ndarray):
        return behind
    names = [made.name for made in made_by(fitted, [str(name) for name in before.columns])]
    if behind.shape[1:] != (len(names),):
        return behind
    return pd.DataFrame(behind, columns=names, index=before.index).infer_objects()


def _failed_step(name: str, step: Any, rows: Any, labels: Labels, error: Exception) -> ModelError:
    if not isinstance(rows, pd.DataFrame):
        return _told(name, step, [], error)
    if isinstance(step, ColumnTransformer):
        for branch, transformer, taken in branches_of(_chosen(step, rows), rows.columns):
            part = rows[list(taken)]
            cause = _error(transformer, part, labels)
            if cause is not None:
                return _failed_step(f"{name}: {branch}", transformer, part, labels, cause)
        return _told(name, step, [], error)
    alone = [str(column) for column in rows.columns if _error(step, rows[[column]], labels) is not None]
    return _told(name, step, alone if len(alone) < len(rows.columns) else _suspects(rows, str(error)) or alone, error)


def _chosen(step: ColumnTransformer, rows: pd.DataFrame) -> ColumnTransformer:
    """With the columns that its selectors choose; the transformer itself finds them out when it is fitted."""
    parts = [(name, one, columns(rows) if callable(columns) else columns) for name, one, columns in step.transformers]
    return ColumnTransformer(parts, remainder=step.remainder)


def _error(step: Any, rows: pd.DataFrame, labels: Labels) -> Exception | None:
    if isinstance(step, str):  # passthrough
        return None
    try:
        clone(step).fit_transform(rows, labels)
    except Exception as error:  # noqa: BLE001
        return error
    return None


def _suspects(rows: Any, message: str) -> list[str]:
    """The columns of which the message speaks without naming them."""
    if not isinstance(rows, pd.DataFrame):
        return []
    if "NaN" in message:
        return [str(name) for name in rows.columns if rows[name].isna().any()]
    if _EMPTY in message:
        return [str(name) for name in rows.columns if rows[name].isna().all()]
    if any(part in message for part in _NUMBERS_WANTED):
        return [str(name) for name in rows.columns if not pd.api.types.is_numeric_dtype(rows[name].dtype)]
    return []


def _told(name: str, step: Any, columns: list[str], error: Exception) -> ModelError:
    message = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    advice = "; see scikit-learn's own error above"
    if _EMPTY in message:
        advice = "; leave out what is always missing: nothing can be learned of it"
    elif "NaN" in message:
        advice = "; impute the missing values before it (SimpleImputer), or use a model that takes them"
    elif any(part in message for part in _NUMBERS_WANTED):
        advice = "; encode text before it (OrdinalEncoder, OneHotEncoder)"
    on = f" on the {'column' if len(columns) == 1 else 'columns'} {', '.join(map(repr, columns))}" if columns else ""
    return ModelError(f"the step {name!r} ({type(step).__name__}) fails{on}: {message}{advice}")
