"""A group as Flink runs it: its projection as Flink SQL text, and the description of its fold.

Pure. Flink's SQL wraps integers that leave 64 bits and does not order NaN: those two go through functions of ours. The
last argument of those that can fail says where the expression stands: see `PLACES`. Everything else is plain SQL.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from sqlglot import expressions as sql

from bighead.compile.inputs import KEEP, TIME
from bighead.errors import DefinitionError
from bighead.features.compiled import KEPT_MS, Cell, CompiledGroup
from bighead.features.expressions import Expression, parse
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS, SIZES_MS, Level

EVENTS = "events"
"""The view of a topic's decoded messages."""
MESSAGE = "__message"
BACK = "__back"
PLACES = {"where": 0, "input": 1}
_MOST_INPUTS = 255
SQL_TYPES = {
    ValueType.BOOLEAN: "BOOLEAN",
    ValueType.LONG: "BIGINT",
    ValueType.DOUBLE: "DOUBLE",
    ValueType.STRING: "STRING",
}
_ARITHMETIC: dict[type[sql.Expr], tuple[str, str]] = {
    sql.Add: ("bighead_add", "+"),
    sql.Sub: ("bighead_subtract", "-"),
    sql.Mul: ("bighead_multiply", "*"),
}
_COMPARISONS: dict[type[sql.Expr], str] = {
    sql.EQ: "=",
    sql.NEQ: "<>",
    sql.GT: ">",
    sql.GTE: ">=",
    sql.LT: "<",
    sql.LTE: "<=",
}


def group_sql(group: CompiledGroup) -> str:
    """SELECT of the group's keys and inputs by name, then `__keep`, `__back`, `__time_ms` and `__message`."""
    columns = {name: expression_sql(one, group.columns) for name, one in group.inputs.items()}
    columns[KEEP] = _condition(group.where, group, "TRUE")
    columns[BACK] = _condition(group.reversal, group, "FALSE")
    columns[TIME] = quoted(group.definition.source.time)
    columns[MESSAGE] = quoted(MESSAGE)
    parts = ",\n  ".join(f"{text} AS {quoted(name)}" for name, text in columns.items())
    return f"SELECT\n  {parts}\nFROM {quoted(EVENTS)}"


def group_job(group: CompiledGroup, epoch: int, cut_ms: int | None) -> dict[str, Any]:
    """The description of one epoch of a group, as the Flink job reads it: JSON types alone."""
    inputs = list(group.input_kinds)
    if len(inputs) > _MOST_INPUTS:
        raise DefinitionError(f"group {group.name!r} reads {len(inputs)} inputs; on Flink at most {_MOST_INPUTS}")
    return {
        "name": group.name,
        "epoch": epoch,
        "cut_ms": -1 if cut_ms is None else cut_ms,
        "sql": group_sql(group),
        "time": group.definition.source.time,
        "columns": list(group.inputs),
        "keys": list(group.keys),
        "inputs": inputs,
        "source_columns": list(group.source_columns),
        "levels": [
            {"name": str(level), "size_ms": SIZES_MS.get(level, 0), "kept_ms": _kept_ms(group, level)}
            for level in group.levels
        ],
        "changes": group.definition.reverses,
        "cells": [_cell_job(cell) for cell in group.cells],
    }


def _kept_ms(group: CompiledGroup, level: Level) -> int:
    """How long after its last event Flink's state has a tile, milliseconds; 0 for ever.

    As long as the online store has an entity. A feature without a window reads tiles finer than a day on their day
    alone, so where there is one, the others decide how long those are kept.
    """
    if group.kept_ms is not None:
        return group.kept_ms
    if SIZES_MS.get(level, DAY_MS) >= DAY_MS:
        return 0
    lengths = [feature.window.length_ms for feature in group.features if feature.window is not None]
    return max([DAY_MS, *lengths]) + KEPT_MS


def _cell_job(cell: Cell) -> dict[str, Any]:
    shape = "map" if cell.kind.is_map else "list" if cell.kind.is_list else "scalar"
    k = dict(cell.args).get("k", 0)
    kind = str(cell.kind.element)
    return {"op": str(cell.op), "column": cell.column, "kind": kind, "shape": shape, "k": k, "bucket": cell.bucket}


def _condition(condition: Expression | None, group: CompiledGroup, otherwise: str) -> str:
    if condition is None:
        return otherwise
    return f"COALESCE({expression_sql(condition, group.columns, 'where')}, FALSE)"


def expression_sql(expression: Expression, columns: Mapping[str, ValueType], place: str = "input") -> str:
    """A checked expression as Flink SQL of exactly its result type."""
    kind = expression.kind
    if kind is None:
        raise DefinitionError(f"expression {expression.text!r} is always null")
    if not kind.is_scalar:
        return quoted(expression.tree.name)
    return f"CAST({_Writer(columns, PLACES[place]).value(expression.tree, kind)} AS {SQL_TYPES[kind]})"


def quoted(name: str) -> str:
    """A name as Flink takes it, whatever it contains."""
    return "`" + name.replace("`", "``") + "`"


class _Writer:
    """Writes one expression, with every conversion spelled out."""

    def __init__(self, columns: Mapping[str, ValueType], place: int) -> None:
        self._columns = columns
        self._place = place

    def value(self, node: sql.Expr, kind: ValueType) -> str:
        """The text of a node as a value of `kind`, which is its own or one that it widens to."""
        own = self._kind(node)
        if own is None:
            return f"CAST(NULL AS {SQL_TYPES[kind]})"
        text = self._text(node, own)
        return f"CAST({text} AS DOUBLE)" if own is ValueType.LONG and kind is ValueType.DOUBLE else text

    def _kind(self, node: sql.Expr) -> ValueType | None:
        return parse(node.sql(dialect="duckdb"), self._columns).kind

    def _text(self, node: sql.Expr, own: ValueType) -> str:
        if isinstance(node, sql.Column):
            return quoted(node.name)
        if isinstance(node, sql.Literal):
            return _literal(node)
        if type(node) in _ARITHMETIC:
            return self._arithmetic(node, own)
        if type(node) in _COMPARISONS:
            return self._comparison(node, _COMPARISONS[type(node)])
        return self._others[type(node)](self, node, own)

    def _arithmetic(self, node: sql.Expr, own: ValueType) -> str:
        function, sign = _ARITHMETIC[type(node)]
        left, right = self.value(node.this, own), self.value(node.expression, own)
        if own is ValueType.LONG:
            return f"{function}({left}, {right}, {self._place})"
        return f"({left} {sign} {right})"

    def _unary(self, node: sql.Expr, own: ValueType) -> str:
        name = "abs" if isinstance(node, sql.Abs) else "negate"
        inner = self.value(node.this, own)
        if own is ValueType.LONG:
            return f"bighead_{name}({inner}, {self._place})"
        return f"ABS({inner})" if name == "abs" else f"(- {inner})"

    def _divide(self, node: sql.Expr, own: ValueType) -> str:
        divisor = self.value(node.expression, ValueType.DOUBLE)
        return f"({self.value(node.this, ValueType.DOUBLE)} / NULLIF({divisor}, 0E0))"

    def _comparison(self, node: sql.Expr, sign: str) -> str:
        kinds = {self._kind(node.this), self._kind(node.expression)} - {None}
        kind = ValueType.DOUBLE if len(kinds) > 1 else next(iter(kinds), None)
        if kind is None:
            return "CAST(NULL AS BOOLEAN)"
        left, right = self.value(node.this, kind), self.value(node.expression, kind)
        if kind is ValueType.DOUBLE:
            return f"(bighead_compare({left}, {right}) {sign} 0)"
        return f"({left} {sign} {right})"

    def _logic(self, node: sql.Expr, own: ValueType) -> str:
        word = "AND" if isinstance(node, sql.And) else "OR"
        return f"({self.value(node.this, own)} {word} {self.value(node.expression, own)})"

    def _between(self, node: sql.Expr, own: ValueType) -> str:
        low = self._comparison(sql.GTE(this=node.this, expression=node.args["low"]), ">=")
        high = self._comparison(sql.LTE(this=node.this, expression=node.args["high"]), "<=")
        return f"({low} AND {high})"

    def _in(self, node: sql.Expr, own: ValueType) -> str:
        tests = [self._comparison(sql.EQ(this=node.this, expression=one), "=") for one in node.expressions]
        return f"({' OR '.join(tests)})"

    def _is_null(self, node: sql.Expr, own: ValueType) -> str:
        kind = self._kind(node.this)
        if kind is None:
            return "TRUE"
        text = quoted(node.this.name) if not kind.is_scalar else self.value(node.this, kind)
        return f"({text} IS NULL)"

    def _case(self, node: sql.Expr, own: ValueType) -> str:
        branches = [
            f"WHEN {self.value(one.this, ValueType.BOOLEAN)} THEN {self.value(one.args['true'], own)}"
            for one in node.args["ifs"]
        ]
        default = node.args.get("default")
        otherwise = f"CAST(NULL AS {SQL_TYPES[own]})" if default is None else self.value(default, own)
        return f"CASE {' '.join(branches)} ELSE {otherwise} END"

    def _coalesce(self, node: sql.Expr, own: ValueType) -> str:
        """As CASE: Flink's COALESCE evaluates what comes after the value that it takes."""
        values = [self.value(one, own) for one in (node.this, *node.expressions)]
        text = values[-1]
        for value in reversed(values[:-1]):
            text = f"CASE WHEN {value} IS NOT NULL THEN {value} ELSE {text} END"
        return text

    def _nullif(self, node: sql.Expr, own: ValueType) -> str:
        same = self._comparison(sql.EQ(this=node.this, expression=node.expression), "=")
        return f"CASE WHEN {same} THEN CAST(NULL AS {SQL_TYPES[own]}) ELSE {self.value(node.this, own)} END"

    def _cast(self, node: sql.Expr, own: ValueType) -> str:
        given = self._kind(node.this) or own
        inner = self.value(node.this, given)
        if given is ValueType.BOOLEAN and own is ValueType.LONG:
            return f"CASE WHEN {inner} THEN CAST(1 AS BIGINT) WHEN NOT {inner} THEN CAST(0 AS BIGINT) END"
        if given is ValueType.LONG and own is ValueType.BOOLEAN:
            return f"({inner} <> 0)"
        return inner if given is own else f"CAST({inner} AS {SQL_TYPES[own]})"

    _others: ClassVar[dict[type[sql.Expr], Callable[["_Writer", Any, ValueType], str]]] = {
        sql.Boolean: lambda self, node, own: "TRUE" if node.this else "FALSE",
        sql.Paren: lambda self, node, own: self.value(node.this, own),
        sql.Neg: _unary,
        sql.Abs: _unary,
        sql.Div: _divide,
        sql.And: _logic,
        sql.Or: _logic,
        sql.Not: lambda self, node, own: f"(NOT {self.value(node.this, own)})",
        sql.Is: _is_null,
        sql.Between: _between,
        sql.In: _in,
        sql.Case: _case,
        sql.Coalesce: _coalesce,
        sql.Nullif: _nullif,
        sql.Cast: _cast,
    }


def _literal(node: sql.Literal) -> str:
    if node.is_string:
        text = node.name.replace("'", "''")
        return f"CAST('{text}' AS STRING)"
    if node.name.isdigit():
        return f"CAST({node.name} AS BIGINT)"
    text = repr(float(node.name))
    return text if "e" in text else f"{text}E0"
