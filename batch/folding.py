"""Tiles folded and merged by Spark's workers, for groups that SQL texts cannot make: the very code of the stream.

Knows Spark through Arrow batches alone. Rows arrive sorted, so that only the tiles in progress are held.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batch.arrow import ARROW_TYPES, arrow_column, python_values
from bighead.compile.spark import BACK, ENTITY, LATEST, OFFSET, PARTITION, SEQ, SQL_TYPES, START, input_name, quoted
from bighead.features.compiled import CompiledGroup, group_of_json
from bighead.features.fold import Column, Mask, Rows, column_of, dtype_of, fold
from bighead.features.state import State
from bighead.features.tiles import StateCodec, Tile, TileKey
from bighead.features.types import ValueType, clean
from bighead.features.windows import DAY_MS, Level, floor_to

LEVEL = "level"
Task: TypeAlias = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def tile_columns(group: CompiledGroup) -> dict[str, ValueType]:
    """The columns of a row that is a tile."""
    long, string = ValueType.LONG, ValueType.STRING
    return {LEVEL: string, ENTITY: string, START: long, SEQ: long, LATEST: long, **dict(group.state_columns)}


def tile_schema(group: CompiledGroup) -> str:
    """The same as Spark takes it."""
    return ", ".join(f"{quoted(name)} {SQL_TYPES[kind]}" for name, kind in tile_columns(group).items())


def fold_task(definition: str, levels: Sequence[Level]) -> Task:
    """For `mapInArrow` over `inputs_sql`, sorted by entity, day and place in the log: tiles of these levels."""
    wanted = tuple(levels)
    return lambda batches: _fold(group_of_json(definition), wanted, batches)


def before_task(definition: str) -> Task:
    """For `mapInArrow` over tiles and places (tiles without `seq`), sorted by entity, start and places first.

    For each place the tiles of its entity that begin before it, merged; nothing where there are none.
    """
    return lambda batches: _before(group_of_json(definition), batches)


def _fold(group: CompiledGroup, levels: Sequence[Level], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    codec = StateCodec(group)
    open_tiles: dict[TileKey, Tile] = {}
    for batch in batches:
        if not batch.num_rows:
            continue
        for rows in _rows(group, pa.Table.from_batches([batch])):
            for tile in fold(group, codec, rows, lambda keys: [open_tiles.get(key) for key in keys], levels):
                open_tiles[tile.key] = tile
        # All rows of an entity's day come one after the other: only the last day can go on in the next batch.
        entity, time_ms = (batch.column(name)[-1].as_py() for name in (ENTITY, START))
        going_on = (entity, floor_to(time_ms, DAY_MS))
        done = [tile for key, tile in open_tiles.items() if (key.entity, floor_to(key.start_ms, DAY_MS)) != going_on]
        for tile in done:
            del open_tiles[tile.key]
        if done:
            yield _tile_batch(group, codec, done)
    if open_tiles:
        yield _tile_batch(group, codec, list(open_tiles.values()))


def _rows(group: CompiledGroup, table: pa.Table) -> Iterator[Rows]:
    """The rows of each source partition, in the order of their offsets within a tile."""
    partitions = table.column(PARTITION).to_numpy()
    encoded = pc.dictionary_encode(table.column(ENTITY).combine_chunks())
    entities, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)
    backs = _numpy(table.column(BACK), ValueType.BOOLEAN).values if group.reversal is not None else None
    columns = {name: _numpy(table.column(input_name(name)), kind) for name, kind in group.input_kinds.items()}
    offsets, times = table.column(OFFSET).to_numpy(), table.column(START).to_numpy()
    for partition in np.unique(partitions).tolist():
        rows = Rows(partition, offsets, times, entities, codes, columns, backs)
        mine: Mask = partitions == partition
        yield rows if mine.all() else rows.take(mine)


def _numpy(column: pa.ChunkedArray, kind: ValueType) -> Column:
    if dtype_of(kind).hasobject:
        return column_of([clean(value) for value in python_values(column)], kind)
    valid = pc.is_valid(column).to_numpy()
    values = pc.fill_null(column, pa.scalar(0).cast(column.type)).to_numpy().astype(dtype_of(kind), copy=False)
    return Column(values, valid)


def _before(group: CompiledGroup, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    codec, names = StateCodec(group), [ENTITY, START, SEQ, LATEST, *(name for name, _ in group.state_columns)]
    merged, current = _Merged(group, codec), None
    for batch in batches:
        found: list[Tile] = []
        for entity, start_ms, seq, latest_ms, *packed in zip(
            *(batch.column(name).to_pylist() for name in names), strict=True
        ):
            if entity != current:
                merged, current = _Merged(group, codec), entity
            if seq is not None:
                merged.add(seq, latest_ms, codec.unpack(tuple(packed)))
            elif merged.seq:
                key = TileKey(entity, Level.BASE, start_ms)
                found.append(Tile(key, 0, merged.seq, merged.latest_ms, (), merged.state))
        if found:
            yield _tile_batch(group, codec, found)


class _Merged:
    """The tiles of one entity so far."""

    def __init__(self, group: CompiledGroup, codec: StateCodec) -> None:
        self._parts = list(zip(group.cells, codec.cell_slices, strict=True))
        self.state: State = codec.empty
        self.seq, self.latest_ms = 0, -1

    def add(self, seq: int, latest_ms: int, state: State) -> None:
        """Takes the next tile."""
        merged: list[Any] = []
        for cell, where in self._parts:
            merged += cell.operation.merge(self.state[where], state[where])
        self.state = tuple(merged)
        self.seq, self.latest_ms = self.seq + seq, max(self.latest_ms, latest_ms)


def _tile_batch(group: CompiledGroup, codec: StateCodec, tiles: Sequence[Tile]) -> pa.RecordBatch:
    heads = ((str(one.key.level), one.key.entity, one.key.start_ms, one.seq, one.latest_ms) for one in tiles)
    rows = [(*head, *codec.pack(tile.state)) for head, tile in zip(heads, tiles, strict=True)]
    kinds = tile_columns(group)
    columns = [arrow_column(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds.values(), strict=True)]
    return pa.RecordBatch.from_arrays(
        columns, schema=pa.schema([(name, ARROW_TYPES[kind]) for name, kind in kinds.items()])
    )
