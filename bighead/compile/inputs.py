"""The projection of a source that a group aggregates, as SQL text for an engine.

Pure. Both batch and stream run this text; only the dialect differs.
"""

from bighead.features.compiled import CompiledGroup

TIME = "__time_ms"
KEEP = "__keep"


def input_columns(group: CompiledGroup, dialect: str) -> dict[str, str]:
    """Output column to expression: the group's keys and inputs by name, `__time_ms`, and `__keep` for its `where`."""
    columns = {name: expression.sql(dialect) for name, expression in group.inputs.items()}
    columns[TIME] = _quoted(group.definition.source.time, dialect)
    columns[KEEP] = f"COALESCE({group.where.sql(dialect)}, FALSE)" if group.where else "TRUE"
    return columns


def input_sql(group: CompiledGroup, relation: str, dialect: str) -> str:
    """SELECT of `input_columns` from a relation whose columns are BIGINT, DOUBLE, BOOLEAN or text."""
    parts = [f"{text} AS {_quoted(name, dialect)}" for name, text in input_columns(group, dialect).items()]
    return f"SELECT {', '.join(parts)} FROM {relation}"


def _quoted(name: str, dialect: str) -> str:
    mark = "`" if dialect == "spark" else '"'
    return f"{mark}{name}{mark}"
