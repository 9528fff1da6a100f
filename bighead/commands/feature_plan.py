"""How `bighead features plan` reads for people."""

from collections.abc import Iterator

from bighead.commands.text import columns
from bighead.compile.reports import GroupReport, JoinReport, Plan
from bighead.features.differences import Difference


def plan_lines(plan: Plan) -> Iterator[str]:
    """The report, line by line."""
    for group in plan.groups:
        yield from _group_lines(group)
    for join in plan.joins:
        yield from _join_lines(join)
    yield f"{len(plan.groups)} groups, {len(plan.joins)} joins, {len(plan.warnings)} warnings; nothing was changed"


def _group_lines(group: GroupReport) -> Iterator[str]:
    change, cost = group.change, group.cost
    yield f"{change.verdict} group {change.name}, epoch {change.epoch}, on {group.engine}, {group.accuracy}"
    by = ", ".join(f"{name} {kind}" for name, kind in group.keys.items())
    yield f"  source    topic {group.topic}, table {group.table}; by {by}"
    yield from _difference_lines(group.differences)
    yield f"  backfill  {group.backfill}"
    yield f"  kept      {group.kept}"
    tiles = ", ".join(f"{count} of {level}" for level, count in cost.tiles.items())
    yield f"  a key     at most {sum(cost.tiles.values())} tiles ({tiles}), {bytes_text(cost.key_bytes)}"
    yield (
        f"  a tile    {cost.empty_tile_bytes} B when empty, {cost.typical_tile_bytes} B typically; "
        f"a request reads {cost.reads} tiles, {bytes_text(cost.read_bytes)}"
    )
    for engine, reason in group.refused.items():
        yield f"  refused   by {engine}: {reason}"
    for warning in cost.warnings:
        yield f"  warning   {warning}"
    rows = [[row["feature"], row["type"], row["description"]] for row in group.features]
    yield from _indented(columns(("feature", "type", ""), rows))
    yield ""


def _join_lines(join: JoinReport) -> Iterator[str]:
    change = join.change
    yield f"{change.verdict} join {change.name}, epoch {change.epoch}"
    yield "  left      " + ", ".join(f"{name} {kind}" for name, kind in join.left.items())
    yield "  groups    " + ", ".join(f"{name} epoch {epoch}" for name, epoch in join.epochs.items())
    yield from _difference_lines(join.differences)
    yield f"  a request reads {join.reads} tiles, {bytes_text(join.read_bytes)}, and gets {len(join.columns)} columns"
    yield from _indented(columns(("column", "type"), join.columns.items()))
    yield ""


def _difference_lines(differences: tuple[Difference, ...]) -> Iterator[str]:
    for one in differences:
        yield f"  {'differs' if one.means else 'said':<8}  {one.field}: {one.old} -> {one.new}"


def _indented(text: str) -> Iterator[str]:
    return (f"    {line}" for line in text.splitlines())


def bytes_text(count: int) -> str:
    """A number of bytes, with the unit that leaves few digits."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
