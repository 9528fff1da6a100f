"""What the console knows of monitoring: alerts with what became of them, and the course of each metric.

Knows no Kafka: it is told of events in the order of their log.
"""

import math
from array import array
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TypeAlias

from bighead.events.base import Event
from bighead.events.types import AlertRaised, AlertResolved, DriftComputed, MetricComputed

MOST_ALERTS = 5_000
MOST_SERIES = 5_000
MOST_POINTS = 240
"""How many alerts, metrics and points of each are kept. A metric that is full keeps every second of its older points:
its course stays whole and becomes coarser."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert. resolved_ms None: its rule is still broken."""

    raised: AlertRaised
    resolved_ms: int | None = None
    resolved_value: float | None = None


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """What is measured. feature: for drift, the feature or output; empty for a metric of the model."""

    model: str
    version: int
    arm: str
    segment: str
    metric: str
    window: str
    feature: str = ""


@dataclass(frozen=True, slots=True)
class Course:
    """A metric over time: (when computed, ms; value), the oldest first, and what its newest value rests on."""

    series: Series
    points: tuple[tuple[int, float], ...]
    count: int
    coverage: float | None


Column: TypeAlias = "array[float]"


@dataclass(frozen=True, slots=True)
class _Points:
    """Columns of doubles: when computed (ms), value, how many predictions it rests on, coverage (NaN: none)."""

    columns: tuple[Column, ...] = tuple(array("d") for _ in range(4))

    def add(self, *point: float) -> "_Points":
        """With one point more. A new value: whoever reads the old one reads it whole."""
        columns = self.columns
        if len(columns[0]) >= MOST_POINTS:
            half = MOST_POINTS // 2
            columns = tuple(column[:half:2] + column[half:] for column in columns)
        place = bisect_right(columns[0], point[0])
        return _Points(
            tuple(
                column[:place] + array("d", [one]) + column[place:] for column, one in zip(columns, point, strict=True)
            )
        )


class MonitoringState:
    """Folds the events of monitoring. `raised` counts all alerts, those included that are not kept."""

    def __init__(self) -> None:
        self.raised = 0
        self._alerts: OrderedDict[str, Alert] = OrderedDict()
        self._series: OrderedDict[Series, _Points] = OrderedDict()

    def apply(self, event: Event) -> None:
        """Folds one event in; events of other things change nothing."""
        match event:
            case AlertRaised():
                self._raise(event)
            case AlertResolved() if event.alert_id in self._alerts:
                alert = self._alerts[event.alert_id]
                self._alerts[event.alert_id] = replace(alert, resolved_ms=event.at_ms, resolved_value=event.value)
            case MetricComputed():
                series = Series(event.model, event.version, event.arm, event.segment, event.metric, event.window)
                self._add(series, event.at_ms, event.value, event.count, event.coverage)
            case DriftComputed():
                series = Series(
                    event.model, event.version, event.arm, event.segment, event.metric, "", feature=event.feature
                )
                self._add(series, event.at_ms, event.value, event.count, math.nan)

    def alerts(self, as_of_ms: int | None) -> list[Alert]:
        """The alerts that had been raised by a time, those that were open then first, then the newest first."""
        found = []
        for alert in list(self._alerts.values()):
            if as_of_ms is None or alert.raised.at_ms <= as_of_ms:
                later = as_of_ms is not None and alert.resolved_ms is not None and alert.resolved_ms > as_of_ms
                found.append(Alert(alert.raised) if later else alert)
        return sorted(found, key=lambda one: (one.resolved_ms is not None, -one.raised.at_ms))

    def series(self, as_of_ms: int | None) -> list[Series]:
        """What had been measured by a time, by model, version, arm and name."""
        known = list(self._series.items())
        return sorted(one for one, points in known if as_of_ms is None or points.columns[0][0] <= as_of_ms)

    def course(self, series: Series, as_of_ms: int | None) -> Course | None:
        """A metric up to a time; None where it is not kept, or was not measured by then."""
        points = self._series.get(series)
        if points is None:
            return None
        times, values, counts, coverages = points.columns
        end = len(times) if as_of_ms is None else bisect_right(times, as_of_ms)
        if end == 0:
            return None
        pairs = tuple((int(at_ms), value) for at_ms, value in zip(times[:end], values[:end], strict=True))
        coverage = None if math.isnan(coverages[end - 1]) else coverages[end - 1]
        return Course(series, pairs, int(counts[end - 1]), coverage)

    def _raise(self, event: AlertRaised) -> None:
        if event.alert_id not in self._alerts:
            self.raised += 1
        self._alerts[event.alert_id] = Alert(event)
        if len(self._alerts) > MOST_ALERTS:
            self._alerts.popitem(last=False)

    def _add(self, series: Series, at_ms: int, value: float, count: int, coverage: float) -> None:
        points = self._series.pop(series, None) or _Points()
        self._series[series] = points.add(at_ms, value, count, coverage)
        if len(self._series) > MOST_SERIES:
            self._series.popitem(last=False)
