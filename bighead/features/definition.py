"""What users write: sources, GroupBy, Join. Plain values, checked as far as they can be without a schema.

Pure. `to_json`/`from_json` give the form that travels in events; `meaning_hash` is stable under renaming of Python
variables and reordering of keyword arguments, and changes with anything that changes a value of a feature.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bighead.errors import DefinitionError
from bighead.features.operations import Op
from bighead.features.windows import Window

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def _named(what: str, name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DefinitionError(
            f"the {what} is {name!r}; expected lower case letters, digits and _, for example 'carrier_delay'"
        )
    return name


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
        for column in self.select:
            _named("column of `select`", column)


@dataclass(frozen=True)
class EventSource(_Source):
    """Things that happened: each row is one event at its time."""


@dataclass(frozen=True)
class EntitySource(_Source):
    """The changing description of an entity: each row replaces the one before it with the same key."""


@dataclass(frozen=True)
class Aggregation:
    """One column, one operation, any number of windows; no windows means all events before the query."""

    column: str
    op: Op
    windows: Sequence[str] = ()

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "op", Op(self.op))
        except ValueError:
            raise DefinitionError(f"{self.op!r} is not an operation; there are {', '.join(Op)}") from None
        if isinstance(self.windows, str):
            raise DefinitionError(
                f"windows of {self.column!r} are {self.windows!r}; expected a list, for example ['1h', '1d']"
            )
        object.__setattr__(self, "windows", tuple(str(Window.parse(text)) for text in self.windows))

    @property
    def spans(self) -> tuple[Window | None, ...]:
        """The windows as values; `(None,)` where there is no window."""
        return tuple(Window.parse(text) for text in self.windows) or (None,)


@dataclass(frozen=True)
class GroupBy:
    """Aggregations of one source by key. `keys` name columns of the source's `select`."""

    name: str
    source: EventSource | EntitySource
    keys: Sequence[str]
    aggregations: Sequence[Aggregation]
    description: str = ""

    def __post_init__(self) -> None:
        _named("name of a GroupBy", self.name)
        object.__setattr__(self, "keys", tuple(self.keys))
        object.__setattr__(self, "aggregations", tuple(self.aggregations))
        if not self.keys:
            raise DefinitionError(f"GroupBy {self.name!r} has no keys; name at least one column")
        if not self.aggregations:
            raise DefinitionError(f"GroupBy {self.name!r} has no aggregations; add at least one")
        _unique(f"GroupBy {self.name!r}: key", self.keys)
        _unique(f"GroupBy {self.name!r}: feature", self.feature_names())
        if isinstance(self.source, EntitySource):
            self._check_entity()

    def _check_entity(self) -> None:
        for aggregation in self.aggregations:
            if aggregation.op is not Op.LAST or aggregation.windows:
                raise DefinitionError(
                    f"GroupBy {self.name!r}: {aggregation.op} of {aggregation.column!r} over an EntitySource; "
                    "an entity has its last value before the query: use Op.LAST without windows, or an EventSource"
                )

    def feature_names(self) -> list[str]:
        """`{group}_{column}_{op}[_{window}]` for each feature, in order."""
        return [feature_name(self.name, one, span) for one in self.aggregations for span in one.spans]


def feature_name(group: str, aggregation: Aggregation, window: Window | None) -> str:
    """The name of one feature."""
    name = f"{group}_{aggregation.column}_{aggregation.op.lower()}"
    return f"{name}_{window}" if window else name


@dataclass(frozen=True)
class Join:
    """Features of several groups for one left row of keys and time.

    left: the names of the keys that a request or a training row brings; each group finds its keys among them.
    parts: groups, or names of groups that are applied already. derivations: name to SQL expression over the features.
    """

    name: str
    left: Sequence[str]
    parts: Sequence[GroupBy | str]
    derivations: Mapping[str, str] = field(default_factory=dict)
    description: str = ""

    def __post_init__(self) -> None:
        _named("name of a Join", self.name)
        object.__setattr__(self, "left", tuple(self.left))
        object.__setattr__(self, "parts", tuple(self.parts))
        if not self.left or not self.parts:
            raise DefinitionError(f"Join {self.name!r} needs at least one key in `left` and one group in `parts`")
        _unique(f"Join {self.name!r}: key", self.left)
        _unique(f"Join {self.name!r}: part", self.group_names())
        for name in self.derivations:
            _named("name of a derivation", name)

    def group_names(self) -> list[str]:
        """The names of the groups, in order."""
        return [part if isinstance(part, str) else part.name for part in self.parts]


def Keys(*names: str) -> tuple[str, ...]:
    """The keys of a Join's left side."""
    return names


def group_to_json(group: GroupBy) -> dict[str, Any]:
    """The form of a GroupBy that travels in events."""
    kind: Literal["entities", "events"] = "entities" if isinstance(group.source, EntitySource) else "events"
    return {
        "name": group.name,
        "description": group.description,
        "source": {
            "kind": kind,
            "topic": group.source.topic,
            "table": group.source.table,
            "time": group.source.time,
            "select": dict(group.source.select),
            "where": group.source.where,
        },
        "keys": list(group.keys),
        "aggregations": [
            {"column": a.column, "op": a.op.value, "windows": list(a.windows)} for a in group.aggregations
        ],
    }


def group_from_json(value: Mapping[str, Any]) -> GroupBy:
    """The inverse of `group_to_json`."""
    source = dict(value["source"])
    kind = EntitySource if source.pop("kind") == "entities" else EventSource
    aggregations = [Aggregation(one["column"], Op(one["op"]), tuple(one["windows"])) for one in value["aggregations"]]
    return GroupBy(value["name"], kind(**source), tuple(value["keys"]), aggregations, value["description"])


def join_to_json(join: Join) -> dict[str, Any]:
    """The form of a Join that travels in events; parts by name."""
    return {
        "name": join.name,
        "description": join.description,
        "left": list(join.left),
        "parts": join.group_names(),
        "derivations": dict(join.derivations),
    }


def join_from_json(value: Mapping[str, Any]) -> Join:
    """The inverse of `join_to_json`."""
    return Join(value["name"], tuple(value["left"]), tuple(value["parts"]), value["derivations"], value["description"])


def meaning_hash(definition: Mapping[str, Any]) -> str:
    """SHA-256 of what a definition means: its canonical JSON without the description."""
    meaning = {name: value for name, value in definition.items() if name != "description"}
    return hashlib.sha256(json.dumps(meaning, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
