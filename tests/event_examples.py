"""Events of every type, derived from the schemas: one by hand of a rule, or any by hypothesis."""

from typing import Any

from hypothesis import strategies as st

from bighead.events.base import Event
from bighead.events.schemas import platform_schemas
from bighead.events.types import EVENT_TYPES

TIME_MS = 1_383_264_000_000
"""2013-11-01."""
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False),
    "string": _TEXT,
    "bytes": st.binary(max_size=12),
}
_EXAMPLES: dict[str, Any] = {
    "null": None,
    "boolean": True,
    "int": 7,
    "long": TIME_MS,
    "double": 0.25,
    "string": "Grüße",
    "bytes": b"\x00\xff",
}


def records(schema: Any, named: dict[str, Any] | None = None) -> st.SearchStrategy[Any]:
    """Any value that fits an Avro schema."""
    named = {} if named is None else named
    match schema:
        case str():
            return _PRIMITIVES[schema] if schema in _PRIMITIVES else named[schema]
        case list():
            return st.one_of([records(branch, named) for branch in schema])
        case {"type": "record", "fields": fields}:
            found = st.fixed_dictionaries({row["name"]: records(row["type"], named) for row in fields})
            named[f"{schema['namespace']}.{schema['name']}"] = found
            return found
        case {"type": "array", "items": items}:
            return st.lists(records(items, named), max_size=3)
        case {"type": "map", "values": values}:
            return st.dictionaries(_TEXT, records(values, named), max_size=3)
    raise ValueError(f"{schema!r}: no strategy")


def example(schema: Any, named: dict[str, Any] | None = None) -> Any:
    """One value that fits an Avro schema, with something in every field."""
    named = {} if named is None else named
    match schema:
        case str():
            return _EXAMPLES[schema] if schema in _EXAMPLES else named[schema]
        case list():
            return example(schema[-1], named)
        case {"type": "record", "fields": fields}:
            found = {row["name"]: example(row["type"], named) for row in fields}
            named[f"{schema['namespace']}.{schema['name']}"] = found
            return found
        case {"type": "array", "items": items}:
            return [example(items, named)]
        case {"type": "map", "values": values}:
            return {"name": example(values, named)}
    raise ValueError(f"{schema!r}: no example")


def example_event(full_name: str) -> Event:
    """One event of a type, at TIME_MS."""
    return EVENT_TYPES[full_name].from_record(example(platform_schemas()[full_name]))
