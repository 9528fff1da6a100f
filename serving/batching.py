"""Requests for one version that wait for the same model are run together and answered apart.

Nobody waits for company: a request that finds a free thread is run at once, alone. Never mixes versions or shapes.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns
from typing import TypeAlias

import numpy as np

from bighead.errors import BigheadError, DeadlineExceeded, InvalidInput
from bighead.inference.datatypes import Array
from bighead.inference.model import LoadedModel

Outcome: TypeAlias = "list[Array] | Exception"


@dataclass(eq=False, slots=True)
class Waiting:
    """A request before its run. `expiry` is in nanoseconds of the performance counter."""

    model: LoadedModel
    tensors: Mapping[str, Array]
    rows: int
    expiry: int | None
    answer: "asyncio.Future[list[Array]]"

    def fits(self, other: "Waiting") -> bool:
        """Whether both may be rows of one run."""
        return self.model is other.model and all(
            self.tensors[name].shape[1:] == array.shape[1:] for name, array in other.tensors.items()
        )


class Batches:
    """The queue of one model before its threads. Called from the event loop only."""

    def __init__(self, pool: ThreadPoolExecutor, threads: int) -> None:
        self._pool = pool
        self._free = threads
        self._queue: deque[Waiting] = deque()

    def shutdown(self) -> None:
        """Lets what runs end."""
        self._pool.shutdown()

    async def run(self, model: LoadedModel, tensors: Mapping[str, Array], rows: int, expiry: int | None) -> list[Array]:
        """The outputs for these rows alone; raises DeadlineExceeded where its turn comes too late."""
        answer: asyncio.Future[list[Array]] = asyncio.get_running_loop().create_future()
        self._queue.append(Waiting(model, tensors, rows, expiry, answer))
        self._fill()
        return await answer

    def _fill(self) -> None:
        while self._free and (batch := self._next()):
            self._free -= 1
            running = asyncio.get_running_loop().run_in_executor(self._pool, run_together, batch)
            running.add_done_callback(partial(self._ended, batch))

    def _next(self) -> list[Waiting]:
        """The one that waits longest, and what fits it; those that nobody waits for any more are left out."""
        batch: list[Waiting] = []
        kept: deque[Waiting] = deque()
        rows = 0
        for waiting in self._queue:
            if waiting.answer.done():
                continue
            if not batch or (rows + waiting.rows <= batch[0].model.batch_rows and batch[0].fits(waiting)):
                batch.append(waiting)
                rows += waiting.rows
            else:
                kept.append(waiting)
        self._queue = kept
        return batch

    def _ended(self, batch: Sequence[Waiting], running: "asyncio.Future[list[Outcome]]") -> None:
        self._free += 1
        failure = running.exception()
        outcomes = running.result() if failure is None else [_wrapped(failure)] * len(batch)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.answer.done():
                continue  # the caller has gone
            if isinstance(outcome, Exception):
                waiting.answer.set_exception(outcome)
            else:
                waiting.answer.set_result(outcome)
        self._fill()


def run_together(batch: Sequence[Waiting]) -> list[Outcome]:
    """What comes of each request: of one run for all, or where that fails, of a run for each."""
    late = [waiting.expiry is not None and perf_counter_ns() >= waiting.expiry for waiting in batch]
    timely = [waiting for waiting, is_late in zip(batch, late, strict=True) if not is_late]
    found = iter(_run(timely))
    return [_too_late(waiting.model) if is_late else next(found) for waiting, is_late in zip(batch, late, strict=True)]


def _run(batch: Sequence[Waiting]) -> list[Outcome]:
    if len(batch) > 1:
        outputs = _attempt(lambda: batch[0].model.run(_joined(batch)))
        if not isinstance(outputs, Exception):
            return list(_split(outputs, [waiting.rows for waiting in batch]))
        if not isinstance(outputs, InvalidInput):
            return [outputs] * len(batch)
    return [_attempt(partial(waiting.model.run, waiting.tensors)) for waiting in batch]


def _attempt(run: Callable[[], list[Array]]) -> Outcome:
    try:
        return run()
    except Exception as error:  # noqa: BLE001 - it is the answer to one request, and must not be that of another
        return error


def _joined(batch: Sequence[Waiting]) -> dict[str, Array]:
    return {name: np.concatenate([waiting.tensors[name] for waiting in batch]) for name in batch[0].tensors}


def _split(outputs: Sequence[Array], rows: Sequence[int]) -> list[list[Array]]:
    ends = np.cumsum(rows)[:-1]
    columns = [np.split(output, ends) for output in outputs]
    return [list(parts) for parts in zip(*columns, strict=True)]


def _too_late(model: LoadedModel) -> BigheadError:
    return DeadlineExceeded(
        f"the deadline passed before model {model.name!r} version {model.version} was run; allow more time"
    )


def _wrapped(failure: BaseException) -> Exception:
    return failure if isinstance(failure, Exception) else RuntimeError(f"the run ended with {failure!r}")
