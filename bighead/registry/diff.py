"""What differs between two versions of a model, field by field: numbers with their difference. Pure.

What a record holds as JSON text (configuration, parity, data) is compared inside; tensors, attachments and whatever
else is a list of named things by their names.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bighead.registry.state import Version

_ABSENT = object()
_ORDER = ("artifact_", "metrics", "config", "signature", "training_data", "test_data", "join", "parity", "golden")
_GOLDEN = "golden"
_LARGEST = 1e300
"""Of a number that has differences: JSON has integers that are larger than any double."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that differs, such as metrics.auc. `before` and `after` are JSON values, None also where it is missing.

    delta: after less before, where both are finite numbers.
    """

    field: str
    change: Literal["added", "removed", "changed"]
    before: Any
    after: Any
    delta: float | None = None


def differences(before: Version, after: Version) -> tuple[Difference, ...]:
    """Every field of the records that differs, and who registered the versions, in a fixed order."""
    old, new = dict(_fields(before)), dict(_fields(after))
    names = sorted({*old, *new}, key=lambda name: (_rank(name), name))
    pairs = ((name, old.get(name, _ABSENT), new.get(name, _ABSENT)) for name in names)
    return tuple(_difference(name, one, other) for name, one, other in pairs if not _same(one, other))


def _difference(name: str, before: object, after: object) -> Difference:
    if before is _ABSENT:
        return Difference(name, "added", None, after)
    if after is _ABSENT:
        return Difference(name, "removed", before, None)
    delta = after - before if _is_number(before) and _is_number(after) else None  # type: ignore[operator]
    return Difference(name, "changed", before, after, delta)


def _fields(version: Version) -> Iterator[tuple[str, Any]]:
    yield from _flat("registered", asdict(version.registered))
    yield from _flat("retired", asdict(version.retired) if version.retired else None)
    for name, value in version.record.to_record().items():
        yield from _flat(name, _golden(value) if name == _GOLDEN else _opened(value))


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The leaves below `name`. Lists of named things are taken by name, other lists as a whole."""
    match value:
        case {**fields} if fields:
            for key, item in fields.items():
                yield from _flat(f"{name}.{key}", item)
        case [*items] if items and all(isinstance(item, Mapping) and "name" in item for item in items):
            named = [str(item["name"]) for item in items]
            if len(set(named)) != len(named):
                yield name, value
                return
            yield f"{name}.order", named
            for key, item in zip(named, items, strict=True):
                yield from _flat(f"{name}.{key}", {key: part for key, part in item.items() if key != "name"})
        case _:
            yield name, value


def _opened(value: Any) -> Any:
    """The object or list that a JSON text holds; any other value as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _golden(text: str) -> Any:
    """Rows that a version is tried with are many, and none of them has a name: each is compared by its number."""
    rows = _opened(text)
    return {f"row {number}": row for number, row in enumerate(rows, 1)} if isinstance(rows, list) else text


def _same(before: object, after: object) -> bool:
    if isinstance(before, float) and isinstance(after, float) and math.isnan(before) and math.isnan(after):
        return True
    return (type(before) is type(after) and before == after) or (_is_number(before) and before == after)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST  # NaN is not


def _rank(name: str) -> int:
    return next((place for place, start in enumerate(_ORDER) if name.startswith(start)), len(_ORDER))
