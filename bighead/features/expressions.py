"""Scalar SQL expressions: parsed, type-checked and evaluated row by row; other engines get the same tree as SQL.

Pure (sqlglot only). The language is the part of DuckDB's SQL on which every engine agrees; what is not in `_BUILDERS`
is refused with the reason. Division is always floating and by zero is null; nulls follow SQL's three-valued logic.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlglot
from sqlglot import expressions as sql

from bighead.errors import DefinitionError, near
from bighead.features.types import ValueType

Row: TypeAlias = Mapping[str, Any]
Evaluate: TypeAlias = Callable[[Row], Any]
Columns: TypeAlias = Mapping[str, ValueType]

_LONG_RANGE = range(-(2**63), 2**63)
_NUMBERS = (ValueType.LONG, ValueType.DOUBLE)
_CAST_TARGETS = {
    sql.DataType.Type.INT: ValueType.LONG,
    sql.DataType.Type.BIGINT: ValueType.LONG,
    sql.DataType.Type.DOUBLE: ValueType.DOUBLE,
    sql.DataType.Type.BOOLEAN: ValueType.BOOLEAN,
    sql.DataType.Type.TEXT: ValueType.STRING,
    sql.DataType.Type.VARCHAR: ValueType.STRING,
}
_SQL_TYPES = {
    ValueType.LONG: "BIGINT",
    ValueType.DOUBLE: "DOUBLE",
    ValueType.BOOLEAN: "BOOLEAN",
    ValueType.STRING: "VARCHAR",
}
_SPARK_TRIES: dict[type[sql.Expr], str] = {
    sql.Add: "TRY_ADD",
    sql.Sub: "TRY_SUBTRACT",
    sql.Mul: "TRY_MULTIPLY",
    sql.Neg: "TRY_SUBTRACT",
}
_ZERO = sql.cast(sql.Literal.number(0), "BIGINT")
_CASTS: dict[tuple[ValueType, ValueType], Callable[[Any], Any]] = {
    (ValueType.BOOLEAN, ValueType.LONG): int,
    (ValueType.LONG, ValueType.DOUBLE): float,
    (ValueType.LONG, ValueType.BOOLEAN): bool,
    (ValueType.LONG, ValueType.STRING): str,
}


@dataclass(frozen=True)
class Expression:
    """A checked expression: its result type (`None` for a bare NULL), the columns it reads, how to evaluate a row."""

    text: str
    kind: ValueType | None
    columns: frozenset[str]
    evaluate: Evaluate
    tree: sql.Expr

    def sql(self, dialect: str) -> str:
        """The expression in an engine's dialect, cast to its result type so that engines cannot disagree on it."""
        tree = portable(self.tree, dialect)
        if self.kind is not None and self.kind.is_scalar:
            tree = sql.cast(tree, _SQL_TYPES[self.kind])
        return tree.sql(dialect=dialect, identify=True)


def parse(text: str, columns: Columns) -> Expression:
    """Parses and checks one scalar expression over `columns`; raises DefinitionError with what is wrong."""
    tree = _tree(text)
    try:
        typed = _build(tree, columns)
    except DefinitionError as error:
        raise DefinitionError(f"expression {text!r}: {error}") from None
    names = frozenset(column.name for column in tree.find_all(sql.Column))
    collections = sorted(name for name in names if not columns[name].is_scalar)
    if collections and not isinstance(tree, sql.Column):
        raise DefinitionError(
            f"expression {text!r}: {collections[0]!r} is {columns[collections[0]]}; lists and maps can be named "
            "for an aggregation of their elements, and not computed with"
        )
    return Expression(text, typed.kind, names, typed.evaluate, tree)


def columns_read(text: str) -> frozenset[str]:
    """The names of the columns that an expression reads, before they have types."""
    return frozenset(column.name for column in _tree(text).find_all(sql.Column))


def _tree(text: str) -> sql.Expr:
    if not isinstance(text, str) or not text.strip():
        raise DefinitionError(f"an expression is {text!r}; expected SQL, for example 'dep_delay_min' or 'delay > 15'")
    try:
        return sqlglot.parse_one(text, dialect="duckdb")
    except sqlglot.errors.ParseError as error:
        raise DefinitionError(f"expression {text!r} is not valid SQL: {str(error).splitlines()[0]}") from None


@dataclass(frozen=True)
class _Typed:
    kind: ValueType | None
    evaluate: Evaluate


def portable(node: sql.Expr, dialect: str) -> sql.Expr:
    """The form that every engine computes alike, operands first.

    Numbers are 64-bit (a bare 1.5 is a DECIMAL and a bare 1 an INT elsewhere); division is floating, by null not zero.
    Spark would fail with all rows on one that leaves 64 bits: there it is null.
    """
    copy = node.copy()
    for child in list(copy.iter_expressions()):
        child.replace(portable(child, dialect))
    return _portable_node(copy, dialect)


def _portable_node(node: sql.Expr, dialect: str) -> sql.Expr:
    if isinstance(node, sql.Literal) and not node.is_string:
        return sql.cast(node, "BIGINT" if node.name.isdigit() else "DOUBLE")
    if isinstance(node, sql.Cast) and node.args["to"].this is sql.DataType.Type.INT:
        return sql.cast(node.this, "BIGINT")
    if isinstance(node, sql.Div):
        divisor = sql.Nullif(
            this=sql.cast(node.expression, "DOUBLE"), expression=sql.cast(sql.Literal.number(0), "DOUBLE")
        )
        return sql.Paren(this=sql.Div(this=sql.cast(node.this, "DOUBLE"), expression=divisor))
    if isinstance(node, sql.If) and isinstance(node.this.unnest(), sql.Null):
        node.set("this", sql.cast(sql.null(), "BOOLEAN"))  # Spark takes no untyped condition
    if dialect == "spark" and isinstance(node, sql.Abs):
        below = sql.Paren(this=sql.LTE(this=sql.Paren(this=node.this.copy()), expression=_ZERO.copy()))
        return sql.case().when(below, _tried(sql.Neg(this=node.this.copy()))).else_(node.this)
    if dialect == "spark" and type(node) in _SPARK_TRIES:
        return _tried(node)
    return node


def _tried(node: sql.Expr) -> sql.Expr:
    """Arithmetic that is null in Spark where it leaves 64 bits."""
    operands = [node.this, node.expression] if isinstance(node, sql.Binary) else [_ZERO.copy(), node.this]
    return sql.Anonymous(this=_SPARK_TRIES[type(node)], expressions=operands)


def _build(node: sql.Expr, columns: Columns) -> _Typed:
    builder = _BUILDERS.get(type(node))
    if builder is None:
        raise DefinitionError(f"{node.sql(dialect='duckdb')!r} is not supported; expressions may use {_SUPPORTED}")
    return builder(node, columns)


def _column(node: sql.Expr, columns: Columns) -> _Typed:
    name = node.name
    if name not in columns:
        raise DefinitionError(f"unknown column {name!r}{near(name, sorted(columns))}")
    return _Typed(columns[name], lambda row: row.get(name))


def _literal(node: sql.Expr, columns: Columns) -> _Typed:
    if node.is_string:
        return _constant(ValueType.STRING, node.name)
    if node.name.isdigit():
        return _constant(ValueType.LONG, _in_range(int(node.name)))
    return _constant(ValueType.DOUBLE, float(node.name))


def _constant(kind: ValueType | None, value: Any) -> _Typed:
    return _Typed(kind, lambda row: value)


def _in_range(value: int) -> int:
    if value not in _LONG_RANGE:
        raise OverflowError(f"{value} does not fit in 64 bits")
    return value


def _unify(*kinds: ValueType | None) -> ValueType | None:
    found = {kind for kind in kinds if kind is not None}
    if len(found) <= 1:
        return next(iter(found), None)
    if found == set(_NUMBERS):
        return ValueType.DOUBLE
    raise DefinitionError(f"cannot combine {' and '.join(sorted(found))}; CAST one of them")


def _converted(typed: _Typed, kind: ValueType | None) -> Evaluate:
    if typed.kind is ValueType.LONG and kind is ValueType.DOUBLE:
        return _unless_null(float, typed.evaluate)
    return typed.evaluate


def _unless_null(function: Callable[..., Any], *arguments: Evaluate) -> Evaluate:
    if len(arguments) == 1:
        (only,) = arguments
        return lambda row: None if (value := only(row)) is None else function(value)

    def evaluate(row: Row) -> Any:
        values = [argument(row) for argument in arguments]
        return None if None in values else function(*values)

    return evaluate


def _numbers(node: sql.Expr, columns: Columns, *parts: sql.Expr) -> tuple[ValueType | None, list[Evaluate]]:
    typed = [_build(part, columns) for part in parts]
    for part, one in zip(parts, typed, strict=True):
        if one.kind is not None and one.kind not in _NUMBERS:
            raise DefinitionError(f"{part.sql()!r} is {one.kind}; {node.key} takes numbers")
    kind = _unify(*(one.kind for one in typed))
    return kind, [_converted(one, kind) for one in typed]


def _arithmetic(function: Callable[..., Any]) -> Callable[[sql.Expr, Columns], _Typed]:
    def build(node: sql.Expr, columns: Columns) -> _Typed:
        parts = [node.this, node.expression] if isinstance(node, sql.Binary) else [node.this]
        kind, arguments = _numbers(node, columns, *parts)
        if kind is ValueType.LONG:
            return _Typed(kind, _unless_null(lambda *values: _in_range(function(*values)), *arguments))
        return _Typed(kind, _unless_null(function, *arguments))

    return build


def _divide(node: sql.Expr, columns: Columns) -> _Typed:
    _, (left, right) = _numbers(node, columns, node.this, node.expression)
    return _Typed(ValueType.DOUBLE, _unless_null(lambda a, b: float(a) / float(b) if b else None, left, right))


def _compare(function: Callable[[Any, Any], bool]) -> Callable[[sql.Expr, Columns], _Typed]:
    def build(node: sql.Expr, columns: Columns) -> _Typed:
        left, right = _build(node.this, columns), _build(node.expression, columns)
        kind = _unify(left.kind, right.kind)
        return _Typed(ValueType.BOOLEAN, _unless_null(function, _converted(left, kind), _converted(right, kind)))

    return build


def _truth(node: sql.Expr, columns: Columns) -> Evaluate:
    typed = _build(node, columns)
    if typed.kind not in (None, ValueType.BOOLEAN):
        raise DefinitionError(f"{node.sql(dialect='duckdb')!r} is {typed.kind}; expected a condition")
    return typed.evaluate


def _logic(decisive: bool) -> Callable[[sql.Expr, Columns], _Typed]:
    """AND is decided by one false, OR by one true; else a null makes the result null."""

    def build(node: sql.Expr, columns: Columns) -> _Typed:
        left, right = _truth(node.this, columns), _truth(node.expression, columns)

        def evaluate(row: Row) -> bool | None:
            a, b = left(row), right(row)
            if decisive in (a, b):
                return decisive
            return None if None in (a, b) else not decisive

        return _Typed(ValueType.BOOLEAN, evaluate)

    return build


def _not(node: sql.Expr, columns: Columns) -> _Typed:
    return _Typed(ValueType.BOOLEAN, _unless_null(lambda value: not value, _truth(node.this, columns)))


def _is_null(node: sql.Expr, columns: Columns) -> _Typed:
    if not isinstance(node.expression, sql.Null):
        raise DefinitionError(f"{node.sql(dialect='duckdb')!r} is not supported; IS takes NULL")
    typed = _build(node.this, columns)
    return _Typed(ValueType.BOOLEAN, lambda row: typed.evaluate(row) is None)


def _between(node: sql.Expr, columns: Columns) -> _Typed:
    low = sql.GTE(this=node.this, expression=node.args["low"])
    high = sql.LTE(this=node.this, expression=node.args["high"])
    return _build(sql.And(this=low, expression=high), columns)


def _in(node: sql.Expr, columns: Columns) -> _Typed:
    options = node.expressions
    if not options:
        raise DefinitionError(f"{node.sql(dialect='duckdb')!r} is not supported; IN takes a list of values")
    tests: list[sql.Expr] = [sql.EQ(this=node.this, expression=option) for option in options]
    tree = tests[0]
    for test in tests[1:]:
        tree = sql.Or(this=tree, expression=test)
    return _build(tree, columns)


def _case(node: sql.Expr, columns: Columns) -> _Typed:
    if node.this is not None:
        raise DefinitionError("CASE with an operand is not supported; write CASE WHEN column = value THEN ...")
    branches = [(_truth(branch.this, columns), _build(branch.args["true"], columns)) for branch in node.args["ifs"]]
    default = node.args.get("default")
    otherwise = _build(default, columns) if default is not None else _constant(None, None)
    kind = _unify(otherwise.kind, *(value.kind for _, value in branches))
    chosen = [(condition, _converted(value, kind)) for condition, value in branches]
    last = _converted(otherwise, kind)

    def evaluate(row: Row) -> Any:
        return next((value for condition, value in chosen if condition(row)), last)(row)

    return _Typed(kind, evaluate)


def _coalesce(node: sql.Expr, columns: Columns) -> _Typed:
    typed = [_build(part, columns) for part in (node.this, *node.expressions)]
    kind = _unify(*(one.kind for one in typed))
    parts = [_converted(one, kind) for one in typed]
    return _Typed(kind, lambda row: next((value for part in parts if (value := part(row)) is not None), None))


def _nullif(node: sql.Expr, columns: Columns) -> _Typed:
    value, other = _build(node.this, columns), _build(node.expression, columns)
    kind = _unify(value.kind, other.kind)
    left, right = _converted(value, kind), _converted(other, kind)
    return _Typed(value.kind, lambda row: None if left(row) == right(row) else value.evaluate(row))


def _cast(node: sql.Expr, columns: Columns) -> _Typed:
    typed, target = _build(node.this, columns), _CAST_TARGETS.get(node.args["to"].this)
    if target is None or (typed.kind not in (None, target) and (typed.kind, target) not in _CASTS):
        wanted = node.args["to"].sql()
        raise DefinitionError(f"CAST from {typed.kind} to {wanted} is not supported: engines disagree on its result")
    if typed.kind in (None, target):
        return _Typed(target, typed.evaluate)
    return _Typed(target, _unless_null(_CASTS[(typed.kind, target)], typed.evaluate))


_BUILDERS: dict[type[sql.Expr], Callable[[Any, Columns], _Typed]] = {
    sql.Column: _column,
    sql.Literal: _literal,
    sql.Boolean: lambda node, columns: _constant(ValueType.BOOLEAN, bool(node.this)),
    sql.Null: lambda node, columns: _constant(None, None),
    sql.Paren: lambda node, columns: _build(node.this, columns),
    sql.Neg: _arithmetic(lambda a: -a),
    sql.Add: _arithmetic(lambda a, b: a + b),
    sql.Sub: _arithmetic(lambda a, b: a - b),
    sql.Mul: _arithmetic(lambda a, b: a * b),
    sql.Abs: _arithmetic(abs),
    sql.Div: _divide,
    sql.EQ: _compare(lambda a, b: bool(a == b)),
    sql.NEQ: _compare(lambda a, b: bool(a != b)),
    sql.GT: _compare(lambda a, b: bool(a > b)),
    sql.GTE: _compare(lambda a, b: bool(a >= b)),
    sql.LT: _compare(lambda a, b: bool(a < b)),
    sql.LTE: _compare(lambda a, b: bool(a <= b)),
    sql.And: _logic(False),
    sql.Or: _logic(True),
    sql.Not: _not,
    sql.Is: _is_null,
    sql.Between: _between,
    sql.In: _in,
    sql.Case: _case,
    sql.Coalesce: _coalesce,
    sql.Nullif: _nullif,
    sql.Cast: _cast,
}
_SUPPORTED = (
    "columns, literals, + - * /, ABS, comparisons, AND OR NOT, IS NULL, BETWEEN, IN, CASE, COALESCE, NULLIF, CAST"
)
