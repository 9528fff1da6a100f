"""The online store by its URL: one Redis, `redis://host:port/0`, or a cluster, `redis+cluster://host:port,host:port`."""

from typing import Any, TypeAlias

import redis
from redis.cluster import ClusterNode, RedisCluster

from bighead.client.cluster import MARKS, SCHEME, SHARDS, ClusterPipeline, nodes_of, shard_of, tagged
from bighead.client.redis import RedisPipeline

Client: TypeAlias = redis.Redis | RedisCluster


def is_cluster(url: str) -> bool:
    """Whether a URL names a cluster."""
    return url.startswith(f"{SCHEME}://")


def pipeline_of(url: str) -> RedisPipeline | ClusterPipeline:
    """Pipelines with asyncio."""
    return ClusterPipeline(url) if is_cluster(url) else RedisPipeline(url)


def client_of(url: str, timeout_s: float | None = None) -> Client:
    """The general client, which blocks, each operation at most `timeout_s` seconds."""
    if not is_cluster(url):
        return redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)
    credentials, seeds = nodes_of(url)
    user, _, password = credentials.rstrip("@").partition(":")
    return RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in seeds],  # type: ignore[no-untyped-call]
        username=user or None,
        password=password or None,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
    )


def tiles_key(url: str, key: str) -> str:
    """Where the hash of tiles lies that has this key in a store of one node."""
    return tagged(shard_of(key), key) if is_cluster(url) else key


def positions_of(client: Client, url: str, key: str) -> dict[int, int]:
    """The next offset of each partition of the state topic that the store does not reflect as a whole."""
    shards = [*map(str, range(SHARDS)), MARKS] if is_cluster(url) else None
    keys = [tagged(shard, key) for shard in shards] if shards else [key]
    first, *others = [{int(one): int(offset) for one, offset in _hash(client, one_key).items()} for one_key in keys]
    return {
        partition: min(offset, *(other[partition] for other in others)) if others else offset
        for partition, offset in first.items()
        if all(partition in other for other in others)
    }


def _hash(client: Any, key: str) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = client.hgetall(key)
    return found


def marks_key(url: str, key: str) -> str:
    """Where the marks lie that have this key in a store of one node."""
    return tagged(MARKS, key) if is_cluster(url) else key
