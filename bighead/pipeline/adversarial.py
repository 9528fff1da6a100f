"""Rows made to hurt a conversion: nulls, unseen categories, values beside the thresholds, huge and tiny numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

from bighead.events.types import Tensor
from bighead.pipeline import trees
from bighead.pipeline.tensors import DATATYPES, FLOATS

STRINGS = {"empty string": "", "unseen category": "~never seen~", "not ascii": "Zürich ✈", "blank": " "}
SAMPLED_VALUES = 200  # per column, to be tried one ulp up and down

Change = tuple[str, str, Any]  # kind, column, value


def rows(pipeline: Pipeline, inputs: Sequence[Tensor], occurred: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Typed rows, each an occurred row with one column changed (the first ones: with all), and the kind of each."""
    changes = [change for tensor in inputs for change in _changes(tensor, occurred)]
    changes += _beside_thresholds(pipeline, inputs)
    base = occurred.iloc[np.arange(len(changes)) % len(occurred)].reset_index(drop=True)
    for column in occurred.columns:
        places = [place for place, (_, name, _) in enumerate(changes) if name == column]
        values = base[column].to_numpy(copy=True)
        values[places] = [changes[place][2] for place in places]
        base[column] = values
    empty = _empty_row(inputs, occurred)
    return pd.concat([empty, base], ignore_index=True), ["all missing", *(kind for kind, _, _ in changes)]


def one_of_each(made: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    """The first row of each kind."""
    return made.iloc[[kinds.index(kind) for kind in dict.fromkeys(kinds)]]


def _changes(tensor: Tensor, occurred: pd.DataFrame) -> list[Change]:
    name = tensor.name
    if tensor.type == "BYTES":
        return [(kind, name, text) for kind, text in STRINGS.items()]
    if tensor.type not in FLOATS:
        return []
    dtype = DATATYPES[tensor.type].dtype
    limits = np.finfo(dtype)
    extremes = {
        "missing": np.nan,
        "huge": limits.max,
        "huge negative": limits.min,
        "tiny": limits.smallest_subnormal,
        "zero": 0.0,
        "negative zero": -0.0,
    }
    seen = np.unique(occurred[name].dropna().to_numpy())
    sampled = seen[np.linspace(0, len(seen) - 1, min(SAMPLED_VALUES, len(seen))).astype(int)]
    return [(kind, name, dtype(value)) for kind, value in extremes.items()] + _neighbours("a value", name, sampled)


def _beside_thresholds(pipeline: Pipeline, inputs: Sequence[Tensor]) -> list[Change]:
    """The thresholds of boosted trees, for the columns that reach the trees unchanged."""
    model = pipeline[-1]
    if not isinstance(model, HistGradientBoostingClassifier) or len(pipeline) < 2:
        return []
    names = [str(name).rpartition("__")[2] for name in pipeline[:-1].get_feature_names_out()]
    dtypes = {tensor.name: DATATYPES[tensor.type].dtype for tensor in inputs if tensor.type in FLOATS}
    changes: list[Change] = []
    for feature, threshold in trees.thresholds(model):
        name = names[feature]
        if name in dtypes:
            changes += _neighbours("a threshold", name, np.array([threshold], dtypes[name]))
    return changes


def _neighbours(what: str, name: str, values: Any) -> list[Change]:
    infinity = values.dtype.type(np.inf)
    return [
        (kind, name, value)
        for kind, moved in (
            (what, values),
            (f"{what} minus one ulp", np.nextafter(values, -infinity)),
            (f"{what} plus one ulp", np.nextafter(values, infinity)),
        )
        for value in moved
        if np.isfinite(value)
    ]


def _empty_row(inputs: Sequence[Tensor], occurred: pd.DataFrame) -> pd.DataFrame:
    """One row in which everything that can be missing is."""
    row = occurred.iloc[[0]].copy()
    for tensor in inputs:
        missing = DATATYPES[tensor.type].missing
        if missing is not None:
            row[tensor.name] = np.array([missing], DATATYPES[tensor.type].dtype)
    return row
