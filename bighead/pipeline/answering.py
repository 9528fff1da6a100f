"""What a pipeline itself says to rows that serving can meet, and to which of them it has nothing to say."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bighead.errors import ParityError
from bighead.pipeline.adversarial import BEYOND_NUMBERS
from bighead.pipeline.advice import after
from bighead.pipeline.causes import failing_step, first_line
from bighead.pipeline.outputs import Answers, answers_of, overflows, without_answer
from bighead.pipeline.tensors import json_values
from bighead.pipeline.training_set import Task

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Answered:
    """Typed rows with the kind of each and the estimator's answers; `unanswered` says why kinds are not among them."""

    rows: pd.DataFrame
    kinds: Sequence[str]
    answers: Answers
    unanswered: dict[str, str]


def answered(estimator: Any, task: Task, rows: pd.DataFrame, kinds: Sequence[str], columns: Sequence[str]) -> Answered:
    """Asks the estimator. To numbers beyond all bounds it may have no answer; to anything else it must.

    Raises ParityError that names the step, the column and the row where it fails.
    """

    def ask(places: Places) -> Answers:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return answers_of(estimator, task, rows.iloc[places])

    unanswered: dict[str, str] = {}
    asked: Places = np.arange(len(rows))
    try:
        answers = ask(asked)
    except Exception:  # noqa: BLE001 - any estimator's own error; which rows are at fault is found below
        given = np.array(kinds, object)
        beyond = np.isin(given, list(BEYOND_NUMBERS))
        _check_answered(estimator, rows, asked[~beyond], kinds, columns, ask)
        for kind in dict.fromkeys(given[beyond].tolist()):
            if told := _failure(ask, asked[given == kind]):
                unanswered[kind] = told
        asked = asked[~np.isin(given, list(unanswered))]
        answers = ask(asked)
    empty = without_answer(task, answers)
    with np.errstate(all="ignore"):
        huge = np.flatnonzero([kinds[place] in BEYOND_NUMBERS for place in asked.tolist()])
        empty[huge] |= overflows(estimator, rows.iloc[asked[huge]]) if len(huge) else False
    if empty.any():
        _check_numbers(rows, asked[empty], kinds)
        unanswered |= {kinds[place]: "what it computes of it is no finite number" for place in asked[empty].tolist()}
        answers = {name: values[~empty] for name, values in answers.items()}
        asked = asked[~empty]
    kept = rows.iloc[asked].reset_index(drop=True)
    return Answered(kept, [kinds[place] for place in asked.tolist()], answers, unanswered)


def _failure(ask: Callable[[Places], Answers], places: Places) -> str:
    """What the estimator raises for these rows; empty where it answers."""
    try:
        ask(places)
    except Exception as error:  # noqa: BLE001 - it is what is looked for
        return first_line(error)
    return ""


def _check_answered(
    estimator: Any,
    rows: pd.DataFrame,
    places: Places,
    kinds: Sequence[str],
    columns: Sequence[str],
    ask: Callable[[Places], Answers],
) -> None:
    """Raises for the first row that the estimator fails on, found by halves."""
    if not _failure(ask, places):
        return
    while len(places) > 1:
        half = len(places) // 2
        places = places[:half] if _failure(ask, places[:half]) else places[half:]
    place = int(places[0])
    row = rows.iloc[[place]]
    failure = _failure(ask, places)
    where = f"{kinds[place]} in column {columns[place]!r}" if columns[place] else kinds[place]
    raise ParityError(
        f"the pipeline itself fails on a row that serving can meet ({where}): "
        f"{failing_step(estimator, row)} says: {failure}; the row is {json_values(row, 0)}; {after(failure)}"
    )


def _check_numbers(rows: pd.DataFrame, places: Places, kinds: Sequence[str]) -> None:
    for place in places.tolist():
        if kinds[place] not in BEYOND_NUMBERS:
            raise ParityError(
                f"the pipeline answers no finite number to a row that serving can meet ({kinds[place]}): "
                f"{json_values(rows, place)}; impute what is missing, or use a model that takes it as it is"
            )
