"""A partitioned model as one fitted pipeline, so that it is evaluated like any other. Pure."""

from dataclasses import dataclass

import numpy as np

from bighead.pipeline.segments.result import Segmented
from bighead.pipeline.training_set import Task, TrainingSet
from bighead.pipeline.wrapped import FittedPipeline, Rows, Values, steps_of


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RoutedPipeline(FittedPipeline):
    """Each row is answered by the model of its segment, as the model server chooses; `estimator` is that of all rows.

    The rows that it answers have the columns of the levels beside the inputs.
    """

    segmented: Segmented

    def answered(self, rows: Rows, method: str) -> Values:
        """What `method` of each row's own model gives."""
        found, columns = super().answered(rows, method), self.typed(rows)
        by = self.segmented.answered_by(rows.rows if isinstance(rows, TrainingSet) else rows)
        for segment, model in self.segmented.models.items():
            here = by == segment
            if here.any():
                found[here] = np.asarray(getattr(model.estimator, method)(columns[here]))
        return found


def routed(segmented: Segmented, task: Task, rows: TrainingSet) -> RoutedPipeline:
    """The partitioned model that was trained on `rows`."""
    return RoutedPipeline.of(steps_of(segmented.whole.estimator), task, rows, segmented=segmented)
