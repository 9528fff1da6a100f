"""Live metrics of binary classifiers: predictions joined with what became of them. Pure.

What is kept decides the figures, not the order in which the two logs were read: the newest `MOST` predictions of each
version and the newest `MOST` outcomes of each model. Of several outcomes for one prediction the newest counts.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from bighead.events.types import OutcomeObserved, PredictionServed

MOST = 200_000
_SLACK = 1.1
SCORE = "probability"
ALL_VERSIONS = 0
Key = TypeVar("Key", bound=Hashable)
Doubles: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Predicted:
    """One prediction: its score is None where the model has no output `probability`; a shadow's was never returned."""

    at_ms: int
    as_of_ms: int
    entity: str
    score: float | None
    shadow: bool


@dataclass(frozen=True, slots=True, order=True)
class Observed:
    """One outcome; the greatest is the newest."""

    event_ms: int
    partition: int
    offset: int
    label: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Metrics of one version (0: all) by name, and what they rest on."""

    version: int
    values: Mapping[str, float]
    count: int
    predictions: int
    from_ms: int
    to_ms: int

    @property
    def coverage(self) -> float:
        """The share of predictions whose outcome is known."""
        return self.count / self.predictions


@dataclass
class ModelScores:
    """The predictions and outcomes of one model."""

    most: int = MOST
    versions: dict[int, dict[str, Predicted]] = field(default_factory=dict)
    by_prediction: dict[str, Observed] = field(default_factory=dict)
    by_entity: dict[tuple[str, Observed], Observed] = field(default_factory=dict)
    entities: set[str] = field(default_factory=set)

    def predicted(self, event: PredictionServed) -> None:
        """Takes a prediction. One with a known identity changes nothing."""
        rows = self.versions.setdefault(event.version, {})
        row = Predicted(event.at_ms, event.as_of_ms, event.entity, event.outputs.get(SCORE), event.shadow)
        rows.setdefault(event.prediction_id, row)
        if len(rows) > self.most * _SLACK:
            self.versions[event.version] = _newest_predictions(rows, self.most)

    def observed(self, event: OutcomeObserved, partition: int, offset: int) -> None:
        """Takes an outcome, by prediction or by entity."""
        outcome = Observed(event.event_ms, partition, offset, event.label)
        if event.prediction_id is None:
            self.by_entity[event.entity, outcome] = outcome
            self.entities.add(event.entity)
        else:
            known = self.by_prediction.get(event.prediction_id, outcome)
            self.by_prediction[event.prediction_id] = max(known, outcome)
        if len(self.by_prediction) > self.most * _SLACK:
            self.by_prediction = _newest_outcomes(self.by_prediction, self.most)
        if len(self.by_entity) > self.most * _SLACK:
            self.by_entity = _newest_outcomes(self.by_entity, self.most)
            self.entities = {entity for entity, _ in self.by_entity}

    def figures(self) -> list[Figures]:
        """The metrics of all that was answered and of each version (also as a shadow), where there are predictions."""
        kept = {
            version: _newest_predictions(rows, self.most) for version, rows in sorted(self.versions.items()) if rows
        }
        labels = self._labels_by_entity(kept) | {
            prediction: outcome.label for prediction, outcome in self.by_prediction.items()
        }
        everything = [pair for rows in kept.values() for pair in rows.items() if not pair[1].shadow]
        found = [(ALL_VERSIONS, everything), *((version, list(rows.items())) for version, rows in kept.items())]
        return [_figures(version, rows, labels) for version, rows in found if rows]

    def _labels_by_entity(self, kept: Mapping[int, Mapping[str, Predicted]]) -> dict[str, float]:
        """An outcome without a prediction's identity belongs to the newest prediction about its entity before it."""
        if not self.by_entity:
            return {}
        about: dict[str, list[tuple[int, int, str]]] = {}
        for rows in kept.values():
            for prediction, row in rows.items():
                if row.entity in self.entities:
                    about.setdefault(row.entity, []).append((row.as_of_ms, row.at_ms, prediction))
        labels: dict[str, float] = {}
        for entity, outcome in sorted(self.by_entity, key=lambda pair: pair[1]):
            before = [one for one in about.get(entity, ()) if one[0] <= outcome.event_ms]
            if before:
                labels[max(before)[2]] = outcome.label
        return labels


def _newest_predictions(rows: dict[str, Predicted], most: int) -> dict[str, Predicted]:
    if len(rows) <= most:
        return rows
    return dict(sorted(rows.items(), key=lambda item: (item[1].at_ms, item[0]))[-most:])


def _newest_outcomes(outcomes: dict[Key, Observed], most: int) -> dict[Key, Observed]:
    return dict(sorted(outcomes.items(), key=lambda item: item[1])[-most:])


def _figures(version: int, rows: Sequence[tuple[str, Predicted]], labels: Mapping[str, float]) -> Figures:
    joined = [(labels[prediction], row.score) for prediction, row in rows if prediction in labels]
    scored = [
        (label, score) for label, score in joined if label in (0.0, 1.0) and score is not None and 0 <= score <= 1
    ]
    times = [row.at_ms for _, row in rows]
    values = _classification(scored) | {"coverage": len(joined) / len(rows)}
    return Figures(version, values, len(joined), len(rows), min(times), max(times) + 1)


def _classification(scored: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Log loss and Brier score of labels 0 and 1, and the AUC where there are both.

    Said here, as scikit-learn says it, since its import would take longer than the worker's whole start.
    """
    if not scored:
        return {}
    labels, scores = (np.array(column, np.float64) for column in zip(*scored, strict=True))
    values = {"log_loss": _log_loss(labels, scores), "brier": float(np.mean((scores - labels) ** 2))}
    if 0 < labels.sum() < len(labels):
        values["auc"] = _auc(labels, scores)
    return values


def _log_loss(labels: Doubles, scores: Doubles) -> float:
    least = np.finfo(np.float64).eps
    right = np.where(labels == 1.0, scores, 1 - scores)
    return float(-np.mean(np.log(np.clip(right, least, 1 - least))))


def _auc(labels: Doubles, scores: Doubles) -> float:
    """The share of pairs of a 1 and a 0 in which the 1 has the higher score; ties count half."""
    _, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[where]
    ones = labels.sum()
    return float((ranks[labels == 1.0].sum() - ones * (ones + 1) / 2) / (ones * (len(labels) - ones)))
