"""A scikit-learn estimator over a training set: checked, fitted on a copy, and kept with the columns that it takes.

Nothing is read and nothing is registered here; conversion and its proof are those of `export` and `parity`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline as Steps

from bighead.errors import ModelError
from bighead.events.types import Tensor
from bighead.notebook import display
from bighead.notebook.progress import progress
from bighead.pipeline.export import export
from bighead.pipeline.failed_fit import failed_fit
from bighead.pipeline.fitness import check_estimator, checked_columns, task_of
from bighead.pipeline.foreign import Foreign
from bighead.pipeline.lineage import ColumnLineage, lineage_of
from bighead.pipeline.parity import ProvenModel, prove
from bighead.pipeline.states import States, states_of
from bighead.pipeline.tensors import frame
from bighead.pipeline.training_set import ColumnSource, Task, TrainingSet

Rows: TypeAlias = TrainingSet | pd.DataFrame
Values = npt.NDArray[Any]
_CLASSES = (Task.BINARY, Task.MULTICLASS)


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Any estimator with `fit` and `predict`, scikit-learn's Pipeline of them above all, and what it is to predict.

    task: found out from the estimator and the labels where it is left out. The estimator given here is never fitted
    itself: `fit` works on a copy, so that one Pipeline may be fitted to many training sets.
    """

    estimator: Any
    task: Task | None = None

    def __post_init__(self) -> None:
        check_estimator(self.estimator)
        if self.task is not None and not isinstance(self.task, Task):
            named = ", ".join(f"Task.{one.name}" for one in Task)
            raise ModelError(f"the task is {self.task!r}; expected one of {named}")

    def fit(self, rows: TrainingSet) -> "FittedPipeline":
        """The pipeline, fitted. Raises ModelError that names the step, and the column, that does not go."""
        if not isinstance(rows, TrainingSet):
            raise ModelError(
                f"fit takes a TrainingSet and received {type(rows).__name__}; give it split.train, or the frame with "
                "its label as TrainingSet(name=..., rows=frame, inputs=..., label=...)"
            )
        steps = clone(steps_of(self.estimator))
        task = task_of(steps, rows, self.task)
        columns = checked_columns(rows)
        labels = rows.labels if rows.label else None
        try:
            with progress(f"fitting {type(steps[-1]).__name__} to {len(rows):,} rows of {rows.name}"):
                steps.fit(columns, labels)
        except Exception as error:  # any estimator's own error; the step and the column are looked for
            raise failed_fit(steps, columns, labels, error) from error
        return FittedPipeline.of(steps, task, rows)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FittedPipeline(display.Displayed):
    """What `Pipeline.fit` made: the fitted steps, and what is known of the columns that they were fitted to.

    estimator: scikit-learn's Pipeline; of an estimator given alone its only step is called 'model'.
    inputs: the columns in order; rows: how many there were; the others as in the training set.
    """

    estimator: Steps
    task: Task
    inputs: tuple[Tensor, ...]
    training_set: str
    rows: int
    label: str = ""
    join: str = ""
    join_epoch: int | None = None
    join_hash: str | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, ColumnSource] = field(default_factory=dict)

    @classmethod
    def of(cls, estimator: Steps, task: Task, rows: TrainingSet, **more: Any) -> Self:
        """Steps that were fitted to the rows; more: what a kind of its own has beside."""
        return cls(
            estimator=estimator,
            task=task,
            inputs=rows.inputs,
            training_set=rows.name,
            rows=len(rows),
            label=rows.label,
            join=rows.join,
            join_epoch=rows.join_epoch,
            join_hash=rows.join_hash,
            origin=rows.origin,
            sources=rows.sources,
            **more,
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(tensor.name for tensor in self.inputs)

    @property
    def model(self) -> Any:
        """The last step: what predicts."""
        return self.estimator[-1]

    @property
    def classes(self) -> tuple[Any, ...]:
        """What a classifier tells apart, in the order of its probabilities; nothing of other models."""
        return tuple(np.asarray(getattr(self.estimator, "classes_", ())).tolist())

    def typed(self, rows: Rows) -> pd.DataFrame:
        """The inputs of `rows` in order and in their types; ModelError where one is absent or holds something else."""
        given = rows.rows if isinstance(rows, TrainingSet) else rows
        if not isinstance(given, pd.DataFrame):
            raise ModelError(
                f"the rows are {type(given).__name__}; expected a DataFrame, or a TrainingSet, with the columns "
                f"{', '.join(self.columns)}"
            )
        return frame(self.inputs, given)

    def predict(self, rows: Rows) -> Values:
        """One answer for each row: class, value, cluster, or 1 and -1 (an outlier)."""
        return self.answered(rows, "predict")

    def probability(self, rows: Rows) -> npt.NDArray[np.float64]:
        """Of two classes that of the second, [N]; of more one column for each of `classes`, [N, k]."""
        if self.task not in _CLASSES:
            raise ModelError(f"a pipeline for {self.task} gives no probabilities; call predict")
        if not hasattr(self.estimator, "predict_proba"):
            raise ModelError(
                f"the step {self.estimator.steps[-1][0]!r} ({type(self.model).__name__}) gives no probabilities; wrap "
                "it in CalibratedClassifierCV, or call predict"
            )
        found = self.answered(rows, "predict_proba").astype(np.float64)
        return found[:, 1] if self.task is Task.BINARY else found

    def answered(self, rows: Rows, method: str) -> Values:
        """What the steps' own `predict` or `predict_proba` gives for the rows."""
        return np.asarray(getattr(self.estimator, method)(self.typed(rows)))

    def prove(self, sample: Rows, tolerance: float | None = None) -> ProvenModel:
        """The pipeline as an ONNX model that answers like it on `sample` and on rows made to hurt; see `parity`."""
        rows = sample.rows if isinstance(sample, TrainingSet) else sample
        content = export(self.estimator, self.inputs, self.task)
        return prove(self.estimator, content, self.inputs, rows, task=self.task, tolerance=tolerance)

    def lineage(self, importance: Mapping[str, float] | None = None, measured: str = "") -> ColumnLineage:
        """The way of each column, from the topic of its events to the model.

        importance: of the inputs, and what it is in words; left out, that which the model itself has, if it has any.
        """
        return lineage_of(self.estimator, self.inputs, self.sources, self.join, importance, measured)

    def states(self, rows: Rows) -> States:
        """Some rows as they are before and behind each step; at most `states.MOST_ROWS`."""
        typed = self.typed(rows)
        answer = pd.DataFrame({"prediction": np.asarray(self.estimator.predict(typed))}, index=typed.index)
        if self.task in _CLASSES and hasattr(self.estimator, "predict_proba"):
            found = np.asarray(self.estimator.predict_proba(typed))
            answer[[f"probability of {one}" for one in self.classes]] = found
        return states_of(self.estimator, typed, answer)

    def _repr_html_(self) -> str:
        lineage = self.lineage()
        return display.shown(
            self._title,
            display.graph(lineage.graph()),
            display.folded("Where each input comes from", display.table(lineage.table())),
        )

    def __str__(self) -> str:
        return f"{self._title}\n\n{display.text_table(self.lineage().table())}"

    @property
    def _title(self) -> str:
        what = f"{type(self.model).__name__} for {self.task.replace('_', ' ')}"
        return f"{what}, fitted to {self.rows:,} rows of {self.training_set} with {len(self.inputs)} inputs"


def steps_of(estimator: Any) -> Steps:
    """The estimator as steps: one that is given alone becomes the only one, 'model'."""
    if isinstance(estimator, Steps):
        return estimator
    return Steps([("model", estimator if hasattr(estimator, "__sklearn_tags__") else Foreign(estimator))])
