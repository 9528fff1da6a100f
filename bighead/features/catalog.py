"""The catalog: what is applied, which epoch is active and where batch ends, folded from the feature events.

Pure: `evolve(catalog, event)` returns the next catalog; an event that is already in it changes nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from bighead.errors import DefinitionError, near
from bighead.events.base import Event
from bighead.events.types import (
    BackfillCompleted,
    GroupByActivated,
    GroupByApplied,
    GroupRetired,
    JoinApplied,
    JoinRetired,
)
from bighead.features.compiled import CompiledGroup, CompiledJoin, group_of_json, join_of_json
from bighead.features.definition import Join, join_from_json
from bighead.features.plan import GroupPlan

PYTHON, FLINK = "python", "flink"
ENGINES = (PYTHON, FLINK)
"""The stream engines that maintain groups."""


@dataclass(frozen=True)
class GroupEpoch:
    """One generation of a group: its definition, the midnight below which batch owns its tiles, its stream engine.

    A retired one is neither maintained nor read; it is kept because its tiles and predictions may still be met.
    """

    epoch: int
    group: CompiledGroup
    cut_ms: int | None
    retired: bool = False
    engine: str = PYTHON


@dataclass(frozen=True)
class JoinEpoch:
    """One generation of a Join, as applied: its definition is compiled against the active groups when it is read."""

    epoch: int
    definition: str
    hash: str

    @cached_property
    def said(self) -> Join:
        """The definition as it was written, its groups by name; raises DefinitionError where it is none."""
        try:
            return join_from_json(json.loads(self.definition))
        except (ValueError, KeyError, TypeError) as error:
            raise DefinitionError(f"{self.definition[:80]!r} is no definition of a Join: {error!r}") from error

    def group_names(self) -> list[str]:
        """The names of the groups that it reads."""
        return [part.group_name for part in self.said.as_parts()]


@dataclass(frozen=True)
class Catalog:
    """Groups by name and epoch, the active epoch of each, and Joins by name (newest), retired ones apart."""

    groups: Mapping[tuple[str, int], GroupEpoch] = field(default_factory=dict)
    active: Mapping[str, int] = field(default_factory=dict)
    joins: Mapping[str, JoinEpoch] = field(default_factory=dict)
    retired_joins: Mapping[str, JoinEpoch] = field(default_factory=dict)

    def group(self, name: str) -> GroupEpoch:
        """The active epoch of a group; raises DefinitionError where there is none."""
        if name not in self.active:
            raise DefinitionError(f"group {name!r} is not applied{near(name, sorted(self.active))}")
        return self.groups[name, self.active[name]]

    def join(self, name: str) -> CompiledJoin:
        """A Join over the active epochs of its groups; raises DefinitionError where there is none."""
        if name not in self.joins:
            raise DefinitionError(f"join {name!r} is not applied{near(name, sorted(self.joins))}")
        return join_of_json(self.joins[name].definition, self._active_groups)

    def plans(self, join: CompiledJoin) -> tuple[GroupPlan, ...]:
        """The read plan of each of a Join's parts, in order; parts that read the same group share one."""
        found = {group.name: self.group(group.name) for group in join.groups}
        plans = {name: GroupPlan(one.group, one.epoch, one.cut_ms) for name, one in found.items()}
        return tuple(plans[part.group.name] for part in join.parts)

    def next_epoch(self, name: str) -> int:
        """The epoch that a new definition of this group gets."""
        return max((epoch for group, epoch in self.groups if group == name), default=0) + 1

    def next_join_epoch(self, name: str) -> int:
        """The epoch that a new definition of this Join gets."""
        known = [joins[name].epoch for joins in (self.joins, self.retired_joins) if name in joins]
        return max(known, default=0) + 1

    def readers(self, name: str) -> tuple[str, ...]:
        """The names of the Joins that read a group."""
        return tuple(sorted(join for join, one in self.joins.items() if name in one.group_names()))

    @cached_property
    def _active_groups(self) -> dict[str, CompiledGroup]:
        return {name: self.groups[name, epoch].group for name, epoch in self.active.items()}


def evolve(catalog: Catalog, event: Event) -> Catalog:
    """The catalog after one event of the feature log; other events change nothing."""
    match event:
        case GroupByApplied():
            place = (event.group, event.epoch)
            group = group_of_json(event.definition)
            known = catalog.groups.get(place, GroupEpoch(event.epoch, group, event.cut_ms, engine=event.engine))
            if known.group.hash != group.hash:
                return catalog
            # Applied again, an epoch means the same and is described anew.
            return replace(catalog, groups={**catalog.groups, place: replace(known, group=group)})
        case GroupByActivated() if (event.group, event.epoch) in catalog.groups:
            if catalog.groups[event.group, event.epoch].retired:
                return catalog
            return replace(catalog, active={**catalog.active, event.group: event.epoch})
        case BackfillCompleted() if (event.group, event.epoch) in catalog.groups:
            place = (event.group, event.epoch)
            cut_ms = max(event.cut_ms, catalog.groups[place].cut_ms or 0)
            return replace(catalog, groups={**catalog.groups, place: replace(catalog.groups[place], cut_ms=cut_ms)})
        case JoinApplied():
            one_join = JoinEpoch(event.epoch, event.definition, event.definition_hash)
            one_join.group_names()  # one that is no definition would be in the way of every question about its groups
            return replace(catalog, joins={**catalog.joins, event.join: one_join})
        case GroupRetired():
            retired = {
                place: replace(one, retired=True) for place, one in catalog.groups.items() if place[0] == event.group
            }
            active = {name: epoch for name, epoch in catalog.active.items() if name != event.group}
            return replace(catalog, groups={**catalog.groups, **retired}, active=active)
        case JoinRetired() if event.join in catalog.joins:
            live = {name: one for name, one in catalog.joins.items() if name != event.join}
            retired_joins = {**catalog.retired_joins, event.join: catalog.joins[event.join]}
            return replace(catalog, joins=live, retired_joins=retired_joins)
        case _:
            return catalog
