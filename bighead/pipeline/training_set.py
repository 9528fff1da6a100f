"""A training set: rows with labels, where they lie, and where each column comes from. Reads and writes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bighead.charts.svg import number
from bighead.charts.words import Table
from bighead.errors import ModelError
from bighead.events.types import Tensor
from bighead.notebook import display
from bighead.pipeline.tensors import check_inputs, frame
from bighead.times import FIRST_MS, LAST_MS

_FIRST, _LOOKED_AT = 4, 100
_SEVERAL = (list, tuple, set, dict, np.ndarray)


class Task(StrEnum):
    """What is predicted."""

    BINARY = "binary_classification"
    MULTICLASS = "multiclass_classification"
    REGRESSION = "regression"
    OUTLIERS = "outlier_detection"
    CLUSTERS = "clustering"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSource:
    """Where an input comes from.

    kind: 'feature' (of a GroupBy), 'derivation' (of a Join, from the columns in `of`), 'request' or 'column'. The rest
    is what the Join's definition says of a feature: the topic and table of its events, the columns that its value and
    its filter read, the group with its keys, the operation and its window.
    """

    kind: str
    of: tuple[str, ...] = ()
    topic: str = ""
    table: str = ""
    columns: tuple[str, ...] = ()
    group: str = ""
    keys: tuple[str, ...] = ()
    operation: str = ""
    window: str = ""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class TrainingSet(display.Displayed):
    """Examples to learn from or to test on.

    rows: one for each example, with a column for each of `inputs` and those that the other fields name.
    label: column of what is to be predicted; empty where nothing is (outliers, clusters).
    time: column of the time as of which the inputs hold, milliseconds since the epoch, UTC; empty if unknown.
    known: column of the time from which the label was known, likewise; empty if unknown.
    entities: columns that say whom a row is about.
    origin: where the rows lie, as a record's training data says it: table, version, sources, positions.
    sources: where each input comes from, by its name.
    """

    name: str
    rows: pd.DataFrame
    inputs: tuple[Tensor, ...]
    label: str
    time: str = ""
    known: str = ""
    entities: tuple[str, ...] = ()
    join: str = ""
    join_epoch: int | None = None
    join_hash: str | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, ColumnSource] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_inputs(self.inputs)
        if not isinstance(self.rows, pd.DataFrame):
            raise ModelError(
                f"the rows of {self.name!r} are {type(self.rows).__name__}; expected a pandas DataFrame, whose columns "
                "have names"
            )
        if not len(self.rows):
            raise ModelError(f"the training set {self.name!r} has no rows; check its time range and filters")
        self._check_columns()
        for column in (*(tensor.name for tensor in self.inputs), *([self.label] if self.label else [])):
            _check_single(f"the column {column!r} of {self.name!r}", self.rows[column])
        if self.label and self.rows[self.label].dtype.kind in "mMc":
            raise ModelError(
                f"the label {self.label!r} of {self.name!r} is {self.rows[self.label].dtype}; expected classes or "
                "numbers: make seconds of times"
            )
        for what, column in (("time", self.time), ("known", self.known)):
            if column:
                _check_times(f"the {what} {column!r} of {self.name!r}", self.rows[column])
        unlabelled = int(self.rows[self.label].isna().sum()) if self.label else 0
        if unlabelled:
            raise ModelError(
                f"the label {self.label!r} of {self.name!r} is null in {unlabelled} of {len(self.rows)} rows; leave "
                "out those whose outcome is not known"
            )

    def _check_columns(self) -> None:
        named = {"label": self.label, "time": self.time, "known": self.known}
        parts = {"input": [tensor.name for tensor in self.inputs], "entities": self.entities}
        given = [*named.items(), *((what, column) for what, columns in parts.items() for column in columns)]
        absent = [f"{what} {column!r}" for what, column in given if column and column not in self.rows.columns]
        if absent:
            has = ", ".join(map(str, self.rows.columns))
            raise ModelError(f"the training set {self.name!r} lacks its {', '.join(absent)}; it has {has}")
        repeated = set(self.rows.columns[self.rows.columns.duplicated()]) & {column for _, column in given}
        if repeated:
            raise ModelError(
                f"the rows of {self.name!r} have several columns called {', '.join(map(repr, sorted(repeated)))}; "
                "rename or drop all but one: rows.loc[:, ~rows.columns.duplicated()]"
            )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def columns(self) -> pd.DataFrame:
        """The inputs in order and in their types, as a pipeline sees them (`tensors.frame`)."""
        return frame(self.inputs, self.rows)

    @property
    def labels(self) -> npt.NDArray[Any]:
        """What is to be predicted, one for each row. Raises ModelError where there is no label."""
        if not self.label:
            raise ModelError(f"the training set {self.name!r} has no label")
        values: npt.NDArray[Any] = self.rows[self.label].to_numpy()
        return values.astype(np.int64) if values.dtype == np.bool_ else values

    def only(self, kept: npt.NDArray[np.bool_], name: str = "") -> "TrainingSet":
        """The rows for which `kept` is true, in order."""
        return replace(self, rows=self.rows[np.asarray(kept)], name=name or self.name)

    def with_inputs(self, inputs: tuple[Tensor, ...]) -> "TrainingSet":
        """The same rows with other inputs."""
        return replace(self, inputs=inputs)

    def describe(self) -> str:
        """Itself in a sentence: rows, label, times."""
        told = [f"{len(self):,} rows", f"{len(self.inputs)} inputs"]
        if self.label:
            told.append(f"label {self.label} ({_labels(self.labels)})")
        if self.time:
            asked = self.rows[self.time]
            told.append(f"asked from {_day(asked.min())} to {_day(asked.max())}")
        return ", ".join(told)

    def _repr_html_(self) -> str:
        return display.shown(
            f"Training set {self.name}", display.paragraph(self.describe()), display.table(self._head())
        )

    def __str__(self) -> str:
        return f"Training set {self.name}: {self.describe()}\n\n{display.text_table(self._head())}"

    def _head(self) -> Table:
        """The first rows, an input in each line: there are more columns than fit beside each other."""
        rows = self.rows[[tensor.name for tensor in self.inputs]].head(_FIRST)
        return Table(
            ("input", "type", "from", *(f"row {index}" for index in rows.index)),
            tuple((one.name, one.type, one.source, *map(_cell, rows[one.name])) for one in self.inputs),
        )


def _check_single(what: str, values: pd.Series) -> None:
    """Raises ModelError where a value holds several; the first rows tell."""
    if values.dtype != np.object_:
        return
    several = next((one for one in values.iloc[:_LOOKED_AT] if isinstance(one, _SEVERAL)), None)
    if several is not None:
        raise ModelError(
            f"{what} holds a {type(several).__name__} in each row; expected one value: make a column of each that the "
            "model is to see"
        )


def _check_times(what: str, times: pd.Series) -> None:
    """Raises ModelError for anything but numbers, none missing, that a calendar has as milliseconds."""
    expected = "expected milliseconds since the epoch, UTC"
    if not pd.api.types.is_numeric_dtype(times.dtype) or pd.api.types.is_bool_dtype(times.dtype):
        dates = "pd.to_datetime(rows[...], utc=True).dt.as_unit('ms').astype('int64')"
        raise ModelError(f"{what} is {times.dtype}; {expected}: {dates} makes them of dates")
    missing = int(times.isna().sum())
    if missing:
        raise ModelError(f"{what} is null in {missing} of {len(times)} rows; leave out those, or fill them in")
    beyond = times[(times < FIRST_MS) | (times > LAST_MS)]
    if len(beyond):
        raise ModelError(f"{what} is {beyond.iloc[0]} in the row {beyond.index[0]}; {expected}, to the year 9999")


def _labels(labels: npt.NDArray[Any]) -> str:
    values, counts = np.unique(labels.astype(str) if labels.dtype == np.object_ else labels, return_counts=True)
    if len(values) <= 5:
        return ", ".join(f"{value}: {_share(count, len(labels))}" for value, count in zip(values, counts, strict=True))
    return f"{len(values)} values" if labels.dtype == np.object_ else f"mean {number(float(labels.mean()))}"


def _share(count: int, rows: int) -> str:
    """In percent, where so few or so many would be 0.0% or 100.0% as a number of rows."""
    told = f"{count / rows:.1%}"
    return f"{count:,} of {rows:,}" if told in ("0.0%", "100.0%") and count < rows else told


def _day(at_ms: Any) -> str:
    return str(np.datetime64(int(at_ms), "ms").astype("datetime64[D]"))


def _cell(value: Any) -> str:
    if pd.isna(value):
        return "–"
    return number(float(value)) if isinstance(value, float | np.floating) else str(value)
