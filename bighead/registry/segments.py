"""Partitioned models: one name, and for each segment of the rows a version of its own; the live one for the rest. Pure.

A segment is a key and a value, such as carrier=AA. Keys have an order: a row is answered by the first of its segments
that there is, so that the finest decides and what it does not cover falls back up the hierarchy.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from bighead.errors import CommandRefused
from bighead.events.types import ModelRecord
from bighead.registry.checks import usable_version
from bighead.registry.state import ModelState, Segments, Slot, Version

SEGMENT_TAG, ALL_ROWS = "segment", "all rows"
"""The tag by which a training says of a version which segment it is of; what it says of that of all rows."""


def candidates(segments: Segments, value_of: Callable[[str], object]) -> Iterator[tuple[str, int]]:
    """The segments that a row belongs to and their versions, the finest first. `value_of` a key may be None."""
    for key in segments.keys:
        value = value_of(key)
        if value is not None:
            name = f"{key}={as_text(value)}"
            if name in segments.versions:
                yield name, segments.versions[name]


def as_text(value: object) -> str:
    """A value of a row as segments are named: true, 3 and AA, also where they come as bytes or floating-point."""
    match value:
        case bool():
            return str(value).lower()
        case bytes():
            return value.decode("utf-8", "replace")
        case float() if value.is_integer():
            return str(int(value))
    return str(value)


def check_segments(keys: Sequence[str], versions: Mapping[str, int]) -> None:
    """Raises CommandRefused unless each segment is a key=value of one of the keys, and each key has one."""
    if len(set(keys)) != len(keys) or not all(key and "=" not in key for key in keys):
        raise CommandRefused(f"the keys of the segments are {list(keys)}; expected each once, without '='")
    used = set()
    for name in versions:
        key, _, value = name.partition("=")
        if key not in keys or not value:
            raise CommandRefused(f"{name!r} is no segment; expected KEY=VALUE with one of the keys {list(keys)}")
        used.add(key)
    if idle := [key for key in keys if key not in used]:
        raise CommandRefused(f"key {idle[0]!r} has no segment; leave it out, or name a version for one of its values")


def check_fits(state: ModelState, slot: Slot, version: Version) -> None:
    """Raises CommandRefused where the model is partitioned and `version` cannot answer what is in no segment."""
    if slot.segments is not None:
        check_alike(state, slot.segments.versions, version)


def check_alike(state: ModelState, versions: Mapping[str, int], rest: Version) -> None:
    """Raises CommandRefused unless what answers for segments has the join and outputs of `rest`, in no segment.

    Rows of one request may fall into several segments, and their answers are one table.
    """
    for name, number in versions.items():
        record = usable_version(state, number, f"the version of segment {name!r}").record
        if (record.join, record.signature.outputs) != (rest.record.join, rest.record.signature.outputs):
            raise CommandRefused(
                f"version {number} of {state.name!r}, of segment {name!r}, gives {_table(record)}; expected those of "
                f"version {rest.number}, which is to answer what is in no segment: {_table(rest.record)}"
            )


def _table(record: ModelRecord) -> str:
    outputs = ", ".join(f"{tensor.name} {tensor.type} {list(tensor.shape)}" for tensor in record.signature.outputs)
    return f"the outputs {outputs} with the join {record.join or 'none'}"
