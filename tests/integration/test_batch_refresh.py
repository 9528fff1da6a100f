"""The daily refresh on real parts: a cut that moves day by day, an epoch that waits and is compared, late events."""

from pathlib import Path

import pytest
import redis
from pyspark.sql import SparkSession

from batch import consistency
from batch.backfill import backfill_all, complete, newest_epochs
from batch.comparison import compare
from batch.explaining import LATE
from batch.refresh import Refreshed, refresh
from batch.training import write_training_set
from bighead.client.definitions import Definitions
from bighead.client.features import apply
from bighead.client.publish import Publisher
from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.log import read_log
from bighead.events.topics import FEATURES_EVENTS, MONITORING, PREDICTIONS, topic_name
from bighead.events.types import MetricComputed, PredictionServed, TrainingSetCreated
from bighead.features import Aggregation, EventSource, GroupBy, Op
from bighead.features.windows import DAY_MS, HOUR_MS
from tests.integration.batch_kit import CUT_MS, KEYS, BatchKit, departure, departures, worker

SINCE_MS = CUT_MS - 14 * DAY_MS


@pytest.fixture
def kit(ready_settings: Settings, spark: SparkSession) -> BatchKit:
    prepared = BatchKit(ready_settings, spark, [])
    prepared.prepare()
    return prepared


def silent(_: str) -> None:
    """Progress that nobody watches."""


def refreshed(kit: BatchKit, cut_ms: int) -> Refreshed:
    catalog = kit.catalog()
    return refresh(kit.spark, kit.settings, catalog, newest_epochs(catalog, None), cut_ms, 60.0, silent)


def fields(settings: Settings) -> int:
    """How many tiles the online store holds."""
    with redis.Redis.from_url(settings.redis) as client:
        return sum(client.hlen(key) for key in client.scan_iter(f"{settings.topic_prefix}:f:*"))


def wider_gate(kit: BatchKit) -> GroupBy:
    """The group `gate` with one feature more and one less."""
    source = EventSource(topic=kit.topic, table="flights/departed", time="at_ms")
    aggregations = [Aggregation("delay", Op.SUM, ["1h", "7d"]), Aggregation("delay", Op.LAST_K, ["7d"], {"k": 2})]
    return GroupBy("gate", source, ["carrier", "gate"], [*aggregations, Aggregation("delay", Op.LAST)])


def test_day_after_day_reads_stay_right_and_old_tiles_go(kit: BatchKit, tmp_path: Path) -> None:
    kit.publish(departures(SINCE_MS, CUT_MS + 2 * DAY_MS, 160))
    with worker(kit.settings, tmp_path / "worker.log"):
        first = refreshed(kit, CUT_MS)
        assert [one.events for one in first.landed] == [160]
        assert first.pruned == ()
        second = refreshed(kit, CUT_MS + DAY_MS)
        assert {one.group: one.days for one in second.groups} == {"carrier": 1, "gate": 1}
        before = fields(kit.settings)
        third = refreshed(kit, CUT_MS + 2 * DAY_MS)
        assert sum(one.tiles for one in third.pruned) > 0
        assert fields(kit.settings) < before + sum(one.tiles for one in third.groups)
        for query_ms in (CUT_MS + 2 * DAY_MS, CUT_MS + 3 * DAY_MS):
            assert kit.read(query_ms) == [kit.expected(keys, query_ms) for keys in KEYS]

        assert compare(kit.spark, kit.settings, kit.catalog(), "gate") is None
        apply(kit.settings, Definitions({"gate": wider_gate(kit)}, {}), actor="test", reason="wider")
        catalog = kit.catalog()
        done = backfill_all(kit.spark, kit.settings, newest_epochs(catalog, ["gate"]), CUT_MS + 2 * DAY_MS, silent)
        complete(kit.settings, done, 60.0, silent)
        found = compare(kit.spark, kit.settings, kit.catalog(), "gate")
        assert found is not None
        assert (found.live, found.shadow) == (1, 2)
        assert {one.feature for one in found.features} == {"gate_delay_sum_1h", "gate_delay_sum_7d", "gate_delay_last"}
        assert all(one.rows > 0 and one.same == one.rows for one in found.features)
        assert found.added == ("gate_delay_last_k_7d",)
        assert "gate_delay_sum_12d" in found.removed


def test_a_difference_names_the_event_that_came_late(kit: BatchKit) -> None:
    kit.publish(departures(SINCE_MS, CUT_MS, 40))
    keys, as_of_ms = KEYS[0], CUT_MS + HOUR_MS
    served = PredictionServed(
        prediction_id="p1",
        model="delay",
        version=1,
        entity='{"carrier":"UA","gate":1}',
        as_of_ms=as_of_ms,
        at_ms=0,
        server="server-1",
        join="flight",
        features=kit.expected(keys, as_of_ms),
        feature_epochs={"carrier": 1, "gate": 1},
        outputs={"probability": 0.5},
    )
    log = Publisher(kit.settings, "test")
    at_ms = arrived_ms(kit) + 1
    (late,) = kit.publish([departure(CUT_MS + 60_000, "UA", 1, 9.0)])
    record = PredictionServed.from_record(served.to_record() | {"at_ms": at_ms})
    log.publish(record, key=record.entity, topic=topic_name(kit.settings.topic_prefix, PREDICTIONS))
    log.flush()
    kit.land()
    events = consistency.read_served(kit.settings, log.codec, "flight", None, None, None)
    assert consistency.read_served(kit.settings, log.codec, "flight", None, None, None, 1e-9) == []
    result = consistency.check_consistency(kit.spark, kit.settings, kit.catalog(), "flight", events, silent)
    consistency.publish_verdict(kit.settings, result, "run", CUT_MS)
    log.codec.close()
    named = {one.feature: one for one in result.first}
    assert named["carrier_delay_count_1h"].cause == LATE
    assert named["carrier_delay_count_1h"].events == (str(late),)
    metrics = [one for one in decoded(kit, MONITORING) if isinstance(one, MetricComputed)]
    assert {one.segment: one.value for one in metrics}["carrier_delay_count_1h"] == 1.0
    assert {one.model for one in metrics} == {"delay"}


def arrived_ms(kit: BatchKit) -> int:
    """When the newest event so far reached Kafka."""
    return max(message.timestamp_ms for message in read_log(kit.settings, kit.topic))


def decoded(kit: BatchKit, topic: str) -> list[object]:
    """The events of one of the platform's topics."""
    codec = Codec(kit.settings.schema_registry)
    try:
        name = topic_name(kit.settings.topic_prefix, topic)
        return [codec.decode(message.value) for message in read_log(kit.settings, name)]
    finally:
        codec.close()


def test_a_training_set_is_recorded(kit: BatchKit) -> None:
    kit.publish(departures(SINCE_MS, CUT_MS, 20))
    landed = kit.land()
    left = kit.spark.createDataFrame(
        [("UA", 1, CUT_MS), ("AA", 2, CUT_MS + 5)], "carrier STRING, gate BIGINT, at BIGINT"
    )
    join = kit.catalog().join("flight")
    made = write_training_set(kit.spark, kit.settings, join, left, "at", "flights/training", silent)
    (event,) = [one for one in decoded(kit, FEATURES_EVENTS) if isinstance(one, TrainingSetCreated)]
    assert (event.join, event.join_hash, event.rows, event.table_version) == ("flight", join.hash, 2, 0)
    assert (event.epochs, event.sources) == ({"carrier": 1, "gate": 1}, {"flights/departed": landed.version})
    assert (event.from_ms, event.to_ms, event.features) == (CUT_MS, CUT_MS + 5, tuple(join.kinds))
    assert made.table.table == event.table
