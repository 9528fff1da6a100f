"""Read plans: which tiles answer a group's features at a query time, and the answer from their states.

Pure. A plan depends on the query time only through the current five minutes, so one is reused for all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from bighead.features.compiled import CompiledGroup, CompiledJoin
from bighead.features.operations import State
from bighead.features.tiles import StateCodec, state_of_store_value, store_field
from bighead.features.windows import FIVE_MINUTES_MS, Level, Window, cover, floor_to

CACHED_STATES = 20_000
"""Tiles of a group that are kept decoded. Most do not change any more, and popular entities are read all the time."""


class Status(StrEnum):
    """What a feature value stands on.

    OK; EMPTY, no event counts or the entity is gone; STALE, the stream is behind; ERROR, no answer.
    """

    OK = "OK"
    EMPTY = "EMPTY"
    STALE = "STALE"
    ERROR = "ERROR"


@dataclass(frozen=True)
class GroupRead:
    """The tiles to read for a group, and for each feature which of them it merges."""

    tiles: tuple[tuple[Level, int], ...]
    fields: tuple[bytes, ...]
    merges: tuple[tuple[int, ...], ...]


class GroupPlan:
    """The read plan of one group and epoch. `cut_ms`: batch owns what lies below it, None before any backfill."""

    def __init__(self, group: CompiledGroup, epoch: int, cut_ms: int | None) -> None:
        self.group = group
        self.epoch = epoch
        self.cut_ms = cut_ms
        self.codec = StateCodec(group)
        self._empty = [cell.empty for cell in group.cells]
        self._built = lru_cache(maxsize=8)(self._build)
        self.decoded = lru_cache(maxsize=CACHED_STATES)(self._decoded)

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

    def evaluate(self, read: GroupRead, states: Sequence[State | None]) -> list[tuple[Any, Status]]:
        """The group's features from the states of the tiles of `read`, in order; None is a tile without events."""
        answers: list[tuple[Any, Status]] = []
        parts = [[None if state is None else state[where] for state in states] for where in self.codec.cell_slices]
        for feature, indices in zip(self.group.features, read.merges, strict=True):
            merged, mine = self._empty[feature.cell], parts[feature.cell]
            merge = self.group.cells[feature.cell].operation.merge
            for index in indices:
                part = mine[index]
                if part is not None:
                    merged = merge(merged, part)
            value = feature.answer(merged)
            answers.append((value, Status.OK if merged[0] and value is not None else Status.EMPTY))
        return answers

    def _decoded(self, value: bytes) -> State:
        """The state of a tile as the online store holds it; see `store_value`. To be called as `decoded`."""
        return self.codec.decode(state_of_store_value(value))

    def _build(self, query_ms: int) -> GroupRead:
        places: dict[tuple[Level, int], int] = {}
        by_window: dict[Window | None, tuple[int, ...]] = {}
        for feature in self.group.features:
            if feature.window not in by_window:
                tiles = self._tiles(feature.window, query_ms)
                by_window[feature.window] = tuple(places.setdefault(tile, len(places)) for tile in tiles)
        fields = tuple(store_field(level, start_ms) for level, start_ms in places)
        return GroupRead(tuple(places), fields, tuple(by_window[feature.window] for feature in self.group.features))

    def _tiles(self, window: Window | None, query_ms: int) -> list[tuple[Level, int]]:
        if window is not None:
            return cover(window.start_ms(query_ms), query_ms, self.group.levels)
        if self.cut_ms is None:
            return [(Level.ALL, 0)]
        return [(Level.BASE, self.cut_ms), *cover(self.cut_ms, query_ms, self.group.levels)]


@dataclass(frozen=True)
class FeatureRow:
    """The features of one entity: values by column, their statuses, and the epochs and times that they stand on."""

    values: dict[str, Any]
    statuses: dict[str, str]
    as_of_ms: int
    epochs: dict[str, int]


def derive(join: CompiledJoin, entity: Mapping[str, Any], values: dict[str, Any], statuses: dict[str, str]) -> None:
    """Adds what the request brings and the join's derivations to `values` and `statuses`.

    What reads an ERROR is an ERROR, and so is arithmetic that leaves 64 bits.
    """
    for name, value in join.request_values(entity).items():
        values[name], statuses[name] = value, Status.EMPTY if value is None else Status.OK
    for name, expression in join.derivations.items():
        value, broken = None, any(statuses[column] == Status.ERROR for column in expression.columns)
        if not broken:
            try:
                value = expression.evaluate(values)
            except OverflowError:
                broken = True
        values[name] = value
        statuses[name] = Status.ERROR if broken else Status.EMPTY if value is None else Status.OK
