"""Live statistics: the same figures whether events came one by one or in arrays, by the day of the event."""

from typing import Any

import numpy as np

from bighead.features.fold import column_of
from bighead.features.types import ValueType
from streams.member import Folded
from streams.statistics import LaneStatistics
from tests.lane_kit import DAY_MS, NOW_MS

KINDS = {"delay": ValueType.LONG, "tail": ValueType.STRING, "tags": ValueType.LIST_STRING}
DAY = NOW_MS - NOW_MS % DAY_MS
ROWS: list[tuple[int, dict[str, Any]]] = [
    (DAY + 5, {"delay": 1, "tail": "N1", "tags": ["a"]}),
    (DAY + 6, {"delay": 3, "tail": "N1", "tags": None}),
    (DAY + 7, {"delay": None, "tail": "N2", "tags": []}),
    (DAY - 1, {"delay": 8, "tail": None, "tags": None}),
]


def in_arrays() -> Folded:
    columns = {name: column_of([row[name] for _, row in ROWS], kind) for name, kind in KINDS.items()}
    return Folded(columns=[(np.array([time_ms for time_ms, _ in ROWS], np.int64), columns)])


def test_days_are_those_of_the_events_and_figures_do_not_depend_on_how_events_came() -> None:
    by_row, by_array = LaneStatistics(), LaneStatistics()
    by_row.take("g", KINDS, Folded(rows=list(ROWS)))
    by_array.take("g", KINDS, in_arrays())

    events = by_row.events(NOW_MS)

    assert events == by_array.events(NOW_MS)
    found = {(event.feature, event.from_ms): event for event in events}
    delay, tail = found["delay", DAY], found["tail", DAY]
    assert (delay.count, delay.nulls, delay.mean, delay.quantiles[0], delay.quantiles[-1]) == (3, 1, 2.0, 1.0, 3.0)
    assert (tail.count, tail.null_share, tail.frequent) == (3, 0.0, {"N1": 2, "N2": 1})
    assert (found["tags", DAY].nulls, found["delay", DAY - DAY_MS].mean) == (1, 8.0)
    assert {event.origin for event in events} == {"stream"}


def test_only_what_changed_is_said_again_and_old_days_are_let_go() -> None:
    statistics = LaneStatistics()
    statistics.take("g", KINDS, Folded(rows=list(ROWS)))
    statistics.events(NOW_MS)

    assert statistics.events(NOW_MS) == []
    statistics.take("g", KINDS, Folded(rows=[(DAY + day * DAY_MS, ROWS[0][1]) for day in range(9)]))

    assert {event.from_ms for event in statistics.events(NOW_MS)} == {DAY + day * DAY_MS for day in range(5, 9)}
