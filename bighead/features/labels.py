"""Labels: an outcome within a horizon after a row's time, for training sets. Pure.

A label's window begins where the windows of features end: it holds `q <= t < q + horizon`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bighead.errors import DefinitionError
from bighead.features.compiled import CompiledGroup, compile_group
from bighead.features.definition import Aggregation, EntitySource, EventSource, GroupBy
from bighead.features.operations import Op
from bighead.features.types import ValueType
from bighead.features.windows import Window


class Immature(StrEnum):
    """What becomes of rows whose horizon has not passed: KEEP them with a null label, or DROP them."""

    KEEP = "keep"
    DROP = "drop"


@dataclass(frozen=True)
class Label:
    """What happened to a row's entity within `horizon` (for example "3h" or "7d") after the row's time.

    keys: columns of the source's `select`, named like those of the left table. A row is mature once the source is known
    up to the end of its horizon; the label of one that is not is null.
    """

    name: str
    source: EventSource | EntitySource
    keys: Sequence[str]
    column: str
    op: Op
    horizon: str
    args: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        group = self.group()
        object.__setattr__(self, "op", group.aggregations[0].op)
        object.__setattr__(self, "keys", tuple(group.keys))
        _ = self.horizon_ms

    @property
    def horizon_ms(self) -> int:
        """The length of the horizon, milliseconds."""
        try:
            return Window.parse(self.horizon).length_ms
        except DefinitionError as error:
            raise DefinitionError(f"the horizon of label {self.name!r}: {error}") from None

    def group(self) -> GroupBy:
        """The aggregation as a group of one feature."""
        return GroupBy(self.name, self.source, self.keys, [Aggregation(self.column, self.op, (), self.args)])


@dataclass(frozen=True)
class CompiledLabel:
    """A label checked against its source's columns."""

    label: Label
    group: CompiledGroup

    @property
    def kind(self) -> ValueType:
        """The type of its values."""
        return self.group.features[0].kind


def compile_label(label: Label, columns: Mapping[str, ValueType]) -> CompiledLabel:
    """Checks a label against the columns of its source; raises DefinitionError naming the label and what is wrong."""
    try:
        return CompiledLabel(label, compile_group(label.group(), columns))
    except DefinitionError as error:
        raise DefinitionError(f"Label {label.name!r}: {error}") from None
