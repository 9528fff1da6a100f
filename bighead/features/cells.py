"""Cells and features: the aggregate states inside a tile, and the columns that are read from them.

Pure. A cell is one (column, op) of a tile; all windows of an aggregation read the same cell.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bighead.features.operations import Op, Operation, State
from bighead.features.types import ValueType, text_of
from bighead.features.windows import Window


@dataclass(frozen=True)
class Cell:
    """One aggregate state inside each tile of a group: an operation on a column, by a bucket or not.

    args: those arguments that the state depends on. The column may be a list, whose elements are inputs, or a map,
    whose values are inputs by its keys.
    """

    column: str
    op: Op
    kind: ValueType
    args: tuple[tuple[str, Any], ...] = ()
    bucket: str | None = None
    operation: Operation = field(repr=False, compare=False, kw_only=True)

    @property
    def name(self) -> str:
        """Unique in the group, for example `delay_last_k3_by_carrier`."""
        args = "".join(str(value) for _, value in self.args)
        return f"{self.column}_{self.op.lower()}{args}" + (f"_by_{self.bucket}" if self.bucket else "")

    @property
    def plain(self) -> bool:
        """Whether each event gives at most one input, as it is."""
        return self.kind.is_scalar and self.bucket is None

    @property
    def state_columns(self) -> tuple[tuple[str, ValueType], ...]:
        """The state's columns with names unique in the group, for example `delay_sum_n`, `delay_sum_sum`."""
        return tuple((f"{self.name}_{column.name}", column.kind) for column in self.operation.columns)

    @property
    def empty(self) -> State:
        """The state of no events."""
        return self.operation.empty

    def inputs(self, value: Any, bucket: Any) -> list[tuple[int, Any]]:
        """What one event gives to the operation: index and input of each element that is not null."""
        if value is None or (self.bucket is not None and bucket is None):
            return []
        if self.kind.is_map:
            return [(index, pair) for index, pair in enumerate(sorted(value.items())) if pair[1] is not None]
        elements = [one for one in enumerate(value) if one[1] is not None] if self.kind.is_list else [(0, value)]
        if self.bucket is None:
            return elements
        text = text_of(bucket)
        return [(index, (text, one)) for index, one in elements]


@dataclass(frozen=True)
class Feature:
    """One output column: a cell read over a window. `answer` gives its value from the merged state."""

    name: str
    cell: int
    window: Window | None
    kind: ValueType
    args: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False, kw_only=True)
    answer: Callable[[State], Any] = field(repr=False, compare=False, kw_only=True)
