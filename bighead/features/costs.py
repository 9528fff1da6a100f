"""What a group costs before it is applied: tiles and bytes for each key, tiles that a request reads, and warnings.

Pure. Figures are for a key with events in every five minutes, and for tiles of a typical event count.
"""

from dataclasses import dataclass
from typing import Any

from bighead.features.compiled import Cell, CompiledGroup
from bighead.features.operations import Op
from bighead.features.plan import GroupPlan
from bighead.features.state import State
from bighead.features.tiles import StateCodec, store_value
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS, FIVE_MINUTES_MS, HOUR_MS, SIZES_MS, Level

TYPICAL_EVENTS = 20
"""How many events, all different, the typical tile has."""
MANY_READS = 500
FIELD_BYTES = 5
_TYPICAL_QUERY_MS = 1_700_000_000_000 // DAY_MS * DAY_MS + 13 * HOUR_MS + 37 * 60_000
_GROWING = frozenset({Op.UNIQUE_COUNT, Op.HISTOGRAM})


@dataclass(frozen=True)
class GroupCost:
    """tiles: at most for each key, by level. Bytes are of encoded states, without what the store itself adds."""

    tiles: dict[str, int]
    empty_tile_bytes: int
    typical_tile_bytes: int
    key_bytes: int
    reads: int
    read_bytes: int
    warnings: tuple[str, ...]


def cost_of(group: CompiledGroup) -> GroupCost:
    """The cost of a group; `reads` are tiles for each request, at 13:37 with everything below midnight backfilled."""
    codec = StateCodec(group)
    empty = len(store_value(0, 0, codec.encode(codec.empty)))
    typical = len(store_value(0, 0, codec.encode(tuple(part for cell in group.cells for part in _typical(cell)))))
    tiles = {str(level): count for level, count in _tiles(group).items()}
    total = sum(tiles.values())
    cut_ms = _TYPICAL_QUERY_MS // DAY_MS * DAY_MS
    reads = len(GroupPlan(group, 1, cut_ms).at(_TYPICAL_QUERY_MS).tiles)
    return GroupCost(
        tiles=tiles,
        empty_tile_bytes=empty,
        typical_tile_bytes=typical,
        key_bytes=total * (typical + FIELD_BYTES),
        reads=reads,
        read_bytes=reads * typical,
        warnings=tuple(_warnings(group, reads)),
    )


def _tiles(group: CompiledGroup) -> dict[Level, int]:
    """The most tiles that a key has: those of the longest window; two days of them for features without a window."""
    lengths = [feature.window.length_ms if feature.window else 2 * DAY_MS for feature in group.features]
    counts = {level: max(lengths) // SIZES_MS[level] + 1 for level in group.levels if level in SIZES_MS}
    return counts | ({Level.ALL: 1, Level.BASE: 1} if group.longest_ms is None else {})


def _typical(cell: Cell) -> State:
    inputs: list[Any] = []
    for number in range(TYPICAL_EVENTS):
        inputs += [one for _, one in cell.inputs(_value(cell.kind, number), f"bucket {number % 4}")]
    orders = [(_TYPICAL_QUERY_MS + place, 0, place, 0) for place in range(len(inputs))]
    return cell.operation.extend(cell.empty, inputs, orders)


def _value(kind: ValueType, number: int) -> Any:
    if kind.is_list:
        return [_value(kind.element, number)]
    if kind.is_map:
        return {f"key {number % 4}": _value(kind.element, number)}
    values = {ValueType.BOOLEAN: number % 2 == 0, ValueType.LONG: number * FIVE_MINUTES_MS}
    return values.get(kind, number / 7 if kind is ValueType.DOUBLE else f"value {number:06}")


def _warnings(group: CompiledGroup, reads: int) -> list[str]:
    warnings = []
    for feature in group.features:
        cell = group.cells[feature.cell]
        what = _what_grows(group, cell)
        if feature.window is None and what is not None:
            warnings.append(
                f"{feature.name} keeps every {what} that ever occurred: its state and its reads grow without bound; "
                f"give it windows{_instead(cell)}"
            )
    if reads > MANY_READS:
        warnings.append(f"each request reads {reads} tiles of {group.name}; drop the windows that cost most")
    return warnings


def _what_grows(group: CompiledGroup, cell: Cell) -> str | None:
    """What a state without a window keeps one entry for, if their number is not bounded."""
    if cell.op in _GROWING and cell.kind.element is not ValueType.BOOLEAN:
        return "value"
    if cell.bucket is not None:
        return None if group.inputs[cell.bucket].kind is ValueType.BOOLEAN else "bucket"
    return "key of the map" if cell.kind.is_map else None


def _instead(cell: Cell) -> str:
    bounded = {Op.UNIQUE_COUNT: Op.APPROX_UNIQUE_COUNT, Op.HISTOGRAM: Op.APPROX_HISTOGRAM_K}.get(cell.op)
    return f", or use {bounded}" if bounded and cell.plain else ""
