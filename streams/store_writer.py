"""Writes chunks to the online store, fenced by the positions that the store itself keeps: one Redis, or a cluster.

In a cluster a script writes within one slot only. So each shard has positions of its own, which move with its tiles,
and the marks are a shard that is written last: what they say is visible is visible whenever a writer is killed.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bighead.client.cluster import MARKS, SHARDS, ClusterPipeline, shard_of, tagged
from bighead.client.redis import RedisPipeline, Refused
from bighead.client.store import is_cluster
from bighead.errors import BigheadError
from streams.fence import SCRIPT, Chunk

TIMEOUT_S = 5.0
Positions = dict[int, int]


class StoreWriter(Protocol):
    """What the materializer needs of the store. What raises StoreError or DeadlineExceeded can be called again."""

    async def positions(self) -> Positions:
        """The next offset of each partition of the state topic that the store does not reflect as a whole."""

    async def write(self, chunk: Chunk) -> Positions | None:
        """Writes a chunk, and gives None; or writes nothing, or not all, and gives the positions to go on from."""

    async def close(self) -> None:
        """Disconnects."""


def writer_of(url: str, positions_key: str) -> StoreWriter:
    """The writer for a store."""
    return ClusterWriter(url, positions_key) if is_cluster(url) else SingleWriter(url, positions_key)


class SingleWriter:
    """One Redis: all of a chunk in one call."""

    def __init__(self, url: str, positions_key: str) -> None:
        self._store = RedisPipeline(url)
        self._key = positions_key
        self._sha = b""

    async def positions(self) -> Positions:
        """See `StoreWriter`."""
        return _pairs(await self._ask("HGETALL", self._key))

    async def write(self, chunk: Chunk) -> Positions | None:
        """See `StoreWriter`."""
        try:
            if not self._sha:
                self._sha = await self._ask("SCRIPT", "LOAD", SCRIPT)
            written, found = await self._ask("EVALSHA", self._sha, *chunk.arguments(self._key))
        except BigheadError:
            self._sha = b""  # a store that was restarted does not know the script
            raise
        return None if written else _pairs(found)

    async def close(self) -> None:
        """Disconnects."""
        await self._store.close()

    async def _ask(self, *command: Any) -> Any:
        (reply,) = await self._store.execute([command], TIMEOUT_S)
        return reply


class ClusterWriter:
    """A cluster: a call for each shard, the marks last. After a crash the shards differ, and go on from the least."""

    def __init__(self, url: str, positions_key: str) -> None:
        self._store = ClusterPipeline(url)
        self._shards = [str(number) for number in range(SHARDS)]
        self._keys = {shard: tagged(shard, positions_key) for shard in (*self._shards, MARKS)}
        self._reached: dict[str, Positions] = {}
        self._sha = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

    async def positions(self) -> Positions:
        """See `StoreWriter`."""
        replies = await self._store.execute([("HGETALL", key) for key in self._keys.values()], TIMEOUT_S)
        self._reached = {shard: _pairs(reply) for shard, reply in zip(self._keys, replies, strict=True)}
        return self._least()

    async def write(self, chunk: Chunk) -> Positions | None:
        """See `StoreWriter`."""
        parts = _split(chunk)
        for shards in (self._shards, [MARKS]):
            if not await self._write({shard: parts.get(shard, Chunk()) for shard in shards}, chunk.moves):
                return await self.positions()
        return None

    async def close(self) -> None:
        """Disconnects."""
        await self._store.close()

    async def _write(self, parts: Mapping[str, Chunk], moves: Mapping[int, tuple[int | None, int]]) -> bool:
        """Whether every shard was where it was thought to be. What was written before stays so after a failure."""
        going = {shard: part for shard, part in parts.items() if self._moved(shard, part, moves)}
        replies = await self._evaluate({shard: part.arguments(self._keys[shard]) for shard, part in going.items()})
        in_place = True
        failure: BigheadError | None = None
        for (shard, part), reply in zip(going.items(), replies, strict=True):
            if isinstance(reply, BigheadError):
                failure = reply
            elif reply[0]:
                self._reached[shard] |= {partition: following for partition, (_, following) in part.moves.items()}
            else:
                in_place = False
        if failure is not None and in_place:
            raise failure
        return in_place

    def _moved(self, shard: str, part: Chunk, moves: Mapping[int, tuple[int | None, int]]) -> bool:
        """Gives a part its own moves; False where the shard reflects all of the chunk already."""
        reached = self._reached.setdefault(shard, {})
        part.moves = {
            partition: (reached.get(partition), max(following, reached.get(partition, 0)))
            for partition, (_, following) in moves.items()
        }
        return any(expected != following for expected, following in part.moves.values())

    async def _evaluate(self, arguments: Mapping[str, Sequence[Any]]) -> list[Any]:
        """The replies; a node that does not know the script is given it."""
        replies = await self._store.ask([("EVALSHA", self._sha, *one) for one in arguments.values()], TIMEOUT_S)
        for index, one in enumerate(arguments.values()):
            if isinstance(replies[index], Refused) and "NOSCRIPT" in str(replies[index]):
                (replies[index],) = await self._store.ask([("EVAL", SCRIPT, *one)], TIMEOUT_S)
        return replies

    def _least(self) -> Positions:
        first, *others = self._reached.values()
        return {
            partition: min(offset, *(other[partition] for other in others))
            for partition, offset in first.items()
            if all(partition in other for other in others)
        }


def _split(chunk: Chunk) -> dict[str, Chunk]:
    """A chunk by shard, with the keys that its hashes have there."""
    parts: dict[str, Chunk] = {}
    for key, tiles in chunk.tiles.items():
        shard = shard_of(key)
        part, there = parts.setdefault(shard, Chunk()), tagged(shard, key)
        part.tiles[there], part.ttls_ms[there] = tiles, chunk.ttls_ms[key]
        if key in chunk.erased:
            part.erased[there] = chunk.erased[key]
    parts[MARKS] = Chunk(marks={tagged(MARKS, key): marks for key, marks in chunk.marks.items()})
    return parts


def _pairs(flat: Sequence[bytes]) -> Positions:
    values = [int(value) for value in flat]
    return dict(zip(values[::2], values[1::2], strict=True))
