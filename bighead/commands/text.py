"""How commands print: columns for people, JSON for programs. Knows the terminal, and nothing of what is printed."""

import base64
import json
import math
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

LEAST = 8
"""A column is not made narrower to fit a terminal: one that is too narrow for that is left with long lines."""


def columns(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A heading and rows, aligned. On a terminal cells are wrapped so that lines fit; elsewhere a row is a line."""
    return fitted(heading, rows, shutil.get_terminal_size().columns if sys.stdout.isatty() else None)


def fitted(heading: Sequence[str], rows: Iterable[Sequence[object]], most: int | None) -> str:
    """The same for lines of at most so many characters; None: as long as they are."""
    table = [list(heading), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(heading))]
    if most is None:
        return "\n".join(_line(row, widths) for row in table)
    widths = _narrowed(widths, most - 2 * (len(widths) - 1))
    return "\n".join(line for row in table for line in _wrapped(row, widths))


def _narrowed(widths: Sequence[int], room: int) -> list[int]:
    """The widest columns give way first."""
    narrowed = list(widths)
    while sum(narrowed) > room and max(narrowed) > LEAST:
        narrowed[narrowed.index(max(narrowed))] -= 1
    return narrowed


def _wrapped(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    cells = [
        textwrap.wrap(cell, width) if len(cell) > width else [cell] for cell, width in zip(row, widths, strict=True)
    ]
    height = max(map(len, cells))
    return [_line([cell[at] if at < len(cell) else "" for cell in cells], widths) for at in range(height)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def json_line(value: object) -> str:
    """One line of JSON; bytes are base64, and numbers that JSON does not have are strings."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: object) -> Any:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
    return value
