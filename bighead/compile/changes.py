"""What applying, activating and retiring definitions changes in the catalog, as the events that say so.

Pure: raises DefinitionError or ConfigError for what cannot be, and then nothing is changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce

from bighead.compile.flink import group_job
from bighead.errors import ConfigError, DefinitionError, near
from bighead.events.base import Event
from bighead.events.types import GroupByActivated, GroupByApplied, GroupRetired, JoinApplied, JoinRetired
from bighead.features.catalog import ENGINES, FLINK, PYTHON, Catalog, GroupEpoch, evolve
from bighead.features.compiled import CompiledGroup, CompiledJoin, compile_join
from bighead.features.definition import Join


class Verdict(StrEnum):
    """What applying a definition does; described: only what is said of it for people changes."""

    NEW = "new"
    CHANGED = "changed"
    DESCRIBED = "described"
    UNCHANGED = "unchanged"
    RETIRED = "retired"


@dataclass(frozen=True)
class Change:
    """What becomes of one definition. `active` is the epoch that answers afterwards; None for a Join."""

    kind: str
    name: str
    verdict: Verdict
    epoch: int
    active: int | None = None

    @property
    def waits(self) -> bool:
        """Whether the new epoch is filled in the shadow and answers only once it is activated."""
        return self.active is not None and self.active != self.epoch


@dataclass(frozen=True)
class Who:
    """Who changes the catalog, why and when."""

    actor: str
    reason: str
    at_ms: int


def decide(
    catalog: Catalog,
    groups: Sequence[CompiledGroup],
    joins: Sequence[Join],
    who: Who,
    *,
    activate: bool,
    engine: str | None = None,
) -> tuple[tuple[Change, ...], list[Event]]:
    """What each definition changes in the catalog, and the events that say so."""
    taken = [group.name for group in groups if group.name in catalog.joins]
    taken += [join.name for join in joins if join.name in {name for name, _ in catalog.groups}]
    if taken:
        raise DefinitionError(f"{taken[0]!r} is applied as a group or a join already; one name is for one of the two")
    decided = [_decide_group(catalog, group, who, activate, engine) for group in groups]
    after = reduce(evolve, [event for _, events in decided for event in events], catalog)
    decided += [_decide_join(after, join, who) for join in joins]
    events = [event for _, events in decided for event in events]
    _check_readers(reduce(evolve, events, catalog))
    return tuple(change for change, _ in decided), events


def _check_readers(after: Catalog) -> None:
    """Raises DefinitionError where a Join that is applied could no longer be read."""
    for name in after.joins:
        try:
            after.join(name)
        except DefinitionError as error:
            raise DefinitionError(f"{error}; it is applied: change or retire it first") from None


def newest_of(catalog: Catalog, name: str) -> GroupEpoch | None:
    """The newest epoch of a group that is not retired."""
    newest = catalog.groups.get((name, catalog.next_epoch(name) - 1))
    return None if newest is None or newest.retired else newest


def decide_activation(catalog: Catalog, name: str, epoch: int | None, who: Who) -> tuple[Change, Event]:
    """Makes an epoch of a group, the newest unless another is named, the one that answers."""
    epochs = epochs_of(catalog, name)
    chosen = epochs[-1] if epoch is None else epoch
    if chosen not in epochs:
        known = ", ".join(str(one) for one in epochs)
        raise DefinitionError(f"group {name!r} has no epoch {epoch}; its epochs: {known}")
    event = _activated(catalog, name, chosen, who)
    _check_readers(evolve(catalog, event))
    return Change("group", name, Verdict.CHANGED, chosen, chosen), event


def epochs_of(catalog: Catalog, name: str) -> list[int]:
    """The epochs of a group that may answer, in order; raises DefinitionError where there are none."""
    epochs = sorted(epoch for (group, epoch), one in catalog.groups.items() if group == name and not one.retired)
    if not epochs:
        known = sorted({group for (group, _), one in catalog.groups.items() if not one.retired})
        raise DefinitionError(f"group {name!r} is not applied{near(name, known)}")
    return epochs


def decide_retirement(catalog: Catalog, name: str, who: Who) -> tuple[Change, Event]:
    """Ends a Join, or a group that no Join reads."""
    signed = {"actor": who.actor, "reason": who.reason, "at_ms": who.at_ms}
    if name in catalog.joins:
        change = Change("join", name, Verdict.RETIRED, catalog.joins[name].epoch)
        return change, JoinRetired(join=name, **signed)  # type: ignore[arg-type]
    groups = {group for (group, _), one in catalog.groups.items() if not one.retired}
    if name not in groups:
        raise DefinitionError(f"no group and no join named {name!r} is applied{near(name, {*groups, *catalog.joins})}")
    if readers := catalog.readers(name):
        raise DefinitionError(
            f"group {name!r} is read by join {', '.join(readers)}; retire what reads it first, or apply it without "
            f"{name!r}"
        )
    change = Change("group", name, Verdict.RETIRED, epochs_of(catalog, name)[-1])
    return change, GroupRetired(group=name, **signed)  # type: ignore[arg-type]


def _decide_group(
    catalog: Catalog, group: CompiledGroup, who: Who, activate: bool, engine: str | None
) -> tuple[Change, list[Event]]:
    newest, active = newest_of(catalog, group.name), catalog.active.get(group.name)
    runs_on = _engine(group, engine or (newest.engine if newest else PYTHON))
    if newest is None or newest.group.hash != group.hash or newest.engine != runs_on:
        epoch = catalog.next_epoch(group.name)
        verdict = Verdict.NEW if newest is None else Verdict.CHANGED
    else:
        epoch = newest.epoch
        verdict = Verdict.UNCHANGED if newest.group.to_json() == group.to_json() else Verdict.DESCRIBED
    events: list[Event] = []
    if verdict is not Verdict.UNCHANGED:
        events.append(
            GroupByApplied(
                group=group.name,
                epoch=epoch,
                definition=group.to_json(),
                definition_hash=group.hash,
                engine=runs_on,
                actor=who.actor,
                reason=who.reason,
                at_ms=who.at_ms,
            )
        )
    if active is None or (activate and active != epoch):
        events.append(_activated(catalog, group.name, epoch, who))
        active = epoch
    return Change("group", group.name, verdict, epoch, active), events


def _engine(group: CompiledGroup, engine: str) -> str:
    """The engine, which can run the group; raises ConfigError or DefinitionError where it cannot."""
    if engine not in ENGINES:
        raise ConfigError(f"no stream engine is named {engine!r}{near(engine, ENGINES)}")
    if engine == FLINK:
        group_job(group, 1, None)
    return engine


def _decide_join(catalog: Catalog, join: Join, who: Who) -> tuple[Change, list[Event]]:
    compiled = compile_over_active(catalog, join)
    known = catalog.joins.get(join.name)
    if known is None or known.hash != compiled.hash:
        epoch = catalog.next_join_epoch(join.name)
        verdict = Verdict.NEW if known is None else Verdict.CHANGED
    elif known.definition != compiled.to_json():
        epoch, verdict = known.epoch, Verdict.DESCRIBED
    else:
        return Change("join", join.name, Verdict.UNCHANGED, known.epoch), []
    event = JoinApplied(
        join=join.name,
        epoch=epoch,
        definition=compiled.to_json(),
        definition_hash=compiled.hash,
        groups={group.name: catalog.active[group.name] for group in compiled.groups},
        actor=who.actor,
        reason=who.reason,
        at_ms=who.at_ms,
    )
    return Change("join", join.name, verdict, epoch), [event]


def compile_over_active(catalog: Catalog, join: Join) -> CompiledJoin:
    """A Join over the epochs that answer; says so where it would fit over those that are still being filled."""
    try:
        return compile_join(join, {name: catalog.group(name).group for name in catalog.active})
    except DefinitionError as error:
        newest = {name: one for name in catalog.active if (one := newest_of(catalog, name)) is not None}
        try:
            compile_join(join, {name: one.group for name, one in newest.items()})
        except DefinitionError:
            raise error from None
        waiting = ", ".join(
            f"{name} epoch {one.epoch}" for name, one in newest.items() if catalog.active[name] != one.epoch
        )
        raise DefinitionError(f"{error}; it fits {waiting}: activate that first, or apply with --activate") from None


def _activated(catalog: Catalog, name: str, epoch: int, who: Who) -> GroupByActivated:
    return GroupByActivated(
        group=name,
        epoch=epoch,
        previous_epoch=catalog.active.get(name),
        actor=who.actor,
        reason=who.reason,
        at_ms=who.at_ms,
    )
