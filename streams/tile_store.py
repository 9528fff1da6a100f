"""The lane's local state: tiles and source offsets in RocksDB, newest tiles decoded in memory. One atomic write a step.

A tile lies under the key and with the bytes that it has on the state topic, so restoring is copying.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch

from bighead.errors import InvalidEvent, PlatformError, UndecodableEvent
from bighead.events.binary import bytes_bytes, long_bytes, text_bytes
from bighead.events.codec import Codec
from bighead.events.types import FeatureTile
from bighead.features.cache import ByteCache
from bighead.features.tiles import STREAM_RANK, StateCodec, Tile, TileKey, log_key
from bighead.features.windows import Level
from streams.member import Member

Changes: TypeAlias = Mapping[str, tuple[Tile | None, bytes | None]]
"""Changed tiles by their key on the state topic, with the bytes that they have there; None for one that is erased."""

MOST_BYTES = 4 * 1024 * 1024
"""Half of what a message may have."""
MEMTABLE_BYTES = 16 * 1024 * 1024
"""Of a table that RocksDB fills; while one is written to the disk the next is filled."""
BLOCK_CACHE_BYTES = 16 * 1024 * 1024
_BLOOM_BITS = 10
_DECODED_BYTES, _DECODED_RATIO = 700, 4
"""What a decoded tile needs besides its bytes, and for each of them; measured with small states."""
_END = b"\x00"
_TILE = b"t"
_OFFSETS = b"o"
_STATE = b"s"


class TileStore:
    """RocksDB and a bounded cache of decoded tiles. One process at a time may open the folder."""

    def __init__(self, folder: Path, codec: Codec, state_topic: str, cached_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._db = Rdict(str(folder), _options())
        except Exception as error:
            raise PlatformError(
                f"the lane's state in {folder} cannot be opened ({error}); is another worker running? If it is broken, "
                "delete the folder: it is restored from the state topic"
            ) from error
        self._codec = codec
        self._state_topic = state_topic
        self._cache: ByteCache[Tile] = ByteCache(cached_bytes)
        self._heads: dict[tuple[tuple[str, int], Level], bytes] = {}
        self._staged: dict[str, tuple[Tile | None, bytes | None]] = {}

    def close(self) -> None:
        """Closes RocksDB."""
        self._db.close()

    def load(self, member: Member, keys: Sequence[str]) -> list[Tile | None]:
        """Tiles by their keys on the state topic."""
        tiles = [staged[0] if (staged := self._staged.get(key)) else self._cache.get(key) for key in keys]
        missing = [index for index, tile in enumerate(tiles) if tile is None and keys[index] not in self._staged]
        if missing:
            values = self._db.get([_TILE + keys[index].encode() for index in missing]) or []
            for index, value in zip(missing, values, strict=True):
                if value is not None:
                    tiles[index] = self._tile(member.codec, value)
        return tiles

    def encode(self, member: Member, tile: Tile) -> bytes:
        """A tile as it lies on the state topic: a FeatureTile, whose first fields are the same for all of a level."""
        head = self._heads.get((member.place, tile.key.level)) or self._head(member, tile.key.level)
        positions = [long_bytes(where) + long_bytes(offset) for where, offset in tile.positions]
        if positions:
            positions.insert(0, long_bytes(len(positions)))
        return b"".join(
            (
                head,
                long_bytes(tile.key.start_ms),
                text_bytes(tile.key.entity),
                long_bytes(tile.rank),
                long_bytes(tile.seq),
                long_bytes(tile.latest_ms),
                *positions,
                _END,
                bytes_bytes(member.codec.encode(tile.state)),
            )
        )

    def _head(self, member: Member, level: Level) -> bytes:
        name, epoch = member.place
        frame = self._codec.frame_of(FeatureTile.FULL_NAME, self._state_topic)
        head = frame + text_bytes(name) + long_bytes(epoch) + text_bytes(level)
        self._heads[member.place, level] = head
        return head

    def _tile(self, codec: StateCodec, value: bytes) -> Tile:
        event = self._codec.decode(value)
        if not isinstance(event, FeatureTile):
            raise UndecodableEvent(f"the lane's state holds a {event.FULL_NAME} where a tile should be")
        key = TileKey(event.entity, Level(event.level), event.start_ms)
        positions = tuple((one.partition, one.offset) for one in event.positions)
        return Tile(key, event.rank, event.seq, event.latest_ms, positions, codec.decode(event.state))

    def offsets(self, place: tuple[str, int]) -> dict[int, int] | None:
        """The next source offsets of a group's epoch; None where it never took a step."""
        return self._read(_OFFSETS + json.dumps(place).encode())

    def state_offsets(self) -> dict[int, int] | None:
        """The offsets of the state topic below which everything of this lane is in; None for a new folder."""
        return self._read(_STATE)

    def stage(self, changes: Changes) -> None:
        """Takes tiles that are not to be on the disk yet, and are read from now on."""
        self._staged.update(changes)

    def commit(
        self,
        changes: Changes,
        offsets: Mapping[tuple[str, int], Mapping[int, int]],
        state_offsets: Mapping[int, int],
    ) -> None:
        """Tiles, the groups' source offsets and the state topic's offsets, all or none."""
        batch = WriteBatch(raw_mode=True)
        for key, (_, value) in changes.items():
            if value is None:
                batch.delete(_TILE + key.encode())
            else:
                batch.put(_TILE + key.encode(), value)
        for place, reached in offsets.items():
            batch.put(_OFFSETS + json.dumps(place).encode(), _offsets(reached))
        batch.put(_STATE, _offsets(state_offsets))
        self._db.write(batch)
        for key, change in changes.items():
            tile, value = change
            if tile is None or value is None:
                self._cache.drop(key)
            else:
                self._cache.put(key, tile, _DECODED_BYTES + _DECODED_RATIO * len(value))
            if self._staged.get(key) is change:
                del self._staged[key]

    def keys(self, group: str) -> Iterator[str]:
        """The keys of all tiles on the disk of a group, of all its epochs."""
        prefix = _TILE + f'["{group}",'.encode()
        for key in self._db.keys(from_key=prefix):
            if not isinstance(key, bytes) or not key.startswith(prefix):
                return
            yield key[len(_TILE) :].decode()

    def restore(
        self, tiles: Iterable[tuple[bytes, FeatureTile | None, bytes]], state_offsets: Mapping[int, int]
    ) -> None:
        """Takes tiles (key, event, bytes) of the state topic in its order, where they are newer than what is here.

        Where the event is None the tile was erased.
        """
        batch = WriteBatch(raw_mode=True)
        newest: dict[bytes, int] = {}
        for key, event, value in tiles:
            if event is None:
                newest[key] = -1
                batch.delete(_TILE + key)
                continue
            if key not in newest:
                known = self._db.get(_TILE + key)
                newest[key] = -1 if known is None else self._seq(known)
            if newest[key] < event.seq:
                newest[key] = event.seq
                batch.put(_TILE + key, value)
        batch.put(_STATE, _offsets(state_offsets))
        self._db.write(batch)

    def _seq(self, value: bytes) -> int:
        event = self._codec.decode(value)
        return event.seq if isinstance(event, FeatureTile) else -1

    def _read(self, key: bytes) -> dict[int, int] | None:
        value = self._db.get(key)
        if value is None:
            return None
        return {int(partition): offset for partition, offset in json.loads(value).items()}


class MemberTiles:
    """The tiles of one member during one step; see `streams.step.Tiles`."""

    def __init__(self, store: TileStore, member: Member) -> None:
        self.member = member
        self._changed: dict[str, Tile] = {}
        self._values: dict[str, bytes] = {}
        self._texts: dict[TileKey, str] = {}
        self._store = store

    def load(self, keys: Sequence[TileKey]) -> Sequence[Tile | None]:
        """The newest tile of each key, changes of this step included."""
        texts = [self._text(key) for key in keys]
        stored = self._store.load(self.member, texts)
        return [self._changed.get(text, tile) for text, tile in zip(texts, stored, strict=True)]

    def change(self, tiles: Sequence[Tile]) -> None:
        """Takes tiles with their new state; raises InvalidEvent, and takes none, where one has outgrown a message."""
        changed = {self._text(tile.key): tile for tile in tiles}
        if self.member.codec.packs:
            values = {text: self._store.encode(self.member, tile) for text, tile in changed.items()}
            for text, value in values.items():
                if len(value) > MOST_BYTES:
                    raise InvalidEvent(
                        f"tile {text} would have {len(value):,} bytes; at most {MOST_BYTES:,} can be written: use an "
                        "operation of bounded size, such as an approximate one or one with `k`"
                    )
            self._values |= values
        self._changed |= changed

    def encoded(self) -> Changes:
        """What changed, as it is written."""
        return {
            key: (tile, self._values.get(key) or self._store.encode(self.member, tile))
            for key, tile in self._changed.items()
        }

    def _text(self, key: TileKey) -> str:
        text = self._texts.get(key)
        if text is None:
            name, epoch = self.member.place
            text = self._texts[key] = log_key(name, epoch, key, STREAM_RANK)
        return text


def _options() -> Options:
    """What RocksDB may keep in memory does not grow with what lies on the disk."""
    options, tables = Options(raw_mode=True), BlockBasedOptions()
    options.create_if_missing(True)
    options.set_write_buffer_size(MEMTABLE_BYTES)
    options.set_max_write_buffer_number(2)
    tables.set_block_cache(Cache(BLOCK_CACHE_BYTES))
    tables.set_bloom_filter(_BLOOM_BITS, False)  # most keys of a step that are not in the cache are new
    options.set_block_based_table_factory(tables)
    return options


def _offsets(offsets: Mapping[int, int]) -> bytes:
    return json.dumps(offsets).encode()
