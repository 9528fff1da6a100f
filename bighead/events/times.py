"""Which event times are believed. Pure: the caller gives the clock."""

from datetime import UTC, datetime

from bighead.errors import InvalidEvent

SECONDS_FROM = 631_152_000
"""1990-01-01 in seconds. A time in [SECONDS_FROM, SECONDS_TO) is refused as one in seconds: read as milliseconds it
lies between 1970-01-08 and 1970-02-17, where no event is, and read as seconds between 1990 and 2100."""
SECONDS_TO = 4_102_444_800
"""2100-01-01 in seconds."""


def check_time(time_ms: object, *, now_ms: int, max_future_ms: int, name: str = "the event's time") -> None:
    """Refuses what is not a time in milliseconds from 1970-01-01 to `now_ms + max_future_ms`, and says why."""
    if believed(time_ms, now_ms=now_ms, max_future_ms=max_future_ms):
        return
    raise InvalidEvent(
        f"{name} is {time_ms!r}; expected milliseconds since 1970-01-01 UTC, at most {max_future_ms} ms after now "
        f"({now_ms}). {_guess(time_ms, now_ms)}"
    )


def believed(time_ms: object, *, now_ms: int, max_future_ms: int) -> bool:
    """Whether `check_time` takes it."""
    return type(time_ms) is int and 0 <= time_ms <= now_ms + max_future_ms and not SECONDS_FROM <= time_ms < SECONDS_TO


def _guess(time_ms: object, now_ms: int) -> str:
    if type(time_ms) is not int:
        return f"A {type(time_ms).__name__} is no time: send a long"
    if SECONDS_FROM <= time_ms < SECONDS_TO:
        return f"This looks like seconds ({_date(time_ms)}): multiply by 1000"
    if time_ms < 0:
        return "It lies before 1970"
    for unit, factor in (("microseconds", 1_000), ("nanoseconds", 1_000_000)):
        if time_ms > SECONDS_TO * 1000 and SECONDS_FROM <= time_ms // factor // 1000 < SECONDS_TO:
            return f"This looks like {unit} ({_date(time_ms // factor // 1000)}): divide by {factor}"
    return f"It lies {(time_ms - now_ms) / 3_600_000:.1f} hours in the future: check the producer's clock"


def _date(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).date().isoformat()
