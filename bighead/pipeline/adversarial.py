"""Rows made to hurt a conversion: nulls, unseen categories, values beside the thresholds, huge and tiny numbers."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bighead.events.types import Tensor
from bighead.pipeline.tensors import DATATYPES, FLOATS
from bighead.pipeline.thresholds import beside_thresholds

STRINGS = {
    "empty string": "",
    "unseen category": "~never seen~",
    "not ascii": "Zürich ✈",
    "blank": " ",
    "control characters": "a\tb\nc\r",
    "combining accent": "Zu\u0308rich",
    "long string": "x" * 1000,
}
_TEXTS: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "lower case": str.lower,
    "title case": str.title,
    "surrounded by blanks": lambda text: f" {text} ",
    "an accent after it": lambda text: f"{text}é",
    "not ascii before it": lambda text: f"ß{text}",
    "an apostrophe in it": lambda text: f"{text[:2]}'{text[2:]}",
    "a hyphen in it": lambda text: f"{text[:2]}-{text[2:]}",
    "twice": lambda text: f"{text} {text}",
    "a dotted capital I in it": lambda text: text.replace("i", "İ"),
}
SAMPLED_VALUES, LEAST_SAMPLED = 200, 5  # per column, to be tried one ulp up and down
SAMPLED_CELLS = 24_000_000
"""Of rows for them, 192 MB: each has all columns, so a thousand columns with 200 values each would take 5 GB."""
SAMPLED_STRINGS = 20
LARGE = 1e6  # times what occurred
BEYOND_NUMBERS = frozenset({"infinity", "minus infinity", "huge", "huge negative"})
"""Kinds that a pipeline may have no answer to: scikit-learn refuses what overflows."""


class Change(NamedTuple):
    """One column of a row gets a value; a change of no column is of all that can be missing."""

    kind: str
    column: str
    value: Any


def rows(estimator: Any, inputs: Sequence[Tensor], occurred: pd.DataFrame) -> tuple[pd.DataFrame, list[Change]]:
    """Typed rows, each an occurred row with one column changed (the first one: with all), and the change of each."""
    sampled = max(LEAST_SAMPLED, min(SAMPLED_VALUES, SAMPLED_CELLS // (3 * len(inputs) ** 2)))
    changes = [change for tensor in inputs for change in _changes(tensor, occurred, sampled)]
    for name, values in beside_thresholds(estimator, inputs, occurred).items():
        changes += _neighbours("a threshold", name, values)
    base = occurred.iloc[np.arange(len(changes)) % len(occurred)].reset_index(drop=True)
    changed: dict[str, list[int]] = {}
    for place, change in enumerate(changes):
        changed.setdefault(change.column, []).append(place)
    for column, places in changed.items():
        values = base[column].to_numpy(copy=True)
        values[places] = [changes[place].value for place in places]
        base[column] = values
    empty = _empty_row(inputs, occurred)
    return pd.concat([empty, base], ignore_index=True), [Change("all missing", "", None), *changes]


def _changes(tensor: Tensor, occurred: pd.DataFrame, most: int) -> list[Change]:
    name = tensor.name
    if tensor.type == "BYTES":
        return [Change(kind, name, text) for kind, text in STRINGS.items()] + _texts(name, occurred[name])
    if tensor.type == "INT64":
        return [Change("zero", name, 0), Change("negative", name, -1), Change("large", name, 2**31)]
    if tensor.type not in FLOATS:
        return []
    dtype = DATATYPES[tensor.type].dtype
    limits = np.finfo(dtype)
    seen = np.unique(occurred[name].dropna().to_numpy())
    seen = seen[np.isfinite(seen)]
    large = min(LARGE * max(1.0, float(np.abs(seen).max(initial=1.0))), float(np.finfo(np.float32).max) / 1e6)
    extremes = {
        "missing": np.nan,
        "infinity": np.inf,
        "minus infinity": -np.inf,
        "huge": limits.max,
        "huge negative": limits.min,
        "large": large,
        "large negative": -large,
        "tiny": limits.smallest_subnormal,
        "zero": 0.0,
        "negative zero": -0.0,
    }
    sampled = seen[np.linspace(0, len(seen) - 1, min(most, len(seen))).astype(int)]
    return [Change(kind, name, dtype(value)) for kind, value in extremes.items()] + _neighbours(
        "a value", name, sampled
    )


def _texts(name: str, values: pd.Series) -> list[Change]:
    """Strings that occurred, written otherwise: what a tokenizer or a table of categories may take for the same."""
    seen = [text for text in dict.fromkeys(values) if text]
    few = seen[:: max(1, len(seen) // SAMPLED_STRINGS)][:SAMPLED_STRINGS]
    return [Change(kind, name, write(text)) for kind, write in _TEXTS.items() for text in few]


def _neighbours(what: str, name: str, values: Any) -> list[Change]:
    infinity = values.dtype.type(np.inf)
    return [
        Change(kind, name, value)
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
