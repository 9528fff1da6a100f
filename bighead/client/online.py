"""Online reads: the features of entities as of a time, from the tiles in Redis, in one pipelined round trip.

A failure of the store is never "no events": it gives ERROR statuses, null values and a counted failure.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bighead.client.redis import Command, RedisPipeline
from bighead.errors import DeadlineExceeded, InvalidInput, StoreError, UndecodableEvent
from bighead.features.catalog import Catalog
from bighead.features.compiled import CompiledJoin
from bighead.features.plan import FeatureRow, GroupPlan, GroupRead, Status, derive
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
    """A Join with its plans, for as long as the catalog stays the same."""

    catalog: Catalog
    join: CompiledJoin
    plans: tuple[GroupPlan, ...]
    epochs: dict[str, int]


@dataclass(frozen=True)
class _Wanted:
    """One hash to read: a group's plan, its tiles at the query time and the entity's key in the store."""

    plan: GroupPlan
    read: GroupRead
    key: str


class OnlineReader:
    """Reads Joins. `catalog` gives the current catalog each time it is called; it must be cheap."""

    def __init__(self, store: RedisPipeline, prefix: str, catalog: Callable[[], Catalog]) -> None:
        self._store = store
        self._prefix = prefix
        self._catalog = catalog
        self._prepared: dict[str, _Prepared] = {}
        self.failures = 0

    def join(self, name: str) -> CompiledJoin:
        """The Join over the active epochs; raises DefinitionError where it is not applied."""
        return self._prepare(name).join

    async def read(
        self, join: str, entities: Sequence[Mapping[str, Any]], as_of_ms: int, timeout_s: float
    ) -> list[FeatureRow]:
        """One row per entity, in order. `entities` give the Join's keys and request columns; a null key has no events.

        Raises DefinitionError for an unknown Join and InvalidInput for what is missing or of the wrong type.
        """
        prepared = self._prepare(join)
        wanted, places = self._wanted(prepared, entities, as_of_ms)
        answers = await self._answers(wanted, timeout_s)
        rows: list[FeatureRow] = []
        for entity, groups in zip(entities, places, strict=True):
            values: dict[str, Any] = {}
            statuses: dict[str, str] = {}
            for part, plan, key in zip(prepared.join.parts, prepared.plans, groups, strict=True):
                answer = answers.get(key) if key is not None else _nothing(plan)
                _fill(part.columns, answer, values, statuses)
            derive(prepared.join, entity, values, statuses)
            rows.append(FeatureRow(values, statuses, as_of_ms, prepared.epochs))
        return rows

    def _prepare(self, name: str) -> _Prepared:
        catalog = self._catalog()
        prepared = self._prepared.get(name)
        if prepared is None or prepared.catalog is not catalog:
            join = catalog.join(name)
            plans = catalog.plans(join)
            prepared = _Prepared(catalog, join, plans, {plan.group.name: plan.epoch for plan in plans})
            self._prepared[name] = prepared
        return prepared

    def _wanted(
        self, prepared: _Prepared, entities: Sequence[Mapping[str, Any]], as_of_ms: int
    ) -> tuple[dict[str, _Wanted], list[list[str | None]]]:
        """The distinct hashes to read, and for each entity its hash in each group (None for a null key)."""
        wanted: dict[str, _Wanted] = {}
        places: list[list[str | None]] = []
        reads = [plan.at(as_of_ms) for plan in prepared.plans]
        for entity in entities:
            _check_keys(prepared.join, entity)
            keys: list[str | None] = []
            for part, plan, read in zip(prepared.join.parts, prepared.plans, reads, strict=True):
                values = part.key_of(entity)
                key = (
                    None if None in values else store_key(self._prefix, plan.group.name, plan.epoch, entity_of(values))
                )
                if key is not None and key not in wanted and plan.answers(as_of_ms):
                    wanted[key] = _Wanted(plan, read, key)
                keys.append(key)
            places.append(keys)
        return wanted, places

    async def _answers(self, wanted: dict[str, _Wanted], timeout_s: float) -> dict[str, list[tuple[Any, Status]]]:
        """The features of each hash; those that could not be read are left out."""
        if not wanted:
            return {}
        commands: list[Command] = [("HMGET", one.key, *one.read.fields) for one in wanted.values()]
        try:
            replies = await self._store.execute(commands, timeout_s)
        except (StoreError, DeadlineExceeded) as error:
            self.failures += 1
            _log.warning("features answered with ERROR: %s", error)
            return {}
        answers: dict[str, list[tuple[Any, Status]]] = {}
        for one, reply in zip(wanted.values(), replies, strict=True):
            try:
                answers[one.key] = one.plan.evaluate(
                    one.read, [None if value is None else one.plan.decoded(value) for value in reply]
                )
            except UndecodableEvent as error:
                self.failures += 1
                _log.error("features of %s answered with ERROR: %s", one.key, error)
        return answers


def _fill(
    columns: Sequence[str],
    answer: list[tuple[Any, Status]] | None,
    values: dict[str, Any],
    statuses: dict[str, str],
) -> None:
    for index, column in enumerate(columns):
        values[column], statuses[column] = answer[index] if answer is not None else (None, Status.ERROR)


def _nothing(plan: GroupPlan) -> list[tuple[Any, Status]]:
    return plan.evaluate(GroupRead((), (), tuple(() for _ in plan.group.features)), [])


def _check_keys(join: CompiledJoin, entity: Mapping[str, Any]) -> None:
    for name, kind in join.left_kinds.items():
        if name not in entity:
            raise InvalidInput(f"join {join.name!r} needs {name!r}; received {sorted(entity) or 'nothing'}")
        value = entity[name]
        if value is not None and type(value) not in _KINDS[kind]:
            raise InvalidInput(f"{name!r} of join {join.name!r} is {kind}; received {value!r}")
