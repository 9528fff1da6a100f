"""Which engine runs which operation, or why it refuses: asked of each engine's compiler, and printed as a table.

Pure. An engine's verdict on a group is None where it runs all of it, else the reason why it does not.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum

from bighead.compile import flink
from bighead.errors import DefinitionError
from bighead.features import reference
from bighead.features.compiled import CompiledGroup, compile_group
from bighead.features.definition import Aggregation, EventSource, GroupBy
from bighead.features.operations import OPERATIONS, Op
from bighead.features.types import SCALARS, ValueType, list_of, map_of


class Engine(StrEnum):
    """Whoever makes tiles or answers of a definition."""

    REFERENCE = "reference"
    PYTHON = "python"
    FLINK = "flink"
    SPARK = "spark"
    ONLINE = "online"


def _by_operation(group: CompiledGroup) -> str | None:
    """None: these engines run an operation's own update, merge and answer, Spark where it has no SQL text for them."""
    return None


def _reference(group: CompiledGroup) -> str | None:
    return next((reason for cell in group.cells if (reason := reference.verdict(cell)) is not None), None)


def _flink(group: CompiledGroup) -> str | None:
    try:
        flink.group_job(group, 1, None)
        flink.group_sql(group)
    except DefinitionError as error:
        return str(error)
    return None


VERDICTS: Mapping[Engine, Callable[[CompiledGroup], str | None]] = {
    Engine.REFERENCE: _reference,
    Engine.PYTHON: _by_operation,
    Engine.FLINK: _flink,
    Engine.SPARK: _by_operation,
    Engine.ONLINE: _by_operation,
}
_EXAMPLE_ARGS = {"k": 3, "p": [0.5]}
_COLUMNS = {f"{kind}": kind for kind in sorted(SCALARS)}
_COLUMNS |= {f"list_{kind}": list_of(kind) for kind in sorted(SCALARS)}
_COLUMNS |= {f"map_{kind}": map_of(kind) for kind in sorted(SCALARS)}


def refusals(group: CompiledGroup) -> dict[str, str]:
    """The engines that refuse a group, with the reason."""
    verdicts = {str(engine): verdict(group) for engine, verdict in VERDICTS.items()}
    return {engine: reason for engine, reason in verdicts.items() if reason is not None}


def example_groups(op: Op) -> Iterator[tuple[str, CompiledGroup]]:
    """The operation on every type of input that it reads, plain, by a bucket, in lists and in maps."""
    source = EventSource(topic="events", table="events", time="at_ms")
    columns = {"at_ms": ValueType.LONG, "key": ValueType.STRING, **_COLUMNS}
    args = {name: _EXAMPLE_ARGS[name] for name in OPERATIONS[op].args}
    for column, kind in _COLUMNS.items():
        if kind.element not in OPERATIONS[op].inputs:
            continue
        for bucket in (None,) if kind.is_map else (None, "key"):
            group = GroupBy("example", source, ["key"], [Aggregation(column, op, ["1d"], args, bucket)])
            yield f"{kind}{' by a bucket' if bucket else ''}", compile_group(group, columns)


def table() -> str:
    """The operations as a table in Markdown: what they read and give, and each engine's verdict."""
    heading = ["operation", "args", "reads", "gives", "takes rows back", *VERDICTS]
    rows = [[*_facts(op), *(_cell_text(op, engine) for engine in VERDICTS)] for op in Op]
    return _markdown(heading, rows)


def states() -> str:
    """The columns of each operation's state as a table in Markdown, for the first type of input that it reads."""
    rows = []
    for op, row in OPERATIONS.items():
        kind = next(one for one in (ValueType.DOUBLE, ValueType.LONG, ValueType.STRING) if one in row.inputs)
        columns = row.build(kind, {name: _EXAMPLE_ARGS[name] for name in row.args}).columns
        rows.append([str(op), str(kind), ", ".join(f"`{column.name}` {column.kind}" for column in columns)])
    heading = ["operation", "input", "columns of its state"]
    return _markdown(heading, rows)


def _markdown(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [heading, ["---"] * len(heading), *rows]) + "\n"


def _facts(op: Op) -> list[str]:
    row = OPERATIONS[op]
    args = {name: _EXAMPLE_ARGS[name] for name in row.args}
    built = {kind: (row.changing or row.build)(kind, args) for kind in sorted(row.inputs)}
    results = {kind: one.result for kind, one in built.items()}
    if len(set(results.values())) == 1:
        gives = str(next(iter(results.values())))
    else:
        gives = "what it reads" if all(kind is result for kind, result in results.items()) else "array of what it reads"
    deletes = all(one.delete is not None for one in built.values())
    summary = f"**{op}**: {row.summary}"
    return [summary, ", ".join(row.args) or "-", ", ".join(built), gives, "yes" if deletes else "-"]


def _cell_text(op: Op, engine: Engine) -> str:
    verdicts = {name: VERDICTS[engine](group) for name, group in example_groups(op)}
    refused = {name: reason for name, reason in verdicts.items() if reason is not None}
    if not refused:
        return "works"
    reasons = "; ".join(sorted(set(refused.values())))
    return f"refused: {reasons}" if len(refused) == len(verdicts) else f"refused for {', '.join(refused)}: {reasons}"
