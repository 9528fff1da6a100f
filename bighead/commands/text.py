"""How commands print: columns for people, JSON for programs. Knows nothing of what is printed."""

import base64
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any


def columns(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A heading and rows, aligned; the last column is as long as it is."""
    table = [list(heading), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(heading))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )


def json_line(value: object) -> str:
    """One line of JSON; bytes are base64, and numbers that JSON does not have are strings."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def text_or_base64(data: bytes | None) -> str | dict[str, str] | None:
    """Bytes that are mostly text, such as a key: the text, or {"base64": ...} where they are not UTF-8."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


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
