"""Columns side by side, as doubles: what scikit-learn does unasked between steps. ONNX has to be told."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin


class Together(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A frame as the array that an estimator makes of it; put before one that takes all columns alike."""

    def fit(self, rows: pd.DataFrame, labels: Any = None) -> Self:
        """There is nothing to learn."""
        return self

    def transform(self, rows: pd.DataFrame) -> npt.NDArray[Any]:
        """[N, columns]."""
        values: npt.NDArray[Any] = np.asarray(rows)
        return values
