"""An estimator that has fit and predict and is not of scikit-learn's kind, as a step of scikit-learn's Pipeline."""

import copy
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted


def _gives_probabilities(step: "Foreign") -> bool:
    return hasattr(step.estimator, "predict_proba")


class Foreign(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """`estimator` is never fitted itself; `estimator_` is its fitted copy."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, columns: Any, labels: Any = None) -> "Foreign":
        """Fits a copy."""
        copied = copy.deepcopy(self.estimator)
        self.estimator_ = copied.fit(columns, labels) or copied
        return self

    def predict(self, columns: Any) -> Any:
        """What the fitted copy says."""
        check_is_fitted(self)
        return self.estimator_.predict(columns)

    @available_if(_gives_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, columns: Any) -> Any:
        """What the fitted copy says."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(columns)

    @property
    def classes_(self) -> Any:
        """Those of the fitted copy; AttributeError where it has none."""
        return self.estimator_.classes_
