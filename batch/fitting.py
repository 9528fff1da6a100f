"""The models of a training's segments, fitted by Spark's executors: `python -m batch train`. Knows Spark.

Between driver and executors of one session go Spark's own pickles: rows as a broadcast, what to fit, and the fitted and
proven model back; the specification goes as its text. Nothing that anybody else wrote is taken out of a pickle.
"""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, Generic, TypeVar

import click
from pyspark import Broadcast
from pyspark.sql import SparkSession

from batch.work import Work
from bighead.commands.training import Asked, asks, carry_out
from bighead.errors import ModelError

T = TypeVar("T")
_TASKS_PER_CORE = 8
_PACKAGES = (
    "bighead", "lightgbm", "numpy", "onnx", "onnxruntime", "pandas", "scikit-learn", "scipy", "skl2onnx", "torch",
    "xgboost", "xgboost-cpu",
)  # fmt: skip
"""What the bytes of a model follow from."""


@dataclass(frozen=True)
class Sent(Generic[T]):
    """Data of all tasks, which each executor receives once."""

    broadcast: "Broadcast[T]"

    def get(self) -> T:
        """The data; not to be changed."""
        return self.broadcast.value


@dataclass(frozen=True)
class Executors:
    """`bighead.pipeline.parallel.Workers` of a session, which is started where there is something to fit."""

    session: Callable[[], SparkSession]

    @contextmanager
    def shared(self, value: T) -> Iterator[Sent[T]]:
        """The value, sent to each executor that has a task."""
        sent = self.session().sparkContext.broadcast(value)
        try:
            yield Sent(sent)
        finally:
            sent.destroy()

    def each(self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """The place of each task and what `function(*task)` gave, in order, as each Spark job has ended.

        A job has some tasks for each core: its start takes longer than a small fit, and what has come is kept. What the
        function raises is raised here, and ends the rest.
        """
        context = self.session().sparkContext
        most = _TASKS_PER_CORE * context.defaultParallelism
        for start in range(0, len(tasks), most):
            job = _Job(function, dict(enumerate(tasks[start : start + most], start)), packages())
            yield from context.parallelize(list(job.tasks), len(job.tasks)).map(job).collect()


@dataclass(frozen=True)
class _Job:
    """Tasks by their place, each run by an executor. versions: the driver's packages."""

    function: Callable[..., Any]
    tasks: Mapping[int, tuple[Any, ...]]
    versions: Mapping[str, str]

    def __call__(self, place: int) -> tuple[int, Any]:
        check_alike(self.versions, packages())
        return _called()(self.function, place, self.tasks[place])


@lru_cache(maxsize=1)
def _called() -> Callable[..., tuple[int, Any]]:
    """How a task is called. Imported by an executor that fits: other commands of batch need no scikit-learn."""
    from bighead.pipeline.parallel import called

    # Spark's Python worker looks for garbage among all objects after each task (pyspark/daemon.py). Those of the
    # modules that a fit needs are so many that this takes as long as a small fit; they are no garbage.
    gc.freeze()
    return called


@lru_cache(maxsize=1)
def packages() -> dict[str, str]:
    """The versions that are installed here of what the bytes of a model follow from."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = package_version(name)
        except PackageNotFoundError:
            continue
    return found


def check_alike(driver: Mapping[str, str], executor: Mapping[str, str]) -> None:
    """Raises ModelError where an executor has other versions: the run's record names those of the driver."""
    other = [
        f"{name} {executor[name]} instead of {version}"
        for name, version in driver.items()
        if executor.get(name, version) != version
    ]
    if other:
        raise ModelError(
            f"an executor has {', '.join(other)}; models of other versions have other bytes, and the run records those "
            "of the driver: give the executors the driver's packages (spark.archives, or one image for both)"
        )


@click.command("train")
@asks
@click.pass_obj
def train_command(work: Work, /, specification: Path, **asked: Any) -> None:
    """Run a training specification with segments; their models are fitted by Spark's executors.

    It is the same run as that of `bighead train`, with the same bytes, and either goes on with what the other has done.

    Options come before the file.

    Example: python -m batch --master spark://host:7077 train --register --reason "October is in" spec.py
    """
    carry_out(work.settings, specification, Asked(**asked), Executors(lambda: work.spark))
