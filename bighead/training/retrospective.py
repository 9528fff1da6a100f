"""What a version would have answered: it is run over logged predictions, beside the answers that were given then.

Inputs are those that were logged, features as they were served; labels are the outcomes that came since. Pure, but for
the model that is run.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from bighead.charts.evaluation import Measure
from bighead.errors import InvalidInput
from bighead.events.served import served_features
from bighead.events.types import OutcomeObserved, PredictionServed
from bighead.pipeline.reports.answers import Answers
from bighead.pipeline.reports.bootstrap import DAY_MS, Resampling, Units
from bighead.pipeline.reports.measured import Judged, differences, measures
from bighead.pipeline.reports.metrics import losses, metrics_of
from bighead.pipeline.training_set import Task

CANDIDATE, LIVE = "candidate", "live"
FEW_DAYS = 5
"""Intervals are of whole days where there are so many; else of entities."""
LOW_COVERAGE = 0.5
RESAMPLING = Resampling()
_TASKS = {"probability": Task.BINARY, "value": Task.REGRESSION}
_BATCH = 10_000

Row = Mapping[str, Any]


class Takes(Protocol):
    """An input of a model."""

    @property
    def name(self) -> str: ...
    @property
    def datatype(self) -> str: ...


@dataclass(frozen=True)
class Predicted:
    """A prediction as it was logged."""

    event: PredictionServed

    @property
    def row(self) -> Row:
        """All that was logged of what the model was given."""
        return {**served_features(self.event), **self.event.inputs}


@dataclass(frozen=True)
class Day:
    """The mean loss of both on the rows of one day, UTC."""

    day: str
    rows: int
    candidate: float
    live: float


@dataclass(frozen=True, kw_only=True)
class Retrospect:
    """A candidate beside the answers that were given, on the same rows.

    predictions: of the model in the time asked about; labelled: those whose outcome is known; compared: those of them
    that the candidate could answer. refused: by input the rows in which it was not logged; answered_by: by version.
    differences: candidate less live, with the interval of the paired difference. loss: what the days are told in.
    """

    model: str
    version: int
    task: str
    predictions: int
    labelled: int
    compared: int
    refused: Mapping[str, int]
    answered_by: Mapping[int, int]
    candidate: tuple[Measure, ...]
    live: tuple[Measure, ...]
    differences: tuple[Measure, ...]
    intervals: str
    loss: str
    days: tuple[Day, ...]

    @property
    def coverage(self) -> float:
        """The share of the predictions whose outcome is known."""
        return self.labelled / self.predictions

    @property
    def verdict(self) -> str:
        """What the figures say, and what to do next."""
        main = next(one for one in self.differences if one.name == self.loss)
        if main.low is None or main.high is None:
            return "too few days or entities for an interval: ask for a longer time"
        between = f"{main.name} {main.value:+.4g} (95% between {main.low:+.4g} and {main.high:+.4g})"
        if main.better is None:
            return f"no difference is certain: {between}; ask for a longer time, or let it run as a shadow"
        if not main.better:
            return f"worse than what answered: {between}; leave it undeployed, and look at the days and inputs below"
        doubt = "" if self.coverage >= LOW_COVERAGE else f", though only {self.coverage:.0%} of the outcomes are known"
        return (
            f"better than what answered: {between}{doubt}; roll it out by stages: "
            f"bighead models rollout {self.model} {self.version} --reason ..."
        )

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        found = asdict(self) | {"coverage": self.coverage, "verdict": self.verdict}
        return found | {"answered_by": {str(version): rows for version, rows in self.answered_by.items()}}


def labels_of(predictions: Sequence[PredictionServed], outcomes: Iterable[OutcomeObserved]) -> dict[str, float]:
    """The label of each prediction that has one: of its own identity, else the newest about its entity before it.

    As live metrics join them: an outcome without a prediction's identity belongs to the newest prediction about its
    entity whose features are not younger; of several outcomes for one prediction the newest counts.
    """
    by_prediction: dict[str, tuple[int, int, float]] = {}
    by_entity: list[tuple[int, int, OutcomeObserved]] = []
    for number, outcome in enumerate(outcomes):
        if outcome.prediction_id is None:
            by_entity.append((outcome.event_ms, number, outcome))
        else:
            found = (outcome.event_ms, number, outcome.label)
            by_prediction[outcome.prediction_id] = max(found, by_prediction.get(outcome.prediction_id, found))
    about: dict[str, list[tuple[int, int, str]]] = {}
    for one in predictions:
        about.setdefault(one.entity, []).append((one.as_of_ms, one.at_ms, one.prediction_id))
    labels: dict[str, float] = {}
    for _, _, outcome in sorted(by_entity, key=lambda one: one[:2]):
        before = [one for one in about.get(outcome.entity, ()) if one[0] <= outcome.event_ms]
        if before:
            labels[max(before)[2]] = outcome.label
    return labels | {prediction: label for prediction, (_, _, label) in by_prediction.items()}


def retrospect(
    model: str,
    version: int,
    predictor: Any,
    predictions: Sequence[PredictionServed],
    outcomes: Iterable[OutcomeObserved],
    resampling: Resampling = RESAMPLING,
) -> Retrospect:
    """Runs the candidate over what was logged. predictor: a `bighead.inference.predictor.Predictor`, or like it.

    Raises InvalidInput where nothing can be compared, naming what lacks: predictions, outcomes, or inputs.
    """
    served = [one for one in predictions if one.model == model and not one.shadow]
    if not served:
        raise InvalidInput(f"no prediction of {model!r} was logged in that time; ask for a longer one")
    labels = labels_of(served, outcomes)
    labelled = [one for one in served if one.prediction_id in labels]
    if not labelled:
        raise InvalidInput(
            f"none of {len(served)} predictions of {model!r} has an outcome yet; publish outcomes, or "
            "wait until they are known"
        )
    rows, refused = _answerable(labelled, predictor.signature.inputs)
    if not rows:
        said = ", ".join(f"{name!r} ({count} rows)" for name, count in refused.items())
        raise InvalidInput(
            f"version {version} of {model!r} needs inputs that were not logged: {said}; train it on what "
            "requests bring and the Join gives, or take them off BIGHEAD_LOG_REDACTED"
        )
    output, task = _output(rows, predictor)
    actual = np.array([labels[one.prediction_id] for one in rows], np.float64)
    then = np.array([one.outputs[output] for one in rows], np.float64)
    now = _predicted(predictor, rows, output)
    judged = [Judged(CANDIDATE, _answers(task, actual, now)), Judged(LIVE, _answers(task, actual, then))]
    units = _units(rows)
    found = measures(judged, metrics_of, units, resampling)
    loss, days = _by_day(rows, judged)
    return Retrospect(
        model=model,
        version=version,
        task=str(task),
        predictions=len(served),
        labelled=len(labelled),
        compared=len(rows),
        refused=refused,
        answered_by=dict(sorted(Counter(one.version for one in rows).items())),
        candidate=found.of(CANDIDATE),
        live=found.of(LIVE),
        differences=differences(found, CANDIDATE, LIVE),
        intervals=f"95% intervals by resampling {units.count} {units.what}",
        loss=loss,
        days=days,
    )


def _answerable(
    labelled: Sequence[PredictionServed], inputs: Sequence[Takes]
) -> tuple[list[PredictionServed], dict[str, int]]:
    """The rows in which each input was logged, and how many lack it, by input."""
    refused: Counter[str] = Counter()
    kept = []
    for one in labelled:
        row = Predicted(one).row
        absent = [column.name for column in inputs if not _has(row, column)]
        refused.update(absent)
        if not absent:
            kept.append(one)
    return kept, dict(refused)


def _has(row: Row, column: Takes) -> bool:
    """A number that may be missing and a text may be null: it was so when it was served."""
    return column.name in row and (row[column.name] is not None or column.datatype in ("FP64", "FP32", "BYTES"))


def _output(rows: Sequence[PredictionServed], predictor: Any) -> tuple[str, Task]:
    given = {column.name for column in predictor.signature.outputs}
    found = [name for name in _TASKS if name in given and all(name in one.outputs for one in rows)]
    if not found:
        raise InvalidInput(
            f"the candidate gives {', '.join(sorted(given))} and the log has {', '.join(sorted(rows[0].outputs))}; "
            f"expected one of {' or '.join(_TASKS)} in both"
        )
    return found[0], _TASKS[found[0]]


def _predicted(predictor: Any, rows: Sequence[PredictionServed], output: str) -> npt.NDArray[np.float64]:
    names = [column.name for column in predictor.signature.inputs]
    found: list[float] = []
    for start in range(0, len(rows), _BATCH):
        given = [Predicted(one).row for one in rows[start : start + _BATCH]]
        asked = [{name: row[name] for name in names} for row in given]
        found += [float(np.ravel(answer[output])[0]) for answer in predictor.predict(asked)]
    return np.array(found, np.float64)


def _answers(task: Task, actual: npt.NDArray[np.float64], said: npt.NDArray[np.float64]) -> Answers:
    if task is Task.REGRESSION:
        return Answers(task=task, classes=(), actual=actual, predicted=said)
    if not np.isin(actual, (0.0, 1.0)).all():
        raise InvalidInput(f"the outcomes have the labels {sorted(set(actual.tolist()))[:5]}; expected 0 and 1")
    decided = (said >= 0.5).astype(np.int64)
    return Answers(task=task, classes=(0, 1), actual=actual.astype(np.int64), predicted=decided, probability=said)


def _units(rows: Sequence[PredictionServed]) -> Units:
    """Rows of a day, or about one entity, depend on each other: they are drawn together."""
    days, found = pd.factorize(np.array([one.as_of_ms // DAY_MS for one in rows]))
    if len(found) >= FEW_DAYS:
        return Units(days, len(found), "days")
    entities, found = pd.factorize(np.array([one.entity for one in rows], dtype=object))
    return Units(entities, len(found), "entities")


def _by_day(rows: Sequence[PredictionServed], judged: Sequence[Judged]) -> tuple[str, tuple[Day, ...]]:
    (name, candidate), (_, live) = (losses(one.answers) for one in judged)
    days = np.array([one.as_of_ms // DAY_MS for one in rows])
    found = []
    for day in np.unique(days):
        chosen = days == day
        text = datetime.fromtimestamp(int(day) * DAY_MS / 1000, UTC).strftime("%Y-%m-%d")
        found.append(Day(text, int(chosen.sum()), float(candidate[chosen].mean()), float(live[chosen].mean())))
    return name, tuple(found)
