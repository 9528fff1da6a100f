"""Features of many queries at once, from tiles: numpy over one Arrow partition. Pure: knows no Spark, no tables.

A window `floor(q - w, hop) <= t < q` is a run of tiles of its hop's level, then heads: the hours of the current day,
the five minutes of the current hour, the events of the current five minutes, as far as they are finer than its hop. A
head begins where its parent tile does, so one running reduction per parent answers however many queries fall into it.
Coarser tiles are reduced from finer ones here, one reduction at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bighead.features.compiled import CompiledGroup
from bighead.features.windows import DAY_MS, FIVE_MINUTES_MS, HOUR_MS, Window, ceil_to

Ints: TypeAlias = npt.NDArray[np.int64]
Values: TypeAlias = npt.NDArray[Any]

_BLOCK_MS = 8 * DAY_MS
_ALL_TIME_MS = 50_000 * DAY_MS


class Kind(IntEnum):
    """What a row is: a question, or a state. States are numbered in the order in which a window meets them."""

    QUERY = 0
    BASE = 1
    DAY = 2
    HOUR = 3
    FIVE_MINUTES = 4
    EVENT = 5


KIND_OF_HOP = {DAY_MS: Kind.DAY, HOUR_MS: Kind.HOUR, FIVE_MINUTES_MS: Kind.FIVE_MINUTES}
_SIZE_MS = {kind: size_ms for size_ms, kind in KIND_OF_HOP.items()}
_PARENT_MS = {Kind.HOUR: DAY_MS, Kind.FIVE_MINUTES: HOUR_MS, Kind.EVENT: FIVE_MINUTES_MS}


def reach_ms(group: CompiledGroup) -> int:
    """How far before a query its windows read tiles."""
    windows = [feature.window for feature in group.features if feature.window]
    return max((window.length_ms + window.hop_ms for window in windows), default=0)


@dataclass(frozen=True)
class Layout:
    """How an entity's queries and states are cut into blocks of time, each of which one task answers.

    Tiled: a task gets tiles of five minutes, the events of the queries' five minutes and, where a feature looks back
    for ever, one BASE tile. However hot a key, it gets few rows, and the key spreads over its blocks. A block is at
    least as long as windows reach, so that no tile is needed by more than two; it begins at midnight.

    Whole: a task gets all events of an entity, in one block. Much less work where there are not too many.

    Tiles come as their states, events as their inputs.
    """

    whole: bool
    block_ms: int
    reach_ms: int

    @classmethod
    def of(cls, group: CompiledGroup, *, whole: bool) -> "Layout":
        """The layout of a group's queries."""
        reach = reach_ms(group)
        return cls(whole, _ALL_TIME_MS if whole else max(_BLOCK_MS, ceil_to(reach, DAY_MS)), reach)


def has_base(group: CompiledGroup) -> bool:
    """Whether a feature looks back for ever: each block then needs what was before it."""
    return any(feature.window is None for feature in group.features)


@dataclass(frozen=True)
class Reduction:
    """One thing to reduce over runs of states: a value for each state and one neutral value after the last."""

    values: Values
    function: np.ufunc
    neutral: Any


@dataclass(frozen=True)
class Queries:
    """What is asked, in the order of (place, time). A place is one entity and block."""

    rows: Ints
    places: Ints
    at_ms: Ints
    blocks_ms: Ints

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class States:
    """The states that belong to the queries' places: `table` holds those that were given, kind after kind.

    keys: for each kind its states' places and times, ascending. slices: where a given kind lies in the table. edges:
    for a kind that is reduced from the next finer one, where each of its tiles begins there.
    """

    table: pa.Table
    keys: Mapping[Kind, Ints]
    slices: Mapping[Kind, slice]
    edges: Mapping[Kind, Ints]
    span_ms: int
    reach_ms: int


class AsOf:
    """The queries and states of one partition, and reductions of the states over the queries' windows."""

    def __init__(self, layout: Layout, partition: pa.Table) -> None:
        self.queries, self.states = _split(layout, partition)
        self._levels: dict[tuple[Kind, str], Values] = {}
        self._heads: dict[tuple[Kind, str], Values] = {}
        self._runs: dict[Window | None, tuple[Ints, Ints]] = {}
        self._head_runs: dict[Kind, tuple[Ints, Ints]] = {}

    def span(self, kind: Kind) -> tuple[int, int]:
        """Where the given states of a kind lie in the table: the first row, and how many."""
        rows = self.states.slices[kind]
        return rows.start, rows.stop - rows.start

    def run(self, window: Window | None) -> tuple[Ints, Ints]:
        """For each query the run of tiles of its hop that the window holds: the first, and the one after the last."""
        if window not in self._runs:
            at_ms, hop_ms = self.queries.at_ms, window.hop_ms if window else DAY_MS
            from_ms = _floor(at_ms - window.length_ms, hop_ms) if window else self.queries.blocks_ms
            kind = KIND_OF_HOP[hop_ms]
            self._runs[window] = (self._place(kind, from_ms), self._place(kind, _floor(at_ms, hop_ms)))
        return self._runs[window]

    def head(self, kind: Kind) -> tuple[Ints, Ints]:
        """For each query the states of a kind from the start of their parent tile up to the query."""
        if kind not in self._head_runs:
            at_ms = self.queries.at_ms
            first = self._place(kind, _floor(at_ms, _PARENT_MS[kind]))
            last = self._place(kind, _floor(at_ms, _SIZE_MS[kind]) if kind in _SIZE_MS else at_ms)
            self._head_runs[kind] = (first, last)
        return self._head_runs[kind]

    def events_within(self, length_ms: int) -> tuple[Ints, Ints]:
        """For each query the single events of the time of this length before it."""
        at_ms = self.queries.at_ms
        return self._place(Kind.EVENT, at_ms - length_ms), self._place(Kind.EVENT, at_ms)

    def base(self) -> tuple[Ints, Ints]:
        """For each query where the state of everything before its block lies."""
        begin_ms = self.queries.blocks_ms
        return self._place(Kind.BASE, begin_ms), self._place(Kind.BASE, begin_ms + 1)

    def reduce(self, name: str, reduction: Reduction, window: Window | None) -> Values:
        """For each query the reduction over the states that its window holds, from the oldest to the newest."""
        kind = KIND_OF_HOP[window.hop_ms] if window else Kind.DAY
        total = self._reduce_runs(kind, name, reduction, *self.run(window))
        if window is None:
            total = reduction.function(self._reduce_runs(Kind.BASE, name, reduction, *self.base()), total)
        for finer in Kind:
            if finer > kind:
                total = reduction.function(total, self._head(finer, name, reduction))
        return total

    def _level(self, kind: Kind, name: str, reduction: Reduction) -> Values:
        """The values of all states of a kind, and one neutral one after the last."""
        if (kind, name) not in self._levels:
            if kind in self.states.edges:
                values = self._level(Kind(kind + 1), name, reduction)[:-1]
                edges = self.states.edges[kind]
                values = reduction.function.reduceat(values, edges) if len(edges) else values
            else:
                values = reduction.values[self.states.slices[kind]]
            self._levels[kind, name] = np.append(values, np.array([reduction.neutral], reduction.values.dtype))
        return self._levels[kind, name]

    def _reduce_runs(self, kind: Kind, name: str, reduction: Reduction, first: Ints, last: Ints) -> Values:
        values = self._level(kind, name, reduction)
        if not len(first):
            return values[:0]
        pairs = np.stack((first, last), axis=1).ravel()
        return np.where(last > first, reduction.function.reduceat(values, pairs)[::2], reduction.neutral)

    def _head(self, kind: Kind, name: str, reduction: Reduction) -> Values:
        if (kind, name) not in self._heads:
            first, last = self.head(kind)
            running = self._running(kind, name, reduction)
            newest = running[np.maximum(last - 1, 0)] if len(running) else reduction.neutral
            self._heads[kind, name] = np.where(last > first, newest, reduction.neutral)
        return self._heads[kind, name]

    def _running(self, kind: Kind, name: str, reduction: Reduction) -> Values:
        """For each state of a kind the reduction from the first of its parent tile to itself."""
        keys, running = self.states.keys[kind], self._level(kind, name, reduction)[:-1].copy()
        if not len(keys):
            return running
        parents = _tiles(keys, self.states.span_ms, self.states.reach_ms, _PARENT_MS[kind])
        edges = np.flatnonzero(np.diff(parents, prepend=parents[0] - 1, append=parents[-1] + 1))
        longest, step = int(np.diff(edges).max()), 1
        while step < longest:
            same = parents[step:] == parents[:-step]
            running[step:] = np.where(same, reduction.function(running[:-step], running[step:]), running[step:])
            step *= 2
        return running

    def _place(self, kind: Kind, time_ms: Ints) -> Ints:
        """For each query where the first state of a kind at or after `time_ms` lies."""
        since = time_ms - self.queries.blocks_ms + self.states.reach_ms
        wanted = self.queries.places * self.states.span_ms + since
        return np.searchsorted(self.states.keys[kind], wanted).astype(np.int64)


def _floor(time_ms: Ints, step_ms: int) -> Ints:
    return time_ms - time_ms % step_ms


def _tiles(keys: Ints, span_ms: int, reach: int, size_ms: int) -> Ints:
    """The key of the tile of this size in which each key lies."""
    # Blocks begin at midnight, so that tiles can be told apart by the time since their block's begin.
    places, since = np.divmod(keys, span_ms)
    return places * span_ms + _floor(since - reach, size_ms) + reach


def _split(layout: Layout, partition: pa.Table) -> tuple[Queries, States]:
    """Sorts a partition's rows into queries and states; states of places that nobody asks about are left out."""
    kinds = partition.column("kind").to_numpy()
    blocks = partition.column("block").to_numpy()
    at_ms = partition.column("at_ms").to_numpy()
    entities = pc.dictionary_encode(partition.column("entity").combine_chunks()).indices.to_numpy().astype(np.int64)
    first_block = int(blocks.min(initial=0))
    pairs = entities * (int(blocks.max(initial=0)) - first_block + 1) + (blocks - first_block)
    asked = np.flatnonzero(kinds == Kind.QUERY)
    known, places = np.unique(pairs[asked], return_inverse=True)
    order = np.lexsort((at_ms[asked], places))
    asked = asked[order]
    queries = Queries(
        rows=partition.column("row").combine_chunks().fill_null(0).to_numpy()[asked],
        places=places[order].astype(np.int64),
        at_ms=at_ms[asked],
        blocks_ms=blocks[asked] * layout.block_ms,
    )
    return queries, _states(layout, partition, kinds, pairs, known, at_ms - blocks * layout.block_ms)


def _states(layout: Layout, partition: pa.Table, kinds: Values, pairs: Ints, known: Ints, since_ms: Ints) -> States:
    # A day more than windows reach: the first day and hour begin before the first tile that is needed.
    reach = ceil_to(layout.reach_ms, DAY_MS) + DAY_MS
    span_ms = reach + layout.block_ms + DAY_MS
    if len(known) * span_ms >= 2**63:
        raise OverflowError(f"{len(known)} entities and blocks in one partition are too many; use more partitions")
    rows: list[Ints] = []
    keys: dict[Kind, Ints] = {}
    slices: dict[Kind, slice] = {}
    for kind in (Kind.BASE, Kind.FIVE_MINUTES, Kind.EVENT):
        mine = np.flatnonzero(kinds == kind)
        places = np.minimum(np.searchsorted(known, pairs[mine]), max(len(known) - 1, 0))
        wanted = known[places] == pairs[mine] if len(known) else np.zeros(len(mine), np.bool_)
        mine, key = mine[wanted], (places * span_ms + since_ms[mine] + reach)[wanted]
        order = np.lexsort((*_log_order(partition, mine), key)) if kind is Kind.EVENT else np.argsort(key)
        start = sum(len(part) for part in rows)
        slices[kind] = slice(start, start + len(mine))
        rows.append(mine[order])
        keys[kind] = key[order]
    edges: dict[Kind, Ints] = {}
    reduced = (Kind.FIVE_MINUTES, Kind.HOUR, Kind.DAY) if layout.whole else (Kind.HOUR, Kind.DAY)
    for kind in reduced:
        tiles = _tiles(keys[Kind(kind + 1)], span_ms, reach, _SIZE_MS[kind])
        keys[kind], edges[kind] = np.unique(tiles, return_index=True)
    return States(partition.take(pa.array(np.concatenate(rows))), keys, slices, edges, span_ms, reach)


def _log_order(partition: pa.Table, rows: Ints) -> tuple[Ints, Ints]:
    """Offset and partition of events, the least significant first: they decide between events of one millisecond."""
    taken = partition.select(["row", "log_partition"]).take(pa.array(rows))
    return taken.column("row").to_numpy(), taken.column("log_partition").to_numpy()
