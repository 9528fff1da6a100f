"""What tests of the lane share: messages without a broker, tiles in a dict, a codec with a registry in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bighead.events.codec import Codec
from bighead.events.schemas import subject_of
from bighead.features.compiled import CompiledGroup
from bighead.features.plan import GroupPlan
from bighead.features.tiles import Tile, TileKey
from bighead.features.types import ValueType, avro_type
from bighead.testing import SchemaRegistryServer
from streams.evaluate import connect
from streams.step import Member, Outcome, Stepper
from tests.conformance.cases import read_tiles

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000


@dataclass(frozen=True)
class FakeRecord:
    """A message as the lane's reader gives it."""

    offset: int
    value: bytes | None
    timestamp: int = NOW_MS
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()


class MemoryTiles:
    """The tiles of one member, in a dict."""

    def __init__(self) -> None:
        self.tiles: dict[TileKey, Tile] = {}

    def load(self, keys: Sequence[TileKey]) -> Sequence[Tile | None]:
        return [self.tiles.get(key) for key in keys]

    def change(self, tiles: Sequence[Tile]) -> None:
        self.tiles |= {tile.key: tile for tile in tiles}


def avro_schema(name: str, columns: Mapping[str, ValueType], required: Sequence[str] = ()) -> dict[str, Any]:
    """A record schema with these columns, nullable unless required."""
    fields: list[dict[str, Any]] = [
        {"name": column, "type": avro_type(kind)}
        if column in required
        else {"name": column, "type": ["null", avro_type(kind)], "default": None}
        for column, kind in columns.items()
    ]
    return {"type": "record", "name": name, "namespace": "conformance", "fields": fields}


class LaneKit:
    """Members of one topic and a stepper, fed with plain dicts."""

    def __init__(self, registry: SchemaRegistryServer, topic: str, schema: Mapping[str, Any]) -> None:
        self.registry = registry
        self.topic = topic
        self.name = f"{schema['namespace']}.{schema['name']}"
        registry.add(subject_of(topic, self.name), schema)
        self.codec = Codec(registry.url)
        self.duck = connect()

    def close(self) -> None:
        self.codec.close()
        self.duck.close()

    def encode(self, record: Mapping[str, Any]) -> bytes:
        return self.codec.encode_record(self.topic, self.name, record)

    def stepper(self, members: Sequence[Member]) -> Stepper:
        one_time = len({member.group.definition.source.time for member in members}) == 1
        return Stepper(self.codec, self.duck, members, DAY_MS, one_time)

    def step(self, members: Sequence[Member], messages: Mapping[int, Sequence[FakeRecord]]) -> "Stepped":
        """One step from no tiles."""
        tiles = [MemoryTiles() for _ in members]
        outcome = self.stepper(members).step(messages, tiles, NOW_MS)
        return Stepped(tiles, outcome)


@dataclass(frozen=True)
class Stepped:
    """The tiles of each member, and the outcome."""

    tiles: list[MemoryTiles]
    outcome: Outcome

    def dead(self) -> list[tuple[int, str | None, str]]:
        """Offset, group and message of each dead letter."""
        return [
            (failure.record.offset, failure.group, str(failure.error)) for failure in self.outcome.failures.values()
        ]


def member(group: CompiledGroup, cut_ms: int | None = None) -> Member:
    """A member at the beginning."""
    return Member(group, 1, cut_ms, {})


def read(group: CompiledGroup, tiles: MemoryTiles, key: Sequence[Any], query_ms: int) -> dict[str, Any]:
    """The features of one entity through the read plan."""
    return read_tiles(GroupPlan(group, 1, None), tiles.tiles, key, query_ms)
