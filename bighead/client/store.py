"""The online store by its URL: one Redis, `redis://host:port/0`, or a cluster, `redis+cluster://host:port,host:port`."""

import redis
from redis.cluster import ClusterNode, RedisCluster

from bighead.client.cluster import MARKS, SCHEME, ClusterPipeline, nodes_of, tagged
from bighead.client.redis import RedisPipeline


def is_cluster(url: str) -> bool:
    """Whether a URL names a cluster."""
    return url.startswith(f"{SCHEME}://")


def pipeline_of(url: str) -> RedisPipeline | ClusterPipeline:
    """Pipelines with asyncio."""
    return ClusterPipeline(url) if is_cluster(url) else RedisPipeline(url)


def client_of(url: str) -> "redis.Redis | RedisCluster":
    """The general client, which blocks; replies are text."""
    if not is_cluster(url):
        return redis.Redis.from_url(url, decode_responses=True)
    credentials, seeds = nodes_of(url)
    user, _, password = credentials.rstrip("@").partition(":")
    nodes = [ClusterNode(host, port) for host, port in seeds]  # type: ignore[no-untyped-call]
    return RedisCluster(startup_nodes=nodes, username=user or None, password=password or None, decode_responses=True)


def marks_key(url: str, key: str) -> str:
    """Where the marks lie that have this key in a store of one node."""
    return tagged(MARKS, key) if is_cluster(url) else key
