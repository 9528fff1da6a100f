"""Read plans: which tiles answer a group's features at a query time, and the answer from their states.

Pure. A plan depends on the query time only through the current five minutes, so one is reused for all of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from itertools import repeat
from typing import Any, NamedTuple

from bighead.features.cache import ByteCache
from bighead.features.compiled import CompiledGroup, CompiledJoin
from bighead.features.operations import State
from bighead.features.tiles import StateCodec, state_of_store_value, store_field
from bighead.features.windows import FIVE_MINUTES_MS, SIZES_MS, Level, Window, cover, floor_to

CACHED_TILES_BYTES = 16 * 1024 * 1024
CACHED_MERGED_BYTES = 16 * 1024 * 1024
CACHED_ANSWERS_BYTES = 16 * 1024 * 1024
"""What a group's plan keeps: decoded tiles, the merged tiles of entities, and answers. Most tiles do not change any
more, and popular entities are read all the time."""
_OVERHEAD_BYTES = 100
_FEATURE_BYTES = 150


class Status(StrEnum):
    """What a feature value stands on.

    OK; EMPTY, no event counts or the entity is gone; STALE, the stream is behind; ERROR, no answer.
    """

    OK = "OK"
    EMPTY = "EMPTY"
    STALE = "STALE"
    ERROR = "ERROR"


class Answer(NamedTuple):
    """The values of a group's features and their statuses, in the order of the group.

    Tuples, as everything that is kept: the garbage collector passes over those of plain values.
    """

    values: tuple[Any, ...]
    statuses: tuple[Status, ...]


_OK, _EMPTY = Status.OK, Status.EMPTY  # looking up a member of an enumeration takes longer than merging two sums


@dataclass(frozen=True, eq=False)
class GroupRead:
    """The tiles to read for a group. The first ones are closed: they end before the query, and seldom change.

    merges: for each feature which of the closed tiles it merges. grows: for each tile after them the features that
    merge it.
    """

    tiles: tuple[tuple[Level, int], ...]
    fields: tuple[bytes, ...]
    merges: tuple[tuple[int, ...], ...]
    grows: tuple[tuple[int, ...], ...]

    @cached_property
    def closed(self) -> int:
        """How many tiles are closed."""
        return len(self.tiles) - len(self.grows)


class GroupPlan:
    """The read plan of one group and epoch. `cut_ms`: batch owns what lies below it, None before any backfill."""

    def __init__(self, group: CompiledGroup, epoch: int, cut_ms: int | None) -> None:
        self.group = group
        self.epoch = epoch
        self.cut_ms = cut_ms
        self.codec = StateCodec(group)
        self._empty = tuple(group.cells[feature.cell].empty for feature in group.features)
        self._merges = [(feature.cell, group.cells[feature.cell].operation.merge) for feature in group.features]
        self._finish = [feature.answer for feature in group.features]
        self._built = lru_cache(maxsize=8)(self._build)
        self._tiles_kept: ByteCache[tuple[State, ...]] = ByteCache(CACHED_TILES_BYTES)
        self._merged_kept: ByteCache[tuple[State, ...]] = ByteCache(CACHED_MERGED_BYTES)
        self._answers_kept: ByteCache[Answer] = ByteCache(CACHED_ANSWERS_BYTES)
        # A list or map that was answered belongs to whoever asked, and is made anew for the next.
        self._scalar = all(feature.kind.is_scalar for feature in group.features)

    def at(self, query_ms: int) -> GroupRead:
        """The tiles that answer a query at `query_ms`."""
        query_ms = self.group.as_of_ms(query_ms)
        # Queries strictly between two edges share one plan; a query on an edge sees nothing of the tile after it.
        edge_ms = floor_to(query_ms, FIVE_MINUTES_MS)
        return self._built(edge_ms if query_ms == edge_ms else edge_ms + 1)

    def answers(self, query_ms: int) -> bool:
        """Whether this plan can answer at `query_ms`.

        What lies below the cut is kept for later queries only. Before there is a cut, everything is known up to now
        and not up to the last midnight.
        """
        if self.cut_ms is None:
            return not (self.group.snapshot and self.group.longest_ms is None)
        return self.group.as_of_ms(query_ms) >= self.cut_ms

    @cached_property
    def nothing(self) -> Answer:
        """The features of an entity without events."""
        return self._answer(self._empty)

    def answer(self, read: GroupRead, values: Sequence[bytes | None]) -> Answer:
        """The group's features from what the online store holds of the tiles of `read`, in order.

        None is a tile without events. Raises UndecodableEvent for one that is broken.
        """
        if not self._scalar:
            return self._merge(read, values)
        key = (read, *values)
        answer = self._answers_kept.get(key)
        if answer is None:
            answer = self._merge(read, values)
            size = sum(_OVERHEAD_BYTES + len(value) for value in values if value is not None)
            self._answers_kept.put(key, answer, size + _FEATURE_BYTES * len(answer.values))
        return answer

    def _merge(self, read: GroupRead, values: Sequence[bytes | None]) -> Answer:
        closed = read.closed
        states = list(self._closed(read, tuple(values[:closed])))
        for value, features in zip(values[closed:], read.grows, strict=True):
            if value is not None:
                cells = self._decoded(value)
                for index in features:
                    cell, merge = self._merges[index]
                    states[index] = merge(states[index], cells[cell])
        return self._answer(states)

    def _answer(self, states: Sequence[State]) -> Answer:
        values = tuple([finish(state) for finish, state in zip(self._finish, states, strict=True)])
        pairs = zip(values, states, strict=True)
        return Answer(values, tuple([_EMPTY if value is None or not state[0] else _OK for value, state in pairs]))

    def _closed(self, read: GroupRead, values: tuple[bytes | None, ...]) -> tuple[State, ...]:
        """For each feature its closed tiles merged, the oldest first."""
        kept = self._merged_kept.get((read, values))
        if kept is None:
            tiles = [None if value is None else self._decoded(value) for value in values]
            kept = tuple(map(self._merged, read.merges, self._empty, self._merges, repeat(tiles)))
            size = sum(_OVERHEAD_BYTES + len(value) for value in values if value is not None)
            self._merged_kept.put((read, values), kept, size + _FEATURE_BYTES * len(kept))
        return kept

    def _merged(
        self,
        places: tuple[int, ...],
        state: State,
        how: tuple[int, Callable[[State, State], State]],
        tiles: Sequence[tuple[State, ...] | None],
    ) -> State:
        cell, merge = how
        for place in places:
            cells = tiles[place]
            if cells is not None:
                state = merge(state, cells[cell])
        return state

    def _decoded(self, value: bytes) -> tuple[State, ...]:
        """The state of each cell of a tile as the online store holds it; see `store_value`."""
        kept = self._tiles_kept.get(value)
        if kept is None:
            state = self.codec.decode(state_of_store_value(value))
            kept = tuple([state[where] for where in self.codec.cell_slices])
            self._tiles_kept.put(value, kept, 2 * len(value) + _OVERHEAD_BYTES * (1 + len(kept)))
        return kept

    def _build(self, query_ms: int) -> GroupRead:
        by_window = {one.window: self._tiles(one.window, query_ms) for one in self.group.features}
        tiles = dict.fromkeys(tile for window in by_window.values() for tile in window)
        growing = [tile for tile in tiles if _end_ms(*tile) > query_ms]
        closed = [tile for tile in tiles if tile not in growing]
        place = {tile: index for index, tile in enumerate(closed)}
        read_by = [by_window[feature.window] for feature in self.group.features]
        return GroupRead(
            (*closed, *growing),
            tuple(store_field(level, start_ms) for level, start_ms in (*closed, *growing)),
            tuple(tuple(place[tile] for tile in window if tile in place) for window in read_by),
            tuple(tuple(index for index, window in enumerate(read_by) if tile in window) for tile in growing),
        )

    def _tiles(self, window: Window | None, query_ms: int) -> list[tuple[Level, int]]:
        if window is not None:
            return cover(window.start_ms(query_ms), query_ms, self.group.levels)
        if self.cut_ms is None:
            return [(Level.ALL, 0)]
        return [(Level.BASE, self.cut_ms), *cover(self.cut_ms, query_ms, self.group.levels)]


def _end_ms(level: Level, start_ms: int) -> float:
    """Where a tile ends; what lies before a start ends there, and everything since one never does."""
    return start_ms if level is Level.BASE else start_ms + SIZES_MS.get(level, math.inf)


@dataclass(frozen=True)
class FeatureRow:
    """The features of one entity: values by column, their statuses, and the epochs and times that they stand on."""

    values: dict[str, Any]
    statuses: dict[str, str]
    as_of_ms: int
    epochs: dict[str, int]


def derive(join: CompiledJoin, entity: Mapping[str, Any], values: dict[str, Any], statuses: dict[str, str]) -> None:
    """Adds what the request brings and the join's derivations to `values` and `statuses`.

    What reads an ERROR is an ERROR, and so is arithmetic that leaves 64 bits; what reads something STALE is STALE.
    """
    for name, value in join.request_values(entity).items():
        values[name], statuses[name] = value, Status.EMPTY if value is None else Status.OK
    for name, expression in join.derivations.items():
        read = {statuses[column] for column in expression.columns}
        value, broken = None, Status.ERROR in read
        if not broken:
            try:
                value = expression.evaluate(values)
            except OverflowError:
                broken = True
        values[name] = value
        known = Status.STALE if Status.STALE in read else Status.EMPTY if value is None else Status.OK
        statuses[name] = Status.ERROR if broken else known
