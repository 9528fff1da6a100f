"""How much of one model is worked on at once: a bound that refuses early, and threads that no other model uses."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

from bighead.errors import Overloaded
from serving.batching import Batches

MOST_IN_FLIGHT = 256
"""Requests of one model between their arrival and their answer. Beyond it waiting costs more than asking again."""
MOST_EXPLANATIONS = 8
"""Requests for explanations of one model, the one that is worked on and those that wait for it."""
THREADS = 2


class Gate:
    """The bound and the threads of one model. Entered and left on the event loop only."""

    def __init__(self, model: str, most: int) -> None:
        self.in_flight = 0
        self.refused = 0
        self.pool = Batches(ThreadPoolExecutor(THREADS, thread_name_prefix=f"inference-{model}"), THREADS)
        self._model = model
        self._most = most
        self._explanations = 0
        self._explaining = asyncio.Lock()

    @contextmanager
    def entered(self) -> Iterator["Gate"]:
        """Counts a request while it is worked on; raises Overloaded where there are too many."""
        if self.in_flight >= self._most:
            self.refused += 1
            raise Overloaded(
                f"model {self._model!r} has {self.in_flight} requests in flight, as many as it may; try again after a "
                "moment, with growing pauses"
            )
        self.in_flight += 1
        try:
            yield self
        finally:
            self.in_flight -= 1

    @asynccontextmanager
    async def explaining(self) -> AsyncIterator["Gate"]:
        """The turn of an explanation: one at a time, so that a thread is left to predictions.

        Few may wait for it, so that they leave room to predictions too; raises Overloaded where there are too many.
        """
        if self._explanations >= MOST_EXPLANATIONS:
            self.refused += 1
            raise Overloaded(
                f"model {self._model!r} has {self._explanations} requests for explanations in flight, as many as it "
                "may; try again after a moment, with growing pauses"
            )
        self._explanations += 1
        try:
            with self.entered():
                async with self._explaining:
                    yield self
        finally:
            self._explanations -= 1


class Gates:
    """The gate of each model that was asked for and exists."""

    def __init__(self, most: int = MOST_IN_FLIGHT) -> None:
        self._most = most
        self._gates: dict[str, Gate] = {}

    def of(self, model: str) -> Gate:
        """The same gate for the same model."""
        gate = self._gates.get(model)
        if gate is None:
            gate = self._gates[model] = Gate(model, self._most)
        return gate

    def close(self) -> None:
        """Lets what runs end."""
        for gate in self._gates.values():
            gate.pool.shutdown()
