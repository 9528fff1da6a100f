"""Training sets of real flights as the demo's features would make them, quickly and without Spark.

The demo's averages and last delays, in numpy; tests plant leaks by changing when an arrival is counted.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bighead.features.compiled import CompiledJoin, compile_group, compile_join
from bighead.features.definition import GroupBy
from bighead.features.types import columns_of
from bighead.features.windows import Window
from bighead.pipeline.lineage import sources_of
from bighead.pipeline.splits import Split, by_time
from bighead.pipeline.tensors import feature, request
from bighead.pipeline.training_set import TrainingSet
from examples.flights import features as demo
from examples.flights.data import DAY_MS, REQUEST_COLUMNS, TOPICS

FROM_MS = pd.Timestamp("2013-06-01", tz="UTC").value // 1_000_000
WEEK_MS = 7 * DAY_MS
WEEKS = 5
DELAYS = {"arrivals": "arr_delay_min", "departures": "dep_delay_min"}
KEYS = {"carrier": "carrier", "origin": "origin", "dest": "dest", "plane": "tailnum"}
WINDOWS = ("1h", "3h", "1d", "7d")
_SPAN_MS = 1 << 40

ARRIVED = {"arrivals": "arrived_ms", "departures": "departed_ms"}
SCHEDULED = ARRIVED | {"arrivals": "scheduled_arrival_ms"}


def flights_split(
    flights: pd.DataFrame,
    stamps: Mapping[str, str] = ARRIVED,
    own: bool = False,
    *,
    from_ms: int = FROM_MS,
    weeks: int = WEEKS,
) -> Split:
    """All but the first week is asked about, the last is the test. own: the row's arrival is in its own windows."""
    scheduled = flights.asked_ms + ((60 + flights.scheduled_min) * 60_000).astype("int64")
    events = flights.assign(scheduled_arrival_ms=scheduled)[flights.late.notna()]
    until_ms = from_ms + weeks * WEEK_MS
    asked = events[(events.asked_ms >= from_ms + WEEK_MS) & (events.arrived_ms < until_ms)]
    asked = asked.sort_values(["asked_ms", "flight_id"], ignore_index=True)
    happened = events[(events.departed_ms >= from_ms) & (events.departed_ms < until_ms)]
    columns: dict[str, Any] = {}
    sources = sources_of(demo_join())
    for source, delay in DELAYS.items():
        for key, by in KEYS.items():
            group = f"{key}_{source}"
            with_own = own and source == "arrivals"
            read = _Group(happened, asked, by, stamps[source], delay, with_own, from_ms)
            for name, values in read.features():
                if f"{group}_{name}" in sources:
                    columns[f"{group}_{name}"] = values
    kept = ["flight_id", "tailnum", *REQUEST_COLUMNS, "asked_ms", "arrived_ms", "late"]
    rows = pd.concat([asked[kept].astype({"arrived_ms": "int64"}), pd.DataFrame(columns)], axis=1)
    made = TrainingSet(
        name="flights",
        rows=rows,
        inputs=(*(request(name, kind) for name, kind in REQUEST_COLUMNS.items()), *map(feature, columns)),
        label="late",
        time="asked_ms",
        known="arrived_ms",
        entities=("flight_id",),
        sources=sources,
    )
    return by_time(made, until_ms - WEEK_MS)


def demo_join() -> CompiledJoin:
    """The demo's Join, checked against the columns of its topics."""
    columns = {topic.name: columns_of(topic.schema) for topic in TOPICS}
    groups = [part for part in demo.flight.parts if isinstance(part, GroupBy)]
    return compile_join(demo.flight, {one.name: compile_group(one, columns[one.source.topic]) for one in groups})


class _Group:
    """Averages of lateness and delay by key over each window, and the last delay of planes."""

    def __init__(
        self, events: pd.DataFrame, asked: pd.DataFrame, by: str, stamp: str, delay: str, with_own: bool, from_ms: int
    ) -> None:
        self._from_ms = from_ms
        codes, _ = pd.factorize(pd.concat([events[by], asked[by]]))
        times = events[stamp].to_numpy().astype(np.int64) - from_ms
        order = codes[: len(events)] * _SPAN_MS + times
        places = np.argsort(order, kind="stable")
        delays = events[delay].to_numpy().astype(np.float64)[places]
        self._order = order[places]
        self._values = {"late": (delays > 15).astype(np.float64), "delay": delays}
        self._entities = codes[len(events) :] * _SPAN_MS
        self._asked = asked.asked_ms.to_numpy().astype(np.int64) - from_ms
        own = {"late": asked.late.to_numpy(), "delay": asked.arr_delay_min.to_numpy()}
        self._own = own if with_own else None
        self._last = by == "tailnum"

    def features(self) -> list[tuple[str, npt.NDArray[np.float64]]]:
        made = [
            (f"{name}_average_{window}", self._average(name, window)) for name in self._values for window in WINDOWS
        ]
        if self._last:
            start, end = self._slice(np.zeros_like(self._asked))
            last = np.where(end > start, self._values["delay"][np.maximum(end - 1, 0)], np.nan)
            made.append(("delay_last", last))
        return made

    def _average(self, name: str, text: str) -> npt.NDArray[np.float64]:
        window = Window.parse(text)
        start_ms = (self._asked + self._from_ms - window.length_ms) // window.hop_ms * window.hop_ms - self._from_ms
        start, end = self._slice(start_ms)
        sums = np.concatenate([[0.0], np.cumsum(self._values[name])])
        total, count = sums[end] - sums[start], (end - start).astype(np.float64)
        if self._own is not None:
            total, count = total + self._own[name], count + 1
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def _slice(self, start_ms: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        start = np.searchsorted(self._order, self._entities + np.maximum(start_ms, 0))
        end = np.searchsorted(self._order, self._entities + self._asked)
        return start.astype(np.int64), end.astype(np.int64)
