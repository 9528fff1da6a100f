"""How many events the platform's own log got in each minute. Pure; bounded to the newest day's worth of minutes."""

MINUTE_MS = 60_000
SHOWN = 60
"""Minutes that are drawn."""
_KEPT = 24 * 60


class EventRate:
    """Counts events by the minute in which they happened."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def apply(self, at_ms: int) -> None:
        """One event more."""
        minute = at_ms // MINUTE_MS
        self._counts[minute] = self._counts.get(minute, 0) + 1
        if len(self._counts) > 2 * _KEPT:
            self._counts = {one: self._counts[one] for one in sorted(self._counts)[-_KEPT:]}

    def knows(self, until_ms: int) -> bool:
        """Whether what was counted reaches back to the hour before a time: older minutes are not kept."""
        return len(self._counts) < _KEPT or min(self._counts) <= until_ms // MINUTE_MS - SHOWN

    def until(self, until_ms: int) -> list[tuple[int, float]]:
        """(start of a minute in ms, events) of the last `SHOWN` whole minutes and the one that has begun."""
        last, counts = until_ms // MINUTE_MS, self._counts
        return [(minute * MINUTE_MS, float(counts.get(minute, 0))) for minute in range(last - SHOWN, last + 1)]
