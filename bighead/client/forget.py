"""Forgets an entity of a group: asks the stream to erase it, erases what the stream does not hold, and looks again.

Knows the catalog, the state topic and the online store. The event that is left holds the entity's hash alone.
"""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bighead.client.catalog import read_catalog
from bighead.client.publish import Publisher
from bighead.client.store import client_of, positions_of, tiles_key
from bighead.client.visibility import Visibility
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import DefinitionError, InvalidInput, NotReady, UndecodableEvent
from bighead.events.codec import Codec
from bighead.events.dead_letters import read_dead_letters
from bighead.events.log import read_log
from bighead.events.sender import Sender
from bighead.events.topics import FEATURES_EVENTS, FEATURES_STATE, topic_name
from bighead.events.types import KeyForgotten
from bighead.features.catalog import PYTHON, Catalog, GroupEpoch
from bighead.features.compiled import CompiledGroup
from bighead.features.tiles import STREAM_RANK, entity_hash, entity_of, place_of_log_key, positions_key, store_key
from bighead.features.types import ValueType

SOURCE = "bighead/forget"
_LOOK_AGAIN_S = 0.05


@dataclass(frozen=True)
class Forgotten:
    """What was erased, and what is left.

    entity_hash, salt: as in the event. tiles: those that the online store held. erased: tiles on the state topic that
    were given a tombstone besides those of the stream itself. newer: tiles that events after the request began again.
    left: fields in the online store and tiles on the state topic that should be gone; 0 is success. dead_letters: such
    letters hold an event of the entity; a log cannot be changed, so they stay until its retention ends.
    """

    group: str
    entity_hash: str
    salt: str
    tiles: int
    erased: int
    newer: int
    left: int
    dead_letters: int


def entity_from(group: CompiledGroup, keys: Sequence[str]) -> str:
    """The entity of key values given as text; raises InvalidInput where they do not fit the group's keys."""
    if len(keys) != len(group.keys):
        raise InvalidInput(f"group {group.name!r} has keys {', '.join(group.keys)}; received {len(keys)} values")
    return entity_of(
        [_typed(name, kind, text) for name, kind, text in zip(group.keys, group.key_kinds, keys, strict=True)]
    )


def _typed(name: str, kind: ValueType, text: str) -> Any:
    try:
        if kind is ValueType.LONG:
            return int(text)
        if kind is ValueType.BOOLEAN:
            return {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError):
        raise InvalidInput(f"key {name!r} is {text!r}; expected a {kind}") from None
    return text


def forget(
    settings: Settings, group: str, keys: Sequence[str], *, actor: str, reason: str, timeout_s: float
) -> Forgotten:
    """Erases an entity from stream state, state topic and online store; returns when it was looked for again.

    Raises DefinitionError for a group that does not exist or whose state Flink holds, NotReady after `timeout_s`.
    """
    codec = Codec(settings.schema_registry)
    try:
        return _Forgetting(settings, codec, group, keys).run(actor, reason, timeout_s)
    finally:
        codec.close()


class _Forgetting:
    """One entity of one group, all its epochs."""

    def __init__(self, settings: Settings, codec: Codec, group: str, keys: Sequence[str]) -> None:
        self._settings, self._codec = settings, codec
        self._epochs = epochs_of(read_catalog(settings, codec), group)
        self._group = group
        self._entity = entity_from(self._epochs[-1].group, keys)
        self._store = client_of(settings.redis)
        self._topic = topic_name(settings.topic_prefix, FEATURES_STATE)

    def run(self, actor: str, reason: str, timeout_s: float) -> Forgotten:
        salt = secrets.token_hex(16)
        digest, tiles = entity_hash(salt, self._entity), self._stored()
        event = KeyForgotten(
            group=self._group,
            entity=digest,
            salt=salt,
            tiles=tiles,
            actor=actor,
            reason=reason,
            at_ms=wall_clock_ms(),
        )
        publisher = Publisher(self._settings, SOURCE, codec=self._codec)
        publisher.publish(event, key=self._group, topic=topic_name(self._settings.topic_prefix, FEATURES_EVENTS))
        Visibility(self._settings).wait(publisher.flush(), timeout_s)
        there = self._on_log()
        foreign = [key for key in there if not self._is_streams(key)]
        self._erase(foreign, timeout_s)
        left = self._on_log()
        newer = [key for key in left if self._is_streams(key)]
        remaining = max(0, self._stored() - len(newer)) + len(left) - len(newer)
        return Forgotten(self._group, digest, salt, tiles, len(foreign), len(newer), remaining, self._dead_letters())

    def _stored(self) -> int:
        """How many tiles the online store holds of the entity."""
        prefix, url = self._settings.topic_prefix, self._settings.redis
        keys = [tiles_key(url, store_key(prefix, self._group, one.epoch, self._entity)) for one in self._epochs]
        return sum(int(self._store.hlen(key)) for key in keys)

    def _on_log(self) -> list[bytes]:
        """The keys of the entity's tiles on the state topic that have no tombstone."""
        newest: dict[bytes, bool] = {}
        for message in read_log(self._settings, self._topic):
            place = place_of_log_key(message.key) if message.key else None
            if message.key and place is not None and place[0] == self._group and place[2].entity == self._entity:
                newest[message.key] = message.value is not None
        return [key for key, there in newest.items() if there]

    def _is_streams(self, key: bytes) -> bool:
        """Whether the lane keeps this tile: it has erased it, so what is there was made of later events."""
        epoch, rank = json.loads(key)[1], json.loads(key)[5]
        return rank == STREAM_RANK and any(one.epoch == epoch and not one.retired for one in self._epochs)

    def _erase(self, keys: Sequence[bytes], timeout_s: float) -> None:
        """Writes tombstones, and waits until the online store has them."""
        sender = Sender(self._settings)
        for key in keys:
            sender.send(self._topic, key, None, [])
        wanted = {position.partition: position.offset + 1 for position in sender.flush()}
        deadline_s = time.monotonic() + timeout_s
        while not self._reflected(wanted):
            if time.monotonic() > deadline_s:
                raise NotReady(
                    f"the online store does not reflect {wanted} after {timeout_s:g} s; is the worker running?"
                )
            time.sleep(_LOOK_AGAIN_S)

    def _reflected(self, wanted: Mapping[int, int]) -> bool:
        found = positions_of(self._store, self._settings.redis, positions_key(self._settings.topic_prefix))
        return all(found.get(partition, 0) >= offset for partition, offset in wanted.items())

    def _dead_letters(self) -> int:
        source = self._epochs[-1].group.definition.source.topic
        letters = (row.letter for row in read_dead_letters(self._settings, self._codec))
        return sum(letter.topic == source and self._is_of_entity(letter.value) for letter in letters)

    def _is_of_entity(self, value: bytes | None) -> bool:
        group = self._epochs[-1].group
        try:
            _, record = self._codec.decode_record(value)
            return entity_of([group.inputs[name].evaluate(record) for name in group.keys]) == self._entity
        except (UndecodableEvent, ArithmeticError, TypeError):
            # Nobody can read it; it may be the entity's if it has its keys' bytes.
            return all(str(key).encode() in (value or b"") for key in json.loads(self._entity))


def epochs_of(catalog: Catalog, group: str) -> list[GroupEpoch]:
    """All epochs of a group, oldest first; raises DefinitionError where there is none, or Flink holds the state."""
    epochs = [one for (name, _), one in sorted(catalog.groups.items()) if name == group]
    if not epochs:
        known = ", ".join(sorted({name for name, _ in catalog.groups})) or "none"
        raise DefinitionError(f"group {group!r} is not applied; there are {known}")
    if any(one.engine != PYTHON and not one.retired for one in epochs):
        raise DefinitionError(
            f"group {group!r} is on Flink, whose state cannot be told to forget one key; apply it with "
            "`--engine python`, activate and retire the old epoch, then forget"
        )
    return epochs
