"""A group as Spark SQL text: its events, five-minute tiles, and merges of tiles into coarser ones.

Pure: text from text. A single event is the state of one event, so one text per operation, its merge, makes every level.
Operations without texts, and cells that are not plain, are folded by Spark's Python workers: see `made_by_sql`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from bighead.compile.inputs import KEEP, TIME, input_columns
from bighead.compile.overflow import overflows_sql
from bighead.features.compiled import Cell, CompiledGroup
from bighead.features.operations import Op
from bighead.features.types import ValueType

ENTITY = "entity"
START = "start_ms"
SEQ = "seq"
LATEST = "latest_ms"
PARTITION = "_partition"
OFFSET = "_offset"

Texts: TypeAlias = dict[str, str]
"""Column of a state (without the cell's prefix) to SQL text."""

BACK = "__back"
"""The column that says which events take back earlier ones."""
_SCALARS: dict[ValueType, str] = {
    ValueType.BOOLEAN: "BOOLEAN",
    ValueType.LONG: "BIGINT",
    ValueType.DOUBLE: "DOUBLE",
    ValueType.STRING: "STRING",
    ValueType.BYTES: "BINARY",
}


def _sql_type(kind: ValueType) -> str:
    if kind.is_list:
        return f"ARRAY<{_sql_type(kind.element)}>"
    return f"MAP<STRING, {_sql_type(kind.element)}>" if kind.is_map else _SCALARS[kind]


SQL_TYPES: dict[ValueType, str] = {kind: _sql_type(kind) for kind in ValueType}
_ZERO: dict[ValueType, str] = {
    ValueType.BOOLEAN: "FALSE",
    ValueType.LONG: "0L",
    ValueType.DOUBLE: "0.0D",
    ValueType.STRING: "''",
}
_ORDER = ("time_ms", "partition", "offset")
_ASKED = "__asked"


@dataclass(frozen=True)
class SparkOperation:
    """An operation on Spark, in three texts.

    `one`: the state of one event from its input. `merge`: the aggregate over states, from the names of their columns.
    `flat`: the merged state's columns from the name of that aggregate.
    """

    one: Callable[[ValueType, str], Texts]
    merge: Callable[[Texts], str]
    flat: Callable[[ValueType, str], Texts]


def _count(kind: ValueType, value: str) -> str:
    return f"IF({value} IS NULL, 0L, 1L)"


def _or_zero(kind: ValueType, value: str) -> str:
    return f"COALESCE({value}, {_ZERO[kind]})"


def _with_value(kind: ValueType, value: str) -> Texts:
    return {"n": _count(kind, value), "value": _or_zero(kind, value)}


def _extreme(function: str) -> SparkOperation:
    return SparkOperation(
        one=_with_value,
        merge=lambda state: f"{function}(IF({state['n']} > 0, {state['value']}, NULL))",
        flat=lambda kind, merged: {"value": _or_zero(kind, merged)},
    )


_SUM = SparkOperation(
    one=lambda kind, value: {"n": _count(kind, value), "sum": _or_zero(kind, value)},
    merge=lambda state: f"SUM({state['sum']})",
    flat=lambda kind, merged: {"sum": merged},
)


def _placed(function: str) -> SparkOperation:
    return SparkOperation(
        one=lambda kind, value: {
            **_with_value(kind, value),
            "time_ms": START,
            "partition": PARTITION,
            "offset": OFFSET,
        },
        # Structs compare field by field: the least is the first in (time, partition, offset), the greatest the last.
        merge=lambda state: (
            f"{function}(IF({state['n']} > 0, STRUCT({state['time_ms']} AS time_ms, "
            f"{state['partition']} AS partition, {state['offset']} AS offset, {state['value']} AS value), NULL))"
        ),
        flat=lambda kind, merged: {
            **{name: _or_zero(ValueType.LONG, f"{merged}.{name}") for name in _ORDER},
            "value": _or_zero(kind, f"{merged}.value"),
        },
    )


OPERATIONS: dict[Op, SparkOperation] = {
    Op.COUNT: SparkOperation(
        one=lambda kind, value: {"n": _count(kind, value)},
        merge=lambda state: f"SUM({state['n']})",
        flat=lambda kind, merged: {},
    ),
    Op.SUM: _SUM,
    Op.AVERAGE: _SUM,
    Op.MIN: _extreme("MIN"),
    Op.MAX: _extreme("MAX"),
    Op.FIRST: _placed("MIN"),
    Op.LAST: _placed("MAX"),
}


def made_by_sql(group: CompiledGroup) -> bool:
    """Whether texts make the group's tiles; else they are folded in Python, as the stream does it."""
    return group.reversal is None and all(cell.plain and cell.op in OPERATIONS for cell in group.cells)


def input_name(column: str) -> str:
    """The column of `inputs_sql` that holds an input."""
    return f"__in_{column}"


def inputs_sql(group: CompiledGroup, relation: str) -> str:
    """One row an event that counts: entity, start_ms (its own time), its place in the log, `__back`, its inputs.

    `relation` has the source's columns in canonical types, `_partition` and `_offset`.
    """
    back = f"COALESCE({group.reversal.sql('spark')}, FALSE)" if group.reversal else "FALSE"
    given = input_columns(group, "spark") | {BACK: back, PARTITION: PARTITION, OFFSET: OFFSET}
    inputs = ", ".join(f"{text} AS {quoted(name)}" for name, text in given.items())
    cleaned = {quoted(input_name(name)): _clean(kind, quoted(name)) for name, kind in group.input_kinds.items()}
    entity = entity_sql({quoted(key): kind for key, kind in zip(group.keys, group.key_kinds, strict=True)})
    # What the stream refuses is not there in batch either: an impossible time, a null key, arithmetic beyond 64 bits.
    conditions = [one for one in (group.where, group.reversal) if one is not None]
    overflows = overflows_sql([*group.inputs.values(), *conditions])
    fits = f" WHERE NOT COALESCE({overflows}, FALSE)" if overflows else ""
    counts = [KEEP, f"{TIME} >= 0", *(f"{quoted(key)} IS NOT NULL" for key in group.keys)]
    place = {PARTITION: PARTITION, OFFSET: OFFSET, BACK: BACK}
    return _select(
        {ENTITY: entity, START: TIME} | place | cleaned,
        f"(SELECT {inputs} FROM {relation}{fits}) WHERE {' AND '.join(counts)}",
    )


def events_sql(group: CompiledGroup, inputs: str) -> str:
    """One row an event: entity, start_ms, seq 1, latest_ms, its place in the log, its state; from `inputs_sql`."""
    states: Texts = {}
    for cell in group.cells:
        texts = OPERATIONS[cell.op].one(cell.kind, quoted(input_name(cell.column)))
        states |= {full: texts[short] for short, full in _columns(cell).items()}
    place = {PARTITION: PARTITION, OFFSET: OFFSET}
    return _select({ENTITY: ENTITY, START: START, SEQ: "1L", LATEST: START} | place | states, inputs)


def merged_sql(group: CompiledGroup, relation: str, start: str) -> str:
    """Tiles (or single events) merged by entity and the text `start`."""
    by = {ENTITY: ENTITY, START: start}
    inner = _select(by | _aggregates(group), f"{relation} GROUP BY {', '.join(by.values())}")
    return _select({name: name for name in (*by, SEQ, LATEST)} | _flat(group), f"({inner})")


def before_sql(group: CompiledGroup, tiles: str, places: str) -> str:
    """For each entity and start_ms of `places` all tiles that start before it, merged; nothing where there are none.

    One pass in the order of time, however many places there are.
    """
    long = ValueType.LONG
    states = {SEQ: long, LATEST: long, **dict(group.state_columns)}
    columns = {name: name for name in (ENTITY, START, *states)}
    markers = {ENTITY: ENTITY, START: START} | {
        name: f"CAST(NULL AS {SQL_TYPES[kind]})" for name, kind in states.items()
    }
    both = f"{_select(columns | {_ASKED: 'FALSE'}, tiles)} UNION ALL {_select(markers | {_ASKED: 'TRUE'}, places)}"
    running = {name: f"{text} OVER earlier" for name, text in _aggregates(group).items()}
    earlier = f"PARTITION BY {ENTITY} ORDER BY {START} RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    inner = _select({ENTITY: ENTITY, START: START, _ASKED: _ASKED} | running, f"({both}) WINDOW earlier AS ({earlier})")
    found = f"({inner}) WHERE {_ASKED} AND {SEQ} IS NOT NULL"
    return _select({name: name for name in (ENTITY, START, SEQ, LATEST)} | _flat(group), found)


def _aggregates(group: CompiledGroup) -> Texts:
    texts = {SEQ: f"SUM({SEQ})", LATEST: f"MAX({LATEST})"}
    for number, cell in enumerate(group.cells):
        columns = _columns(cell)
        texts[columns["n"]] = f"SUM({columns['n']})"
        texts[f"__merged_{number}"] = OPERATIONS[cell.op].merge(columns)
    return texts


def _flat(group: CompiledGroup) -> Texts:
    """The state columns from the results of `_aggregates`."""
    texts: Texts = {}
    for number, cell in enumerate(group.cells):
        columns = _columns(cell)
        flat = {"n": columns["n"], **OPERATIONS[cell.op].flat(cell.kind, f"__merged_{number}")}
        texts |= {full: flat[short] for short, full in columns.items()}
    return texts


def floor_sql(time: str, step_ms: int) -> str:
    """The greatest multiple of `step_ms` that is not after `time`."""
    return f"{time} - PMOD({time}, {step_ms}L)"


def entity_sql(keys: Mapping[str, ValueType]) -> str:
    """The text that `tiles.entity_of` makes of these columns, byte for byte."""
    parts = [_json(column, kind) for column, kind in keys.items()]
    commas = ", ',', ".join(parts)
    return f"CONCAT('[', {commas}, ']')"


def quoted(name: str) -> str:
    """A column's name as Spark takes it, whatever it contains."""
    return "`" + name.replace("`", "``") + "`"


def text_literal(value: str) -> str:
    """A string literal of Spark SQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _columns(cell: Cell) -> dict[str, str]:
    """The names of a cell's state columns: as the operation calls them, and as the tile does."""
    short = [column.name for column in cell.operation.columns]
    return dict(zip(short, (name for name, _ in cell.state_columns), strict=True))


def _clean(kind: ValueType, value: str) -> str:
    """NaN and infinities are null, and -0.0 is 0.0, as in `types.clean`."""
    if kind is not ValueType.DOUBLE:
        return value
    finite = f"ABS({value}) < CAST('Infinity' AS DOUBLE)"  # false for NaN as well: Spark puts it above infinity
    return f"CASE WHEN {value} = 0 THEN 0.0D WHEN {finite} THEN {value} END"


def _json(column: str, kind: ValueType) -> str:
    text = f"CONCAT('\"', {_escaped(column)}, '\"')" if kind is ValueType.STRING else f"CAST({column} AS STRING)"
    return f"COALESCE({text}, 'null')"


def _escaped(column: str) -> str:
    """JSON's escapes as Python writes them: quote, backslash and what lies below a space, hexadecimal in lower case."""
    short = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r"}
    pairs = [("'\\\\'", "\\\\"), ("'\"'", '\\"')]
    pairs += [(f"CHR({code})", f"\\{short[code]}" if code in short else f"\\u{code:04x}") for code in range(32)]
    text = column
    for character, escape in pairs:
        text = f"REPLACE({text}, {character}, {text_literal(escape)})"
    special = text_literal('[\\x00-\\x1f"\\\\]')
    return f"CASE WHEN {column} RLIKE {special} THEN {text} ELSE {column} END"


def _select(columns: Mapping[str, str], source: str) -> str:
    # A redundant alias below a window makes the optimizer of Spark 4.2 fail (PLAN_VALIDATION_FAILED_RULE_IN_BATCH).
    parts = [name if text == name else f"{text} AS {name}" for name, text in columns.items()]
    return f"SELECT {', '.join(parts)} FROM {source}"
