"""Leaks planted in the demo's flights are caught by the features that hold them, and the clean set is silent."""

import pandas as pd
import pytest

from benchmarks.library.flight_rows import SCHEDULED, flights_split
from bighead.pipeline.checks import check
from bighead.pipeline.splits import Split
from examples.flights import data


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
