"""The peer: tiles kept by a plain Faust agent, as one writes it first. `python -m benchmarks.faust_agent HOW EVENTS`.

Avro is decoded by fastavro, tiles are kept in a dict, changed ones go to Redis in one pipeline: for each event, or with
`take` for each batch.
"""

import json
import struct
import sys
import time
from io import BytesIO
from typing import Any

import faust
import redis.asyncio as redis
from fastavro import parse_schema, schemaless_reader

from benchmarks import payments
from bighead import config
from bighead.config import Settings
from bighead.events.codec import FRAME

LEVELS = {"5m": 300_000, "1h": 3_600_000, "1d": 86_400_000}
BATCH = 500
WITHIN_S = 0.05
_STATE = struct.Struct(">qdd")
Tile = tuple[str, str, int]


class Tiles:
    """Count, sum and maximum of each account, level and start."""

    def __init__(self, settings: Settings, events: int) -> None:
        self._schema = parse_schema(payments.SCHEMA)
        self._tiles: dict[Tile, tuple[int, float, float]] = {}
        self._store = redis.Redis.from_url(settings.redis)
        self._left = events
        self._started = 0.0
        self._cpu_s = 0.0
        self._taken = 0
        self._reported = False

    def add(self, value: bytes) -> list[Tile]:
        """Takes an event into its tiles; which they are."""
        if not self._taken:
            self._started, self._cpu_s = time.perf_counter(), time.process_time()
        body = BytesIO(value)
        body.seek(FRAME.size)
        payment: dict[str, Any] = schemaless_reader(body, self._schema, None)  # type: ignore[assignment]
        at_ms, amount = payment["made_ms"], payment["amount"]
        changed = [(payment["account"], level, at_ms - at_ms % size_ms) for level, size_ms in LEVELS.items()]
        for tile in changed:
            count, total, largest = self._tiles.get(tile, (0, 0.0, amount))
            self._tiles[tile] = (count + 1, total + amount, max(largest, amount))
        self._left -= 1
        self._taken += 1
        return changed

    async def write(self, changed: set[Tile]) -> None:
        """Writes tiles to Redis."""
        async with self._store.pipeline(transaction=False) as pipeline:
            for tile in changed:
                account, level, start_ms = tile
                pipeline.hset(f"agent:{account}", f"{level}:{start_ms}", _STATE.pack(*self._tiles[tile]))
            await pipeline.execute()

    def report(self) -> None:
        """Prints the figures, once all events were taken."""
        if self._left <= 0 and not self._reported:
            self._reported = True
            seconds, used_s = time.perf_counter() - self._started, time.process_time() - self._cpu_s
            # Faust draws on standard output without ending its line.
            print("\n" + json.dumps({"events": self._taken, "seconds": seconds, "cpu_s": used_s}), flush=True)


def build(settings: Settings, how: str, events: int) -> faust.App:
    """The app with its one agent."""
    app = faust.App(
        f"benchmark-{how}",
        broker=f"kafka://{settings.kafka}",
        store="memory://",
        datadir=str(settings.home / "faust"),
        web_enabled=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )
    topic = app.topic(payments.TOPIC, value_type=bytes, key_type=bytes, value_serializer="raw", key_serializer="raw")
    tiles = Tiles(settings, events)

    async def each(stream: faust.StreamT[bytes]) -> None:
        async for value in stream:
            await tiles.write(set(tiles.add(value)))
            tiles.report()

    async def take(stream: faust.StreamT[bytes]) -> None:
        async for values in stream.take(BATCH, within=WITHIN_S):
            await tiles.write({tile for value in values for tile in tiles.add(value)})
            tiles.report()

    app.agent(topic)({"each": each, "take": take}[how])
    return app


def main() -> None:
    """Runs the agent until it has seen its events."""
    _, how, events = sys.argv
    app = build(config.load(), how, int(events))
    faust.Worker(app, loglevel="WARN", quiet=True, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
