"""What a model answers for labelled rows, as metrics need it: classes by their place, probabilities by column."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bighead.errors import ModelError
from bighead.pipeline.training_set import Task, TrainingSet
from bighead.pipeline.wrapped import FittedPipeline

Values = npt.NDArray[Any]
Numbers = npt.NDArray[np.float64]
JUDGED = (Task.BINARY, Task.MULTICLASS, Task.REGRESSION)


@dataclass(frozen=True, eq=False, kw_only=True)
class Answers:
    """Rows with what was so and what was answered.

    actual, predicted: [N]; of classes the places in `classes`, else the values.
    probability: of two classes that of the second, [N]; of more [N, k]; None of values, and where a classifier gives
    none.
    """

    task: Task
    classes: tuple[Any, ...]
    actual: Values
    predicted: Values
    probability: Numbers | None = None

    def __len__(self) -> int:
        return len(self.actual)

    @property
    def places(self) -> list[int]:
        """The classes as `actual` has them."""
        return list(range(len(self.classes)))

    @property
    def chances(self) -> Numbers:
        """The probabilities; ModelError where there are none."""
        if self.probability is None:
            raise ModelError("these answers are decisions without probabilities")
        return self.probability

    def decided(self, threshold: float) -> "Answers":
        """The same rows with the second of two classes predicted from this probability on; others as they are."""
        if self.task is not Task.BINARY or self.probability is None:
            return self
        return replace(self, predicted=(self.probability >= threshold).astype(np.int64))

    def only(self, kept: Values) -> "Answers":
        """Some of the rows: kept is a mask, or places."""
        probability = None if self.probability is None else self.probability[kept]
        return replace(self, actual=self.actual[kept], predicted=self.predicted[kept], probability=probability)


def answers_of(model: FittedPipeline, rows: TrainingSet) -> Answers:
    """What the model answers for labelled rows; ModelError where nothing can be judged."""
    actual = actual_of(model, rows)
    if model.task is Task.REGRESSION:
        return Answers(task=model.task, classes=(), actual=actual, predicted=model.predict(rows).astype(np.float64))
    predicted = _places(model.predict(rows), model.classes, rows)
    probability = model.probability(rows) if hasattr(model.estimator, "predict_proba") else None
    return Answers(task=model.task, classes=model.classes, actual=actual, predicted=predicted, probability=probability)


def actual_of(model: FittedPipeline, rows: TrainingSet) -> Values:
    """The labels as `Answers.actual` has them."""
    if model.task not in JUDGED:
        raise ModelError(
            f"a model for {model.task} is not judged against labels; an evaluation is of {', '.join(JUDGED)}"
        )
    if model.task is Task.REGRESSION:
        return rows.labels.astype(np.float64)
    return _places(rows.labels, model.classes, rows)


def given(found: Any, like: Answers, name: str) -> Answers:
    """Answers that somebody brings: probabilities (of the second class, or [N, k]), or values, one for each row."""
    values = np.asarray(found, np.float64)
    wanted = like.actual.shape if like.probability is None else like.probability.shape
    if values.shape != wanted or not np.isfinite(values).all():
        raise ModelError(
            f"the answers of {name!r} are {values.shape} numbers, {int((~np.isfinite(values)).sum())} of them not "
            f"finite; expected {wanted}, all finite: one for each row of the test, in their order"
        )
    if like.task is Task.REGRESSION:
        return replace(like, predicted=values)
    if (values < 0).any() or (values > 1).any():
        raise ModelError(
            f"the answers of {name!r} go from {values.min():g} to {values.max():g}; expected probabilities"
        )
    predicted = (values >= 0.5).astype(np.int64) if values.ndim == 1 else values.argmax(axis=1)
    return replace(like, predicted=predicted, probability=values)


def _places(labels: Values, classes: tuple[Any, ...], rows: TrainingSet) -> Values:
    known = {label: place for place, label in enumerate(classes)}
    found = labels.tolist()
    unknown = sorted({str(label) for label in found if label not in known})
    if unknown:
        raise ModelError(
            f"{rows.name!r} has labels that the model was not trained on: {', '.join(unknown[:5])}; it knows "
            f"{', '.join(map(str, classes))}"
        )
    return np.array([known[label] for label in found], np.int64)
