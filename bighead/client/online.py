"""Online reads: the features of entities as of a time, from the tiles in Redis, in one pipelined round trip.

A failure of the store is never "no events": it gives ERROR statuses, null values and a counted failure.
"""

import logging
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from time import monotonic
from typing import Any

from bighead.client.cluster import ClusterPipeline
from bighead.client.redis import Command, HashFields, RedisPipeline
from bighead.errors import BigheadError, InvalidInput, UndecodableEvent
from bighead.features.catalog import Catalog
from bighead.features.compiled import CompiledJoin
from bighead.features.plan import Answer, FeatureRow, GroupPlan, GroupRead, Status, derive
from bighead.features.tiles import entity_of, store_key
from bighead.features.types import ValueType

_log = logging.getLogger(__name__)
_KINDS: dict[ValueType, tuple[type, ...]] = {
    ValueType.LONG: (int,),
    ValueType.DOUBLE: (float, int),
    ValueType.STRING: (str,),
    ValueType.BOOLEAN: (bool,),
}


@dataclass(frozen=True)
class _Prepared:
    """A Join with the plans of its parts, for as long as the catalog stays the same. kinds: what a request brings."""

    catalog: Catalog
    join: CompiledJoin
    plans: tuple[GroupPlan, ...]
    prefixes: tuple[str, ...]
    epochs: dict[str, int]
    kinds: tuple[tuple[str, ValueType, tuple[type, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One hash to read: a group's plan, its tiles at the query time and the command that asks for them."""

    plan: GroupPlan
    read: GroupRead
    command: Command


def up_to_date() -> frozenset[str]:
    """For readers that do not ask whether the stream is behind."""
    return frozenset()


class OnlineReader:
    """Reads Joins. Each time they are called, and they must be cheap: `catalog` gives the current catalog, `behind` the
    source topics of which the store does not reflect the newest events, whose features are STALE.
    """

    def __init__(
        self,
        store: RedisPipeline | ClusterPipeline,
        prefix: str,
        catalog: Callable[[], Catalog],
        behind: Callable[[], Set[str]] = up_to_date,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._catalog = catalog
        self._behind = behind
        self._prepared: dict[str, _Prepared] = {}
        self._plans: dict[str, GroupPlan] = {}
        self.failures = 0

    def join(self, name: str) -> CompiledJoin:
        """The Join over the active epochs; raises DefinitionError where it is not applied."""
        return self._prepare(name).join

    def request_columns(self, name: str) -> frozenset[str]:
        """What the Join takes from a request besides keys; raises DefinitionError where it is not applied."""
        return frozenset(self._prepare(name).join.request_kinds)

    async def read(
        self, join: str, entities: Sequence[Mapping[str, Any]], as_of_ms: int, timeout_s: float
    ) -> list[FeatureRow]:
        """One row per entity, in order. `entities` give the Join's keys and request columns; a null key has no events.

        What the store did not answer in time is null with status ERROR; everything else is answered.
        Raises DefinitionError for an unknown Join and InvalidInput for what is missing or of the wrong type.
        """
        until_s = monotonic() + timeout_s
        prepared = self._prepare(join)
        wanted, places = self._wanted(prepared, entities, as_of_ms)
        answers = await self._answers(wanted, until_s)
        behind = self._behind()
        columns = [part.columns for part in prepared.join.parts]
        stale = [plan.group.definition.source.topic in behind for plan in prepared.plans]
        rows: list[FeatureRow] = []
        for entity, keys in zip(entities, places, strict=True):
            values: dict[str, Any] = {}
            statuses: dict[str, str] = {}
            for names, plan, key, is_stale in zip(columns, prepared.plans, keys, stale, strict=True):
                answer = plan.nothing if key is None else answers.get(key)
                if answer is None:
                    values.update(dict.fromkeys(names))
                    statuses.update(dict.fromkeys(names, Status.ERROR))
                    continue
                values.update(zip(names, answer.values, strict=True))
                statuses.update(zip(names, repeat(Status.STALE) if is_stale else answer.statuses, strict=False))
            derive(prepared.join, entity, values, statuses)
            rows.append(FeatureRow(values, statuses, as_of_ms, prepared.epochs))
        return rows

    def _prepare(self, name: str) -> _Prepared:
        catalog = self._catalog()
        prepared = self._prepared.get(name)
        if prepared is None or prepared.catalog is not catalog:
            join = catalog.join(name)
            plans = tuple(map(self._plan, catalog.plans(join)))
            prefixes = tuple(store_key(self._prefix, plan.group.name, plan.epoch, "") for plan in plans)
            epochs = {plan.group.name: plan.epoch for plan in plans}
            kinds = tuple((key, kind, _KINDS[kind]) for key, kind in join.left_kinds.items())
            prepared = _Prepared(catalog, join, plans, prefixes, epochs, kinds)
            self._prepared[name] = prepared
        return prepared

    def _plan(self, plan: GroupPlan) -> GroupPlan:
        """The plan that is there already, if it is the same: it keeps what it has decoded."""
        known = self._plans.get(plan.group.name)
        if known is None or (known.epoch, known.cut_ms) != (plan.epoch, plan.cut_ms):
            known = self._plans[plan.group.name] = plan
        return known

    def _wanted(
        self, prepared: _Prepared, entities: Sequence[Mapping[str, Any]], as_of_ms: int
    ) -> tuple[dict[str, _Wanted], list[list[str | None]]]:
        """The distinct hashes to read, and for each entity its hash in each part (None for a null key)."""
        wanted: dict[str, _Wanted] = {}
        places: list[list[str | None]] = []
        reads = [plan.at(as_of_ms) for plan in prepared.plans]
        commands = [_fields(read) for read in reads]
        answering = [plan.answers(as_of_ms) for plan in prepared.plans]
        parts = list(
            zip(prepared.join.parts, prepared.plans, prepared.prefixes, reads, commands, answering, strict=True)
        )
        for entity in entities:
            _check_keys(prepared, entity)
            keys: list[str | None] = []
            for part, plan, prefix, read, command, answers in parts:
                values = part.key_of(entity)
                key = None if None in values else self._store.key_of(prefix + entity_of(values))
                if key is not None and answers and key not in wanted:
                    wanted[key] = _Wanted(plan, read, command.of(key))
                keys.append(key)
            places.append(keys)
        return wanted, places

    async def _answers(self, wanted: dict[str, _Wanted], until_s: float) -> dict[str, Answer]:
        """The features of each hash; those that could not be read in time are left out."""
        hashes = list(wanted.values())

        def merged(index: int, reply: Sequence[bytes | None]) -> Answer | BigheadError:
            try:
                return hashes[index].plan.answer(hashes[index].read, reply)
            except UndecodableEvent as error:
                return error

        replies = await self._store.ask([one.command for one in hashes], until_s - monotonic(), merged)
        answers: dict[str, Answer] = {}
        problem: BigheadError | None = None
        for key, reply in zip(wanted, replies, strict=True):
            if isinstance(reply, BigheadError):
                problem = reply
            else:
                answers[key] = reply
        if problem is not None:
            self.failures += 1
            _log.warning("features of %d of %d hashes are ERROR: %s", len(wanted) - len(answers), len(wanted), problem)
        return answers


@lru_cache(maxsize=256)
def _fields(read: GroupRead) -> HashFields:
    return HashFields(read.fields)


def _check_keys(prepared: _Prepared, entity: Mapping[str, Any]) -> None:
    name = prepared.join.name
    for key, kind, types in prepared.kinds:
        if key not in entity:
            raise InvalidInput(f"join {name!r} needs {key!r}; received {sorted(entity) or 'nothing'}")
        value = entity[key]
        if value is not None and type(value) not in types:
            raise InvalidInput(f"{key!r} of join {name!r} is {kind}; received {value!r}")
