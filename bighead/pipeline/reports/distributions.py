"""Importance and distribution of each input, for the record: permutation importance is scikit-learn's. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.inspection import permutation_importance
from sklearn.pipeline import Pipeline

from bighead.charts.features import MOST_VALUES, QUANTILES
from bighead.events.types import Tensor

_BINS, _WHOLE = 24, 40
_APART = 1e-12
"""Of their size: numbers that differ by less leave no room for the edges of bins between them."""
_LOW, _HIGH = 0.005, 0.995
_PROBABILITIES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def importance(
    pipeline: Pipeline, rows: pd.DataFrame, actual: npt.NDArray[Any], scoring: Any, repeats: int = 2, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """What the score loses when a column is shuffled: mean and standard deviation. rows: typed, a sample will do;
    scoring: as scikit-learn takes it, a name or a function."""
    found = permutation_importance(pipeline, rows, actual, scoring=scoring, n_repeats=repeats, random_state=seed)
    means, spreads = found.importances_mean.tolist(), found.importances_std.tolist()
    return {name: (mean, spread) for name, mean, spread in zip(rows.columns, means, spreads, strict=True)}


def feature_report(
    inputs: Sequence[Tensor],
    train: pd.DataFrame,
    test: pd.DataFrame,
    importances: Mapping[str, tuple[float, float]],
    measured: str,
) -> str:
    """The report as `bighead.charts.feature_report_from_json` reads it. train, test: typed by `tensors.frame`."""
    return json.dumps(feature_document(inputs, train, test, importances, measured), allow_nan=False)


def feature_document(
    inputs: Sequence[Tensor],
    train: pd.DataFrame,
    test: pd.DataFrame,
    importances: Mapping[str, tuple[float, float]],
    measured: str,
) -> dict[str, Any]:
    """The report as JSON has it."""
    features = [_feature(tensor, train[tensor.name], test[tensor.name], importances) for tensor in inputs]
    return {"measured": measured, "features": features}


def _feature(
    tensor: Tensor, train: pd.Series, test: pd.Series, importances: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    document: dict[str, Any] = {"name": tensor.name, "datatype": tensor.type, "source": tensor.source}
    if tensor.name in importances:
        mean, spread = importances[tensor.name]
        document["importance"] = {"mean": mean, "std": spread}
    if tensor.type == "BYTES":
        return document | {"train": _texts(train), "test": _texts(test)}
    edges = _edges(_known(train))
    document |= {"train": _numbers(train, edges), "test": _numbers(test, edges)}
    return document | {"edges": edges} if edges else document


def _known(values: pd.Series) -> npt.NDArray[np.float64]:
    numbers: npt.NDArray[np.float64] = values.to_numpy().astype(np.float64)
    return np.asarray(numbers[np.isfinite(numbers)], np.float64)


def _edges(known: npt.NDArray[np.float64]) -> list[float]:
    """Bins over all but the outermost values, which fall into the first and the last."""
    if not len(known):
        return []
    low, high = (float(edge) for edge in np.quantile(known, [_LOW, _HIGH]))
    room = max(0.5, _APART * max(abs(low), abs(high)))
    if room == 0.5 and high - low < _WHOLE and np.array_equal(known, np.round(known)):  # a bin for each whole number
        return [float(edge) - 0.5 for edge in np.arange(round(low), round(high) + 2)]
    if not high - low > _APART * max(abs(low), abs(high)):
        low, high = low - room, high + room
    return [float(edge) for edge in np.linspace(low, high, _BINS + 1)]


def _numbers(values: pd.Series, edges: Sequence[float]) -> dict[str, Any]:
    known = _known(values)
    document: dict[str, Any] = {"rows": len(values), "missing": len(values) - len(known)}
    if not len(known) or not edges:
        return document
    counts, _ = np.histogram(np.clip(known, edges[0], edges[-1]), bins=np.array(edges))
    quantiles = np.quantile(known, _PROBABILITIES).tolist()
    return document | {"counts": counts.tolist(), "quantiles": dict(zip(QUANTILES, quantiles, strict=True))}


def _texts(values: pd.Series) -> dict[str, Any]:
    """A missing text travels as the empty one."""
    counts = values[values != ""].value_counts()
    top = [{"value": str(value)[:200], "count": int(count)} for value, count in counts.head(MOST_VALUES).items()]
    return {"rows": len(values), "missing": int((values == "").sum()), "distinct": len(counts), "top": top}
