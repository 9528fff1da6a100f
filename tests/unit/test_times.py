"""Times as people write them."""

import pytest

from bighead.errors import InvalidInput
from bighead.times import FIRST_MS, LAST_MS, time_ms, utc


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1793534400000", 1_793_534_400_000),
        ("2026-11-01T12:00Z", 1_793_534_400_000),
        ("2026-11-01T12:00", 1_793_534_400_000),
        (" 2026-11-01 13:00:00.250+01:00 ", 1_793_534_400_250),
        ("2026-11-01", 1_793_491_200_000),
        ("0", 0),
    ],
)
def test_a_time_is_iso_8601_or_milliseconds(text: str, expected: int) -> None:
    assert time_ms(text) == expected


def test_the_first_time_is_that_of_the_year_1() -> None:
    assert time_ms("0001-01-01") == FIRST_MS


NO_TIMES = (
    *("", "yesterday", "-5", "2026-13-01", "9" * 5000, "٣", str(LAST_MS + 1)),
    *("0001-01-01T00:00+14:00", "9999-12-31T23:59:59-14:00"),
)


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^--as-of is .*expected ISO 8601"):
        time_ms(text, "--as-of")


def test_people_read_seconds() -> None:
    assert utc(1_793_534_400_999) == "2026-11-01 12:00:00Z"
    assert utc(LAST_MS) == "9999-12-31 23:59:59Z"
