"""Windows, hops, tile levels, and which tiles cover a window.

Pure arithmetic on milliseconds since the epoch, UTC. A window `w` at query time `q` holds the events with
`floor(q - w, hop) <= t < q` (the sawtooth windows of Chronon).
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from bighead.errors import DefinitionError

MINUTE_MS = 60_000
FIVE_MINUTES_MS = 5 * MINUTE_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

_UNITS_MS = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_TEXT = re.compile(r"(\d+)\s*(m|min|h|d)")
_OTHER_UNITS = re.compile(r"(\d+)\s*(minutes?|mins?|hours?|hr|days?|w|weeks?)")


class Level(StrEnum):
    """The length of a tile. ALL is everything since its start; BASE is everything before its start (the cut)."""

    FIVE_MINUTES = "5m"
    HOUR = "1h"
    DAY = "1d"
    ALL = "all"
    BASE = "base"

    __hash__ = str.__hash__  # an enumeration's own is written in Python, and keys of tiles are hashed for every event


SIZES_MS: dict[Level, int] = {Level.DAY: DAY_MS, Level.HOUR: HOUR_MS, Level.FIVE_MINUTES: FIVE_MINUTES_MS}
"""The bounded levels, coarse first. Each size divides the one before it."""


def floor_to(time_ms: int, step_ms: int) -> int:
    """The greatest multiple of `step_ms` that is not after `time_ms`."""
    return time_ms - time_ms % step_ms


def ceil_to(time_ms: int, step_ms: int) -> int:
    """The smallest multiple of `step_ms` that is not before `time_ms`."""
    return -(-time_ms // step_ms) * step_ms


@dataclass(frozen=True, order=True)
class Window:
    """A length of time that features look back over, in milliseconds."""

    length_ms: int

    def __post_init__(self) -> None:
        if self.length_ms <= 0 or self.length_ms % self.hop_ms:
            raise DefinitionError(
                f"a window of {self.length_ms} ms is not a whole number of its hops of {self.hop_ms} ms; windows of "
                "12 d and more count in days, of 12 h and more in hours, shorter ones in five minutes"
            )

    @property
    def hop_ms(self) -> int:
        """The step in which the tail moves: one day from 12 d, one hour from 12 h, else five minutes."""
        if self.length_ms >= 12 * DAY_MS:
            return DAY_MS
        return HOUR_MS if self.length_ms >= 12 * HOUR_MS else FIVE_MINUTES_MS

    def start_ms(self, query_ms: int) -> int:
        """The first millisecond that the window holds at `query_ms`."""
        return floor_to(query_ms - self.length_ms, self.hop_ms)

    def __str__(self) -> str:
        unit = next(unit for unit in ("d", "h", "m") if self.length_ms % _UNITS_MS[unit] == 0)
        return f"{self.length_ms // _UNITS_MS[unit]}{unit}"

    @classmethod
    def parse(cls, text: str) -> "Window":
        """Reads `10m`, `1h` or `7d`."""
        match = _TEXT.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise DefinitionError(f"a window is {text!r}; expected a number and m, h or d{_meant(text)}")
        return cls(int(match[1]) * _UNITS_MS[match[2][0]])


def _meant(text: str) -> str:
    match = _OTHER_UNITS.fullmatch(text.strip().lower()) if isinstance(text, str) else None
    if match is None:
        return ", for example '10m', '1h', '7d'"
    days = 7 if match[2].startswith("w") else 1
    return f"; did you mean '{int(match[1]) * days}{'d' if days > 1 else match[2][0]}'?"


def levels_for(windows: tuple[Window | None, ...]) -> tuple[Level, ...]:
    """The tile levels worth keeping for these windows, fine first; `None` stands for no window."""
    longest_ms = max((window.length_ms if window else 2 * DAY_MS for window in windows), default=0)
    bounded = [level for level, size_ms in SIZES_MS.items() if size_ms < longest_ms or level is Level.FIVE_MINUTES]
    return (*reversed(bounded), *((Level.ALL,) if None in windows else ()))


def cover(start_ms: int, query_ms: int, levels: tuple[Level, ...]) -> list[tuple[Level, int]]:
    """The fewest tiles of `levels` that hold `start_ms <= t < query_ms`: coarse in the middle, fine at both ends.

    `start_ms` is a multiple of five minutes. The last tile may reach past `query_ms`, by less than five minutes.
    """
    end_ms = ceil_to(query_ms, FIVE_MINUTES_MS)
    sizes = [(level, size_ms) for level, size_ms in SIZES_MS.items() if level in levels]
    tiles: list[tuple[Level, int]] = []
    at_ms = start_ms
    while at_ms < end_ms:
        level, size_ms = next(
            (level, size_ms) for level, size_ms in sizes if at_ms % size_ms == 0 and at_ms + size_ms <= end_ms
        )
        tiles.append((level, at_ms))
        at_ms += size_ms
    return tiles
