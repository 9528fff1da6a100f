"""A definition checked against its source's columns: typed inputs, tile cells, features. What engines are built from.

Pure. What lies in tiles and is read from them, cells and features, is in `cells`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bighead.errors import DefinitionError, near
from bighead.features.cells import Cell, Feature
from bighead.features.definition import (
    Accuracy,
    Aggregation,
    EntitySource,
    GroupBy,
    Join,
    Part,
    feature_name,
    group_from_json,
    group_to_json,
    join_from_json,
    join_to_json,
    meaning_hash,
)
from bighead.features.expressions import Expression, columns_read, parse
from bighead.features.kept import bucketed
from bighead.features.operations import OPERATIONS, Operation, operation
from bighead.features.types import SCALARS, ValueType, clean
from bighead.features.windows import DAY_MS, Level, floor_to, levels_for

__all__ = [
    "Cell",
    "CompiledGroup",
    "CompiledJoin",
    "CompiledPart",
    "Feature",
    "compile_group",
    "compile_join",
    "describe",
    "group_of_json",
    "join_of_json",
]

KEPT_MS = 2 * DAY_MS
"""How much longer than its group's longest window what has no new events is kept."""
_BUCKETS = frozenset({ValueType.BOOLEAN, ValueType.LONG, ValueType.STRING})


@dataclass(frozen=True)
class CompiledGroup:
    """A GroupBy with types. `columns` are the source's columns that it was checked against."""

    definition: GroupBy
    columns: Mapping[str, ValueType]
    inputs: Mapping[str, Expression]
    where: Expression | None
    reversal: Expression | None
    cells: tuple[Cell, ...]
    features: tuple[Feature, ...]

    @property
    def name(self) -> str:
        """The group's name."""
        return self.definition.name

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the key columns."""
        return tuple(self.definition.keys)

    @property
    def snapshot(self) -> bool:
        """Whether it answers as of the last midnight."""
        return self.definition.accuracy is Accuracy.SNAPSHOT

    def as_of_ms(self, query_ms: int) -> int:
        """As of when a query at `query_ms` is answered, milliseconds since the epoch, UTC."""
        return floor_to(query_ms, DAY_MS) if self.snapshot else query_ms

    @cached_property
    def key_kinds(self) -> tuple[ValueType, ...]:
        """The types of the key columns."""
        return tuple(_kind(self.inputs[key]) for key in self.keys)

    @cached_property
    def input_kinds(self) -> dict[str, ValueType]:
        """The columns that aggregations read, buckets among them, with their types."""
        names = [name for cell in self.cells for name in (cell.column, cell.bucket) if name is not None]
        return {name: _kind(self.inputs[name]) for name in names}

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The levels of the tiles that the stream keeps, fine first."""
        return levels_for(tuple(feature.window for feature in self.features))

    @cached_property
    def longest_ms(self) -> int | None:
        """How far back any feature looks, milliseconds; None where one looks back for ever."""
        lengths = [feature.window.length_ms if feature.window else None for feature in self.features]
        return None if None in lengths else max(length for length in lengths if length is not None)

    @cached_property
    def kept_ms(self) -> int | None:
        """How long after its last event an entity is kept online, milliseconds; None for ever."""
        return None if self.longest_ms is None else self.longest_ms + KEPT_MS

    @cached_property
    def state_columns(self) -> tuple[tuple[str, ValueType], ...]:
        """The columns of a tile's state, cell after cell."""
        return tuple(column for cell in self.cells for column in cell.state_columns)

    @cached_property
    def source_columns(self) -> tuple[str, ...]:
        """The source's columns that this group reads, its time first."""
        conditions = [one for one in (self.where, self.reversal) if one is not None]
        expressions = [*self.inputs.values(), *conditions]
        read = sorted(set().union(*(expression.columns for expression in expressions)) - {self.definition.source.time})
        return (self.definition.source.time, *read)

    def to_json(self) -> str:
        """The definition with the column types that it was checked against, as it travels in events."""
        value = group_to_json(self.definition) | {"columns": {name: self.columns[name] for name in self.source_columns}}
        # Groups share a source: what this one does not select is no part of its meaning, and its columns do not travel.
        select = value["source"]["select"]
        value["source"]["select"] = {name: text for name, text in select.items() if name in self.inputs}
        return json.dumps(value, sort_keys=True)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the meaning: definition and column types."""
        return meaning_hash(json.loads(self.to_json()))


def compile_group(group: GroupBy, columns: Mapping[str, ValueType]) -> CompiledGroup:
    """Checks a GroupBy against its source's columns; raises DefinitionError naming the group and what is wrong."""
    try:
        return _compile_group(group, columns)
    except DefinitionError as error:
        raise DefinitionError(f"GroupBy {group.name!r} over topic {group.source.topic!r}: {error}") from None


def _compile_group(group: GroupBy, columns: Mapping[str, ValueType]) -> CompiledGroup:
    source = group.source
    if parse(source.time, columns).kind is not ValueType.LONG or source.time not in columns:
        raise DefinitionError(f"time {source.time!r} must be a column of type long, milliseconds since the epoch, UTC")
    select = dict(source.select) or {name: name for name in columns}
    buckets = [aggregation.bucket for aggregation in group.aggregations if aggregation.bucket]
    used = dict.fromkeys([*group.keys, *(aggregation.column for aggregation in group.aggregations), *buckets])
    selected = {name: _kind_of_text(text, columns) for name, text in select.items()}
    for name in used:
        parse(name, selected)
    inputs = {name: parse(select[name], columns) for name in used}
    where = _condition("where", source.where, columns)
    reversal = _condition("reversal", source.reversal if isinstance(source, EntitySource) else None, columns)
    for key in group.keys:
        if _kind(inputs[key]) is ValueType.DOUBLE or not _kind(inputs[key]).is_scalar:
            raise DefinitionError(f"key {key!r} is {_kind(inputs[key])}; keys are long, string or boolean")
    cells, features = _cells_and_features(group, inputs)
    return CompiledGroup(group, dict(columns), inputs, where, reversal, cells, features)


def _condition(what: str, text: str | None, columns: Mapping[str, ValueType]) -> Expression | None:
    condition = parse(text, columns) if text is not None else None
    if condition is not None and condition.kind is not ValueType.BOOLEAN:
        raise DefinitionError(f"{what} {text!r} is {condition.kind}; expected a condition")
    return condition


def _cells_and_features(
    group: GroupBy, inputs: Mapping[str, Expression]
) -> tuple[tuple[Cell, ...], tuple[Feature, ...]]:
    cells: dict[Cell, int] = {}
    features: list[Feature] = []
    for aggregation in group.aggregations:
        kind = _kind(inputs[aggregation.column])
        bound = _operation(group, aggregation, kind, inputs)
        answered = operation(aggregation.op, kind, aggregation.column).answered
        args = tuple((name, value) for name, value in aggregation.args.items() if name not in answered)
        cell = Cell(aggregation.column, aggregation.op, kind, args, aggregation.bucket, operation=bound)
        place = cells.setdefault(cell, len(cells))
        for window in aggregation.spans:
            name = feature_name(group.name, aggregation, window)
            features.append(Feature(name, place, window, bound.result, answer=bound.answer))
    return tuple(cells), tuple(features)


def _operation(
    group: GroupBy, aggregation: Aggregation, kind: ValueType, inputs: Mapping[str, Expression]
) -> Operation:
    """The operation of an aggregation, by its bucket or the keys of its map; raises DefinitionError where it cannot."""
    row = operation(aggregation.op, kind, aggregation.column)
    build = row.changing if row.changing and group.reverses else row.build
    inner = build(kind.element, aggregation.args)
    what = f"{aggregation.op} of {aggregation.column!r}"
    if group.reverses and inner.delete is None:
        raise DefinitionError(f"{what} cannot take rows back, as a source with `reversal` does; {_deleting()} can")
    if aggregation.bucket is None and not kind.is_map:
        return inner
    if kind.is_map and aggregation.bucket is not None:
        raise DefinitionError(f"{what} is by the keys of a map already; remove bucket {aggregation.bucket!r}")
    if aggregation.bucket is not None and _kind(inputs[aggregation.bucket]) not in _BUCKETS:
        found = _kind(inputs[aggregation.bucket])
        raise DefinitionError(f"bucket {aggregation.bucket!r} is {found}; buckets are long, string or boolean")
    return bucketed(inner)


def _deleting() -> str:
    """The operations that can take inputs back."""
    names = []
    for op, row in OPERATIONS.items():
        build = row.changing or row.build
        kind = next(one for one in (ValueType.LONG, ValueType.STRING) if one in row.inputs)
        if build(kind, {"k": 1, "p": (0.5,)}).delete is not None:
            names.append(str(op))
    return ", ".join(names)


def _kind_of_text(text: str, columns: Mapping[str, ValueType]) -> ValueType:
    return _kind(parse(text, columns))


def _kind(expression: Expression) -> ValueType:
    if expression.kind is None:
        raise DefinitionError(f"expression {expression.text!r} is always null")
    return expression.kind


def group_of_json(text: str) -> CompiledGroup:
    """The inverse of `CompiledGroup.to_json`."""
    value = json.loads(text)
    columns = {name: ValueType(kind) for name, kind in value["columns"].items()}
    return compile_group(group_from_json(value), columns)


@dataclass(frozen=True)
class CompiledPart:
    """A group as a Join reads it: `keys` names the left column of each of its keys, `columns` that of each feature."""

    group: CompiledGroup
    keys: tuple[str, ...]
    columns: tuple[str, ...]

    def key_of(self, left: Mapping[str, Any]) -> list[Any]:
        """The group's key values, in its order, from a left row."""
        return [left[name] for name in self.keys]


@dataclass(frozen=True)
class CompiledJoin:
    """A Join with its parts, and its derivations in an order in which each comes after those that it names.

    `kinds` are the types of all output columns, in order: features of the parts, what the request brings, derivations.
    """

    definition: Join
    parts: tuple[CompiledPart, ...]
    request_kinds: Mapping[str, ValueType]
    derivations: Mapping[str, Expression]
    kinds: Mapping[str, ValueType]

    @property
    def name(self) -> str:
        """The join's name."""
        return self.definition.name

    @cached_property
    def groups(self) -> tuple[CompiledGroup, ...]:
        """The groups that its parts read, each once."""
        return tuple({part.group.name: part.group for part in self.parts}.values())

    @cached_property
    def left_kinds(self) -> dict[str, ValueType]:
        """What a request or a left row brings: the keys that groups use and the request's columns, with their types."""
        keys = {key: kind for part in self.parts for key, kind in zip(part.keys, part.group.key_kinds, strict=True)}
        return keys | dict(self.request_kinds)

    def request_values(self, left: Mapping[str, Any]) -> dict[str, Any]:
        """The output columns that the request itself brings."""
        return {name: _as_kind(clean(left[name]), kind) for name, kind in self.request_kinds.items()}

    def to_json(self) -> str:
        """The definition as it travels in events."""
        return json.dumps(join_to_json(self.definition), sort_keys=True)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the meaning, that of its groups included."""
        return meaning_hash(join_to_json(self.definition) | {"groups": [part.group.hash for part in self.parts]})


def compile_join(join: Join, groups: Mapping[str, CompiledGroup]) -> CompiledJoin:
    """Checks a Join against compiled groups; raises DefinitionError naming the Join and what is wrong."""
    try:
        return _compile_join(join, groups)
    except DefinitionError as error:
        raise DefinitionError(f"Join {join.name!r}: {error}") from None


def _compile_join(join: Join, groups: Mapping[str, CompiledGroup]) -> CompiledJoin:
    parts = tuple(_compile_part(part, join.left, groups) for part in join.as_parts())
    request_kinds = {name: _request_kind(name, kind) for name, kind in join.request.items()}
    left_kinds: dict[str, tuple[ValueType, str]] = {name: (kind, "`request`") for name, kind in request_kinds.items()}
    for part in parts:
        for key, kind in zip(part.keys, part.group.key_kinds, strict=True):
            other, where = left_kinds.setdefault(key, (kind, f"group {part.group.name!r}"))
            if other is not kind:
                raise DefinitionError(f"{key!r} is {other} in {where} and {kind} in group {part.group.name!r}")
    kinds: dict[str, ValueType] = {}
    features = [
        (column, feature.kind)
        for part in parts
        for column, feature in zip(part.columns, part.group.features, strict=True)
    ]
    for name, kind in [*features, *request_kinds.items()]:
        if name in kinds:
            raise DefinitionError(f"column {name!r} is defined twice; give one of its groups a prefix")
        kinds[name] = kind
    derivations: dict[str, Expression] = {}
    for name in _in_order(join.derivations, kinds):
        derivations[name] = parse(join.derivations[name], kinds)
        kinds[name] = _kind(derivations[name])
    return CompiledJoin(join, parts, request_kinds, derivations, kinds)


def _compile_part(part: Part, left: Sequence[str], groups: Mapping[str, CompiledGroup]) -> CompiledPart:
    if part.group_name not in groups:
        raise DefinitionError(f"group {part.group_name!r} is not applied{near(part.group_name, groups)}")
    group = groups[part.group_name]
    for key in part.keys:
        if key not in group.keys:
            raise DefinitionError(f"group {group.name!r} has no key {key!r} to be mapped{near(key, group.keys)}")
    keys = tuple(part.keys.get(key, key) for key in group.keys)
    for key, name in zip(group.keys, keys, strict=True):
        if name not in left:
            raise DefinitionError(
                f"group {group.name!r} needs key {name!r}, and `left` has {list(left)}; add it, or say which of them "
                f"it is, for example Part({group.name!r}, keys={{{key!r}: {left[0]!r}}})"
            )
    prefix = f"{part.prefix}_" if part.prefix else ""
    return CompiledPart(group, keys, tuple(f"{prefix}{feature.name}" for feature in group.features))


def _request_kind(name: str, kind: str) -> ValueType:
    if kind not in SCALARS:
        raise DefinitionError(f"`request` column {name!r} is {str(kind)!r}{near(kind, sorted(SCALARS))}")
    return ValueType(kind)


def _as_kind(value: Any, kind: ValueType) -> Any:
    return float(value) if kind is ValueType.DOUBLE and value is not None else value


def _in_order(derivations: Mapping[str, str], given: Mapping[str, ValueType]) -> list[str]:
    """The names of derivations, each after those that it reads; raises DefinitionError for a circle."""
    reads = {name: columns_read(text) & derivations.keys() for name, text in derivations.items()}
    ordered: list[str] = []
    for name in derivations:
        if name in given:
            raise DefinitionError(f"column {name!r} is defined twice; give the derivation another name")
    while len(ordered) < len(reads):
        ready = [name for name, names in reads.items() if name not in ordered and names <= set(ordered)]
        if not ready:
            circle = ", ".join(name for name in reads if name not in ordered)
            raise DefinitionError(f"the derivations {circle} read each other in a circle; one has to come first")
        ordered += ready
    return ordered


def join_of_json(text: str, groups: Mapping[str, CompiledGroup]) -> CompiledJoin:
    """The inverse of `CompiledJoin.to_json`, given its groups."""
    return compile_join(join_from_json(json.loads(text)), groups)


def describe(group: CompiledGroup) -> list[dict[str, Any]]:
    """One row a feature, for people and for JSON."""
    said = [one for one in group.definition.aggregations for _ in one.spans]
    return [
        {
            "feature": feature.name,
            "type": str(feature.kind),
            "column": aggregation.column,
            "op": str(aggregation.op),
            "bucket": aggregation.bucket,
            "window": str(feature.window) if feature.window else None,
            "description": aggregation.description,
            "tags": list(aggregation.tags),
        }
        for feature, aggregation in zip(group.features, said, strict=True)
    ]
