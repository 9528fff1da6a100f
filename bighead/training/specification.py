"""What a training is to be: a user's own Python file that defines `training = Training(...)`. Nothing is read here."""

import hashlib
import importlib.util
import math
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from bighead.errors import BigheadError, DefinitionError
from bighead.pipeline.search import Choice, Real, Whole
from bighead.pipeline.search.space import document as space_document
from bighead.pipeline.splits import Split, at_random, by_time
from bighead.pipeline.tensors import DATATYPES
from bighead.pipeline.training_set import Task, TrainingSet
from bighead.times import time_ms

Make: TypeAlias = Callable[[Mapping[str, Any], int], Any]
"""An estimator that is not fitted, from parameters and a seed."""
_MOST_SOURCE_BYTES = 256 * 1024
_LABELLED = (Task.BINARY, Task.MULTICLASS, Task.REGRESSION)


@dataclass(frozen=True, kw_only=True)
class DeltaRows:
    """A training set by name: rows that `batch training-set` wrote for a Join, read by Spark.

    table: below the lake; version: of the table, None: the newest when the run reads it. where: a condition in Spark's
    SQL on its rows. request: datatype by name of the inputs that come with a request; features: of the Join's single
    values those that are inputs, all of them where it is empty. The others as in a TrainingSet.
    """

    join: str
    table: str
    label: str
    time: str
    version: int | None = None
    known: str = ""
    where: str = ""
    entities: tuple[str, ...] = ()
    request: Mapping[str, str] = field(default_factory=dict)
    features: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ParquetRows:
    """A file of examples, relative to the specification's; inputs: datatype by name. The others as in a TrainingSet."""

    path: str
    inputs: Mapping[str, str]
    label: str = ""
    time: str = ""
    known: str = ""
    entities: tuple[str, ...] = ()


Rows: TypeAlias = DeltaRows | ParquetRows | Callable[[], TrainingSet]


@dataclass(frozen=True, kw_only=True)
class ByTime:
    """Tests on what was asked in [test_from, test_to), trains on what was known before; ISO 8601, UTC, or ms."""

    test_from: str
    test_to: str = ""

    def split(self, rows: TrainingSet, seed: int) -> Split:
        """The two parts."""
        end = time_ms(self.test_to, "test_to") if self.test_to else None
        return by_time(rows, time_ms(self.test_from, "test_from"), end)


@dataclass(frozen=True, kw_only=True)
class AtRandom:
    """Tests on a share of the rows by the training's seed; warns where the rows have a time."""

    test_share: float = 0.25

    def split(self, rows: TrainingSet, seed: int) -> Split:
        """The two parts."""
        return at_random(rows, self.test_share, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """A search for parameters: see `bighead.pipeline.search.search`. metric: one of scikit-learn's scorers."""

    space: Mapping[str, Real | Whole | Choice]
    metric: str
    trials: int
    seconds: float = math.inf
    folds: int = 3
    jobs: int = 1


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A model for each segment of the rows: see `bighead.pipeline.segments.train_segments`.

    levels: columns of the rows, the finest first; requests have to bring them, as keys or inputs. min_rows: training
    rows that a segment needs for a model of its own. metrics: scikit-learn's scorers, the grid is sorted by the first.
    """

    levels: Sequence[str]
    min_rows: int
    metrics: Sequence[str]
    jobs: int = 1


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training, from its rows to a model that can be registered.

    make: the estimator from parameters and a seed; parameters: those that no search chooses. tolerance: of the parity
    with the ONNX form, None: the usual one. silence: a reason by code of a check. baselines: by name the column that is
    the last value; slices: columns to look for the worst rows in, None: all inputs. about: a sentence for the card.
    threads: of the fit; with another number sums may come out in another order, and the bytes of the model differ.
    segments: a model for each of them, and one of all rows; a search is then over all rows, and chooses for all.
    """

    model: str
    data: Rows
    split: ByTime | AtRandom
    make: Make
    seed: int
    task: Task = Task.BINARY
    parameters: Mapping[str, Any] = field(default_factory=dict)
    search: Tuning | None = None
    segments: Partition | None = None
    threads: int = 1
    tolerance: float | None = None
    silence: Mapping[str, str] = field(default_factory=dict)
    baselines: Mapping[str, str] = field(default_factory=dict)
    slices: Sequence[str] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    about: str = ""

    def document(self) -> dict[str, Any]:
        """What was chosen, as JSON holds it; code is named."""
        tuned = self.search and {
            **{name: getattr(self.search, name) for name in ("metric", "trials", "folds", "jobs")},
            "seconds": self.search.seconds if math.isfinite(self.search.seconds) else None,
            "space": space_document(self.search.space),
        }
        return {
            "model": self.model,
            "data": _data_document(self.data),
            "split": {"kind": type(self.split).__name__, **asdict(self.split)},
            "make": _named(self.make),
            "seed": self.seed,
            "task": str(self.task),
            "parameters": {name: repr(value) for name, value in self.parameters.items()},
            "search": tuned,
            "segments": self.segments and _partition_document(self.segments),
            "threads": self.threads,
            "tolerance": self.tolerance,
            "silence": dict(self.silence),
            "baselines": dict(self.baselines),
            "slices": None if self.slices is None else list(self.slices),
            "tags": dict(self.tags),
            "about": self.about,
        }


@dataclass(frozen=True)
class Specification:
    """A training with the text of the file that defines it, and the folder in which that file lies."""

    training: Training
    source: str
    name: str
    folder: Path

    def __reduce__(self) -> tuple[Any, ...]:
        """It goes to another process as its text, which is run there once: no code is taken out of a pickle."""
        return _run_once, (self.source, self.name, self.folder)

    def estimator(self, parameters: Mapping[str, Any], seed: int) -> Any:
        """What `make` gives; raises DefinitionError where it fails."""
        with _told(self.folder / self.name, f"make({dict(parameters)}, {seed})"):
            return self.training.make(parameters, seed)

    def examples(self) -> Any:
        """What the function that is the training's data gives; raises DefinitionError where it fails."""
        with _told(self.folder / self.name, "the function that is its data"):
            return self.training.data()  # type: ignore[operator]  # whoever asks has seen that it is one

    @property
    def document(self) -> dict[str, Any]:
        """What a run is named by. Where the file lies is no part of it."""
        sha256 = hashlib.sha256(self.source.encode()).hexdigest()
        return {**self.training.document(), "file": self.name, "source": self.source, "source_sha256": sha256}


def load_specification(path: Path) -> Specification:
    """Runs a user's own Python file and takes its `training`; raises DefinitionError that says what is wrong."""
    if not path.is_file():
        raise DefinitionError(f"{path} is no file; expected a Python file that defines training = Training(...)")
    if path.stat().st_size > _MOST_SOURCE_BYTES:
        raise DefinitionError(
            f"{path} has {path.stat().st_size:,} bytes; a specification has at most {_MOST_SOURCE_BYTES:,}, as it is "
            "kept with its run: import what is large from files beside it"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DefinitionError(f"{path} is no text in UTF-8: {error}; save it as UTF-8") from error
    return run_specification(text, path.name, path.parent.absolute())


def run_specification(source: str, name: str, folder: Path) -> Specification:
    """The same for a text, as if it were the file `name` in `folder`: what lies beside it can be imported."""
    module_name = Path(name).stem
    spec = importlib.util.spec_from_loader(module_name, loader=None, origin=str(folder / name))
    if spec is None or not module_name.isidentifier():
        raise DefinitionError(f"{name!r} cannot be imported; name the file like a Python module, for example spec.py")
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(folder / name)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    sys.modules[module_name] = module  # what it defines can be pickled
    with _told(folder / name, "it"):
        exec(compile(source, str(folder / name), "exec"), vars(module))
    training = getattr(module, "training", None)
    if not isinstance(training, Training):
        raise DefinitionError(
            f"{folder / name} defines training as {training!r}; expected training = Training(...) at its module level"
        )
    _check(training)
    return Specification(training, source, name, folder)


@contextmanager
def _told(path: Path, what: str) -> Iterator[None]:
    """Raises what a user's own code raises, or an exit, as DefinitionError with the line of the file."""
    try:
        yield
    except BigheadError:
        raise
    except (Exception, SystemExit) as error:
        lines = [str(one.lineno) for one in traceback.extract_tb(error.__traceback__) if one.filename == str(path)]
        where = f", line {lines[-1]}" if lines else ""
        raise DefinitionError(f"{path}{where}: {what} fails: {type(error).__name__}: {error}") from error


@lru_cache(maxsize=1)
def _run_once(source: str, name: str, folder: Path) -> Specification:
    return run_specification(source, name, folder)


def _check(training: Training) -> None:
    if not training.model:
        raise DefinitionError("the training names no model; give it the name under which it is registered")
    if isinstance(training.data, DeltaRows | ParquetRows):
        given = training.data.request if isinstance(training.data, DeltaRows) else training.data.inputs
        unknown = {name: kind for name, kind in given.items() if kind not in DATATYPES}
        if unknown:
            raise DefinitionError(f"the inputs {unknown} have unknown datatypes; expected {', '.join(DATATYPES)}")
    elif not callable(training.data):
        raise DefinitionError(
            f"the training's data is {training.data!r}; expected DeltaRows, ParquetRows, or a function that gives a "
            "TrainingSet"
        )
    if not isinstance(training.task, Task):
        named = ", ".join(f"Task.{one.name}" for one in Task)
        raise DefinitionError(f"the training's task is {training.task!r}; expected one of {named}")
    if not isinstance(training.seed, int):
        raise DefinitionError(f"the training's seed is {training.seed!r}; expected a whole number")
    if not callable(training.make):
        raise DefinitionError(f"the training's make is {training.make!r}; expected a function of parameters and a seed")
    if training.segments is not None:
        _check_partition(training)


def _check_partition(training: Training) -> None:
    if training.task not in _LABELLED:
        raise DefinitionError(
            f"the training has segments and the task {training.task}; expected one with labels: {', '.join(_LABELLED)}"
        )
    if training.threads != 1:
        raise DefinitionError(
            f"the training has segments and threads={training.threads}; each segment is fitted on one thread: leave "
            "threads out, and say how many are fitted at once by Partition(jobs=...)"
        )


def _partition_document(partition: Partition) -> dict[str, Any]:
    return {**asdict(partition), "levels": list(partition.levels), "metrics": list(partition.metrics)}


def _data_document(data: Rows) -> dict[str, Any]:
    if isinstance(data, DeltaRows | ParquetRows):
        return {"kind": type(data).__name__, **asdict(data)}
    return {"kind": "function", "name": _named(data)}


def _named(code: Callable[..., Any]) -> str:
    return f"{getattr(code, '__module__', '')}.{getattr(code, '__qualname__', type(code).__name__)}"
