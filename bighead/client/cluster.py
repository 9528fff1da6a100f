"""Pipelines to a Redis Cluster: each command goes to the node that holds its key, one pipeline for each node.

What redis-py says of the topology is used; MOVED and ASK are followed. Keys get one of `SHARDS` hash tags, so that one
script can write many of them: those with the same tag lie in one slot, whatever nodes there are.
"""

import asyncio
from binascii import crc_hqx
from collections.abc import Sequence
from time import monotonic
from typing import Any

import redis.asyncio as aioredis
from redis.asyncio.cluster import ClusterNode
from redis.crc import key_slot
from redis.exceptions import RedisClusterException, RedisError

from bighead.client.redis import Command, Packed, Redirected, RedisPipeline, Refused, Take
from bighead.errors import BigheadError, DeadlineExceeded, StoreError

SCHEME = "redis+cluster"
SHARDS = 64
"""How many hash tags there are, and thus the most nodes among which tiles are spread."""
MARKS = "marks"
"""The hash tag of the marks that say what is visible."""
_MOST_HOPS = 5
_LEARN_EVERY_S = 0.5


def shard_of(key: str) -> str:
    """The shard of a hash of tiles: the CRC-16 of its key in a store of one node, modulo `SHARDS`."""
    return str(crc_hqx(key.encode(), 0) % SHARDS)


def tagged(shard: str, key: str) -> str:
    """A key of one shard."""
    return f"{{{shard}}}{key}"


def nodes_of(url: str) -> tuple[str, list[tuple[str, int]]]:
    """Credentials with their `@`, if any, and the addresses of `redis+cluster://user:password@host:port,host:port`."""
    rest = url.removeprefix(f"{SCHEME}://").rstrip("/")
    credentials, at, addresses = rest.rpartition("@")
    found = [address.rpartition(":") for address in addresses.split(",")]
    if not all(host and port.isdigit() for host, _, port in found):
        raise StoreError(f"{url!r} names no cluster; expected {SCHEME}://host:port[,host:port]")
    return credentials + at, [(host, int(port)) for host, _, port in found]


class ClusterPipeline:
    """The same as RedisPipeline for a cluster; a command's first argument after its name is its key."""

    def __init__(self, url: str) -> None:
        self._credentials, self._seeds = nodes_of(url)
        self._nodes: dict[str, RedisPipeline] = {}
        self._slots: dict[int, str] = {}
        self._learning = asyncio.Lock()
        self._learned_s = 0.0

    def key_of(self, key: str) -> str:
        """Where the hash of tiles lies that has this key in a store of one node."""
        return tagged(shard_of(key), key)

    async def execute(self, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        """The replies, in order. Raises StoreError, or DeadlineExceeded after `timeout_s` seconds."""
        replies = await self.ask(commands, timeout_s)
        for reply in replies:
            if isinstance(reply, BigheadError):
                raise reply
        return replies

    async def ask(self, commands: Sequence[Command], timeout_s: float, take: Take | None = None) -> list[Any]:
        """The same as `RedisPipeline.ask`, each node asked for its part."""
        until_s = monotonic() + timeout_s
        replies: list[Any] = [None] * len(commands)
        waiting = dict.fromkeys(range(len(commands)), ("", False))
        for hop in range(_MOST_HOPS):
            if not self._slots or hop:
                try:
                    await self._learn(until_s - monotonic())
                except BigheadError as error:
                    return [error if index in waiting else reply for index, reply in enumerate(replies)]
            by_node: dict[str, list[tuple[int, bool]]] = {}
            for index, (address, asking) in waiting.items():
                by_node.setdefault(address or self._slots.get(_slot(commands[index]), ""), []).append((index, asking))
            left_s = until_s - monotonic()
            asked = (self._ask(address, places, commands, replies, left_s, take) for address, places in by_node.items())
            await asyncio.gather(*asked)
            waiting = {
                index: (reply.address, reply.asking)
                for index, reply in enumerate(replies)
                if isinstance(reply, Redirected)
            }
            if not waiting:
                break
        if any(isinstance(reply, StoreError) and not isinstance(reply, Refused) for reply in replies):
            self._slots = {}  # a node that is gone may have been replaced
        return replies

    async def close(self) -> None:
        """Closes the connections."""
        for node in self._nodes.values():
            await node.close()

    async def _ask(
        self,
        address: str,
        places: Sequence[tuple[int, bool]],
        commands: Sequence[Command],
        replies: list[Any],
        timeout_s: float,
        take: Take | None,
    ) -> None:
        """Asks one node; each command that is at home elsewhere for the moment comes after an ASKING."""
        if not address:
            for index, _ in places:
                replies[index] = StoreError("no node of the cluster serves the slot of this key")
            return
        if address not in self._nodes:
            self._nodes[address] = RedisPipeline(f"redis://{self._credentials}{address}/0")
        sent: list[Command] = []
        kept: list[int] = []
        for index, asking in places:
            if asking:
                sent.append(("ASKING",))
            kept.append(len(sent))
            sent.append(commands[index])
        index_of = dict(zip(kept, (index for index, _ in places), strict=True))

        def taken(place: int, reply: Any) -> Any:
            return reply if take is None or place not in index_of else take(index_of[place], reply)

        found = await self._nodes[address].ask(sent, timeout_s, taken)
        for (index, _), place in zip(places, kept, strict=True):
            replies[index] = found[place]

    async def _learn(self, timeout_s: float) -> None:
        """Asks the cluster which node serves which slot, not more often than twice a second."""
        async with self._learning:
            if self._slots and monotonic() - self._learned_s < _LEARN_EVERY_S:
                return
            seeds = [ClusterNode(host, port) for host, port in self._known()]
            user, _, password = self._credentials.rstrip("@").partition(":")
            cluster = aioredis.RedisCluster(startup_nodes=seeds, username=user or None, password=password or None)
            try:
                async with asyncio.timeout(timeout_s):
                    await cluster.initialize()
                slots = cluster.nodes_manager.slots_cache
                self._slots = {slot: f"{nodes[0].host}:{nodes[0].port}" for slot, nodes in slots.items()}
                self._learned_s = monotonic()
            except TimeoutError:
                raise DeadlineExceeded(f"the cluster did not answer within {timeout_s * 1000:.0f} ms") from None
            except (RedisError, RedisClusterException, OSError) as error:
                raise StoreError(f"no cluster at {self._seeds}: {error}") from error
            finally:
                await cluster.aclose()

    def _known(self) -> list[tuple[str, int]]:
        nodes = [address.rpartition(":") for address in self._nodes]
        return [*self._seeds, *((host, int(port)) for host, _, port in nodes if (host, int(port)) not in self._seeds)]


def _slot(command: Command) -> int:
    if isinstance(command, Packed):
        return key_slot(command.key)
    key = command[3] if command[0] in ("EVAL", "EVALSHA") else command[1]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())
