"""What a model has to beat, answered for the same rows: a constant, the last value, the live model. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bighead.errors import ModelError
from bighead.pipeline.reports.answers import Answers, Numbers, actual_of, answers_of, given
from bighead.pipeline.splits import Split
from bighead.pipeline.training_set import Task
from bighead.pipeline.wrapped import FittedPipeline

CONSTANT = "constant"


@dataclass(frozen=True, eq=False)
class Beside:
    """Answers of a baseline, and what it is."""

    name: str
    what: str
    answers: Answers


def baselines_of(model: FittedPipeline, split: Split, tested: Answers, wanted: Mapping[str, Any]) -> list[Beside]:
    """The constant, and each that is named: by a column of the rows (the last value), as a model, or as answers.

    Answers are numbers for each row of the test in order: values, or the probability of the second class, or [N, k].
    """
    if CONSTANT in wanted:
        raise ModelError(f"{CONSTANT!r} is always among the baselines; give yours another name")
    return [_constant(model, split, tested), *(_named(name, one, split, tested) for name, one in wanted.items())]


def _constant(model: FittedPipeline, split: Split, tested: Answers) -> Beside:
    actual = actual_of(model, split.train)
    rows = len(tested)
    if tested.task is Task.REGRESSION:
        mean = float(actual.mean())
        return Beside(CONSTANT, f"always {mean:.6g}, the training mean", replace(tested, predicted=np.full(rows, mean)))
    shares = np.bincount(actual, minlength=len(tested.classes)) / len(actual)
    most = int(shares.argmax())
    if tested.probability is None:
        probability = None
    else:
        probability = np.full(rows, shares[1]) if tested.probability.ndim == 1 else np.tile(shares, (rows, 1))
    answers = replace(tested, predicted=np.full(rows, most), probability=probability)
    return Beside(CONSTANT, f"always the training shares, and {tested.classes[most]!s} as the class", answers)


def _named(name: str, one: Any, split: Split, tested: Answers) -> Beside:
    if isinstance(one, FittedPipeline):
        return Beside(name, "another model on the same rows", answers_of(one, split.test))
    if isinstance(one, str):
        return Beside(name, f"the column {one} as the answer", given(_last_value(one, split, tested), tested, name))
    return Beside(name, "answers that were given", given(one, tested, name))


def _last_value(column: str, split: Split, tested: Answers) -> Numbers:
    """A column as the answer; where it is missing the constant answers."""
    if column not in split.test.rows.columns:
        raise ModelError(
            f"{split.test.name!r} has no column {column!r} for a baseline; it has {', '.join(split.test.rows.columns)}"
        )
    if tested.task is Task.MULTICLASS:
        raise ModelError(f"the column {column!r} cannot be a baseline for more than two classes; give probabilities")
    values = split.test.rows[column].to_numpy(np.float64, na_value=np.nan)
    usual = split.train.labels
    constant = usual.mean() if tested.task is Task.REGRESSION else np.mean(usual == tested.classes[1])
    return np.asarray(np.where(np.isfinite(values), values, constant))
