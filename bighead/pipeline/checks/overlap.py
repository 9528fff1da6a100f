"""What training and test share: times, rows and entities; and rows that training has twice."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from bighead.pipeline.checks.finding import Seen, Severity, rule
from bighead.pipeline.checks.inspected import Inspected
from bighead.pipeline.training_set import TrainingSet

TWICE = 0.05
"""Share of training rows that are there twice from which the rows are repeated and not alike by chance."""
UNLIKE = 0.95
"""Share of distinct rows from which equal rows are the same row: below it, few values make rows alike by chance."""


@rule(
    "BH010",
    "the test begins before training ends",
    Severity.WARNING,
    why="neighbours in time share what happened, so the test looks better than the model will be",
    fix="split by time: bighead.pipeline.splits.by_time",
)
def time_shared(seen: Inspected) -> Iterator[Seen]:
    """A test row is asked about before the last training row is, or before its outcome is known."""
    train, test = seen.train, seen.test
    if not train.time or train.time not in test.rows.columns:
        return
    begins = int(test.rows[train.time].min())
    asked = int((train.rows[train.time] >= begins).sum())
    known = int((train.rows[train.known] > begins).sum()) if train.known else 0
    if asked or known:
        late = f", and the outcome of {known} was known only then" if known else ""
        yield Seen(f"{asked} of {len(train)} training rows are asked about after the test begins{late}", (train.time,))


@rule(
    "BH011",
    "rows that are in both parts",
    Severity.ERROR,
    why="the model is tested on what it has learned by heart",
    fix="drop repeated rows before the split; look for a join that multiplies them",
)
def rows_shared(seen: Inspected) -> Iterator[Seen]:
    """Rows with the same entities, time, label and inputs.

    Rows that do not name entities and time may be alike by chance: they count where nearly all rows of training are
    unlike, and up to 5% of the test are a note.
    """
    alike = _alike(seen)
    trained = alike[: len(seen.train)]
    shared = int(np.isin(alike[len(seen.train) :], trained[trained >= 0]).sum())
    says_which = _says_which(seen.train)
    if shared and (says_which or _repeated(trained) <= (1 - UNLIKE) * len(trained)):
        by_chance = not says_which and shared <= TWICE * len(seen.test)
        severity = Severity.NOTE if by_chance else Severity.ERROR
        yield Seen(f"{shared} of {len(seen.test)} test rows are training rows too", severity=severity)


@rule(
    "BH012",
    "rows that are there twice",
    Severity.WARNING,
    why="what is repeated weighs more in training, and is on both sides of every random split",
    fix="drop repeated rows; look for a join that multiplies them",
)
def rows_repeated(seen: Inspected) -> Iterator[Seen]:
    """More than 5% of the training rows repeat another in its entities, time, label and inputs."""
    repeated = _repeated(_alike(seen)[: len(seen.train)]) if _says_which(seen.train) else 0
    if repeated > TWICE * len(seen.train):
        yield Seen(f"{repeated} of {len(seen.train)} training rows repeat another")


@rule(
    "BH013",
    "entities that are in both parts",
    Severity.WARNING,
    why="rows of one entity are alike: the test measures how well the model knows these entities, not new ones",
    fix="split by entity, so that each is in one part, or by time where the rows have one",
)
def entities_shared(seen: Inspected) -> Iterator[Seen]:
    """Rows that name entities and no time: more than 5% of the test rows are about an entity of training."""
    train, test = seen.train, seen.test
    if train.time or not train.entities:
        return
    names = list(train.entities)
    known = pd.util.hash_pandas_object(train.rows[names], index=False).to_numpy()
    asked = pd.util.hash_pandas_object(test.rows[names], index=False).to_numpy()
    shared = float(np.isin(asked, known).mean())
    if shared > TWICE:
        yield Seen(f"{shared:.1%} of the test rows are about an entity that training has", train.entities)


def _says_which(part: TrainingSet) -> bool:
    """Whether a row says whom and when it is about, so that two equal ones are one."""
    return bool(part.time and part.entities)


def _repeated(alike: npt.NDArray[np.int64]) -> int:
    """How many rows are like one before them."""
    found = alike[alike >= 0]
    return len(found) - len(np.unique(found))


def _alike(seen: Inspected) -> npt.NDArray[np.int64]:
    """The rows of training and test, numbered so that equal ones have one number; -1 for those unlike all others."""
    return seen.once("rows", lambda: numbered((seen.train.rows, seen.test.rows), _names(seen.train)))


def _names(part: TrainingSet) -> list[str]:
    """What a row says, in an order in which few columns tell most rows apart."""
    inputs = (tensor.name for tensor in part.inputs)
    return [name for name in dict.fromkeys((part.time, *part.entities, part.label, *inputs)) if name]


def numbered(parts: Sequence[pd.DataFrame], names: Sequence[str]) -> npt.NDArray[np.int64]:
    """The rows of all parts: column after column is read for those rows alone that are still like another."""
    count = sum(map(len, parts))
    places = np.arange(count)
    numbers = np.zeros(count, np.int64)
    for name in names:
        values = pd.concat([part[name] for part in parts], ignore_index=True).iloc[places]
        codes = pd.factorize(values, use_na_sentinel=False)[0]
        numbers = pd.factorize(numbers * (int(codes.max()) + 1) + codes)[0] if numbers.any() else codes
        alike = np.bincount(numbers)[numbers] > 1
        places, numbers = places[alike], numbers[alike]
        if not len(places):
            break
    found = np.full(count, -1, np.int64)
    found[places] = numbers
    return found
