"""Tiles: the aggregate state of one group, one entity, one level and one start; their keys and bytes.

Pure. State bytes are one version byte and an Avro record of the group's flat state columns, so any language reads them.
"""

import hashlib
import io
import json
import struct
from collections.abc import Callable, Sequence
from functools import cached_property
from json.encoder import encode_basestring
from typing import Any, NamedTuple, cast

import fastavro

from bighead.errors import UndecodableEvent
from bighead.events.binary import WRITERS
from bighead.features.compiled import CompiledGroup
from bighead.features.state import State, packed, unpacked
from bighead.features.windows import FIVE_MINUTES_MS, Level

STATE_VERSION = b"\x01"
STREAM_RANK = 0
BATCH_RANK = 1

_LEVEL_CODES = {Level.FIVE_MINUTES: b"m", Level.HOUR: b"h", Level.DAY: b"d", Level.ALL: b"a", Level.BASE: b"b"}
_FENCE = struct.Struct(">BQ")
_ENTITY = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)  # made once: it is asked for every event
_KEYS: dict[type, Callable[[Any], str]] = {str: encode_basestring, int: str}  # most keys, without the encoder's set-up


def entity_of(values: Sequence[Any]) -> str:
    """The canonical text of an entity key: a JSON array without spaces, for example `["UA",17]`."""
    return f"[{','.join([_KEYS.get(type(value), _ENTITY.encode)(value) for value in values])}]"


class TileKey(NamedTuple):
    """Which tile of a group: entity (see `entity_of`), level and start, milliseconds since the epoch, UTC."""

    entity: str
    level: Level
    start_ms: int


class Tile(NamedTuple):
    """The full aggregate of one tile.

    seq counts its events and only grows; rank puts batch over stream; positions give, for each source partition, the
    last offset applied, which makes applying an event twice a no-op; latest_ms is the time of its newest event.
    """

    key: TileKey
    rank: int
    seq: int
    latest_ms: int
    positions: tuple[tuple[int, int], ...]
    state: State


def entity_hash(salt: str, entity: str) -> str:
    """What is said of an entity that must not be named: SHA-256 of salt and canonical text, in hexadecimal."""
    return hashlib.sha256(f"{salt}{entity}".encode()).hexdigest()


def log_key(group: str, epoch: int, key: TileKey, rank: int) -> str:
    """The key of a tile on the state topic, a JSON array: unique per tile and rank.

    Compaction keeps the newest of a key. A late tile of the stream must not remove the one of batch that outranks it.
    """
    return f'["{group}",{epoch},{key.entity},"{key.level}",{key.start_ms},{rank}]'


def place_of_log_key(text: bytes | str) -> tuple[str, int, TileKey] | None:
    """Group, epoch and tile of a key on the state topic; None for a key of something else, as marks have."""
    try:
        group, epoch, entity, level, start_ms, _ = json.loads(text)
        return str(group), int(epoch), TileKey(entity_of(entity), Level(level), int(start_ms))
    except (ValueError, TypeError):
        return None


def store_key(prefix: str, group: str, epoch: int, entity: str) -> str:
    """The hash in the online store that holds the tiles of one group, epoch and entity."""
    return f"{prefix}:f:{group}:{epoch}:{entity}"


def store_field(level: Level, start_ms: int) -> bytes:
    """The field of a tile inside its hash: one letter for the level and its start in five minutes, 4 bytes."""
    return _LEVEL_CODES[level] + (start_ms // FIVE_MINUTES_MS).to_bytes(4, "big")


def store_value(rank: int, seq: int, state: bytes) -> bytes:
    """What the field holds: the fence (rank and seq, big-endian, 9 bytes) and the state bytes."""
    return _FENCE.pack(rank, seq) + state


def positions_key(prefix: str) -> str:
    """The hash in the online store with the next offset of each partition of the state topic that it reflects."""
    return f"{prefix}:tiles:positions"


def visible_key(prefix: str, topic: str) -> str:
    """The hash in the online store that says how far a source topic is visible.

    Field `{state partition}:{source partition}` holds the next source offset, as decimal text; everything below it is
    in the tiles of that state partition. Field `latest:{source partition}` holds the time of the newest event, ms.
    """
    return f"{prefix}:visible:{topic}"


def state_of_store_value(value: bytes) -> bytes:
    """The state bytes of a stored tile."""
    return value[_FENCE.size :]


class StateCodec:
    """State tuples of one group to bytes and back. packs: some column is of any length, as lists and maps are."""

    def __init__(self, group: CompiledGroup) -> None:
        self._writers = tuple(WRITERS[kind.value] for _, kind in group.state_columns)
        fields = [{"name": name, "type": str(kind)} for name, kind in group.state_columns]
        self._stored = tuple(column for cell in group.cells for column in cell.operation.columns)
        self.packs = any(column.pack for column in self._stored)
        self.schema = {
            "type": "record",
            "name": "State",
            "namespace": f"bighead.features.{group.name}",
            "fields": fields,
        }
        self._parsed = fastavro.parse_schema(self.schema)
        self._group = group

    @cached_property
    def empty(self) -> State:
        """The state of a tile without events."""
        return tuple(value for cell in self._group.cells for value in cell.empty)

    @cached_property
    def cell_slices(self) -> tuple[slice, ...]:
        """Where each cell's state lies inside the tile's."""
        slices: list[slice] = []
        for cell in self._group.cells:
            start = slices[-1].stop if slices else 0
            slices.append(slice(start, start + len(cell.state_columns)))
        return tuple(slices)

    def encode(self, state: State) -> bytes:
        """State tuple to versioned bytes."""
        return self.encode_row(self.pack(state))

    def encode_row(self, row: State) -> bytes:
        """What `pack` gives, or a table holds, to versioned bytes."""
        return STATE_VERSION + b"".join([write(value) for write, value in zip(self._writers, row, strict=True)])

    def pack(self, state: State) -> State:
        """A state as rows hold it: what is held as a Python value is bytes."""
        return packed(self._stored, state) if self.packs else state

    def unpack(self, row: State) -> State:
        """The inverse of `pack`."""
        return unpacked(self._stored, row) if self.packs else row

    def decode(self, data: bytes) -> State:
        """Versioned bytes to a state tuple; raises UndecodableEvent where they are of another version or broken."""
        if data[:1] != STATE_VERSION:
            raise UndecodableEvent(
                f"state of group {self._group.name!r} starts with {data[:1]!r}; "
                f"this release reads version {STATE_VERSION!r}"
            )
        try:
            record = fastavro.schemaless_reader(io.BytesIO(data[1:]), self._parsed, None)
            return self.unpack(tuple(cast(dict[str, Any], record).values()))
        except (EOFError, IndexError, RuntimeError, ValueError) as error:
            raise UndecodableEvent(f"state of group {self._group.name!r} is broken: {error!r}") from error
