"""Lists in pages. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list. `number` counts from 1; `first` and `last` are places in the whole list, from 1."""

    items: Sequence[T]
    number: int
    pages: int
    total: int
    first: int
    last: int

    def of(self, shown: Callable[[T], U]) -> "Page[U]":
        """The same page, with what each item is shown as."""
        return Page([shown(one) for one in self.items], self.number, self.pages, self.total, self.first, self.last)


def paged(items: Sequence[T], number: str | None, size: int = 50) -> Page[T]:
    """The page of that number, or the nearest that there is; what is no number means the first."""
    pages = max(1, -(-len(items) // size))
    wanted = int(number) if number and number.isdecimal() and len(number) < 10 else 1
    at = min(max(wanted, 1), pages)
    start = (at - 1) * size
    cut = items[start : start + size]
    return Page(cut, at, pages, len(items), start + 1 if cut else 0, start + len(cut))
