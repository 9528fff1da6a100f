"""Applies feature definitions: a file of GroupBys and Joins becomes events that stream, batch and servers follow.

Everything is compiled against the registered schemas before anything is published: a mistake changes nothing.
"""

import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from bighead.client.catalog import read_catalog
from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.compile.flink import group_job
from bighead.config import Settings
from bighead.errors import BigheadError, ConfigError, DefinitionError
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.message import Position
from bighead.events.topics import FEATURES_EVENTS, topic_name
from bighead.events.types import GroupByActivated, GroupByApplied, JoinApplied
from bighead.features.catalog import ENGINES, FLINK, PYTHON, Catalog, evolve
from bighead.features.compiled import CompiledGroup, compile_group, compile_join
from bighead.features.definition import GroupBy, Join
from bighead.features.types import columns_of

SOURCE = "bighead/features"
Definition = TypeVar("Definition", GroupBy, Join)


class Verdict(StrEnum):
    """What applying a definition does."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Definitions:
    """What a file defines, by name, in its order."""

    groups: Mapping[str, GroupBy]
    joins: Mapping[str, Join]


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
class Applied:
    """What became of each definition, and where its events lie: wait for them with `Visibility`."""

    changes: tuple[Change, ...]
    positions: tuple[Position, ...]


def load_definitions(path: Path) -> Definitions:
    """Runs a user's own Python file and collects the GroupBys and Joins of its module level."""
    module = _run_file(path)
    found = [value for value in vars(module).values() if isinstance(value, GroupBy | Join)]
    joins = _by_name("Join", [one for one in found if isinstance(one, Join)])
    named = [one for one in found if isinstance(one, GroupBy)]
    parts = [part.group for join in joins.values() for part in join.as_parts() if isinstance(part.group, GroupBy)]
    groups = _by_name("GroupBy", [*named, *parts])
    if not groups and not joins:
        raise DefinitionError(f"{path} defines no GroupBy and no Join at its module level")
    return Definitions(groups, joins)


def apply(
    settings: Settings,
    definitions: Definitions,
    *,
    actor: str,
    reason: str,
    activate: bool = False,
    engine: str | None = None,
) -> Applied:
    """Publishes what is new or changed. A changed group answers at once only with `activate`.

    engine: the stream engine of all groups, "python" or "flink"; None leaves each on its own, a new one on "python".
    """
    with _codec(settings) as codec:
        catalog = read_catalog(settings, codec)
        groups = [_compile(codec, group) for group in definitions.groups.values()]
        who = Who(actor, reason, wall_clock_ms())
        joins = tuple(definitions.joins.values())
        changes, events = decide(catalog, groups, joins, who, activate=activate, engine=engine)
        return Applied(changes, _publish(settings, codec, events))


def switch(settings: Settings, name: str, epoch: int, *, actor: str, reason: str) -> Applied:
    """Makes an epoch of a group the one that answers; going back to an earlier one is the same."""
    with _codec(settings) as codec:
        catalog = read_catalog(settings, codec)
        if (name, epoch) not in catalog.groups:
            known = ", ".join(str(one) for group, one in sorted(catalog.groups) if group == name) or "none"
            raise DefinitionError(f"group {name!r} has no epoch {epoch}; its epochs: {known}")
        event = _activated(catalog, name, epoch, Who(actor, reason, wall_clock_ms()))
        return Applied((Change("group", name, Verdict.CHANGED, epoch, epoch),), _publish(settings, codec, [event]))


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
    """Pure: what each definition changes in the catalog, and the events that say so. Raises DefinitionError."""
    decided = [_decide_group(catalog, group, who, activate, engine) for group in groups]
    after = reduce(evolve, [event for _, events in decided for event in events], catalog)
    decided += [_decide_join(after, join, who) for join in joins]
    return tuple(change for change, _ in decided), [event for _, events in decided for event in events]


def _decide_group(
    catalog: Catalog, group: CompiledGroup, who: Who, activate: bool, engine: str | None
) -> tuple[Change, list[Event]]:
    epoch = catalog.next_epoch(group.name) - 1
    newest = catalog.groups.get((group.name, epoch))
    active = catalog.active.get(group.name)
    events: list[Event] = []
    verdict = Verdict.UNCHANGED
    runs_on = _engine(group, engine or (newest.engine if newest else PYTHON))
    if newest is None or newest.group.hash != group.hash or newest.engine != runs_on:
        verdict = Verdict.NEW if newest is None else Verdict.CHANGED
        epoch += 1
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
        raise ConfigError(f"no stream engine is named {engine!r}; there are {', '.join(ENGINES)}")
    if engine == FLINK:
        group_job(group, 1, None)
    return engine


def _decide_join(catalog: Catalog, join: Join, who: Who) -> tuple[Change, list[Event]]:
    compiled = compile_join(join, {name: catalog.group(name).group for name in catalog.active})
    known = catalog.joins.get(join.name)
    if known is not None and known.hash == compiled.hash:
        return Change("join", join.name, Verdict.UNCHANGED, known.epoch), []
    epoch = 1 if known is None else known.epoch + 1
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
    return Change("join", join.name, Verdict.NEW if known is None else Verdict.CHANGED, epoch), [event]


def _activated(catalog: Catalog, name: str, epoch: int, who: Who) -> GroupByActivated:
    return GroupByActivated(
        group=name,
        epoch=epoch,
        previous_epoch=catalog.active.get(name),
        actor=who.actor,
        reason=who.reason,
        at_ms=who.at_ms,
    )


def _publish(settings: Settings, codec: Codec, events: Sequence[Event]) -> tuple[Position, ...]:
    topic = topic_name(settings.topic_prefix, FEATURES_EVENTS)
    publisher = Publisher(settings, SOURCE, codec=codec)
    for event in events:
        key = event.join if isinstance(event, JoinApplied) else event.group  # type: ignore[attr-defined]
        publisher.publish(event, key=key, topic=topic)
    return tuple(publisher.flush())


def _compile(codec: Codec, group: GroupBy) -> CompiledGroup:
    try:
        schema = codec.latest_schema(group.source.topic)
    except ConfigError as error:
        raise DefinitionError(f"GroupBy {group.name!r}: {error}") from None
    return compile_group(group, columns_of(schema))


def _by_name(kind: str, found: Sequence[Definition]) -> dict[str, Definition]:
    """Definitions by name; the same one may be found under several variables, two different ones may not."""
    named: dict[str, Definition] = {}
    for one in found:
        if named.setdefault(one.name, one) != one:
            raise DefinitionError(f"{kind} {one.name!r} is defined twice, differently; give one of them another name")
    return named


def _run_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise DefinitionError(f"{path} is no file; expected a Python file with GroupBys and Joins")
    spec = importlib.util.spec_from_file_location(f"bighead_definitions_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise DefinitionError(f"{path} is no Python file; expected one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.absolute()))  # what lies beside the file can be imported, as when it is run
    try:
        spec.loader.exec_module(module)
    except BigheadError:
        raise
    except Exception as error:
        raise DefinitionError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent.absolute()))
    return module


@contextmanager
def _codec(settings: Settings) -> Iterator[Codec]:
    codec = Codec(settings.schema_registry)
    try:
        yield codec
    finally:
        codec.close()
