"""Leaks planted in the demo's flights are caught by the features that hold them, and the clean set is silent."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.library.flight_rows import SCHEDULED, flights_split
from bighead.pipeline.checks import check
from bighead.pipeline.checks.timelines import OPERATIONS, Timeline
from bighead.pipeline.splits import Split, by_time
from bighead.pipeline.tensors import feature, request
from bighead.pipeline.training_set import ColumnSource, TrainingSet
from examples.flights import data

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    return data.load_flights()


def errors(split: Split) -> dict[str, set[str]]:
    """The columns of each error, by code."""
    found: dict[str, set[str]] = {}
    for one in check(split):
        if one.stops:
            found.setdefault(one.code, set()).update(one.columns)
    return found


def test_nothing_is_said_of_the_clean_flights(flights: pd.DataFrame) -> None:
    assert check(flights_split(flights)) == ()


def test_an_arrival_stamped_at_its_scheduled_time_is_caught(flights: pd.DataFrame) -> None:
    found = errors(flights_split(flights, SCHEDULED))
    assert set(found) == {"BH006"}
    assert {f"{key}_arrivals_late_average_3h" for key in ("carrier", "origin", "dest")} <= found["BH006"]
    assert all("_arrivals_" in column for column in found["BH006"])


def test_the_rows_own_arrival_in_its_window_is_caught(flights: pd.DataFrame) -> None:
    found = errors(flights_split(flights, own=True))
    assert set(found) == {"BH005"}
    planes = {"plane_arrivals_late_average_7d", "plane_arrivals_delay_average_7d"}
    assert planes | {"origin_arrivals_late_average_3h"} <= found["BH005"]
    assert all("_arrivals_" in column for column in found["BH005"])


def test_rows_of_a_day_say_nothing_of_windows_of_a_week(flights: pd.DataFrame) -> None:
    split = flights_split(flights)
    train, test = (part.rows.asked_ms.to_numpy() for part in (split.train, split.test))
    half = data.DAY_MS // 2
    day = Split(split.train.only(train > train.max() - half), split.test.only(test < test.min() + half), split.how)
    assert not errors(day)


def parcels(operation: str, stamp: str, own: bool = False, often: float = 0.4, of_what: str = "late") -> Split:
    """Late or not by chance, so that no feature may tell; one feature of each parcel's city over the last day."""
    random, count = np.random.default_rng(4), 6_000
    city, late = random.integers(0, 60, count), (random.random(count) < often).astype(np.int64)
    asked_ms = data.DAY_MS * 1_000 + np.sort(random.integers(0, 25 * data.DAY_MS, count))
    planned_ms = random.integers(1, 7, count) * HOUR_MS
    arrived_ms = asked_ms + planned_ms + random.exponential(6 * HOUR_MS, count).astype(np.int64)
    stamps = {"arrived": arrived_ms, "planned": asked_ms + planned_ms, "asked": asked_ms}[stamp]
    line = Timeline.of(city, stamps, late.astype(np.float64) if of_what == "late" else np.ones(count))
    start, end = line.place(city, (asked_ms - data.DAY_MS) // HOUR_MS * HOUR_MS), line.place(city, asked_ms)
    made = line.made(operation, start, np.maximum(start, end), late.astype(np.float64) if own else None)
    columns = {"city": city, "planned_ms": planned_ms, "late": late, "asked_ms": asked_ms, "arrived_ms": arrived_ms}
    source = ColumnSource(kind="feature", group="city", keys=("city",), operation=f"{operation} of late", window="1d")
    found = TrainingSet(
        name="parcels",
        rows=pd.DataFrame({**columns, "made": made}),
        inputs=(request("planned_ms", "INT64"), feature("made")),
        label="late",
        time="asked_ms",
        known="arrived_ms",
        entities=("city",),
        sources={"made": source},
    )
    return by_time(found, int(asked_ms[count * 3 // 4]))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_leaks_are_caught_whatever_a_window_makes_of_outcomes(operation: str) -> None:
    assert not errors(parcels(operation, "arrived"))
    assert errors(parcels(operation, "planned")) == {"BH006": {"made"}}
    if operation == "FIRST":
        return  # of several outcomes the own is never the first
    caught = errors(parcels(operation, "arrived", own=True))
    assert set().union(*caught.values()) == {"made"}
    assert set(caught) == {"BH005"} or operation == "LAST", "the last value is the label itself"


def test_a_count_of_what_was_asked_about_is_no_leak_though_nearly_all_outcomes_are_alike() -> None:
    assert not errors(parcels("COUNT", "asked", often=0.98, of_what="parcels"))
    assert errors(parcels("COUNT", "planned", often=0.6)) == {"BH006": {"made"}}
