"""Which times are believed, and what the refusal says of the others."""

import pytest

from bighead.errors import InvalidEvent
from bighead.events.times import SECONDS_FROM, SECONDS_TO, check_time

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000


def check(time_ms: object) -> None:
    check_time(time_ms, now_ms=NOW_MS, max_future_ms=DAY_MS)


@pytest.mark.parametrize(
    "time_ms", [0, 1_000, SECONDS_FROM - 1, SECONDS_TO, 1_383_264_000_000, NOW_MS, NOW_MS + DAY_MS]
)
def test_milliseconds_from_1970_to_tomorrow_are_believed(time_ms: int) -> None:
    check(time_ms)


@pytest.mark.parametrize(
    ("time_ms", "reason"),
    [
        (NOW_MS // 1000, r"looks like seconds \(2026-09-21\): multiply by 1000"),
        (SECONDS_FROM, r"looks like seconds \(1990-01-01\)"),
        (SECONDS_TO - 1, r"looks like seconds \(2099-12-31\)"),
        (NOW_MS * 1_000, r"looks like microseconds \(2026-09-21\): divide by 1000"),
        (NOW_MS * 1_000_000, r"looks like nanoseconds \(2026-09-21\): divide by 1000000"),
        (-1, "before 1970"),
        (NOW_MS + DAY_MS + 1, r"24\.0 hours in the future"),
        (2**62, "in the future"),
        (None, "A NoneType is no time"),
        (1.5e12, "A float is no time"),
        (True, "A bool is no time"),
        ("2013-11-01", "A str is no time"),
    ],
)
def test_other_times_are_refused_with_a_guess(time_ms: object, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        check(time_ms)


def test_the_message_names_what_was_received_and_expected() -> None:
    with pytest.raises(InvalidEvent, match=r"departed_ms is 12345678901234; expected .* at most 86400000 ms after now"):
        check_time(12_345_678_901_234, now_ms=NOW_MS, max_future_ms=DAY_MS, name="departed_ms")
