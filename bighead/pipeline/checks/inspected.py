"""A split as checks look at it: typed columns, the label as a number, samples with a seed. Reads and writes nothing.

What several checks need is made once and kept, so that all checks together take seconds on 300,000 rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import get_tags

from bighead.errors import ModelError
from bighead.features.served import ServedDefinitions
from bighead.pipeline.splits import Split
from bighead.pipeline.tensors import FLOATS, frame
from bighead.pipeline.training_set import TrainingSet

SAMPLED = 10_000
"""Rows that statistics of one column look at: an AUC near 0.99 over half as many is known to 0.002."""
MOST_CLASSES = 20
"""Whole numbers with more distinct values than this are amounts, not classes, unless the estimator says otherwise."""
SEED = 7
FIRST_ROWS = 1_000
"""Rows that are looked at before all are."""

Kept = TypeVar("Kept")


@dataclass(frozen=True, eq=False)
class Inspected:
    """A split, the estimator that is to be trained on it and what is served now, where they are given."""

    split: Split
    estimator: Any = None
    served: ServedDefinitions | None = None
    _kept: dict[str, Any] = field(default_factory=dict, repr=False)
    _texts: dict[str, npt.NDArray[Any]] = field(default_factory=dict, repr=False)
    _typed: dict[tuple[str, str], npt.NDArray[Any] | ModelError] = field(default_factory=dict, repr=False)

    @property
    def train(self) -> TrainingSet:
        """What is trained on."""
        return self.split.train

    @property
    def test(self) -> TrainingSet:
        """What is tested on."""
        return self.split.test

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The inputs that hold what they are declared to, in both parts; only those are looked at further."""
        return tuple(one.name for one in self.train.inputs if not self.unusable(one.name))

    def unusable(self, name: str) -> str:
        """Why an input cannot be read in its declared type; empty where it can."""
        for part in ("train", "test"):
            found = self._column(part, name)
            if isinstance(found, ModelError):
                return str(found)
        return ""

    def train_values(self, name: str) -> npt.NDArray[Any]:
        """An input of the training part: float64 with NaN where missing, or of texts their int64 codes, see `texts`."""
        return self._known("train", name)

    def test_values(self, name: str) -> npt.NDArray[Any]:
        """The same of the test part."""
        return self._known("test", name)

    def is_text(self, name: str) -> bool:
        """Whether an input is declared as text."""
        return bool(self._tensors[name].type == "BYTES")

    def texts(self, name: str) -> npt.NDArray[Any]:
        """What the codes of a text stand for, by code, in both parts; that of a missing one is -1."""
        self.train_values(name)
        return self._texts[name]

    def said(self, name: str, value: Any) -> str:
        """One value of an input, as a message shows it."""
        if self.is_text(name):
            return repr(self.texts(name)[int(value)]) if value >= 0 else "missing"
        return f"{float(value)!r}"

    def missing_share(self, part: str, name: str) -> float:
        """How many of an input's values are missing, as a share of the rows of "train" or "test"."""

        def share() -> float:
            return float(self.missing(self._known(part, name)).mean())

        return self.once(f"missing {part} {name}", share)

    def one_value(self, name: str) -> bool:
        """Whether every training row holds the same value of an input, none of them missing."""
        values = self.train_values(name)
        first = values[:FIRST_ROWS] == values[:1]  # most columns have a second value here: the rest is not read
        return bool(len(values) > 1 and first.all() and (values == values[0]).all() and not self.missing(values[:1])[0])

    def missing(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which values are missing: NaN, or the code of no text."""
        return np.asarray(values < 0 if values.dtype == np.int64 else np.isnan(values), np.bool_)

    @cached_property
    def classes(self) -> npt.NDArray[Any] | None:
        """The classes of the training part's label; None where an amount or nothing is predicted."""
        kind = _kind(self.estimator)
        if not self.train.label or kind == "regressor":
            return None
        labels = self.train.labels
        distinct: npt.NDArray[Any] = pd.unique(labels)
        if kind == "classifier" or labels.dtype.kind not in "fiu":
            return distinct
        whole = bool(np.all(np.isfinite(distinct)) and np.all(distinct == np.round(distinct)))
        return distinct if whole and len(distinct) <= MOST_CLASSES else None

    @cached_property
    def sample(self) -> npt.NDArray[np.int64]:
        """Places of some training rows, by their time where they have one, else in random order."""
        random = np.random.default_rng(SEED)
        places = random.permutation(len(self.train))[:SAMPLED].astype(np.int64)
        if not self.train.time:
            return places
        times = self.train.rows[self.train.time].to_numpy()[places]
        return np.asarray(places[np.argsort(times, kind="stable")], np.int64)

    @cached_property
    def codes(self) -> npt.NDArray[np.int64]:
        """The training part's labels, numbered by class."""
        return np.asarray(pd.factorize(self.train.labels)[0], np.int64)

    def once(self, what: str, make: Callable[[], Kept]) -> Kept:
        """What several checks look at, made by the first."""
        if what not in self._kept:
            self._kept[what] = make()
        kept: Kept = self._kept[what]
        return kept

    @cached_property
    def _tensors(self) -> dict[str, Any]:
        return {one.name: one for one in self.train.inputs}

    def _known(self, part: str, name: str) -> npt.NDArray[Any]:
        found = self._column(part, name)
        if isinstance(found, ModelError):
            raise found
        return found

    def _column(self, part: str, name: str) -> npt.NDArray[Any] | ModelError:
        if (part, name) not in self._typed:
            read = self._read_texts if self.is_text(name) else self._read_numbers
            read(name)
        return self._typed[part, name]

    def _read_texts(self, name: str) -> None:
        """Texts of both parts share their codes; an empty one is missing, as a model is given it."""
        values = pd.concat([self.train.rows[name], self.test.rows[name]], ignore_index=True)
        codes, texts = pd.factorize(values)
        self._texts[name] = np.asarray(texts, np.object_)
        empty = np.flatnonzero(self._texts[name] == "")
        found = np.where(np.isin(codes, empty), -1, codes).astype(np.int64) if len(empty) else codes.astype(np.int64)
        self._typed["train", name], self._typed["test", name] = np.split(found, [len(self.train)])

    def _read_numbers(self, name: str) -> None:
        tensor = self._tensors[name]
        for part, rows in (("train", self.train.rows), ("test", self.test.rows)):
            try:
                plain = tensor.type in FLOATS and rows[name].dtype == np.float64
                values = rows[name] if plain else frame((tensor,), rows)[name]
                self._typed[part, name] = values.to_numpy().astype(np.float64, copy=False)
            except ModelError as error:
                self._typed[part, name] = error


def _kind(estimator: Any) -> str | None:
    """Whether an estimator says that it is a classifier or a regressor; None where it does not say."""
    try:
        kind: str | None = get_tags(estimator).estimator_type
    except (AttributeError, TypeError):  # none is given, or one that only looks like scikit-learn's
        return None
    return kind
