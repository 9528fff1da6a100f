"""Ensembles of models as one estimator, so that they are converted, proven and served like any other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sklearn.base import is_classifier
from sklearn.ensemble import VotingClassifier, VotingRegressor

from bighead.errors import ModelError
from bighead.pipeline.parallel import derived


@dataclass(frozen=True)
class Average:
    """Makes the average of several estimators, each from a seed of its own: of probabilities, or of values.

    Pass it where an estimator is made from a seed. makes: one for each estimator; the same one may be named several
    times, which averages over its seeds.
    """

    makes: tuple[Callable[[int], Any], ...]

    def __post_init__(self) -> None:
        if len(self.makes) < 2:
            raise ModelError(f"an average of {len(self.makes)} estimators; expected two or more")

    def __call__(self, seed: int) -> Any:
        """An unfitted VotingClassifier (soft) or VotingRegressor."""
        made = [(f"model_{place}", make(derived(seed, place))) for place, make in enumerate(self.makes)]
        if all(is_classifier(one) for _, one in made):
            return VotingClassifier(made, voting="soft", flatten_transform=False)  # as ONNX has it
        if any(is_classifier(one) for _, one in made):
            raise ModelError("an average of classifiers and others; expected estimators of one kind")
        return VotingRegressor(made)
