"""The stream's step: a batch of rows folded into tiles, vectorised.

Pure. Sums are left folds in arrival order onto the tile's state, so a tile's bits do not depend on how its events were
cut into batches. `bighead.features.reference` says the same thing in the plainest way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bighead.errors import InvalidEvent
from bighead.features.compiled import Cell, CompiledGroup
from bighead.features.operations import Op
from bighead.features.state import Order, State
from bighead.features.tiles import STREAM_RANK, StateCodec, Tile, TileKey
from bighead.features.types import ValueType
from bighead.features.windows import SIZES_MS, Level

Ints: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Load: TypeAlias = Callable[[Sequence[TileKey]], Sequence[Tile | None]]
"""The tiles that are there already, in the order asked for."""

FEW_ROWS = 32
"""Up to so many rows are folded one by one: arrays would cost more to set up than they save."""
_LONG_MAX = 2**63 - 1


@dataclass(frozen=True)
class Column:
    """One input column of a batch: values (int64, float64, bool or object of str) and which of them are not null."""

    values: npt.NDArray[Any]
    valid: Mask


_DTYPES = {
    ValueType.LONG: np.dtype(np.int64),
    ValueType.DOUBLE: np.dtype(np.float64),
    ValueType.BOOLEAN: np.dtype(np.bool_),
}


def dtype_of(kind: ValueType) -> np.dtype[Any]:
    """The numpy type of a column: text, lists and maps are objects."""
    return _DTYPES.get(kind, np.dtype(object))


def column_of(values: Sequence[Any], kind: ValueType) -> Column:
    """A column of Python values, None for null."""
    valid = np.fromiter((value is not None for value in values), np.bool_, len(values))
    column = np.zeros(len(values), dtype_of(kind))
    if column.dtype == object:
        column[:] = np.fromiter(values, object, len(values))  # by iteration: lists stay what they are
    elif valid.all():
        column = np.array(values, column.dtype)
    else:
        column[valid] = [value for value in values if value is not None]
    return Column(column, valid)


@dataclass(frozen=True)
class Rows:
    """Rows of one source partition in offset order, filtered and projected: entities[codes[i]] is row i's entity.

    reversed: which rows take back earlier ones, where the source has such rows. Lists and maps are objects.
    """

    partition: int
    offsets: Ints
    times_ms: Ints
    entities: Sequence[str]
    codes: Ints
    columns: Mapping[str, Column]
    reversed: Mask | None = None

    def __len__(self) -> int:
        return len(self.offsets)

    def take(self, keep: Mask) -> "Rows":
        """The rows for which `keep` is true."""
        columns = {name: Column(column.values[keep], column.valid[keep]) for name, column in self.columns.items()}
        back = None if self.reversed is None else self.reversed[keep]
        offsets, times, codes = self.offsets[keep], self.times_ms[keep], self.codes[keep]
        return Rows(self.partition, offsets, times, self.entities, codes, columns, back)


class Row(NamedTuple):
    """One event as it is folded alone: `values` has for each cell what the event gives to it, index and input."""

    entity: str
    time_ms: int
    partition: int
    offset: int
    values: Sequence[Sequence[tuple[int, Any]]]
    back: bool


def fold(
    group: CompiledGroup, codec: StateCodec, rows: Rows, load: Load, levels: Sequence[Level] | None = None
) -> list[Tile]:
    """The tiles that change, with their full new state. Rows at or below a tile's position are left out of it.

    levels: of which levels; those that the stream keeps, unless others are given.
    """
    wanted = group.levels if levels is None else levels
    if len(rows) <= FEW_ROWS:
        tiles, refused = fold_rows(group, codec, _each(group, rows), load, wanted)
        if refused:
            raise refused[0][1]
        return tiles
    return [tile for level in wanted for tile in _fold_level(group, codec, rows, level, load)]


def fold_rows(
    group: CompiledGroup, codec: StateCodec, rows: Sequence[Row], load: Load, levels: Sequence[Level]
) -> tuple[list[Tile], list[tuple[int, Exception]]]:
    """The same as `fold`, row by row. A row that an operation cannot take changes no tile: its index and the reason."""
    sizes = [(level, SIZES_MS.get(level)) for level in levels]
    keys = [
        [TileKey(row.entity, level, row.time_ms - row.time_ms % size if size else 0) for level, size in sizes]
        for row in rows
    ]
    wanted = list(dict.fromkeys(key for some in keys for key in some))
    newest = dict(zip(wanted, load(wanted), strict=True))
    found: dict[TileKey, Tile] = {}
    refused: list[tuple[int, Exception]] = []
    for index, (row, some) in enumerate(zip(rows, keys, strict=True)):
        try:
            tiles = [_taken(group, codec, row, key, newest[key]) for key in some]
        except (ArithmeticError, InvalidEvent) as error:
            refused.append((index, error))
        else:
            for key, tile in zip(some, tiles, strict=True):
                if tile is not None:
                    newest[key] = found[key] = tile
    return list(found.values()), refused


def _taken(group: CompiledGroup, codec: StateCodec, row: Row, key: TileKey, before: Tile | None) -> Tile | None:
    """A tile after one more row; None where it has seen that row."""
    where, offset, place = row.partition, row.offset, (row.time_ms, row.partition, row.offset)
    if before is None:
        state = _updated(group, codec, codec.empty, row.values, place, row.back)
        return Tile(key, STREAM_RANK, 1, row.time_ms, ((where, offset),), state)
    if offset <= _position(before, where):
        return None
    state = _updated(group, codec, before.state, row.values, place, row.back)
    newest_ms, moved = max(before.latest_ms, row.time_ms), _moved(before.positions, where, offset)
    return Tile(key, STREAM_RANK, before.seq + 1, newest_ms, moved, state)


def _each(group: CompiledGroup, rows: Rows) -> list[Row]:
    times, offsets, codes = rows.times_ms.tolist(), rows.offsets.tolist(), rows.codes.tolist()
    values = zip(*(_inputs(cell, rows) for cell in group.cells), strict=True)
    backs = rows.reversed.tolist() if rows.reversed is not None else [False] * len(rows)
    return [
        Row(rows.entities[code], time_ms, rows.partition, offset, inputs, back)
        for code, time_ms, offset, inputs, back in zip(codes, times, offsets, values, backs, strict=True)
    ]


def _values(column: Column) -> list[Any]:
    values: list[Any] = column.values.tolist()
    if column.valid.all():
        return values
    return [value if valid else None for value, valid in zip(values, column.valid.tolist(), strict=True)]


def inputs_of(cell: Cell, value: Any, bucket: Any) -> Sequence[tuple[int, Any]]:
    """What one event gives to a cell: index and input."""
    if cell.plain:
        return () if value is None else ((0, value),)
    return cell.inputs(value, bucket)


def _inputs(cell: Cell, rows: Rows) -> list[Sequence[tuple[int, Any]]]:
    """For each row what it gives to the cell."""
    values = _values(rows.columns[cell.column])
    buckets = _values(rows.columns[cell.bucket]) if cell.bucket else [None] * len(values)
    return [inputs_of(cell, value, bucket) for value, bucket in zip(values, buckets, strict=True)]


def _updated(
    group: CompiledGroup,
    codec: StateCodec,
    state: State,
    values: Sequence[Sequence[tuple[int, Any]]],
    place: tuple[int, int, int],
    back: bool,
) -> State:
    parts: list[Any] = []
    for cell, where, inputs in zip(group.cells, codec.cell_slices, values, strict=True):
        parts += changed(cell, state[where], inputs, place, back)
    return tuple(parts)


def changed(
    cell: Cell, state: State, inputs: Sequence[tuple[int, Any]], place: tuple[int, int, int], back: bool
) -> State:
    """A cell's state after one event."""
    change = cell.operation.delete if back else cell.operation.update
    if change is None:
        raise InvalidEvent(f"{cell.op} of {cell.column!r} cannot take an event back")
    if back and cell.op is Op.LAST and not inputs:
        inputs = ((0, None),)  # what the entity was does not matter, only that it is gone
    try:
        for index, value in inputs:
            state = change(state, value, (*place, index))
    except OverflowError as error:
        raise _overflow(cell, error) from None
    return state


def _overflow(cell: Cell, error: OverflowError) -> OverflowError:
    return OverflowError(f"{cell.op} of {cell.column!r}: {error}")


def _fold_level(group: CompiledGroup, codec: StateCodec, rows: Rows, level: Level, load: Load) -> list[Tile]:
    size_ms = SIZES_MS.get(level)
    starts = rows.times_ms - rows.times_ms % size_ms if size_ms else np.zeros_like(rows.times_ms)
    pairs, slots = _unique_pairs(rows.codes, starts)
    keys = [TileKey(rows.entities[code], level, start) for code, start in pairs]
    old = load(keys)
    fresh = _fresh(rows, slots, old)
    if not fresh.all():
        if not fresh.any():
            return []
        rows, slots = rows.take(fresh), slots[fresh]
    return _fold_slots(group, codec, rows, slots, keys, old)


def _unique_pairs(codes: Ints, starts: Ints) -> tuple[list[tuple[int, int]], Ints]:
    order = np.lexsort((starts, codes))
    sorted_codes, sorted_starts = codes[order], starts[order]
    first = np.empty(len(order), np.bool_)
    first[0] = True
    first[1:] = (sorted_codes[1:] != sorted_codes[:-1]) | (sorted_starts[1:] != sorted_starts[:-1])
    slots = np.empty(len(order), np.int64)
    slots[order] = np.cumsum(first) - 1
    pairs = list(zip(sorted_codes[first].tolist(), sorted_starts[first].tolist(), strict=True))
    return pairs, slots


def _fresh(rows: Rows, slots: Ints, old: Sequence[Tile | None]) -> Mask:
    """Which rows their tile has not seen: offsets above the tile's position for this partition."""
    reached = [_position(tile, rows.partition) for tile in old]
    return rows.offsets > np.array(reached, np.int64)[slots]


def _position(tile: Tile | None, partition: int) -> int:
    for where, offset in tile.positions if tile is not None else ():
        if where == partition:
            return offset
    return -1


def _fold_slots(
    group: CompiledGroup, codec: StateCodec, rows: Rows, slots: Ints, keys: list[TileKey], old: Sequence[Tile | None]
) -> list[Tile]:
    states = [tile.state if tile else codec.empty for tile in old]
    counts = np.bincount(slots, minlength=len(keys)).tolist()
    cells = [
        _fold_cell(cell, rows, slots, [state[where] for state in states])
        for cell, where in zip(group.cells, codec.cell_slices, strict=True)
    ]
    latest, last = np.full(len(keys), -1, np.int64), np.full(len(keys), -1, np.int64)
    np.maximum.at(latest, slots, rows.times_ms)
    np.maximum.at(last, slots, rows.offsets)
    tiles: list[Tile] = []
    for slot, (key, before, count) in enumerate(zip(keys, old, counts, strict=True)):
        if not count:
            continue
        state = tuple(value for cell in cells for value in cell[slot])
        positions = _moved(before.positions if before else (), rows.partition, int(last[slot]))
        newest_ms = max(int(latest[slot]), before.latest_ms if before else -1)
        tiles.append(Tile(key, STREAM_RANK, count + (before.seq if before else 0), newest_ms, positions, state))
    return tiles


def _moved(positions: tuple[tuple[int, int], ...], partition: int, offset: int) -> tuple[tuple[int, int], ...]:
    if len(positions) == 1 and positions[0][0] == partition:
        return ((partition, offset),)
    return (*(pair for pair in positions if pair[0] != partition), (partition, offset))


def _fold_cell(cell: Cell, rows: Rows, slots: Ints, old: list[State]) -> list[State]:
    if rows.reversed is not None or not cell.plain:
        return _fold_inputs(cell, rows, slots, old)
    column = rows.columns[cell.column]
    if not column.valid.all():
        slots = slots[column.valid]
    counts = np.bincount(slots, minlength=len(old)).tolist()
    match cell.op:
        case Op.COUNT:
            return [(state[0] + count,) for state, count in zip(old, counts, strict=True)]
        case Op.SUM | Op.AVERAGE:
            sums = _sums(cell, column.values[column.valid], slots, [state[1] for state in old])
            return [(state[0] + count, total) for state, count, total in zip(old, counts, sums, strict=True)]
        case Op.MIN | Op.MAX | Op.FIRST | Op.LAST:
            best = _best_rows(cell, rows, column, slots, len(old))
            return [
                cell.operation.merge(state, _partial(cell, rows, column, best[slot], count)) if count else state
                for slot, (state, count) in enumerate(zip(old, counts, strict=True))
            ]
        case _:
            return _fold_plain(cell, rows, column, slots, old)


def _fold_plain(cell: Cell, rows: Rows, column: Column, slots: Ints, old: list[State]) -> list[State]:
    """Operations that take their inputs tile by tile, in the order of the log. `slots` are those of valid rows."""
    index = np.flatnonzero(column.valid)
    order = np.argsort(slots, kind="stable")
    index, slots = index[order], slots[order]
    values, times, offsets = column.values[index].tolist(), rows.times_ms[index].tolist(), rows.offsets[index].tolist()
    orders = [(time_ms, rows.partition, offset, 0) for time_ms, offset in zip(times, offsets, strict=True)]
    states = list(old)
    edges = [0, *(np.flatnonzero(np.diff(slots)) + 1).tolist(), len(slots)] if len(slots) else []
    for start, end in pairwise(edges):
        slot = int(slots[start])
        states[slot] = cell.operation.extend(states[slot], values[start:end], orders[start:end])
    return states


def _fold_inputs(cell: Cell, rows: Rows, slots: Ints, old: list[State]) -> list[State]:
    """Lists, maps, buckets, and rows that take others back."""
    states = list(old)
    inputs, times, offsets = _inputs(cell, rows), rows.times_ms.tolist(), rows.offsets.tolist()
    if rows.reversed is not None:
        for slot, one, time_ms, offset, back in zip(
            slots.tolist(), inputs, times, offsets, rows.reversed.tolist(), strict=True
        ):
            states[slot] = changed(cell, states[slot], one, (time_ms, rows.partition, offset), back)
        return states
    parts: dict[int, tuple[list[Any], list[Order]]] = {}
    for slot, one, time_ms, offset in zip(slots.tolist(), inputs, times, offsets, strict=True):
        if one:
            values, orders = parts.setdefault(slot, ([], []))
            values += [value for _, value in one]
            orders += [(time_ms, rows.partition, offset, index) for index, _ in one]
    for slot, (values, orders) in parts.items():
        try:
            states[slot] = cell.operation.extend(states[slot], values, orders)
        except OverflowError as error:
            raise _overflow(cell, error) from None
    return states


def _sums(cell: Cell, values: npt.NDArray[Any], slots: Ints, old: list[Any]) -> list[Any]:
    if cell.kind is ValueType.DOUBLE:
        totals = np.array(old, np.float64)
        np.add.at(totals, slots, values)
        return list(totals.tolist())
    reach = max((abs(total) for total in old), default=0) + int(np.abs(values.astype(np.float64)).sum() * 1.001) + 1
    if reach <= _LONG_MAX:
        longs = np.array(old, np.int64)
        np.add.at(longs, slots, values)
        return list(longs.tolist())
    return _exact_sums(cell, values, slots, old)


def _exact_sums(cell: Cell, values: npt.NDArray[Any], slots: Ints, old: list[Any]) -> list[Any]:
    sums = list(old)
    for slot, value in zip(slots.tolist(), values.tolist(), strict=True):
        total = sums[slot] = sums[slot] + value
        # After each event: whether one is refused must not depend on what came in the same batch.
        if not -_LONG_MAX - 1 <= total <= _LONG_MAX:
            raise _overflow(cell, OverflowError(f"the sum reached {total}, which does not fit in 64 bits"))
    return sums


def _best_rows(cell: Cell, rows: Rows, column: Column, slots: Ints, size: int) -> list[int]:
    """For each slot the row that wins in this batch, as an index into `rows`."""
    index = np.flatnonzero(column.valid)
    if cell.op in (Op.FIRST, Op.LAST):
        order = np.lexsort((rows.offsets[index], rows.times_ms[index], slots))
    else:
        values = column.values[index]
        ranks = np.unique(values, return_inverse=True)[1] if values.dtype == object else values
        order = np.lexsort((ranks, slots))
    first = cell.op in (Op.MIN, Op.FIRST)
    best = np.full(size, -1, np.int64)
    sorted_slots = slots[order]
    edges = np.flatnonzero(np.diff(sorted_slots))
    picked = np.concatenate(([0], edges + 1)) if first else np.concatenate((edges, [len(order) - 1]))
    if len(order):
        best[sorted_slots[picked]] = index[order[picked]]
    return list(best.tolist())


def _partial(cell: Cell, rows: Rows, column: Column, row: int, count: int) -> State:
    value = column.values[row]
    value = value.item() if isinstance(value, np.generic) else value
    if cell.op in (Op.FIRST, Op.LAST):
        return (count, int(rows.times_ms[row]), rows.partition, int(rows.offsets[row]), value)
    return (count, value)
