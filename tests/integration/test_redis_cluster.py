"""Redis Cluster, three real nodes: reads equal the reference, writes are exact through moves, failures and crashes."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

from bighead import config
from bighead.client.cluster import MARKS, SHARDS, ClusterPipeline, shard_of, tagged
from bighead.client.online import OnlineReader
from bighead.client.store import client_of, positions_of, tiles_key
from bighead.client.visibility import Visibility
from bighead.config import Settings
from bighead.errors import StoreError
from bighead.events.message import Position
from bighead.features.fold import fold
from bighead.features.reference import SourceEvent, join_features
from bighead.features.tiles import StateCodec, positions_key, store_field, store_key, store_value, visible_key
from bighead.features.windows import HOUR_MS
from bighead.local.ports import free_settings
from streams.fence import Chunk
from streams.store_writer import ClusterWriter
from tests.conformance.cases import MIDNIGHT_MS, rows_of
from tests.e2e.kit import Source, catalog_of, folded
from tests.integration.redis_cluster import Cluster, running_cluster
from tests.integration.test_online import JOIN, SOURCE, catalog, event

PREFIX = "test"
QUERY_MS = MIDNIGHT_MS + 3 * HOUR_MS
EVENTS = [event(MIDNIGHT_MS + number, f"C{number % 40}", number % 7, number, number) for number in range(200)]
ENTITIES = [{"carrier": f"C{number}", "gate": number % 9} for number in range(45)]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def cluster(nodes: Cluster) -> Cluster:
    for node in nodes.nodes:
        node.flushall()
    return nodes


def chunk_of(events: Sequence[SourceEvent], expected: int | None, following: int) -> Chunk:
    """What the materializer makes of the tiles of these events, with a mark for the last."""
    chunk = Chunk()
    for group in JOIN.groups:
        codec, rows = StateCodec(group), rows_of(group, events)
        assert rows is not None
        for tile in fold(group, codec, rows, lambda keys: [None for _ in keys]):
            key = store_key(PREFIX, group.name, 1, tile.key.entity)
            name = store_field(tile.key.level, tile.key.start_ms)
            chunk.put_tile(key, name, store_value(tile.rank, tile.seq, codec.encode(tile.state)), None)
    chunk.marks[visible_key(PREFIX, "flights")] = {f"{state}:0": len(events) for state in range(4)}
    chunk.moves[0] = (expected, following)
    return chunk


async def read(url: str, entities: list[dict[str, Any]] = ENTITIES) -> Any:
    store = ClusterPipeline(url)
    known = catalog()
    rows = await OnlineReader(store, PREFIX, lambda: known).read("flight", entities, QUERY_MS, 5.0)
    await store.close()
    return rows


async def assert_reads(url: str, events: Sequence[SourceEvent]) -> None:
    for entity, row in zip(ENTITIES, await read(url), strict=True):
        assert row.values == join_features(JOIN, {"flights": events}, entity, QUERY_MS)


async def test_what_is_written_is_read_from_all_nodes(cluster: Cluster, tmp_path: Path) -> None:
    writer = ClusterWriter(cluster.url, positions_key(PREFIX))
    assert await writer.positions() == {}
    assert await writer.write(chunk_of(EVENTS, None, 200)) is None
    assert await writer.positions() == {0: 200}
    await writer.close()
    assert all(node.dbsize() > 10 for node in cluster.nodes)
    await assert_reads(cluster.url, EVENTS)
    settings = replace(free_settings(tmp_path), redis=cluster.url, topic_prefix=PREFIX, partitions=4)
    visibility = Visibility(settings)
    visibility.wait([Position("flights", 0, 199)], 5.0)
    visibility.close()
    client = client_of(cluster.url, 5.0)
    assert positions_of(client, cluster.url, positions_key(PREFIX)) == {0: 200}
    assert client.hlen(tiles_key(cluster.url, store_key(PREFIX, "carrier", 1, '["C1"]'))) == 4
    client.close()


async def test_a_writer_that_is_killed_between_shards_is_followed_by_one_that_goes_on_from_the_least(
    cluster: Cluster,
) -> None:
    writer = ClusterWriter(cluster.url, positions_key(PREFIX))
    await writer.positions()
    await writer.write(chunk_of(EVENTS[:100], None, 100))
    behind = tagged("7", positions_key(PREFIX))
    ahead = [tagged(str(shard), positions_key(PREFIX)) for shard in range(SHARDS) if shard != 7]
    store = ClusterPipeline(cluster.url)
    await store.execute([("HSET", key, "0", "200") for key in ahead], 5.0)  # as if these had been written up to 200
    again = ClusterWriter(cluster.url, positions_key(PREFIX))
    assert await again.positions() == {0: 100}
    assert await again.write(chunk_of(EVENTS, 100, 200)) is None
    assert await store.execute([("HGET", key, "0") for key in (behind, *ahead)], 5.0) == [b"200"] * SHARDS
    entity = next(one for one in ENTITIES if shard_of(store_key(PREFIX, "carrier", 1, f'["{one["carrier"]}"]')) == "7")
    (row,) = await read(cluster.url, [entity])
    expected = join_features(JOIN, {"flights": EVENTS}, entity, QUERY_MS)
    assert row.values["carrier_delay_last"] == expected["carrier_delay_last"]
    for one in (writer, again, store):
        await one.close()


async def test_a_writer_that_is_overtaken_writes_nothing_and_learns_where_the_store_is(cluster: Cluster) -> None:
    late, other = (ClusterWriter(cluster.url, positions_key(PREFIX)) for _ in range(2))
    await late.positions()
    await other.positions()
    assert await other.write(chunk_of(EVENTS, None, 200)) is None
    assert await late.write(chunk_of(EVENTS[:100], None, 100)) == {0: 200}
    await assert_reads(cluster.url, EVENTS)
    for one in (late, other):
        await one.close()


async def test_a_node_that_lost_everything_is_filled_again(cluster: Cluster) -> None:
    writer = ClusterWriter(cluster.url, positions_key(PREFIX))
    await writer.positions()
    await writer.write(chunk_of(EVENTS[:100], None, 100))
    cluster.nodes[1].flushall()
    assert await writer.write(chunk_of(EVENTS, 100, 200)) == {}  # from the beginning
    assert await writer.write(chunk_of(EVENTS, None, 200)) is None
    await assert_reads(cluster.url, EVENTS)
    await writer.close()


async def test_slots_that_move_are_followed(cluster: Cluster) -> None:
    writer = ClusterWriter(cluster.url, positions_key(PREFIX))
    await writer.positions()
    await writer.write(chunk_of(EVENTS, None, 200))
    shard = shard_of(store_key(PREFIX, "carrier", 1, '["C1"]'))
    slot = key_slot(tagged(shard, "").encode())
    source = slot * 3 // 16_384
    target = (source + 1) % 3
    store, known = ClusterPipeline(cluster.url), catalog()
    reader = OnlineReader(store, PREFIX, lambda: known)
    for finish in (False, True):  # ASK while it moves, MOVED afterwards
        await reader.read("flight", ENTITIES, QUERY_MS, 5.0)
        cluster.move_slot(slot, source, target, finish=finish)
        for entity, row in zip(ENTITIES, await reader.read("flight", ENTITIES, QUERY_MS, 5.0), strict=True):
            assert row.values == join_features(JOIN, {"flights": EVENTS}, entity, QUERY_MS)
    assert await writer.write(chunk_of(EVENTS, 200, 300)) is None
    cluster.move_slot(slot, target, source, finish=True)
    assert reader.failures == 0
    await store.close()
    await writer.close()


async def test_what_is_no_cluster_is_said() -> None:
    with pytest.raises(StoreError, match="names no cluster; expected redis\\+cluster://host:port"):
        ClusterPipeline("redis+cluster://localhost")
    store = ClusterPipeline("redis+cluster://127.0.0.1:1")
    (reply,) = await store.ask([("GET", "x")], 2.0)
    assert "no cluster at" in str(reply)
    assert tagged(MARKS, "x") == "{marks}x"


SCHEMA = {
    "type": "record",
    "name": "Flight",
    "namespace": "cluster",
    "fields": [
        {"name": "at_ms", "type": "long", "default": 0},
        {"name": "carrier", "type": "string", "default": ""},
        {"name": "gate", "type": "long", "default": 0},
        {"name": "delay", "type": "long", "default": 0},
    ],
}


@contextmanager
def worker(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Lane and materializer as a process, killed at the end."""
    command = [sys.executable, "-m", "streams", "--only", "lane,materializer"]
    with (settings.home / "worker.log").open("ab") as log:
        process = subprocess.Popen(command, env=os.environ | config.variables(settings), stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


async def test_a_worker_that_is_killed_leaves_the_same_tiles_as_one_fold(
    cluster: Cluster, ready_settings: Settings
) -> None:
    settings = replace(ready_settings, redis=cluster.url)
    source = Source(settings, f"flights-{settings.topic_prefix}", SCHEMA, "carrier")
    groups = [replace(group.definition, source=replace(SOURCE, topic=source.topic)) for group in JOIN.groups]
    records = [one.record for one in EVENTS]
    with worker(settings):
        source.apply(groups, JOIN.definition)
        source.await_visible(source.publish(records[:100]))
        source.publish(records[100:150])
    with worker(settings):
        source.publish(records[150:])
        source.await_visible(source.ends)
    found = {key: values for node in cluster.nodes for key, values in hashes(node, settings.topic_prefix).items()}
    assert found == {
        key: values
        for group in catalog_of(settings).join("flight").groups
        for key, values in folded(settings, group, source.events).items()
    }


def hashes(node: Any, prefix: str) -> dict[bytes, dict[bytes, bytes]]:
    """The tiles of a node, by the keys that they have in a store of one node."""
    return {key.partition(b"}")[2]: node.hgetall(key) for key in node.scan_iter(f"{{*}}{prefix}:f:*", count=1000)}
