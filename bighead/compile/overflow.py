"""When an expression leaves 64 bits, as a condition in Spark SQL: there such arithmetic is null, and does not fail.

Pure. The stream refuses an event on which an expression of its group fails; with this condition batch leaves it out.
"""

from collections.abc import Iterable, Iterator
from functools import reduce

from sqlglot import expressions as sql

from bighead.features.expressions import Expression, portable

_ARITHMETIC = (sql.Add, sql.Sub, sql.Mul, sql.Neg, sql.Abs)


def overflows_sql(expressions: Iterable[Expression]) -> str | None:
    """Whether one of the expressions overflows on a row, true, false or null; None where none ever does."""
    found = [condition for one in expressions for condition in _overflows(one.tree)]
    return reduce(_or, found).sql(dialect="spark", identify=True) if found else None


def _overflows(node: sql.Expr) -> Iterator[sql.Expr]:
    """One condition for each place of arithmetic that is evaluated."""
    match node:
        case sql.Case():
            yield from _case(node)
        case sql.Coalesce():
            before: list[sql.Expr] = []
            for part in (node.this, *node.expressions):
                yield from (_and([*before, one]) for one in _overflows(part))
                before.append(_is_null(part))
        case _:
            for child in node.iter_expressions():
                yield from _overflows(child)
    if isinstance(node, _ARITHMETIC) and node.find(sql.Column):
        operands = [node.this, node.expression] if isinstance(node, sql.Binary) else [node.this]
        yield _and([_is_null(node), *(sql.Not(this=sql.Paren(this=_is_null(one))) for one in operands)])


def _case(node: sql.Case) -> Iterator[sql.Expr]:
    before: list[sql.Expr] = []
    for branch in node.args["ifs"]:
        condition = portable(branch.this, "spark")
        yield from (_and([*before, one]) for one in _overflows(branch.this))
        yield from (_and([*before, condition.copy(), one]) for one in _overflows(branch.args["true"]))
        before.append(sql.Not(this=sql.func("COALESCE", condition.copy(), sql.false())))
    if node.args.get("default") is not None:
        yield from (_and([*before, one]) for one in _overflows(node.args["default"]))


def _is_null(node: sql.Expr) -> sql.Expr:
    return sql.Is(this=sql.Paren(this=portable(node, "spark")), expression=sql.Null())


def _and(conditions: list[sql.Expr]) -> sql.Expr:
    return sql.Paren(this=reduce(lambda one, other: sql.And(this=one, expression=other), conditions))


def _or(one: sql.Expr, other: sql.Expr) -> sql.Expr:
    return sql.Or(this=one, expression=other)
