"""The transformers of a ColumnTransformer and the columns that each takes, by name, however they were chosen. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer


def branches_of(step: ColumnTransformer, known: Sequence[str]) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
    """Name, transformer and columns of each; what is dropped or takes nothing is left out."""
    names = np.array([str(column) for column in known])
    for branch, transformer, columns in getattr(step, "transformers_", step.transformers):
        if isinstance(transformer, str) and transformer == "drop":
            continue
        named = [columns] if isinstance(columns, str) else columns
        if isinstance(named, slice) or not all(isinstance(column, str) for column in named):
            named = names[named].tolist()
        if len(named):
            yield branch, transformer, tuple(named)
