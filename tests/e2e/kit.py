"""What end-to-end tests share: a source topic that remembers where its events lie, and feature reads by both ways."""

import asyncio
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import redis

from bighead.client.catalog import read_catalog
from bighead.client.feature_values import FeaturesClient
from bighead.client.features import Definitions, apply
from bighead.client.online import OnlineReader
from bighead.client.publish import Publisher
from bighead.client.redis import RedisPipeline
from bighead.client.visibility import Visibility
from bighead.config import Settings
from bighead.errors import InvalidInput
from bighead.events import admin
from bighead.events.codec import Codec
from bighead.events.message import Position
from bighead.features import GroupBy, Join
from bighead.features.catalog import Catalog
from bighead.features.compiled import CompiledGroup
from bighead.features.fold import fold
from bighead.features.reference import SourceEvent, group_features
from bighead.features.tiles import StateCodec, Tile, TileKey, store_field, store_key, store_value
from bighead.local.platform import Platform
from bighead.testing import eventually
from tests.conformance.cases import rows_of

Keys = Mapping[str, Any]
TIMEOUT_S = 120.0


class Source:
    """A user's topic of one event type; keeps what was published to it, with positions, for the reference."""

    def __init__(
        self, settings: Settings, topic: str, schema: Mapping[str, Any], key: str, partitions: int = 2
    ) -> None:
        self.settings = settings
        self.topic = topic
        self.events: list[SourceEvent] = []
        self._name = f"{schema['namespace']}.{schema['name']}"
        self._key = key
        self._visibility = Visibility(settings)
        admin.create_topic(settings, topic, partitions)
        admin.register_schema(settings, topic, schema)
        self._publisher = Publisher(settings, "test")

    def publish(self, records: Iterable[Mapping[str, Any]]) -> list[Position]:
        """Publishes records, keyed by one of their columns; where they lie, once Kafka has all of them."""
        sent = [
            (
                record,
                self._publisher.publish_record(
                    self.topic, self._name, record, key=str(record[self._key]), time_ms=record["at_ms"]
                ),
            )
            for record in records
        ]
        self._publisher.flush()
        placed = [(record, delivery.position()) for record, delivery in sent]
        self.events += [SourceEvent(record, at.partition, at.offset) for record, at in placed]
        return [at for _, at in placed]

    @property
    def ends(self) -> list[Position]:
        """The newest position of each partition."""
        newest: dict[int, int] = {}
        for event in self.events:
            newest[event.partition] = max(newest.get(event.partition, 0), event.offset)
        return [Position(self.topic, partition, offset) for partition, offset in newest.items()]

    def await_visible(self, positions: Iterable[Position]) -> None:
        """Waits until the online store reflects them."""
        self._visibility.wait(positions, TIMEOUT_S)

    def apply(self, groups: Sequence[GroupBy], join: Join) -> None:
        """Applies definitions, and waits until the stream has taken them in."""
        definitions = Definitions({group.name: group for group in groups}, {join.name: join})
        self.await_visible(apply(self.settings, definitions, actor="test", reason="a test").positions)


def catalog_of(settings: Settings) -> Catalog:
    """What is applied now."""
    codec = Codec(settings.schema_registry)
    try:
        return read_catalog(settings, codec)
    finally:
        codec.close()


def read_online(
    settings: Settings, catalog: Catalog, join: str, entities: Sequence[Keys], queries_ms: Iterable[int]
) -> list[list[dict[str, Any]]]:
    """For each query time the features of each entity, by the library."""

    async def run() -> list[list[dict[str, Any]]]:
        pipeline = RedisPipeline(settings.redis)
        try:
            reader = OnlineReader(pipeline, settings.topic_prefix, lambda: catalog)
            found = []
            for query_ms in queries_ms:
                rows = await reader.read(join, entities, query_ms, 5.0)
                assert not [row for row in rows if "ERROR" in row.statuses.values()]
                found.append([row.values for row in rows])
            return found
        finally:
            await pipeline.close()

    return asyncio.run(run())


def await_join(client: FeaturesClient, join: str, entity: Keys, query_ms: int) -> None:
    """The server follows the catalog by itself, about as fast as the stream."""

    def known() -> bool:
        try:
            client.read(join, [entity], as_of_ms=query_ms)
        except InvalidInput:
            return False
        return True

    eventually(known, 30)


class Killer:
    """Kills parts by their process ids; the supervisor starts them again."""

    def __init__(self, platform: Platform) -> None:
        self.killed: list[tuple[str, int]] = []
        self._platform = platform

    def kill(self, part: str) -> None:
        """Kills it once it is back from the kill before."""
        pid = eventually(lambda: self._running(part), 60)
        os.kill(pid, signal.SIGKILL)
        self.killed.append((part, pid))

    def _running(self, part: str) -> int:
        state = self._platform.supervisor.states()[part]
        fresh = state["statename"] == "RUNNING" and (part, state["pid"]) not in self.killed
        return int(state["pid"]) if fresh else 0


def reference(source: Source, join: str, entities: Iterable[Keys], query_ms: int) -> list[dict[str, Any]]:
    """A join of groups with one key, by the reference, which is given an entity's own events: it would filter them."""
    groups = catalog_of(source.settings).join(join).groups
    by_key: dict[tuple[str, Any], list[SourceEvent]] = {}
    for event in source.events:
        for group in groups:
            by_key.setdefault((group.name, event.record[group.keys[0]]), []).append(event)
    known: dict[tuple[str, Any], dict[str, Any]] = {}
    rows = []
    for entity in entities:
        row: dict[str, Any] = {}
        for group in groups:
            place = (group.name, entity[group.keys[0]])
            if place not in known:
                known[place] = group_features(group, by_key.get(place, []), [place[1]], query_ms)
            row |= known[place]
        rows.append(row)
    return rows


def check_tiles(source: Source, join: str) -> None:
    """The store's hashes are those that one fold of the whole log gives: byte by byte, none more, none less."""
    for group in catalog_of(source.settings).join(join).groups:
        assert _stored(source.settings, group.name) == folded(source.settings, group, source.events)


def folded(settings: Settings, group: CompiledGroup, events: Sequence[SourceEvent]) -> dict[bytes, dict[bytes, bytes]]:
    """The online store of a group, computed at once."""
    codec = StateCodec(group)
    tiles: dict[TileKey, Tile] = {}
    for partition in {event.partition for event in events}:
        rows = rows_of(group, [event for event in events if event.partition == partition])
        if rows is not None:
            changed = fold(group, codec, rows, lambda keys: [tiles.get(key) for key in keys])
            tiles.update((tile.key, tile) for tile in changed)
    hashes: dict[bytes, dict[bytes, bytes]] = {}
    for tile in tiles.values():
        key = store_key(settings.topic_prefix, group.name, 1, tile.key.entity).encode()
        value = store_value(tile.rank, tile.seq, codec.encode(tile.state))
        hashes.setdefault(key, {})[store_field(tile.key.level, tile.key.start_ms)] = value
    return hashes


def _stored(settings: Settings, group: str) -> dict[bytes, dict[bytes, bytes]]:
    with redis.Redis.from_url(settings.redis) as client:
        keys = list(client.scan_iter(store_key(settings.topic_prefix, group, 1, "*"), count=1000))
        return {key: client.hgetall(key) for key in keys}
