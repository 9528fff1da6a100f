"""What tests of batch share: a source of departures with a Join over it, published, landed and read back."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from batch.land import Landed, land, sources_of
from batch.tables import table_path
from bighead import config
from bighead.client.catalog import read_catalog
from bighead.client.features import Definitions, apply
from bighead.client.online import OnlineReader
from bighead.client.publish import Publisher
from bighead.client.redis import RedisPipeline
from bighead.client.visibility import Visibility
from bighead.config import Settings
from bighead.events import admin
from bighead.events.codec import Codec
from bighead.events.message import Position
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op
from bighead.features.catalog import Catalog
from bighead.features.reference import SourceEvent, join_features
from bighead.features.windows import DAY_MS, HOUR_MS, MINUTE_MS

CUT_MS = 1_383_264_000_000  # 2013-11-01T00:00Z
FULL_NAME = "test.Departed"
SCHEMA = {
    "type": "record",
    "name": "Departed",
    "namespace": "test",
    "fields": [
        {"name": "at_ms", "type": "long"},
        {"name": "carrier", "type": "string"},
        {"name": "gate", "type": "long"},
        {"name": "delay", "type": ["null", "double"], "default": None},
    ],
}
KEYS: list[dict[str, Any]] = [{"carrier": carrier, "gate": gate} for carrier in ("UA", "AA", "none") for gate in (1, 2)]
QUERIES_MS = (CUT_MS, CUT_MS + 1, CUT_MS + 7 * MINUTE_MS, CUT_MS + HOUR_MS, CUT_MS + 30 * HOUR_MS, CUT_MS + 9 * DAY_MS)


def departure(at_ms: int, carrier: str, gate: int, delay: float | None) -> dict[str, Any]:
    """One event."""
    return {"at_ms": at_ms, "carrier": carrier, "gate": gate, "delay": delay}


def departures(from_ms: int, until_ms: int, count: int) -> list[dict[str, Any]]:
    """Events spread over a time, with nulls, two events in one millisecond, and delays that sum exactly."""
    step_ms = (until_ms - from_ms) // count
    return [
        departure(
            from_ms + step_ms * (at - at % 7 // 6),
            ("UA", "AA", "DL")[at % 3],
            1 + at % 2,
            None if at % 11 == 0 else float(at % 90) / 4,
        )
        for at in range(count)
    ]


@dataclass
class BatchKit:
    """One topic under the test's own names, its table, and the Join `flight` over two groups."""

    settings: Settings
    spark: SparkSession
    published: list[tuple[dict[str, Any], Position]]

    @property
    def topic(self) -> str:
        """The source's topic."""
        return f"departed-{self.settings.topic_prefix}"

    @property
    def path(self) -> str:
        """Where its table lies."""
        return table_path(self.settings.lake, "flights/departed")

    def prepare(self) -> None:
        """The topic, its schema and the definitions, applied."""
        admin.create_topic(self.settings, self.topic, 2)
        admin.register_schema(self.settings, self.topic, SCHEMA)
        source = EventSource(topic=self.topic, table="flights/departed", time="at_ms")
        windows = ["10m", "1h", "1d", "7d", "12d"]
        carrier = GroupBy(
            "carrier", source, ["carrier"], [Aggregation("delay", op, windows) for op in (Op.COUNT, Op.AVERAGE, Op.MAX)]
        )
        aggregations = [Aggregation("delay", Op.SUM, windows), Aggregation("delay", Op.LAST)]
        gate = GroupBy("gate", source, ["carrier", "gate"], aggregations)
        join = Join("flight", Keys("carrier", "gate"), [carrier, gate], {"late": "gate_delay_last > 15"})
        definitions = Definitions({"carrier": carrier, "gate": gate}, {"flight": join})
        apply(self.settings, definitions, actor="test", reason="test")

    def publish(self, events: Sequence[Mapping[str, Any]]) -> list[Position]:
        """Sends events and remembers where they lie."""
        publisher = Publisher(self.settings, "test")
        deliveries = [
            publisher.publish_record(self.topic, FULL_NAME, event, key=event["carrier"], time_ms=event["at_ms"])
            for event in events
        ]
        publisher.flush()
        positions = [delivery.position() for delivery in deliveries]
        publisher.codec.close()
        self.published += [(dict(event), position) for event, position in zip(events, positions, strict=True)]
        return positions

    def land(self) -> Landed:
        """The topic into its table."""
        _, times = sources_of(self.catalog(), self.topic)
        return land(self.spark, self.settings, self.topic, self.path, times, lambda _: None)

    def landed(self) -> list[tuple[dict[str, Any], Position]]:
        """What is in the table, in the order of the topic."""
        rows = self.spark.read.format("delta").load(self.path).toArrow().to_pylist()
        found = [(row, Position(self.topic, row.pop("_partition"), row.pop("_offset"))) for row in rows]
        return sorted(found, key=lambda one: one[1])

    def catalog(self) -> Catalog:
        """The catalog as of now."""
        codec = Codec(self.settings.schema_registry)
        try:
            return read_catalog(self.settings, codec)
        finally:
            codec.close()

    def expected(self, keys: Mapping[str, Any], query_ms: int) -> dict[str, Any]:
        """What the reference says of everything that was published."""
        events = [SourceEvent(event, position.partition, position.offset) for event, position in self.published]
        return join_features(self.catalog().join("flight"), {self.topic: events}, keys, query_ms)

    def read(self, query_ms: int) -> list[dict[str, Any]]:
        """The online features of all keys."""
        catalog = self.catalog()

        async def run() -> list[dict[str, Any]]:
            store = RedisPipeline(self.settings.redis)
            try:
                reader = OnlineReader(store, self.settings.topic_prefix, lambda: catalog)
                return [row.values for row in await reader.read("flight", KEYS, query_ms, 5.0)]
            finally:
                await store.close()

        return asyncio.run(run())

    def wait(self, positions: Sequence[Position]) -> None:
        """Until the online store reflects these events."""
        visibility = Visibility(self.settings)
        try:
            visibility.wait(positions, 60.0)
        finally:
            visibility.close()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python -m batch` as a user runs it."""
        environment = config.inherited_environment() | config.variables(self.settings)
        return subprocess.run(
            [sys.executable, "-m", "batch", *arguments], env=environment, capture_output=True, text=True, check=False
        )


@contextmanager
def worker(settings: Settings, log: Path) -> Iterator[None]:
    """Lane and materializer, as a process of their own."""
    environment = config.inherited_environment() | config.variables(settings)
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams", "--only", "lane,materializer"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)
