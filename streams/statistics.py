"""How the inputs of each group are distributed, day by day, as seen by the lane; published every minute as events.

Counts events since the worker's start. Takes what a step folded and looks at it later: the step does not wait.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import datasketches
import numpy as np

from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.topics import MONITORING, topic_name
from bighead.events.types import FeatureStatisticsComputed
from bighead.features.fold import Column, Mask, column_of
from bighead.features.sketches import KLL_K
from bighead.features.types import NUMBERS, ValueType, text_of
from bighead.features.windows import DAY_MS
from streams.member import Folded

EVERY_S = 60.0
RANKS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
MOST_FREQUENT = 20
ORIGIN = "stream"
_LG_ITEMS = 10  # frequent items: up to 768 different values are counted exactly
_MOST_WAITING = 2_000
_MOST_DAYS = 4
_EVERY = datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES


@dataclass
class _Column:
    """One column of one day."""

    kind: ValueType
    count: int = 0
    nulls: int = 0
    total: float = 0.0
    numbers: Any = field(default_factory=lambda: datasketches.kll_doubles_sketch(KLL_K))
    texts: Any = field(default_factory=lambda: datasketches.frequent_strings_sketch(_LG_ITEMS))

    def add(self, column: Column) -> None:
        found = column.values[column.valid]
        self.count += len(column.valid)
        self.nulls += len(column.valid) - len(found)
        if self.kind in NUMBERS:
            array = found.astype(np.float64)
            self.total += float(array.sum())
            self.numbers.update(array)
        elif self.kind.is_scalar:
            for value in found.tolist():
                self.texts.update(text_of(value))

    def event(self, group: str, name: str, day_ms: int, at_ms: int) -> FeatureStatisticsComputed:
        filled = self.count - self.nulls
        numeric = self.kind in NUMBERS and filled > 0
        texts = self.texts.get_frequent_items(_EVERY) if self.kind.is_scalar and not numeric else []
        best = sorted(((one[0], one[1]) for one in texts), key=lambda one: (-one[1], one[0]))[:MOST_FREQUENT]
        return FeatureStatisticsComputed(
            feature=name,
            kind=str(self.kind),
            group=group,
            origin=ORIGIN,
            count=self.count,
            nulls=self.nulls,
            null_share=self.nulls / self.count,
            mean=self.total / filled if numeric else None,
            ranks=RANKS if numeric else (),
            quantiles=tuple(self.numbers.get_quantiles(list(RANKS), True)) if numeric else (),
            frequent=dict(best),
            from_ms=day_ms,
            to_ms=day_ms + DAY_MS,
            at_ms=at_ms,
        )


class LaneStatistics:
    """Columns by group and day. Of each group the newest days are kept, and of those what changed is published."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[Mapping[str, ValueType], Folded]] = {}
        self._days: dict[str, dict[int, dict[str, _Column]]] = {}
        self._changed: set[tuple[str, int]] = set()

    def take(self, group: str, kinds: Mapping[str, ValueType], folded: Folded) -> None:
        """Takes what a step folded; it is looked at when there is enough of it. `kinds` are the columns' types."""
        waiting = self._waiting.setdefault(group, (kinds, Folded()))[1]
        waiting.rows += folded.rows
        waiting.columns += folded.columns
        if len(waiting.rows) >= _MOST_WAITING or waiting.columns:
            self._digest(group)

    def events(self, at_ms: int) -> list[FeatureStatisticsComputed]:
        """What changed since the last call, one event for each column and day."""
        for group in list(self._waiting):
            self._digest(group)
        changed, self._changed = self._changed, set()
        return [
            column.event(group, name, day_ms, at_ms)
            for group, day_ms in sorted(changed)
            for name, column in self._days[group].get(day_ms, {}).items()
        ]

    def _digest(self, group: str) -> None:
        kinds, folded = self._waiting.pop(group)
        parts = folded.columns
        if folded.rows:
            times = np.array([time_ms for time_ms, _ in folded.rows], np.int64)
            named = {name: column_of([row[name] for _, row in folded.rows], kind) for name, kind in kinds.items()}
            parts = [*parts, (times, named)]
        days = self._days.setdefault(group, {})
        for times, columns in parts:
            starts = times - times % DAY_MS
            for day_ms in np.unique(starts).tolist():
                self._count(days.setdefault(day_ms, {}), kinds, columns, starts == day_ms)
                self._changed.add((group, day_ms))
        for day_ms in sorted(days)[:-_MOST_DAYS]:
            del days[day_ms]

    @staticmethod
    def _count(
        known: dict[str, _Column], kinds: Mapping[str, ValueType], columns: Mapping[str, Column], rows: Mask
    ) -> None:
        for name, kind in kinds.items():
            if name not in known or known[name].kind is not kind:
                known[name] = _Column(kind)
            known[name].add(Column(columns[name].values[rows], columns[name].valid[rows]))


async def publish_statistics(settings: Settings, codec: Codec, statistics: LaneStatistics) -> None:
    """Every minute, until cancelled."""
    publisher = Publisher(settings, "bighead/lane/statistics", codec=codec)
    topic = topic_name(settings.topic_prefix, MONITORING)
    while True:
        await asyncio.sleep(EVERY_S)
        for event in statistics.events(wall_clock_ms()):
            publisher.publish(event, key=event.group, topic=topic)
        await asyncio.to_thread(publisher.flush)
