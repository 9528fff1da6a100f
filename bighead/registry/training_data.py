"""What a record says of its training and test data: its documented shape, and whether it is so. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from bighead.errors import CommandRefused

SPLITS = ("train", "test")
_NUMBERS = ("version", "from_ms", "to_ms", "rows")
_MAPS = {"sources": "versions by table", "positions": "next offsets by topic/partition"}


def check_training_data(text: str) -> None:
    """Raises CommandRefused naming the field that is not as documented.

    Each of `train` and `test` is an object whose table is a name, whose version, from_ms, to_ms (exclusive) and rows
    are whole numbers, and whose sources and positions are whole numbers by name. Whatever is not known is left out;
    what has another name is kept as it is.
    """
    if not text:
        return
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandRefused(f"the record's training_data is not JSON ({error})") from None
    if not isinstance(document, dict):
        raise CommandRefused(f"the record's training_data is a JSON {type(document).__name__}; expected an object")
    for split in SPLITS:
        if split in document:
            _check_split(f"training_data.{split}", document[split])


def _check_split(name: str, given: object) -> None:
    if not isinstance(given, dict):
        raise CommandRefused(
            f"the record's {name} is {given!r}; expected an object with table, version, rows and so on"
        )
    table = given.get("table", "")
    if not isinstance(table, str):
        raise CommandRefused(f"the record's {name}.table is {table!r}; expected a table's name")
    for field in _NUMBERS:
        if field in given and not _is_count(given[field]):
            raise CommandRefused(f"the record's {name}.{field} is {given[field]!r}; expected a whole number, 0 or more")
    if given.get("from_ms", 0) > given.get("to_ms", given.get("from_ms", 0)):
        raise CommandRefused(f"the record's {name} goes from {given['from_ms']} to {given['to_ms']}: it ends first")
    for field, expected in _MAPS.items():
        _check_map(f"{name}.{field}", given.get(field, {}), expected)


def _check_map(name: str, given: Any, expected: str) -> None:
    if not isinstance(given, Mapping) or not all(_is_count(value) for value in given.values()):
        raise CommandRefused(f"the record's {name} is {given!r}; expected {expected}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
