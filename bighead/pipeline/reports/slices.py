"""On whom a model is bad: the mean loss within each value of each column, and which are worse than the rest. Pure.

Looking at hundreds of slices, some look bad by chance. The intervals hold for all of them at once: each is as wide as
the largest studentised deviation of all slices in one resample (Westfall and Young 1993; Romano and Wolf 2005), and
wider for few units (`bootstrap.widened`).
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from bighead.charts.evaluation import Measure, Slice, Slices
from bighead.charts.svg import number
from bighead.errors import ModelError
from bighead.pipeline.reports.answers import Answers, Numbers, Values
from bighead.pipeline.reports.bootstrap import Resampling, Units, widened
from bighead.pipeline.reports.metrics import losses
from bighead.pipeline.training_set import TrainingSet

SHOWN, MOST_VALUES, BINS, WHOLE = 15, 30, 5, 12
MISSING, OTHERS = "(missing)", "(others)"
_MOST_NAME = 200


@dataclass(frozen=True, eq=False)
class _Column:
    """One column's slices: the place of each row's slice, from 0 on, and what the slices are called."""

    name: str
    places: Values
    values: tuple[str, ...]


def worst_slices(
    answers: Answers, rows: TrainingSet, columns: Sequence[str], units: Units, how: Resampling, least_rows: int
) -> Slices | None:
    """The slices of `rows` by these columns that are worst; None where there is none with so many rows."""
    found = [_column(name, rows) for name in columns]
    measured, loss = losses(answers)
    sides = [_sides(one, len(answers), least_rows) for one in found]
    member = sparse.vstack([side for _, side in sides], format="csr") if sides else None
    if member is None or not member.shape[0]:
        return None
    names = [name for some, _ in sides for name in some]
    differences, errors, reach = _compared(member, loss, units, how)
    sizes = np.asarray(member.sum(axis=1)).ravel()
    means = member @ loss / sizes
    bias = member @ (_predicted(answers) - answers.actual) / sizes if len(answers.classes) < 3 else None
    least = differences - (reach * errors if np.isfinite(reach) else 0.0)
    order = [place for place in np.argsort(-least) if differences[place] > 0]
    worst = tuple(
        Slice(
            column=names[place][0],
            value=names[place][1],
            rows=int(sizes[place]),
            loss=float(means[place]),
            difference=_measure(measured, differences[place], reach * errors[place]),
            bias=None if bias is None else float(bias[place]),
        )
        for place in order[:SHOWN]
    )
    return Slices(measured=measured, looked_at=len(names), least_rows=least_rows, worst=worst)


def _measure(name: str, value: float, half: float) -> Measure:
    known = bool(np.isfinite(half))
    low, high = (float(value - half), float(value + half)) if known else (None, None)
    return Measure(name=name, value=float(value), low=low, high=high, higher_is_better=False)


def _predicted(answers: Answers) -> Numbers:
    return answers.predicted if answers.probability is None else answers.probability


def _compared(
    member: sparse.csr_matrix, loss: Numbers, units: Units, how: Resampling
) -> tuple[Numbers, Numbers, float]:
    """Of each slice the loss beyond the rest and its standard error, and how many of them an interval reaches out."""
    to_units = sparse.csr_matrix((np.ones(len(loss)), (np.arange(len(loss)), units.places)), (len(loss), units.count))
    sizes, sums = (member @ to_units).T.tocsr(), (member.multiply(loss) @ to_units).T.tocsr()
    totals = np.column_stack([to_units.T @ np.ones(len(loss)), to_units.T @ loss])
    drawn = np.concatenate(list(_differences(sizes, sums, totals, units.drawn(how))))
    own = next(_differences(sizes, sums, totals, iter([np.ones((1, units.count))])))[0]
    errors = np.nanstd(drawn, axis=0, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        largest = np.nanmax(np.where(errors > 0, np.abs(drawn - own) / errors, 0.0), axis=1)
    reach = widened(float(np.quantile(largest, how.level)), units.count) if units.count > 1 else float("nan")
    return own, errors, reach


def _differences(
    sizes: sparse.csr_matrix, sums: sparse.csr_matrix, totals: Numbers, drawn: Iterator[Numbers]
) -> Iterator[Numbers]:
    """[b, slices] of each part of the resamples; sizes, sums: [units, slices]; totals: rows and loss of each unit."""
    for counts in drawn:
        rows, loss = counts @ sizes, counts @ sums
        every = counts @ totals
        with np.errstate(invalid="ignore", divide="ignore"):
            yield loss / rows - (every[:, 1:] - loss) / (every[:, :1] - rows)


def _sides(column: _Column, rows: int, least: int) -> tuple[list[tuple[str, str]], sparse.csr_matrix]:
    """The slices of a column that are large enough and leave as many others: their names, and who is in them."""
    sizes = np.bincount(column.places, minlength=len(column.values))
    kept = np.flatnonzero((sizes >= least) & (rows - sizes >= least))
    member = sparse.csr_matrix((np.ones(rows), (column.places, np.arange(rows))), (max(len(column.values), 1), rows))
    return [(column.name, column.values[place]) for place in kept], member[kept]


def _column(name: str, rows: TrainingSet) -> _Column:
    if name not in rows.rows.columns:
        raise ModelError(f"{rows.name!r} has no column {name!r} to slice by; it has {', '.join(rows.rows.columns)}")
    values = rows.rows[name]
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        return _texts(name, values)
    return _numbers(name, values.to_numpy(np.float64, na_value=np.nan))


def _texts(name: str, values: pd.Series) -> _Column:
    texts = values.map(lambda one: str(one)[:_MOST_NAME], na_action="ignore").astype(np.object_)
    texts = texts.where(values.notna() & (texts != ""), MISSING)
    frequent = texts.value_counts().index[:MOST_VALUES]
    places, found = pd.factorize(texts.where(texts.isin(frequent), OTHERS))
    return _Column(name, places, tuple(map(str, found)))


def _numbers(name: str, values: Numbers) -> _Column:
    """A slice for each of a few whole numbers, else for each fifth of the rows."""
    known = values[np.isfinite(values)]
    distinct = np.unique(known)
    if len(distinct) <= WHOLE:
        places = np.searchsorted(distinct, values)
        names = [number(one) for one in distinct]
    else:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)))
        places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
        names = [f"{number(low)} to {number(high)}" for low, high in itertools.pairwise(edges)]
    places = np.where(np.isfinite(values), places, len(names))
    return _Column(name, places, (*names, MISSING))
