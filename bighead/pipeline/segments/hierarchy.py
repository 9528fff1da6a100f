"""Which rows belong to which segment of a hierarchy, and who answers for them. Pure.

A segment is KEY=VALUE, as the registry and the model server name it, so that a row is answered here as it is there.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from bighead.errors import ModelError
from bighead.pipeline.search.folds import Places
from bighead.registry.segments import as_text

WHOLE = ""
"""The name of what answers for rows in no segment: the model of all rows."""


def check_levels(levels: Sequence[str], columns: Collection[str]) -> None:
    """Raises ModelError unless the levels are columns of the rows, each once."""
    if isinstance(levels, str):
        raise ModelError(f"levels is {levels!r}; expected a list of columns, the finest first, such as [{levels!r}]")
    absent = [level for level in levels if level not in columns]
    if not levels or absent or len(set(levels)) != len(levels):
        raise ModelError(
            f"the levels {list(levels)} of the hierarchy; expected columns of the rows, each once and the finest "
            f"first, among {', '.join(sorted(columns))}"
        )


def members(rows: pd.DataFrame, levels: Sequence[str]) -> dict[str, Places]:
    """The places of the rows of every segment, the finest level first, by name within a level.

    A row whose value is null or empty is in no segment of that level.
    """
    found: dict[str, Places] = {}
    for level in levels:
        grouped = pd.Series(0, index=range(len(rows))).groupby(_names(rows, level)).indices
        found |= {str(name): places for name, places in sorted(grouped.items()) if name != WHOLE}
    return found


def answering(rows: pd.DataFrame, levels: Sequence[str], trained: Collection[str]) -> npt.NDArray[np.object_]:
    """For each row the finest of its segments that is trained; WHOLE where none is."""
    found = np.full(len(rows), WHOLE, np.object_)
    kept = list(trained)
    for level in reversed(levels):
        names = _names(rows, level)
        here = np.isin(names.astype(str), kept) & (names != WHOLE)
        found[here] = names[here]
    return found


def thin(places: Mapping[str, Places], min_rows: int) -> dict[str, str]:
    """The segments with too few rows for a model of their own, and why."""
    few = {name: len(found) for name, found in places.items() if len(found) < min_rows}
    return {name: f"{count} training rows, fewer than {min_rows}" for name, count in few.items()}


def _names(rows: pd.DataFrame, level: str) -> npt.NDArray[np.object_]:
    """The name of each row's segment at a level."""
    codes, values = pd.factorize(rows[level], use_na_sentinel=True)
    texts = [as_text(value.item() if isinstance(value, np.generic) else value) for value in values]
    names = np.array([*(f"{level}={text}" if text else WHOLE for text in texts), WHOLE], np.object_)
    chosen: npt.NDArray[np.object_] = names[codes]  # null is -1: the last
    return chosen
