"""Windows and covers: the arithmetic on which every engine stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bighead.features.windows import (
    DAY_MS,
    FIVE_MINUTES_MS,
    HOUR_MS,
    SIZES_MS,
    Level,
    Window,
    ceil_to,
    cover,
    levels_for,
)

MIDNIGHT_MS = 1_383_264_000_000
LEVELS = (Level.FIVE_MINUTES, Level.HOUR, Level.DAY)


@pytest.mark.parametrize(
    ("text", "query_ms", "start_ms"),
    [
        ("1h", MIDNIGHT_MS, MIDNIGHT_MS - HOUR_MS),
        ("1h", MIDNIGHT_MS + 1, MIDNIGHT_MS - HOUR_MS),
        ("1h", MIDNIGHT_MS - 1, MIDNIGHT_MS - HOUR_MS - FIVE_MINUTES_MS),
        ("11h", MIDNIGHT_MS + 299_999, MIDNIGHT_MS - 11 * HOUR_MS),
        ("12h", MIDNIGHT_MS + HOUR_MS - 1, MIDNIGHT_MS - 12 * HOUR_MS),
        ("11d", MIDNIGHT_MS + HOUR_MS, MIDNIGHT_MS + HOUR_MS - 11 * DAY_MS),
        ("12d", MIDNIGHT_MS + DAY_MS - 1, MIDNIGHT_MS - 12 * DAY_MS),
    ],
)
def test_the_tail_moves_in_hops(text: str, query_ms: int, start_ms: int) -> None:
    assert Window.parse(text).start_ms(query_ms) == start_ms


@given(
    start=st.integers(0, 12 * 24 * 40),
    length_ms=st.integers(0, 40 * DAY_MS),
    levels=st.sampled_from([LEVELS, LEVELS[:1], LEVELS[:2]]),
)
def test_a_cover_is_exact_ordered_and_reaches_past_the_query_by_less_than_five_minutes(
    start: int, length_ms: int, levels: tuple[Level, ...]
) -> None:
    start_ms = MIDNIGHT_MS + start * FIVE_MINUTES_MS
    query_ms = start_ms + length_ms
    at_ms = start_ms
    for level, tile_ms in cover(start_ms, query_ms, levels):
        assert tile_ms == at_ms
        assert tile_ms % SIZES_MS[level] == 0
        at_ms += SIZES_MS[level]
    assert at_ms == ceil_to(query_ms, FIVE_MINUTES_MS)


def test_a_week_takes_few_tiles() -> None:
    query_ms = MIDNIGHT_MS + 13 * HOUR_MS + 17 * 60_000
    assert len(cover(Window.parse("7d").start_ms(query_ms), query_ms, LEVELS)) <= 11 + 6 + 13 + 4


def test_levels_follow_from_the_windows() -> None:
    ten_minutes, day, week = Window.parse("10m"), Window.parse("1d"), Window.parse("7d")
    assert levels_for((ten_minutes,)) == (Level.FIVE_MINUTES,)
    assert levels_for((day,)) == (Level.FIVE_MINUTES, Level.HOUR)
    assert levels_for((week,)) == LEVELS
    assert levels_for((ten_minutes, None)) == (*LEVELS, Level.ALL)
