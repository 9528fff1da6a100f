"""The lane's local state: what was committed is there again, and the state topic wins only where it is newer."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bighead.errors import InvalidEvent, PlatformError
from bighead.events.codec import Codec
from bighead.events.schemas import platform_schemas, subject_of
from bighead.events.types import FeatureTile, SourceOffset
from bighead.features import Aggregation, EventSource, GroupBy, Op
from bighead.features.compiled import compile_group
from bighead.features.tiles import STREAM_RANK, Tile, TileKey, log_key
from bighead.features.types import ValueType
from bighead.features.windows import Level
from bighead.testing import SchemaRegistryServer
from streams.tile_store import MOST_BYTES, MemberTiles, TileStore
from tests.lane_kit import member

TOPIC = "bighead.features.state.v1"
Positions = tuple[tuple[int, int], ...]
COLUMNS = {"at_ms": ValueType.LONG, "carrier": ValueType.STRING, "delay": ValueType.LONG}
GROUP = compile_group(
    GroupBy("g", EventSource("flights", "flights", "at_ms"), ["carrier"], [Aggregation("delay", Op.SUM)]), COLUMNS
)


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    with SchemaRegistryServer() as registry:
        registry.add(subject_of(TOPIC, FeatureTile.FULL_NAME), platform_schemas()[FeatureTile.FULL_NAME])
        codec = Codec(registry.url)
        yield codec
        codec.close()


class Disk:
    """A store that can be closed and opened again."""

    def __init__(self, folder: Path, codec: Codec, cached_bytes: int = 100_000) -> None:
        self.folder, self.codec, self.cached_bytes = folder, codec, cached_bytes
        self.store = TileStore(folder, codec, TOPIC, cached_bytes)
        self.member = member(GROUP)

    def reopen(self) -> None:
        self.store.close()
        self.store = TileStore(self.folder, self.codec, TOPIC, self.cached_bytes)

    def commit(self, *tiles: Tile, offsets: Mapping[int, int], state_offsets: Mapping[int, int]) -> None:
        self.member.offsets.update(offsets)
        changed = MemberTiles(self.store, self.member)
        changed.change(tiles)
        self.store.commit(changed.encoded(), {self.member.place: self.member.offsets}, state_offsets)

    def load(self, *tiles: Tile) -> list[Tile | None]:
        return list(MemberTiles(self.store, self.member).load([tile.key for tile in tiles]))

    def restore(self, *tiles: Tile, state_offsets: Mapping[int, int]) -> None:
        """What the state topic has of these tiles."""
        found = []
        for tile in tiles:
            value = self.store.encode(self.member, tile)
            event = self.codec.decode(value)
            assert isinstance(event, FeatureTile)
            found.append((log_key("g", 1, tile.key, STREAM_RANK).encode(), event, value))
        self.store.restore(found, state_offsets)


@pytest.fixture
def disk(tmp_path: Path, codec: Codec) -> Iterator[Disk]:
    disk = Disk(tmp_path / "lane", codec)
    yield disk
    disk.store.close()


def tile(entity: str, seq: int, total: int) -> Tile:
    return Tile(
        TileKey(f'["{entity}"]', Level.ALL, 0), STREAM_RANK, seq, 1000 + seq, ((0, seq - 1), (3, 7)), (seq, total)
    )


def test_a_new_folder_knows_nothing(disk: Disk) -> None:
    assert disk.store.state_offsets() is None
    assert disk.store.offsets(("g", 1)) is None
    assert disk.load(tile("UA", 1, 5)) == [None]


def test_what_was_committed_is_there_after_a_restart(disk: Disk) -> None:
    disk.commit(tile("UA", 1, 5), tile("Ñ", 1, 2**62), offsets={0: 4, 1: 9}, state_offsets={2: 11})
    disk.commit(tile("UA", 2, 8), offsets={0: 5}, state_offsets={2: 12})

    disk.reopen()

    assert disk.load(tile("Ñ", 0, 0), tile("UA", 0, 0), tile("ZZ", 0, 0)) == [
        tile("Ñ", 1, 2**62),
        tile("UA", 2, 8),
        None,
    ]
    assert disk.store.offsets(("g", 1)) == {0: 5, 1: 9}
    assert disk.store.offsets(("g", 2)) is None
    assert disk.store.state_offsets() == {2: 12}


@pytest.mark.parametrize("positions", [(), ((0, 0),), ((3, 2**40), (0, 7))])
@pytest.mark.parametrize("start_ms", [0, 1_795_270_000_000])
def test_a_tile_is_written_as_any_avro_writer_does(disk: Disk, positions: Positions, start_ms: int) -> None:
    key = TileKey('["Ñ"]', Level.HOUR, start_ms)
    made = Tile(key, STREAM_RANK, 2**40, start_ms + 5, positions, (2**40, -(2**62)))
    event = FeatureTile(
        group="g",
        epoch=1,
        level=key.level,
        start_ms=start_ms,
        entity=key.entity,
        rank=STREAM_RANK,
        seq=made.seq,
        latest_ms=made.latest_ms,
        positions=tuple(SourceOffset(partition=where, offset=offset) for where, offset in positions),
        state=disk.member.codec.encode(made.state),
    )

    assert disk.store.encode(disk.member, made) == disk.codec.encode(event, TOPIC)


def test_changes_of_a_step_are_seen_by_it_before_they_are_committed(disk: Disk) -> None:
    disk.commit(tile("UA", 1, 5), offsets={0: 1}, state_offsets={})
    step = MemberTiles(disk.store, disk.member)
    step.change([tile("UA", 2, 9)])

    assert step.load([tile("UA", 0, 0).key]) == [tile("UA", 2, 9)]
    assert disk.load(tile("UA", 0, 0)) == [tile("UA", 1, 5)]


def test_restoring_takes_newer_tiles_alone_in_whatever_order(disk: Disk) -> None:
    disk.commit(tile("UA", 3, 30), tile("AA", 1, 1), offsets={0: 3}, state_offsets={0: 2})
    disk.reopen()

    disk.restore(tile("UA", 2, 20), tile("AA", 3, 3), tile("AA", 2, 2), tile("B6", 1, 7), state_offsets={0: 6, 1: 1})

    disk.reopen()
    assert disk.load(tile("UA", 0, 0), tile("AA", 0, 0), tile("B6", 0, 0)) == [
        tile("UA", 3, 30),
        tile("AA", 3, 3),
        tile("B6", 1, 7),
    ]
    assert disk.store.offsets(("g", 1)) == {0: 3}, "events are read again, and each tile knows what it has"
    assert disk.store.state_offsets() == {0: 6, 1: 1}


def test_more_tiles_than_are_cached_are_read_from_the_disk(tmp_path: Path, codec: Codec) -> None:
    disk = Disk(tmp_path / "lane", codec, cached_bytes=2)
    tiles = [tile(str(index), 1, index) for index in range(10)]
    disk.commit(*tiles, offsets={0: 1}, state_offsets={})

    assert disk.load(*tiles) == tiles
    disk.store.close()


def test_a_tile_that_was_erased_is_gone_from_memory_and_disk(disk: Disk) -> None:
    disk.commit(tile("UA", 1, 5), tile("B6", 1, 7), offsets={0: 1}, state_offsets={})
    disk.store.commit({log_key("g", 1, tile("UA", 1, 5).key, STREAM_RANK): (None, None)}, {}, {})

    assert disk.load(tile("UA", 0, 0), tile("B6", 0, 0)) == [None, tile("B6", 1, 7)]
    disk.reopen()
    assert disk.load(tile("UA", 0, 0), tile("B6", 0, 0)) == [None, tile("B6", 1, 7)]


def test_a_tile_that_has_outgrown_a_message_is_refused_and_changes_nothing(disk: Disk) -> None:
    seen = compile_group(
        GroupBy("g", EventSource("flights", "flights", "at_ms"), ["carrier"], [Aggregation("carrier", Op.HISTOGRAM)]),
        COLUMNS,
    )
    step = MemberTiles(disk.store, member(seen))
    small, huge = (tile("UA", 1, 0)._replace(state=(1, {"x" * size: 1})) for size in (10, MOST_BYTES))
    step.change([small])

    with pytest.raises(InvalidEvent, match=r'tile \["g",1,\["UA"\].* would have .* bytes; at most'):
        step.change([huge])

    assert [one for one, _ in step.encoded().values()] == [small]


def test_a_folder_that_another_worker_holds_says_what_to_do(disk: Disk, codec: Codec) -> None:
    with pytest.raises(PlatformError, match=r"is another worker running.*delete the folder"):
        TileStore(disk.folder, codec, TOPIC, 10)
