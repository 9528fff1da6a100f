"""What differs between two definitions, field by field, in the words of the definitions. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bighead.features.definition import WORDS


@dataclass(frozen=True)
class Difference:
    """One field that is not the same; `old` or `new` is None where it is not there. means: whether values change."""

    field: str
    old: Any
    new: Any
    means: bool


def differences(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> list[Difference]:
    """The fields in which two definitions, in the form in which they travel in events, are not the same."""
    before, after = _fields(old or {}), _fields(new or {})
    return [
        Difference(field, before.get(field), after.get(field), field.rpartition(".")[2] not in WORDS)
        for field in dict.fromkeys([*before, *after])
        if before.get(field) != after.get(field)
    ]


def _fields(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names to values; aggregations by what they compute, parts of a Join by prefix and group."""
    found: dict[str, Any] = {}
    for name, value in definition.items():
        match value:
            case dict():
                found |= {f"{name}.{inner}": one for inner, one in _fields(value).items()}
            case list() if name == "aggregations":
                for one in value:
                    rest = {key: one[key] for key in ("windows", "description", "tags") if key in one}
                    found |= {f"{_aggregation(one)}.{inner}": part for inner, part in rest.items()}
            case list() if name == "parts":
                for one in value:
                    found |= _part(one)
            case _:
                found[name] = value
    return found


def _aggregation(one: Mapping[str, Any]) -> str:
    args = "".join(f", {name}={value}" for name, value in one.get("args", {}).items())
    return f"{one['op']}({one['column']}{args})" + (f" by {one['bucket']}" if "bucket" in one else "")


def _part(one: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(one, str):
        return {f"part {one}": {}}
    prefix = f"{one['prefix']}: " if one["prefix"] else ""
    return {f"part {prefix}{one['group']}": one["keys"]}
