"""Work over processes: a function and many small tasks that share large data, one thread each.

An answer depends on its task alone, so it is the same in one process as in several. Knows joblib (loky): functions that
were defined in a notebook travel too, which those of `multiprocessing` do not.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import joblib
from threadpoolctl import threadpool_limits

from bighead.errors import ModelError

T = TypeVar("T")
Held = TypeVar("Held", covariant=True)


class Common(Protocol[Held]):
    """Data of all tasks, wherever they run."""

    def get(self) -> Held:
        """The data; not to be changed."""


class Workers(Protocol):
    """Where tasks run. An answer depends on its task alone, and each call has one thread: see `each`."""

    def shared(self, value: T) -> AbstractContextManager[Common[T]]:
        """The value for the tasks that are run within."""

    def each(self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """The place of each task and what `function(*task)` gave, as they come."""


@dataclass(frozen=True)
class Processes:
    """So many processes of this machine; 1: this one."""

    jobs: int

    def shared(self, value: T) -> AbstractContextManager[Common[T]]:
        """The value, mapped by every process."""
        return shared(value, self.jobs)

    def each(self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """See `each`."""
        return each(function, tasks, self.jobs)


@dataclass(frozen=True)
class Shared(Generic[T]):
    """Data of all tasks: itself where they run in this process, else a file that each process maps once."""

    held: T | Path

    def get(self) -> T:
        """The data; not to be changed."""
        found: T = _loaded(self.held) if isinstance(self.held, Path) else self.held
        return found


@contextmanager
def shared(value: T, jobs: int) -> Iterator[Shared[T]]:
    """The value for tasks in so many processes: numbers in it are mapped into memory, not copied."""
    check_jobs(jobs)
    if jobs == 1:
        yield Shared(value)
        return
    with tempfile.TemporaryDirectory(prefix="bighead-shared-") as folder:
        path = Path(folder) / "value"
        joblib.dump(value, path)
        yield Shared(path)


def each(function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[tuple[int, T]]:
    """The place of each task and what `function(*task)` gave, as they come; in order where `jobs` is 1.

    Each call runs on one thread: several on few cores are slower than one, and sums come out in another order. What
    the function raises is raised here, and ends the rest.
    """
    if jobs == 1 or len(tasks) < 2:
        for place, task in enumerate(tasks):
            yield called(function, place, task)
        return
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        pool = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
        yield from pool(joblib.delayed(called)(function, place, task) for place, task in enumerate(tasks))


def check_jobs(jobs: int) -> None:
    """Raises ModelError unless so many processes can be asked for."""
    if jobs < 1:
        raise ModelError(f"jobs is {jobs}; expected the number of processes, from 1 on")


def derived(seed: int, *parts: object) -> int:
    """A seed of its own for a part of the work: the same for the same part, wherever it runs. Below 2^31."""
    text = "\x1f".join(map(str, (seed, *parts)))
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big") >> 1


def called(function: Callable[..., T], place: int, task: tuple[Any, ...]) -> tuple[int, T]:
    """The task's place and what the function gave, on one thread."""
    with threadpool_limits(1):
        return place, function(*task)


@lru_cache(maxsize=1)
def _loaded(path: Path) -> Any:
    return joblib.load(path, mmap_mode="r")
