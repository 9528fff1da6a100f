"""Trains a model for each segment that has enough rows, over processes or a cluster, and one of all rows for the rest.

Each model is fitted, converted and proven in one call that knows its rows alone, on one thread and with a seed of its
own: wherever they run, and however many at once, the bytes are the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import get_scorer_names

from bighead.errors import ModelError
from bighead.events.types import Tensor
from bighead.notebook.progress import progress
from bighead.pipeline.export import export
from bighead.pipeline.fitness import task_of
from bighead.pipeline.parallel import Common, Processes, Workers, derived
from bighead.pipeline.parity import prove
from bighead.pipeline.search.folds import Places
from bighead.pipeline.segments.grid import Answers, grid_of
from bighead.pipeline.segments.hierarchy import WHOLE, check_levels, members, thin
from bighead.pipeline.segments.result import Segmented, SegmentModel
from bighead.pipeline.splits import Split, check_split
from bighead.pipeline.training_set import Task
from bighead.pipeline.wrapped import steps_of
from bighead.registry.suggestions import did_you_mean

Make = Callable[[int], Any]
"""An unfitted estimator from a seed."""
PROVEN_ROWS = 200
"""Rows that occurred, per segment, on which its model is proven; the adversarial rows come on top."""


@dataclass(frozen=True, eq=False)
class Rows:
    """What all fits share: typed columns and labels of the training and of the test rows."""

    task: Task
    inputs: tuple[Tensor, ...]
    train: pd.DataFrame
    labels: npt.NDArray[Any]
    test: pd.DataFrame
    tolerance: float | None


@dataclass(frozen=True, eq=False)
class Fitted:
    """What one fit gave. model: None where it failed, as `error` says; answers: to the test rows of its segment."""

    model: SegmentModel | None
    answers: npt.NDArray[np.float64]
    error: str = ""


class Kept(Protocol):
    """What earlier attempts have fitted: from the same rows, code and seed, as whoever keeps it has to know."""

    def get(self, segment: str, /) -> Fitted | None:
        """What was kept of a segment."""

    def __setitem__(self, segment: str, fitted: Fitted, /) -> None:
        """Keeps it; called in this process as each is done."""


@dataclass(frozen=True, eq=False)
class _Task:
    """One model to be fitted: the places of its rows."""

    segment: str
    train: Places
    test: Places


def train_segments(
    split: Split,
    make: Make,
    *,
    levels: Sequence[str],
    min_rows: int,
    metrics: Sequence[str],
    seed: int,
    jobs: int = 1,
    task: Task | None = None,
    tolerance: float | None = None,
    tell: Callable[[str], None] = lambda segment: None,
    workers: Workers | None = None,
    kept: Kept | None = None,
) -> Segmented:
    """A model for each segment of the levels with `min_rows` training rows or more, and one of all rows.

    make: an estimator from a seed. levels: columns of the rows, the finest first; where a segment's data are thin, or
    cannot be trained on or proven, the next level answers for its rows, at last the model of all rows. metrics: names
    of scikit-learn's scorers, greater is better; by the first of them the grid is sorted. task and tolerance: as
    `Pipeline` and `prove` take them. tell: called in this process with the name of each segment that is done, WHOLE for
    all rows. workers: where the models are fitted, None: in `jobs` processes. kept: what need not be fitted again.

    Raises ModelError where an argument is unusable, and where the model of all rows cannot be trained or proven.
    """
    check_partition(split, levels, min_rows, metrics)
    train, test = split.train, split.test
    places, tested = members(train.rows, levels), members(test.rows, levels)
    left = thin(places, min_rows)
    # The largest first: a long fit that comes last would leave the other processes idle.
    wanted = sorted((name for name in places if name not in left), key=lambda name: -len(places[name]))
    none = np.zeros(0, np.intp)
    tasks = [_Task(WHOLE, np.arange(len(train)), np.arange(len(test)))]
    tasks += [_Task(name, places[name], tested.get(name, none)) for name in wanted]
    kind = task_of(steps_of(make(derived(seed, WHOLE))), train, task)
    rows = Rows(kind, train.inputs, train.columns, train.labels, test.columns, tolerance)
    where, before = workers or Processes(jobs), {} if kept is None else kept
    found = _fitted(make, rows, tasks, seed, where, before, tell)
    whole = found[WHOLE]
    if whole.model is None:
        raise ModelError(f"the model of all rows, which answers for what is in no segment: {whole.error}")
    found = {name: _alike(fitted, whole.model) for name, fitted in found.items()}
    models = {name: model for name in wanted if (model := found[name].model) is not None}
    left |= {name: found[name].error for name in wanted if name not in models}
    answers = {name: Answers(tested.get(name, none), found[name].answers) for name in models}
    return Segmented(
        levels=tuple(levels),
        min_rows=min_rows,
        how=split.how,
        whole=whole.model,
        models=models,
        left=left,
        grid=grid_of(split, levels, whole.model, whole.answers, answers, places, metrics, jobs),
    )


def _fitted(
    make: Make,
    rows: Rows,
    tasks: Sequence[_Task],
    seed: int,
    workers: Workers,
    kept: Kept,
    tell: Callable[[str], None],
) -> dict[str, Fitted]:
    """What each task gave, now or before; only models are kept: why there is none is quickly found out again."""
    found = {one.segment: before for one in tasks if (before := kept.get(one.segment)) is not None}
    missing = [one for one in tasks if one.segment not in found]
    if not missing:
        return found
    with workers.shared(rows) as data, progress("models of segments", len(missing)) as bar:
        calls = [(make, data, one.segment, one.train, one.test, derived(seed, one.segment)) for one in missing]
        for place, fitted in workers.each(fit, calls):
            segment = missing[place].segment
            found[segment] = fitted
            if fitted.model is not None:
                kept[segment] = fitted
            tell(segment)
            bar.advance(note=segment)
    return found


def fit(make: Make, data: Common[Rows], segment: str, train: Places, test: Places, seed: int) -> Fitted:
    """Fits, converts and proves the model of one segment. Runs in any process."""
    rows, started = data.get(), perf_counter()
    columns, tested = rows.train.iloc[train], rows.test.iloc[test]
    try:
        estimator = make(seed)
        estimator.fit(columns, rows.labels[train])
        sample = tested if len(tested) else columns
        spread = np.linspace(0, len(sample) - 1, min(PROVEN_ROWS, len(sample))).astype(np.intp)
        content = export(estimator, rows.inputs, rows.task)
        proven = prove(estimator, content, rows.inputs, sample.iloc[spread], task=rows.task, tolerance=rows.tolerance)
        answers = numbers(estimator, tested) if len(tested) else np.zeros(0)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is why another level answers for this segment
        return Fitted(None, np.zeros(0), f"{type(error).__name__}: {error}")
    return Fitted(SegmentModel(segment, len(train), seed, estimator, proven, perf_counter() - started), answers)


def numbers(estimator: Any, columns: pd.DataFrame) -> npt.NDArray[np.float64]:
    """The probabilities of its classes [N, k] where it has them, else what it predicts [N]."""
    answer = estimator.predict_proba if hasattr(estimator, "predict_proba") else estimator.predict
    return np.asarray(answer(columns), np.float64)


def _alike(fitted: Fitted, whole: SegmentModel) -> Fitted:
    """Rows of one request may be in several segments, and their answers are one table: the registry asks for that."""
    if fitted.model is None:
        return fitted
    classes, expected = (list(getattr(one.estimator, "classes_", ())) for one in (fitted.model, whole))
    outputs, wanted = fitted.model.proven.signature.outputs, whole.proven.signature.outputs
    if (classes, outputs) == (expected, wanted):
        return fitted
    return Fitted(None, np.zeros(0), f"it knows the classes {classes}, and the model of all rows {expected}")


def check_partition(split: Split, levels: Sequence[str], min_rows: int, metrics: Sequence[str]) -> None:
    """Raises ModelError where rows cannot be parted so, or measured so."""
    check_split(split)
    check_levels(levels, split.train.rows.columns)
    check_levels(levels, split.test.rows.columns)
    if min_rows < 1:
        raise ModelError(f"min_rows is {min_rows}; expected the training rows that a model of its own needs, from 1 on")
    if not metrics:
        raise ModelError("no metric for the grid of the segments; name one of scikit-learn's scorers, such as roc_auc")
    for metric in metrics:
        if metric not in get_scorer_names():
            raise ModelError(f"no metric is named {metric!r}{did_you_mean(metric, get_scorer_names())}")
