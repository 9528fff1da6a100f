"""Some rows as they are before and behind each step of a fitted pipeline, each with the names of its columns. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline as Steps

from bighead.charts.words import Table
from bighead.errors import ModelError
from bighead.notebook import display
from bighead.pipeline.through import made_by

MOST_ROWS = 100
_SHOWN_COLUMNS = 40


@dataclass(frozen=True, eq=False, repr=False)
class States(display.Displayed):
    """By step what is behind it, in order: 'inputs' first, then each transformer, last what the model answers."""

    tables: Mapping[str, pd.DataFrame]

    def before(self, step: str) -> pd.DataFrame:
        """What goes into a step."""
        names = list(self.tables)
        return self.tables[names[names.index(step) - 1]]

    def after(self, step: str) -> pd.DataFrame:
        """What comes out of it."""
        return self.tables[step]

    def _repr_html_(self) -> str:
        parts = [part for name, rows in self.tables.items() for part in (display.heading(name), _html(rows))]
        return display.shown("Rows through the pipeline", *parts)

    def __str__(self) -> str:
        return "\n\n".join(f"{name}\n{display.text_table(_table(rows))}" for name, rows in self.tables.items())


def states_of(estimator: Steps, rows: pd.DataFrame, answer: pd.DataFrame) -> States:
    """rows: typed, at most `MOST_ROWS`; answer: what the model says of them."""
    if len(rows) > MOST_ROWS:
        raise ModelError(f"the states of {len(rows)} rows were asked for; choose at most {MOST_ROWS}")
    tables, found = {"inputs": rows}, rows
    names = [str(name) for name in rows.columns]
    for name, step in estimator.steps[:-1]:
        made = made_by(step, names)
        found = found if step is None or isinstance(step, str) else step.transform(found)
        names = [one.name for one in made]
        tables[name] = _frame(found, names, rows.index)
    return States(tables | {estimator.steps[-1][0]: answer})


def _frame(values: Any, names: list[str], index: pd.Index) -> pd.DataFrame:
    if isinstance(values, pd.DataFrame):
        return values
    dense = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    named = names if len(names) == dense.shape[1] else [f"{place}" for place in range(dense.shape[1])]
    return pd.DataFrame(dense, columns=named, index=index)


def _table(rows: pd.DataFrame) -> Table:
    shown = rows.iloc[:, :_SHOWN_COLUMNS]
    columns = ("row", *map(str, shown.columns))
    cells = shown.map(lambda value: f"{value:.5g}" if isinstance(value, float | np.floating) else str(value))
    return Table(columns, tuple((str(row[0]), *row[1:]) for row in cells.itertuples(name=None)))


def _html(rows: pd.DataFrame) -> display.Html:
    hidden = rows.shape[1] - _SHOWN_COLUMNS
    return display.table(_table(rows), f"the first {_SHOWN_COLUMNS} of {rows.shape[1]} columns" if hidden > 0 else "")
