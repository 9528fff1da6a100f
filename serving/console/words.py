"""How the console writes times, spans, sizes and numbers. Pure."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bighead.times import FIRST_MS, LAST_MS

_SPANS = ((86_400_000, "day"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))
_SIZES = ("B", "kB", "MB", "GB", "TB")


def utc(at_ms: int) -> str:
    """A time as people read it, UTC; what is beyond all calendars as its milliseconds."""
    if not FIRST_MS <= at_ms <= LAST_MS:
        return f"{at_ms} ms"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def iso(at_ms: int) -> str:
    """A time as machines read it; milliseconds only where it has some. Beyond all calendars: its milliseconds."""
    if not FIRST_MS <= at_ms <= LAST_MS:
        return str(at_ms)
    time = datetime.fromtimestamp(at_ms / 1000, UTC)
    return time.isoformat(timespec="milliseconds" if at_ms % 1000 else "seconds").replace("+00:00", "Z")


def span(ms: float) -> str:
    """A length of time in its largest unit, e.g. `5 min`; below a second `0 s`."""
    for size, unit in _SPANS:
        if abs(ms) >= size:
            count = int(ms // size)
            return f"{count} {unit}{'s' if unit == 'day' and count != 1 else ''}"
    return "0 s"


def duration(ms: float) -> str:
    """How long something took: milliseconds, seconds with a decimal, or minutes and seconds."""
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(int(ms // 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def size(count: float) -> str:
    """Bytes, in the unit that leaves at most three digits."""
    for unit in _SIZES[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_SIZES[-1]}"


def number(value: Any) -> str:
    """A number in at most six significant digits, with thin groups of three; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "not a number" if math.isnan(value) else str(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return f"{int(value):,}".replace(",", "\u202f")
    return f"{value:.4g}" if abs(value) < 1 else f"{value:,.6g}".replace(",", "\u202f")


def pair(value: str) -> tuple[str, str]:
    """A value that is its own text, as an option of a choice."""
    return value, value


def counted(value: tuple[str, int]) -> tuple[str, str]:
    """A value with how often it occurs, as an option of a choice."""
    return value[0], f"{value[0]} ({value[1]})"


FILTERS: dict[str, Callable[..., object]] = {
    "utc": utc,
    "iso": iso,
    "span": span,
    "duration": duration,
    "bytes": size,
    "number": number,
    "pair": pair,
    "counted": counted,
}
