"""A cache that is bounded by bytes: states may be of ten bytes or of ten thousand. Pure."""

from collections.abc import Hashable
from typing import Any, Generic, TypeVar

Kept = TypeVar("Kept")


class ByteCache(Generic[Kept]):
    """Keeps what was used lately, in two generations: when the young one is full, it replaces the old one."""

    def __init__(self, most_bytes: int) -> None:
        self._half = most_bytes // 2
        self._young: dict[Hashable, tuple[Kept, int]] = {}
        self._old: dict[Hashable, tuple[Kept, int]] = {}
        self._bytes = 0

    def get(self, key: Any) -> Kept | None:
        """What is kept under a key, if anything is."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is None:
                return None
            self.put(key, *found)
        return found[0]

    def put(self, key: Any, value: Kept, size: int) -> None:
        """Keeps a value of about `size` bytes."""
        before = self._young.get(key)
        if before is not None:
            self._bytes -= before[1]
        if self._bytes + size > self._half:
            self._old, self._young, self._bytes = self._young, {}, 0
        self._young[key] = (value, size)
        self._bytes += size

    def drop(self, key: Any) -> None:
        """Keeps nothing under a key."""
        self._old.pop(key, None)
        found = self._young.pop(key, None)
        if found is not None:
            self._bytes -= found[1]
