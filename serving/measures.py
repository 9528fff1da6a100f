"""How the versions answer: counted per request at next to no cost, reported as metric events every few seconds.

Knows no transport. The counts only grow and may be read by anybody; they are written on the event loop alone.
"""

import asyncio
import contextlib
import logging
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bighead.errors import BigheadError
from bighead.events.types import MetricComputed
from bighead.registry.rollouts import ERROR_RATE, LATENCY_P99_MS, PREDICTIONS

_log = logging.getLogger(__name__)
EVERY_S = 5.0
BOUNDS_US = (250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000, 1_024_000)
MOST_LATENCIES = 20_000
"""Of one version and interval; what is answered beyond is counted, and its latency is not kept."""


@dataclass(slots=True)
class VersionMeasures:
    """One version: `answers` are requests with an answer, `failures` those that ended by the server's or the model's
    fault and not the caller's, `predictions` the rows that were answered. `buckets`: answers by latency, up to each of
    `BOUNDS_US` and beyond the last. `latencies_us`: since the last report. `explanations`: rows that were explained,
    which are in none of the others: by those a roll-out is judged."""

    answers: int = 0
    failures: int = 0
    predictions: int = 0
    explanations: int = 0
    total_us: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_US) + 1))
    latencies_us: list[int] = field(default_factory=list)

    def answered(self, rows: int, latency_us: int) -> None:
        """Counts a request that has its answer."""
        self.answers += 1
        self.predictions += rows
        self.total_us += latency_us
        self.buckets[bisect_left(BOUNDS_US, latency_us)] += 1
        if len(self.latencies_us) < MOST_LATENCIES:
            self.latencies_us.append(latency_us)


@dataclass(frozen=True, slots=True)
class Interval:
    """What one version did between two times, milliseconds since the epoch."""

    model: str
    version: int
    answers: int
    failures: int
    predictions: int
    latencies_us: Sequence[int]
    from_ms: int
    to_ms: int


class Measures:
    """The measures of every version that was asked, by model and number."""

    def __init__(self) -> None:
        self.versions: dict[tuple[str, int], VersionMeasures] = {}
        self._reported: dict[tuple[str, int], tuple[int, int, int]] = {}

    def of(self, model: str, version: int) -> VersionMeasures:
        """Those of one version."""
        found = self.versions.get((model, version))
        if found is None:
            found = self.versions[model, version] = VersionMeasures()
        return found

    def take(self, from_ms: int, to_ms: int) -> list[Interval]:
        """What was counted since it was last called, for versions that were asked. Called from the event loop."""
        intervals = []
        for key, counts in self.versions.items():
            now = (counts.answers, counts.failures, counts.predictions)
            before = self._reported.get(key, (0, 0, 0))
            if now == before:
                continue
            self._reported[key] = now
            latencies_us, counts.latencies_us = counts.latencies_us, []
            answers, failures, predictions = (new - old for new, old in zip(now, before, strict=True))
            intervals.append(Interval(*key, answers, failures, predictions, latencies_us, from_ms, to_ms))
        return intervals


class MeasureReports:
    """Gives `publish` the events of each interval, from a thread; the last one when it is stopped."""

    def __init__(
        self,
        measures: Measures,
        server: str,
        publish: Callable[[MetricComputed], None],
        clock_ms: Callable[[], int],
        every_s: float = EVERY_S,
    ) -> None:
        self._measures = measures
        self._server = server
        self._publish = publish
        self._clock_ms = clock_ms
        self._every_s = every_s
        self._from_ms = clock_ms()
        self._stopped = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins the first interval."""
        self._from_ms = self._clock_ms()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Reports what is left."""
        self._stopped.set()
        if self._task is not None:
            await self._task
            await self._report()

    async def _run(self) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), self._every_s)
            await self._report()

    async def _report(self) -> None:
        now_ms = self._clock_ms()
        taken, self._from_ms = self._measures.take(self._from_ms, now_ms), now_ms
        if taken:
            await asyncio.to_thread(self._say, taken)

    def _say(self, intervals: Sequence[Interval]) -> None:
        for interval in intervals:
            try:
                for event in metrics(interval, self._server):
                    self._publish(event)
            except BigheadError as error:
                _log.warning("measures of %r version %d are not reported: %s", interval.model, interval.version, error)


def metrics(interval: Interval, server: str) -> Iterator[MetricComputed]:
    """The events of one interval: the share of requests that failed, the latency of those that did not, predictions."""
    requests = interval.answers + interval.failures
    yield _metric(interval, server, ERROR_RATE, interval.failures / requests, requests)
    if interval.latencies_us:
        slow_ms = percentile(interval.latencies_us, 99) / 1000
        yield _metric(interval, server, LATENCY_P99_MS, slow_ms, len(interval.latencies_us))
    if interval.predictions:
        yield _metric(interval, server, PREDICTIONS, float(interval.predictions), interval.predictions)


def percentile(values: Sequence[int], percent: int) -> int:
    """The nearest-rank percentile: the least value that so many percent of the values do not exceed."""
    rank = -(-percent * len(values) // 100)
    return sorted(values)[max(rank, 1) - 1]


def _metric(interval: Interval, server: str, metric: str, value: float, count: int) -> MetricComputed:
    return MetricComputed(
        model=interval.model,
        version=interval.version,
        segment=server,
        metric=metric,
        value=value,
        window=f"{round((interval.to_ms - interval.from_ms) / 1000)}s",
        count=count,
        predictions=count,
        coverage=1.0,
        from_ms=interval.from_ms,
        to_ms=interval.to_ms,
        at_ms=interval.to_ms,
    )
