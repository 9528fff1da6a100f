"""What would be built, filled, kept and read if definitions were applied: the report of `bighead features plan`.

Pure.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any

from bighead.compile.changes import Change, Verdict, Who, compile_over_active, decide, newest_of
from bighead.compile.verdicts import refusals
from bighead.features.catalog import Catalog, evolve
from bighead.features.compiled import CompiledGroup, describe
from bighead.features.costs import GroupCost, cost_of
from bighead.features.definition import EntitySource, Join
from bighead.features.differences import Difference, differences


@dataclass(frozen=True)
class GroupReport:
    """What becomes of a group. backfill and kept are sentences; refused: engine to reason."""

    change: Change
    engine: str
    topic: str
    table: str
    keys: dict[str, str]
    accuracy: str
    features: tuple[dict[str, Any], ...]
    cost: GroupCost
    backfill: str
    kept: str
    refused: dict[str, str]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class JoinReport:
    """What becomes of a Join. left: what a request brings; columns: what it gets; epochs of the groups that answer.

    reads and read_bytes are of tiles, for each request of one entity.
    """

    change: Change
    left: dict[str, str]
    columns: dict[str, str]
    epochs: dict[str, int]
    reads: int
    read_bytes: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Plan:
    """The report of all definitions, in their order."""

    groups: tuple[GroupReport, ...]
    joins: tuple[JoinReport, ...]

    @property
    def warnings(self) -> list[str]:
        """What should be looked at before it is applied."""
        return [warning for group in self.groups for warning in group.cost.warnings]


def plan_of(
    catalog: Catalog,
    groups: Sequence[CompiledGroup],
    joins: Sequence[Join],
    *,
    activate: bool,
    engine: str | None,
    now_ms: int,
) -> Plan:
    """What applying would do now; raises what applying would raise."""
    who = Who("", "", now_ms)
    changes, events = decide(catalog, groups, joins, who, activate=activate, engine=engine)
    after = reduce(evolve, events, catalog)
    by_name = {change.name: change for change in changes}
    return Plan(
        tuple(_group_report(catalog, after, group, by_name[group.name], now_ms) for group in groups),
        tuple(_join_report(catalog, after, join, by_name[join.name]) for join in joins),
    )


def _group_report(catalog: Catalog, after: Catalog, group: CompiledGroup, change: Change, now_ms: int) -> GroupReport:
    newest, source = newest_of(catalog, group.name), group.definition.source
    old = None if newest is None else json.loads(newest.group.to_json())
    return GroupReport(
        change=change,
        engine=after.groups[group.name, change.epoch].engine,
        topic=source.topic,
        table=source.table,
        keys={key: str(kind) for key, kind in zip(group.keys, group.key_kinds, strict=True)},
        accuracy=str(group.definition.accuracy),
        features=tuple(describe(group)),
        cost=cost_of(group),
        backfill=_backfill(after, group, change, now_ms),
        kept=_kept(change),
        refused=refusals(group),
        differences=() if old is None else tuple(differences(old, json.loads(group.to_json()))),
    )


def _backfill(after: Catalog, group: CompiledGroup, change: Change, now_ms: int) -> str:
    table = group.definition.source.table
    cut_ms = after.groups[group.name, change.epoch].cut_ms
    if cut_ms is not None:
        return f"nothing: batch owns what lies before {_day(cut_ms)}"
    if isinstance(group.definition.source, EntitySource):
        return f"table {table} from its beginning"
    if group.longest_ms is None:
        return f"table {table} from its beginning, for the features without a window"
    return f"table {table} from {_day(now_ms - group.longest_ms)}, unless the topic still holds that"


def _kept(change: Change) -> str:
    match change.verdict:
        case Verdict.NEW:
            return "answers at once, from what is filled"
        case Verdict.CHANGED if change.waits:
            return f"epoch {change.active} goes on answering until epoch {change.epoch} is activated"
        case Verdict.CHANGED:
            return f"epoch {change.epoch} answers at once, before it is filled"
        case _:
            return f"all tiles of epoch {change.epoch}"


def _join_report(catalog: Catalog, after: Catalog, join: Join, change: Change) -> JoinReport:
    compiled = compile_over_active(after, join)
    costs = [cost_of(part.group) for part in compiled.parts]
    known = catalog.joins.get(join.name)
    old = None if known is None else json.loads(known.definition)
    return JoinReport(
        change=change,
        left={name: str(kind) for name, kind in compiled.left_kinds.items()},
        columns={name: str(kind) for name, kind in compiled.kinds.items()},
        epochs={group.name: after.active[group.name] for group in compiled.groups},
        reads=sum(cost.reads for cost in costs),
        read_bytes=sum(cost.read_bytes for cost in costs),
        differences=() if old is None else tuple(differences(old, json.loads(compiled.to_json()))),
    )


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d")
