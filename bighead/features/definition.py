"""What users write: sources, GroupBy, Join. Plain values, checked as far as they can be without a schema.

Pure. `to_json`/`from_json` give the form that travels in events; `meaning_hash` is stable under renaming of Python
variables and reordering of keyword arguments, and changes with anything that changes a value of a feature.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from bighead.errors import DefinitionError, near
from bighead.features.operations import Op, checked_args
from bighead.features.windows import Window

_NAME = re.compile(r"[a-z][a-z0-9_]*")
WORDS = frozenset({"description", "owner", "tags"})
"""What is said of a definition for people, and no part of its meaning."""


def _named(what: str, name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DefinitionError(
            f"the {what} is {name!r}; expected lower case letters, digits and _, for example 'carrier_delay'"
        )
    return name


def _listed(what: str, values: Any, *kinds: type) -> tuple[Any, ...]:
    """A list of values of these kinds; a single one is no list of its letters."""
    expected = " or ".join("name" if kind is str else kind.__name__ for kind in kinds)
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise DefinitionError(f"{what} are {values!r}; expected a list of {expected}")
    for value in values:
        if not isinstance(value, kinds):
            raise DefinitionError(f"{what} hold {value!r}; expected {expected}")
    return tuple(values)


def _mapped(what: str, values: Any) -> None:
    if not isinstance(values, Mapping) or not all(isinstance(one, str) for one in (*values, *values.values())):
        raise DefinitionError(f"{what} is {values!r}; expected a dictionary from name to text")


def _unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DefinitionError(f"{what} {name!r} is defined twice")
        seen.add(name)


@dataclass(frozen=True)
class _Source:
    """Where rows come from.

    topic: the Kafka topic. table: the Delta table of the same rows, relative to the lake. time: the column with the
    row's time, milliseconds since the epoch, UTC. select: output column to SQL expression (empty: all columns as they
    are). where: a SQL condition; rows for which it is false or null do not count.
    """

    topic: str
    table: str
    time: str
    select: Mapping[str, str] = field(default_factory=dict)
    where: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("topic", self.topic), ("table", self.table), ("time", self.time)):
            if not isinstance(value, str) or not value:
                raise DefinitionError(f"a source's {name} is {value!r}; expected a name")
        _mapped("a source's select", self.select)
        for column in self.select:
            _named("column of `select`", column)


@dataclass(frozen=True)
class EventSource(_Source):
    """Things that happened: each row is one event at its time."""


@dataclass(frozen=True)
class EntitySource(_Source):
    """The changing description of an entity: each row replaces the one before it with the same key.

    reversal: a SQL condition; a row for which it is true takes back an earlier one (the image before an update or a
    delete, as change data capture publishes it). With it, groups may also count and sum over entities, by any key.
    """

    reversal: str | None = None


class Accuracy(StrEnum):
    """As of when a group answers: TEMPORAL, the very time of the query; SNAPSHOT, the last midnight, UTC, before it."""

    TEMPORAL = "TEMPORAL"
    SNAPSHOT = "SNAPSHOT"


@dataclass(frozen=True)
class Aggregation:
    """One column, one operation, any number of windows; no windows means all events before the query.

    args: what the operation takes, for example {"k": 3}. bucket: a column, by whose values the operation is applied
    apart; the feature is then a map. The elements of a list count one by one, the values of a map by their keys.
    description and tags are for people who search, and no part of the meaning.
    """

    column: str
    op: Op
    windows: Sequence[str] = ()
    args: Mapping[str, Any] = field(default_factory=dict)
    bucket: str | None = None
    description: str = ""
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        try:
            self._check()
        except DefinitionError as error:
            raise DefinitionError(f"{self.op} of {self.column!r}: {error}") from None

    def _check(self) -> None:
        if self.op not in list(Op):
            raise DefinitionError(f"{self.op!r} is not an operation{near(str(self.op).upper(), Op)}")
        for name in (self.column, *(() if self.bucket is None else (self.bucket,))):
            if not isinstance(name, str):
                raise DefinitionError(f"a column is {name!r}; expected the name of one that the source selects")
        object.__setattr__(self, "op", Op(self.op))
        object.__setattr__(self, "tags", _listed("tags", self.tags, str))
        object.__setattr__(self, "args", checked_args(self.op, self.args))
        windows = _listed("windows", self.windows, str)
        object.__setattr__(self, "windows", tuple(str(Window.parse(text)) for text in windows))

    @property
    def spans(self) -> tuple[Window | None, ...]:
        """The windows as values; `(None,)` where there is no window."""
        return tuple(Window.parse(text) for text in self.windows) or (None,)


@dataclass(frozen=True)
class GroupBy:
    """Aggregations of one source by key. `keys` name columns of the source's `select`.

    description, owner and tags are for people who search, and no part of the meaning.
    """

    name: str
    source: EventSource | EntitySource
    keys: Sequence[str]
    aggregations: Sequence[Aggregation]
    description: str = ""
    accuracy: Accuracy = Accuracy.TEMPORAL
    owner: str = ""
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        _named("name of a GroupBy", self.name)
        try:
            self._check()
        except DefinitionError as error:
            raise DefinitionError(f"GroupBy {self.name!r}: {error}") from None

    def _check(self) -> None:
        if isinstance(self.source, Join):
            raise DefinitionError(
                f"source is Join {self.source.name!r}; its features are not published as events of their own: give "
                "them a topic and a table, and read those by an EventSource"
            )
        if not isinstance(self.source, EventSource | EntitySource):
            raise DefinitionError(f"source is {self.source!r}; expected an EventSource or an EntitySource")
        object.__setattr__(self, "tags", _listed("tags", self.tags, str))
        if self.accuracy not in list(Accuracy):
            raise DefinitionError(f"accuracy is {self.accuracy!r}{near(str(self.accuracy).upper(), Accuracy)}")
        object.__setattr__(self, "accuracy", Accuracy(self.accuracy))
        object.__setattr__(self, "keys", _listed("keys", self.keys, str))
        object.__setattr__(self, "aggregations", _listed("aggregations", self.aggregations, Aggregation))
        if not self.keys:
            raise DefinitionError("there are no keys; name at least one column")
        if not self.aggregations:
            raise DefinitionError("there are no aggregations; add at least one")
        _unique("key", self.keys)
        _unique("feature", self.feature_names())
        if isinstance(self.source, EntitySource):
            self._check_entity()

    def _check_entity(self) -> None:
        for aggregation in self.aggregations:
            what = f"{aggregation.op} of {aggregation.column!r} over an EntitySource"
            if aggregation.windows or (aggregation.op is not Op.LAST and not self.reverses):
                raise DefinitionError(
                    f"{what}; an entity has its last value before the query: use Op.LAST without windows, or an "
                    "EventSource; a source with `reversal` can also be counted and summed"
                )

    @property
    def reverses(self) -> bool:
        """Whether rows of the source can take back earlier ones."""
        return isinstance(self.source, EntitySource) and self.source.reversal is not None

    def feature_names(self) -> list[str]:
        """`{group}_{column}_{op}[_{window}][_by_{bucket}]` for each feature, in order."""
        return [feature_name(self.name, one, span) for one in self.aggregations for span in one.spans]


def feature_name(group: str, aggregation: Aggregation, window: Window | None) -> str:
    """The name of one feature."""
    name = f"{group}_{aggregation.column}_{aggregation.op.lower()}"
    name = f"{name}_{window}" if window else name
    return f"{name}_by_{aggregation.bucket}" if aggregation.bucket else name


@dataclass(frozen=True)
class Part:
    """A group inside a Join: under a prefix, and by other keys than its own names.

    group: a GroupBy, or the name of one that is applied already. prefix: what the names of its features begin with in
    the Join, `{prefix}_{feature}`. keys: the group's key to the name of it on the left, where the two differ.
    """

    group: GroupBy | str
    prefix: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.group, GroupBy | str):
            raise DefinitionError(
                f"a part is of {self.group!r}; expected a GroupBy, or the name of one that is applied"
            )
        if self.prefix is not None:
            _named("prefix of a part", self.prefix)
        _mapped("a part's keys", self.keys)

    @property
    def group_name(self) -> str:
        """The name of the group."""
        return self.group if isinstance(self.group, str) else self.group.name


@dataclass(frozen=True)
class Join:
    """Features of several groups for one left row of keys and time.

    left: the names of the keys that a request or a training row brings; each group finds its keys among them.
    parts: groups, names of groups that are applied already, or `Part`s; a group may come twice under two prefixes.
    derivations: name to SQL expression over the features, the request's columns and other derivations.
    request: features that the request brings itself, name to type (boolean, long, double or string).
    description, owner and tags are for people who search, and no part of the meaning.
    """

    name: str
    left: Sequence[str]
    parts: Sequence[GroupBy | str | Part]
    derivations: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    request: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        _named("name of a Join", self.name)
        try:
            self._check()
        except DefinitionError as error:
            raise DefinitionError(f"Join {self.name!r}: {error}") from None

    def _check(self) -> None:
        object.__setattr__(self, "tags", _listed("tags", self.tags, str))
        object.__setattr__(self, "left", _listed("left", self.left, str))
        object.__setattr__(self, "parts", _listed("parts", self.parts, GroupBy, Part, str))
        if not self.left or not self.parts:
            raise DefinitionError("it needs at least one key in `left` and one group in `parts`")
        _unique("key", self.left)
        _unique(
            "part", (f"{one.prefix}: {one.group_name}" if one.prefix else one.group_name for one in self.as_parts())
        )
        _mapped("derivations", self.derivations)
        _mapped("request", self.request)
        for name in self.derivations:
            _named("name of a derivation", name)
        for name in self.request:
            _named("column of `request`", name)

    def as_parts(self) -> tuple[Part, ...]:
        """The parts, in order, each as a `Part`."""
        return tuple(one if isinstance(one, Part) else Part(one) for one in self.parts)


def Keys(*names: str) -> tuple[str, ...]:
    """The keys of a Join's left side."""
    return names


def group_to_json(group: GroupBy) -> dict[str, Any]:
    """The form of a GroupBy that travels in events."""
    kind: Literal["entities", "events"] = "entities" if isinstance(group.source, EntitySource) else "events"
    source = {
        "kind": kind,
        "topic": group.source.topic,
        "table": group.source.table,
        "time": group.source.time,
        "select": dict(group.source.select),
        "where": group.source.where,
    }
    if isinstance(group.source, EntitySource) and group.source.reversal is not None:
        source["reversal"] = group.source.reversal
    value = {
        "name": group.name,
        "description": group.description,
        "source": source,
        "keys": list(group.keys),
        "aggregations": [_aggregation_to_json(one) for one in group.aggregations],
    }
    accuracy = {} if group.accuracy is Accuracy.TEMPORAL else {"accuracy": group.accuracy.value}
    return value | accuracy | _for_people(owner=group.owner, tags=list(group.tags))


def _for_people(**words: Any) -> dict[str, Any]:
    """What is said of a definition, without what is empty."""
    return {name: value for name, value in words.items() if value}


def _aggregation_to_json(one: Aggregation) -> dict[str, Any]:
    """What is at its default is left out, so that a hash stays when something that it could say is added."""
    value: dict[str, Any] = {"column": one.column, "op": one.op.value, "windows": list(one.windows)}
    if one.args:
        value["args"] = {name: list(arg) if isinstance(arg, tuple) else arg for name, arg in one.args.items()}
    return value | _for_people(bucket=one.bucket, description=one.description, tags=list(one.tags))


def group_from_json(value: Mapping[str, Any]) -> GroupBy:
    """The inverse of `group_to_json`."""
    source = dict(value["source"])
    kind = EntitySource if source.pop("kind") == "entities" else EventSource
    given = {name: one for name, one in value.items() if name not in ("source", "aggregations", "columns")}
    return GroupBy(source=kind(**source), aggregations=[Aggregation(**one) for one in value["aggregations"]], **given)


def join_to_json(join: Join) -> dict[str, Any]:
    """The form of a Join that travels in events; groups by name."""
    value = {
        "name": join.name,
        "description": join.description,
        "left": list(join.left),
        "parts": [_part_to_json(part) for part in join.as_parts()],
        "derivations": dict(join.derivations),
    }
    request = {name: str(kind) for name, kind in join.request.items()}
    return value | _for_people(request=request, owner=join.owner, tags=list(join.tags))


def _part_to_json(part: Part) -> str | dict[str, Any]:
    if part.prefix is None and not part.keys:
        return part.group_name
    return {"group": part.group_name, "prefix": part.prefix, "keys": dict(part.keys)}


def join_from_json(value: Mapping[str, Any]) -> Join:
    """The inverse of `join_to_json`."""
    parts = [one if isinstance(one, str) else Part(**one) for one in value["parts"]]
    return Join(**{**value, "parts": parts})


def meaning_hash(definition: Mapping[str, Any]) -> str:
    """SHA-256 of what a definition means: its canonical JSON without what is said of it for people."""
    meaning = {name: value for name, value in definition.items() if name not in WORDS}
    if "aggregations" in meaning:
        meaning["aggregations"] = [
            {name: value for name, value in one.items() if name not in WORDS} for one in meaning["aggregations"]
        ]
    return hashlib.sha256(json.dumps(meaning, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
