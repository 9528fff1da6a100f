"""Times as people write and read them, one way for the command line, the API and the console. Pure.

Inside, a time is milliseconds since the epoch, UTC.
"""

from datetime import UTC, datetime

from bighead.errors import InvalidInput

EXPECTED = "ISO 8601 (UTC where no zone is given) such as 2026-11-01T12:00Z, or milliseconds since 1970"
FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999
"""From the year 1 to the end of the year 9999, UTC: no other time has a text."""


def time_ms(text: str, name: str = "the time") -> int:
    """The milliseconds of a time that somebody wrote; raises InvalidInput, which calls it `name`."""
    try:
        return _milliseconds(text.strip())
    except (ValueError, OverflowError):
        raise InvalidInput(f"{name} is {text[:100]!r}; expected {EXPECTED}") from None


def utc(at_ms: int) -> str:
    """A time to the second, for people, such as 2026-11-01 12:00:00Z."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).isoformat(" ").replace("+00:00", "Z")


def _milliseconds(text: str) -> int:
    if text.isascii() and text.isdigit():
        if len(text) > len(str(LAST_MS)) or int(text) > LAST_MS:
            raise ValueError(text)
        return int(text)
    time = datetime.fromisoformat(text)
    at_ms = round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
    if not FIRST_MS <= at_ms <= LAST_MS:  # an offset from UTC leads out of the years that there are
        raise ValueError(text)
    return at_ms
