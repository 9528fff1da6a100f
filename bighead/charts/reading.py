"""Reading JSON that anybody may have written: each field is of its type and bounded, or InvalidInput names it. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from bighead.errors import InvalidInput

MOST_CHARACTERS = 2000
LARGEST = 1e100
"""Numbers beyond it have no place in a drawing, and no room for arithmetic beside them."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One JSON object; `name` is what errors call it."""

    name: str
    fields: Mapping[str, Any]

    @classmethod
    def of_json(cls, content: bytes | str, name: str) -> Self:
        """The object that the JSON holds."""
        try:
            return cls._of(json.loads(content), name)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{name} is not JSON: {error}") from None

    @classmethod
    def _of(cls, value: object, name: str) -> Self:
        if not isinstance(value, dict):
            raise InvalidInput(f"{name} is {_shown(value)}; expected an object")
        return cls(name, value)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.fields.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """A text of bounded length."""
        value = self.fields.get(name, default)
        if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
            raise self._wrong(name, value, f"a text of at most {MOST_CHARACTERS} characters")
        return value

    def flag(self, name: str) -> bool:
        """True or false; false where it is left out."""
        value = self.fields.get(name, False)
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number."""
        value = self.fields.get(name, default)
        if not _is_number(value):
            raise self._wrong(name, value, "a finite number")
        return float(value)

    def count(self, name: str, default: int | None = None) -> int:
        """A whole number, 0 or more."""
        value = self.fields.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
            raise self._wrong(name, value, "a whole number, 0 or more")
        return value

    def child(self, name: str) -> "Reader":
        """An object."""
        return Reader._of(self.fields.get(name), f"{self.name}'s {name}")

    def objects(self, name: str, most: int) -> "tuple[Reader, ...]":
        """A list of objects."""
        return tuple(Reader._of(one, f"{self.name}'s {name}[{i}]") for i, one in enumerate(self.values(name, most)))

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        """A list of texts."""
        values = self.values(name, most)
        if not all(isinstance(value, str) and len(value) <= MOST_CHARACTERS for value in values):
            raise self._wrong(name, values, "a list of texts")
        return tuple(values)

    def numbers(self, name: str, most: int, least: int = 0) -> tuple[float, ...]:
        """A list of finite numbers."""
        values = self.values(name, most, least)
        if not all(_is_number(value) for value in values):
            raise self._wrong(name, values, "a list of finite numbers")
        return tuple(float(value) for value in values)

    def counts(self, name: str, most: int, least: int = 0) -> tuple[float, ...]:
        """A list of finite numbers, 0 or more."""
        counts = self.numbers(name, most, least)
        if any(count < 0 for count in counts):
            raise self._wrong(name, list(counts), "numbers that are not negative")
        return counts

    def edges(self, name: str, most: int) -> tuple[float, ...]:
        """The edges of at most `most` bins, each beyond the one before it."""
        edges = self.numbers(name, most + 1, least=2)
        if any(not low < high for low, high in pairwise(edges)):
            raise self._wrong(name, list(edges), "growing numbers")
        return edges

    def points(self, name: str, most: int) -> tuple[tuple[float, float], ...]:
        """A list of [x, y]."""
        rows = self.rows(name, most)
        if any(len(row) != 2 for row in rows):
            raise self._wrong(name, rows, "a list of [x, y]")
        return tuple((row[0], row[1]) for row in rows)

    def rows(self, name: str, most: int) -> tuple[tuple[float, ...], ...]:
        """A list of lists of finite numbers."""
        rows = self.values(name, most)
        if not all(isinstance(row, list) and all(_is_number(value) for value in row) for row in rows):
            raise self._wrong(name, rows, "a list of lists of finite numbers")
        return tuple(tuple(float(value) for value in row) for row in rows)

    def values(self, name: str, most: int, least: int = 0) -> list[Any]:
        """A list of anything."""
        value = self.fields.get(name)
        if not isinstance(value, list) or not least <= len(value) <= most:
            length = f" with {len(value)} items" if isinstance(value, list) else ""
            raise self._wrong(name, value, f"a list of {least} to {most:,} items", length)
        return value

    def _wrong(self, name: str, value: object, expected: str, more: str = "") -> InvalidInput:
        return InvalidInput(f"{self.name}'s {name} is {_shown(value)}{more}; expected {expected}")


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= LARGEST  # not so of NaN and infinities; whole numbers may be larger than any float


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
