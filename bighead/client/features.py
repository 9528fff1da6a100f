"""Applies feature definitions: a file of GroupBys and Joins becomes events that stream, batch and servers follow.

Everything is compiled against the registered schemas before anything is published: a mistake changes nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bighead.client.catalog import read_catalog
from bighead.client.definitions import Definitions, load_definitions
from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.compile.changes import Change, Verdict, Who, decide, decide_activation, decide_retirement
from bighead.compile.reports import Plan, plan_of
from bighead.config import Settings
from bighead.errors import ConfigError, DefinitionError, near
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.log import read_log
from bighead.events.message import Position
from bighead.events.topics import FEATURES_EVENTS, MODELS_EVENTS, topic_name
from bighead.events.types import JoinApplied, JoinRetired, ModelRegistered
from bighead.features.catalog import Catalog
from bighead.features.compiled import CompiledGroup, compile_group
from bighead.features.definition import GroupBy
from bighead.features.lineage import ModelUse
from bighead.features.types import columns_of

__all__ = [
    "Applied",
    "Change",
    "Definitions",
    "Plan",
    "Verdict",
    "apply",
    "compiled_groups",
    "load_definitions",
    "models_using",
    "plan",
    "retire",
    "switch",
]
SOURCE = "bighead/features"


@dataclass(frozen=True)
class Applied:
    """What became of each definition, and where its events lie: wait for them with `Visibility`."""

    changes: tuple[Change, ...]
    positions: tuple[Position, ...]


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
        groups = compiled_groups(codec, definitions)
        who = Who(actor, reason, wall_clock_ms())
        joins = tuple(definitions.joins.values())
        changes, events = decide(catalog, groups, joins, who, activate=activate, engine=engine)
        return Applied(changes, _publish(settings, codec, events))


def plan(settings: Settings, definitions: Definitions, *, activate: bool = False, engine: str | None = None) -> Plan:
    """What `apply` would do with the same arguments, and what it would cost; raises what `apply` would raise."""
    with _codec(settings) as codec:
        catalog, groups = read_catalog(settings, codec), compiled_groups(codec, definitions)
        joins = tuple(definitions.joins.values())
        return plan_of(catalog, groups, joins, activate=activate, engine=engine, now_ms=wall_clock_ms())


def switch(settings: Settings, name: str, epoch: int | None, *, actor: str, reason: str) -> Applied:
    """Makes an epoch of a group, the newest for None, the one that answers; an earlier one is a roll-back."""
    with _codec(settings) as codec:
        who = Who(actor, reason, wall_clock_ms())
        change, event = decide_activation(read_catalog(settings, codec), name, epoch, who)
        return Applied((change,), _publish(settings, codec, [event]))


def retire(settings: Settings, name: str, *, actor: str, reason: str) -> Applied:
    """Ends a Join, or a group that no Join reads; raises DefinitionError where one does."""
    with _codec(settings) as codec:
        who = Who(actor, reason, wall_clock_ms())
        change, event = decide_retirement(read_catalog(settings, codec), name, who)
        return Applied((change,), _publish(settings, codec, [event]))


def models_using(settings: Settings) -> tuple[Catalog, tuple[ModelUse, ...]]:
    """The catalog, and what each registered version of a model takes from it."""
    with _codec(settings) as codec:
        uses = []
        for message in read_log(settings, topic_name(settings.topic_prefix, MODELS_EVENTS)):
            event = codec.decode(message.value)
            if isinstance(event, ModelRegistered) and event.record.join is not None:
                inputs = [tensor.name for tensor in event.record.signature.inputs if tensor.source == "feature"]
                uses.append(ModelUse(event.model, event.version, event.record.join, tuple(inputs)))
        return read_catalog(settings, codec), tuple(uses)


def compiled_groups(codec: Codec, definitions: Definitions) -> list[CompiledGroup]:
    """The groups of a file, checked against the schemas of their topics."""
    return [_compile(codec, group) for group in definitions.groups.values()]


def _publish(settings: Settings, codec: Codec, events: Sequence[Event]) -> tuple[Position, ...]:
    topic = topic_name(settings.topic_prefix, FEATURES_EVENTS)
    publisher = Publisher(settings, SOURCE, codec=codec)
    for event in events:
        key = event.join if isinstance(event, JoinApplied | JoinRetired) else event.group  # type: ignore[attr-defined]
        publisher.publish(event, key=key, topic=topic)
    return tuple(publisher.flush())


def _compile(codec: Codec, group: GroupBy) -> CompiledGroup:
    topic = group.source.topic
    try:
        schema = codec.latest_schema(topic)
    except ConfigError as error:
        known = sorted({subject.rpartition("-")[0] for subject in codec.registry.subjects()})
        hint = near(topic, known) if topic not in known else ""
        raise DefinitionError(f"GroupBy {group.name!r}: {error}{hint}") from None
    return compile_group(group, columns_of(schema))


@contextmanager
def _codec(settings: Settings) -> Iterator[Codec]:
    codec = Codec(settings.schema_registry)
    try:
        yield codec
    finally:
        codec.close()
