"""Merged states of runs of tiles, for operations that are not numbers: each run of a power of two is merged once.

Pure: Python values in, Python values out. `batch.asof` says which runs a query needs.
"""

from collections.abc import Callable, Iterator

from batch.arrow import python_values
from batch.asof import KIND_OF_HOP, AsOf, Ints, Kind
from bighead.compile.spark import BACK, input_name
from bighead.features.cells import Cell, Feature
from bighead.features.fold import changed
from bighead.features.state import Operation, State
from bighead.features.types import clean
from bighead.features.windows import DAY_MS


class Ranges:
    """States in a row, of which `leaf` gives each, merged over any run of them from the left to the right."""

    def __init__(self, leaf: Callable[[int], State], operation: Operation) -> None:
        self._leaf = leaf
        self._merge = operation.merge
        self._empty = operation.empty
        self._known: dict[tuple[int, int], State] = {}

    def over(self, first: int, last: int) -> State:
        """The states from `first` up to and without `last`, merged."""
        merged: State | None = None  # not the empty one: what took back as much as it added is not empty
        while first < last:
            height = (last - first).bit_length() - 1
            if first:
                height = min(height, (first & -first).bit_length() - 1)
            part = self._node(height, first >> height)
            merged = part if merged is None else self._merge(merged, part)
            first += 1 << height
        return self._empty if merged is None else merged

    def _node(self, height: int, index: int) -> State:
        if (height, index) not in self._known:
            if height:
                left, right = self._node(height - 1, 2 * index), self._node(height - 1, 2 * index + 1)
                self._known[height, index] = self._merge(left, right)
            else:
                self._known[height, index] = self._leaf(index)
        return self._known[height, index]


class CellStates:
    """The states of one cell in a partition, of every kind."""

    def __init__(self, cell: Cell, asof: AsOf) -> None:
        self._cell = cell
        self._asof = asof
        operation = cell.operation
        self._kinds: dict[Kind, Ranges] = {}
        for kind in reversed(Kind):
            if kind in asof.states.edges:
                self._kinds[kind] = Ranges(self._reduced(kind), operation)
            elif kind in asof.states.slices:
                leaf = event_states(cell, asof) if kind is Kind.EVENT else self._tile(kind)
                self._kinds[kind] = Ranges(leaf, operation)

    def answers(self, features: list[Feature]) -> Iterator[list[object]]:
        """For each feature of the cell its value for every query."""
        merge, empty = self._cell.operation.merge, self._cell.empty
        asof = self._asof
        heads = {kind: _pairs(*asof.head(kind)) for kind in (Kind.HOUR, Kind.FIVE_MINUTES, Kind.EVENT)}
        windows = {feature.window: _pairs(*asof.run(feature.window)) for feature in features}
        bases = _pairs(*asof.base()) if None in windows else []
        found: list[list[object]] = [[] for _ in features]
        for query in range(len(asof.queries)):
            recent, tails = empty, {}
            for kind in (Kind.EVENT, Kind.FIVE_MINUTES, Kind.HOUR):
                tails[kind - 1] = recent = merge(self._kinds[kind].over(*heads[kind][query]), recent)
            for values, feature in zip(found, features, strict=True):
                kind = KIND_OF_HOP[feature.window.hop_ms if feature.window else DAY_MS]
                merged = merge(self._kinds[kind].over(*windows[feature.window][query]), tails[kind])
                if feature.window is None and Kind.BASE in self._kinds:
                    merged = merge(self._kinds[Kind.BASE].over(*bases[query]), merged)
                values.append(feature.answer(merged))
        yield from found

    def _reduced(self, kind: Kind) -> Callable[[int], State]:
        finer, edges = self._kinds[Kind(kind + 1)], self._asof.states.edges[kind].tolist()
        ends = [*edges[1:], len(self._asof.states.keys[Kind(kind + 1)])]
        return lambda index: finer.over(edges[index], ends[index])

    def _tile(self, kind: Kind) -> Callable[[int], State]:
        rows = self._asof.states.table.slice(*self._asof.span(kind))
        if not rows.num_rows:
            return lambda index: self._cell.empty
        packed = list(zip(*(python_values(rows.column(name)) for name, _ in self._cell.state_columns), strict=True))
        unpack = [column.unpack for column in self._cell.operation.columns]
        return lambda index: tuple(
            one(value) if one else value for one, value in zip(unpack, packed[index], strict=True)
        )


def event_states(cell: Cell, asof: AsOf) -> Callable[[int], State]:
    """The state of each single event of a partition."""
    rows = asof.states.table.slice(*asof.span(Kind.EVENT))
    values = python_values(rows.column(input_name(cell.column)))
    buckets = python_values(rows.column(input_name(cell.bucket))) if cell.bucket else None
    places = zip(*(rows.column(name).to_pylist() for name in ("at_ms", "log_partition", "row")), strict=True)
    orders, backs = list(places), rows.column(BACK).to_pylist()

    def leaf(index: int) -> State:
        inputs = cell.inputs(clean(values[index]), buckets[index] if buckets else None)
        return changed(cell, cell.empty, inputs, orders[index], backs[index])

    return leaf


def _pairs(first: Ints, last: Ints) -> list[tuple[int, int]]:
    return list(zip(first.tolist(), last.tolist(), strict=True))
