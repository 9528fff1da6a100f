"""Batch on real parts: events landed once, backfills that meet the stream, and checks of what was served."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from pyspark.sql import SparkSession

from batch import consistency
from batch.backfill import backfill_all, complete, newest_epochs
from batch.tables import table_path, write_history
from bighead.client.publish import Publisher
from bighead.config import Settings
from bighead.errors import ConfigError, NotReady
from bighead.events.codec import Codec
from bighead.events.headers import REPLAY_OF, REPLAY_STAGE
from bighead.events.log import read_log
from bighead.events.sender import Sender
from bighead.events.topics import PREDICTIONS, RUNS, topic_name
from bighead.events.types import HealthChecked, PredictionServed, RunFinished, RunStarted
from bighead.features.windows import DAY_MS, HOUR_MS
from tests.integration.batch_kit import (
    CUT_MS,
    FULL_NAME,
    KEYS,
    QUERIES_MS,
    BatchKit,
    departure,
    departures,
    worker,
)

SINCE_MS = CUT_MS - 14 * DAY_MS


@pytest.fixture
def kit(ready_settings: Settings, spark: SparkSession) -> BatchKit:
    prepared = BatchKit(ready_settings, spark, [])
    prepared.prepare()
    return prepared


def silent(_: str) -> None:
    """Progress that nobody watches."""


def send(kit: BatchKit, value: bytes | None, *headers: tuple[str, str]) -> int:
    """Sends bytes as they are to partition 0; returns the offset."""
    sender = Sender(kit.settings)
    encoded = [(name, text.encode()) for name, text in headers]
    return sender.send(kit.topic, b"UA", value, encoded, 0).position().offset


def encoded(kit: BatchKit, event: dict[str, Any]) -> bytes:
    codec = Codec(kit.settings.schema_registry)
    try:
        return codec.encode_record(kit.topic, FULL_NAME, event)
    finally:
        codec.close()


def test_each_event_is_landed_once_and_what_the_stream_refuses_is_counted(kit: BatchKit) -> None:
    kit.publish(departures(SINCE_MS, CUT_MS, 40))
    send(kit, b"no avro at all")
    send(kit, encoded(kit, departure(1_383_264_000, "UA", 1, 1.0)))  # seconds

    first = kit.land()
    assert (first.events, first.refused) == (40, 2)
    assert any("0x00" in reason for reason in first.reasons)
    assert any("multiply by 1000" in reason for reason in first.reasons)
    assert kit.landed() == sorted(kit.published, key=lambda one: one[1])

    again = kit.land()
    assert (again.events, again.refused, again.version) == (0, 0, first.version)

    kit.publish(departures(CUT_MS, CUT_MS + DAY_MS, 3))
    assert kit.land().events == 3
    assert kit.landed() == sorted(kit.published, key=lambda one: one[1])


def test_a_run_that_died_after_its_commit_is_run_again_without_harm(kit: BatchKit) -> None:
    kit.publish(departures(SINCE_MS, CUT_MS, 10))
    before = kit.land()
    # What a kill between Delta's commit and Spark's leaves behind: the batch is planned, and not known to be done.
    for file in Path(kit.path, "_landed", kit.topic, "commits").iterdir():
        file.unlink()
    kit.publish(departures(CUT_MS, CUT_MS + DAY_MS, 2))

    after = kit.land()
    assert (before.events, after.events) == (10, 2)
    assert kit.landed() == sorted(kit.published, key=lambda one: one[1])


def test_replayed_dead_letters_are_landed_as_the_stream_takes_them(kit: BatchKit) -> None:
    event = departure(CUT_MS, "UA", 1, 3.0)
    (original,) = kit.publish([event])
    kit.land()
    value = encoded(kit, event)
    lost = send(kit, b"broken")
    of = (REPLAY_OF, f"{kit.topic}/0/{lost}")
    send(kit, value, (REPLAY_OF, str(original)), (REPLAY_STAGE, "lane"))  # its original could be read here
    send(kit, value, of, (REPLAY_STAGE, "lane:gate"))  # for one group, to which the original is known
    send(kit, value, of, (REPLAY_STAGE, "monitoring"))
    repaired = send(kit, value, of, (REPLAY_STAGE, "lane"))

    landed = kit.land()
    assert (landed.events, landed.refused) == (1, 1)
    assert [position.offset for _, position in kit.landed() if position != original] == [repaired]


def test_a_table_of_other_types_and_a_missing_topic_are_refused(kit: BatchKit) -> None:
    kit.publish(departures(SINCE_MS, CUT_MS, 1))
    write_history(kit.spark, kit.path, pa.table({"at_ms": [CUT_MS], "carrier": [5]}), "at_ms")
    with pytest.raises(ConfigError, match="'carrier' is long there and string in the events"):
        kit.land()


def test_backfill_and_stream_answer_as_one(kit: BatchKit, tmp_path: Path) -> None:
    history = departures(SINCE_MS, CUT_MS, 120)
    kit.publish(history)
    kit.land()
    with worker(kit.settings, tmp_path / "worker.log"):
        done = backfill_all(kit.spark, kit.settings, newest_epochs(kit.catalog(), None), CUT_MS, silent)
        complete(kit.settings, done, 60.0, silent)
        assert kit.catalog().group("gate").cut_ms == CUT_MS
        # Of 14 days the longest window of `carrier` holds 12; `gate` has a feature without a window.
        assert {one.group: one.events for one in done} == {"carrier": 102, "gate": 120}
        live = departures(CUT_MS, CUT_MS + 2 * DAY_MS, 60)
        kit.wait(kit.publish(live))
        for query_ms in QUERIES_MS:
            assert kit.read(query_ms) == [kit.expected(keys, query_ms) for keys in KEYS]

        before = tiles_of(kit.settings)
        again = backfill_all(kit.spark, kit.settings, newest_epochs(kit.catalog(), None), CUT_MS, silent)
        complete(kit.settings, again, 60.0, silent)
        assert tiles_of(kit.settings) == before

        # Late: the stream leaves it out, and the next backfill takes it in.
        kit.wait(kit.publish([departure(CUT_MS - HOUR_MS, "UA", 1, 500.0)]))
        assert kit.read(CUT_MS + HOUR_MS)[0] != kit.expected(KEYS[0], CUT_MS + HOUR_MS)
        kit.land()
        late = backfill_all(kit.spark, kit.settings, newest_epochs(kit.catalog(), None), CUT_MS, silent)
        complete(kit.settings, late, 60.0, silent)
        for query_ms in QUERIES_MS:
            assert kit.read(query_ms) == [kit.expected(keys, query_ms) for keys in KEYS]


def tiles_of(settings: Settings) -> dict[bytes, dict[bytes, bytes]]:
    """Every tile of the online store."""
    with redis.Redis.from_url(settings.redis) as client:
        keys = client.scan_iter(f"{settings.topic_prefix}:f:*")
        return {key: client.hgetall(key) for key in keys}


def test_a_backfill_without_a_stream_says_so(kit: BatchKit) -> None:
    kit.publish(departures(SINCE_MS, CUT_MS, 5))
    kit.land()
    done = backfill_all(kit.spark, kit.settings, newest_epochs(kit.catalog(), ["carrier"]), CUT_MS, silent)
    with pytest.raises(NotReady, match="Is the stream worker running"):
        complete(kit.settings, done, 0.1, silent)
    assert kit.catalog().group("carrier").cut_ms is None
    complete(kit.settings, done, 0.0, silent)
    assert kit.catalog().group("carrier").cut_ms == CUT_MS


def served(kit: BatchKit, number: int, keys: dict[str, Any], as_of_ms: int) -> PredictionServed:
    """A prediction as a right server logs it."""
    return PredictionServed(
        prediction_id=f"p{number}",
        model="delay",
        version=1,
        entity=json.dumps(keys, sort_keys=True, separators=(",", ":")),
        as_of_ms=as_of_ms,
        at_ms=as_of_ms,
        server="server-1",
        join="flight",
        features=kit.expected(keys, as_of_ms),
        feature_epochs={"carrier": 1, "gate": 1},
        outputs={"probability": 0.5},
    )


def log_predictions(kit: BatchKit, events: list[PredictionServed]) -> None:
    publisher = Publisher(kit.settings, "test")
    for event in events:
        publisher.publish(event, key=event.entity, topic=topic_name(kit.settings.topic_prefix, PREDICTIONS))
    publisher.flush()
    publisher.codec.close()


def check(kit: BatchKit, model: str) -> consistency.Consistency:
    codec = Codec(kit.settings.schema_registry)
    events = consistency.read_served(kit.settings, codec, "flight", model, None, None)
    result = consistency.check_consistency(kit.spark, kit.settings, kit.catalog(), "flight", events, silent)
    consistency.publish_verdict(kit.settings, result, f"run-{model}", CUT_MS)
    codec.close()
    return result


def test_what_was_served_is_recomputed_and_every_difference_named(kit: BatchKit) -> None:
    kit.publish(departures(SINCE_MS, CUT_MS + DAY_MS, 80))
    kit.land()
    asked = [(keys, query_ms) for keys in KEYS for query_ms in QUERIES_MS]
    right = [served(kit, number, keys, query_ms) for number, (keys, query_ms) in enumerate(asked)]
    log_predictions(kit, right)
    good = check(kit, "delay")
    assert (good.healthy, good.rows, good.differences) == (True, len(right), 0)
    assert {name: one.rows for name, one in good.features.items()} == dict.fromkeys(right[0].features, len(right))
    assert good.notes  # the newest requests are after the newest event

    tampered = replace(right[1], model="other", features={**right[1].features, "gate_delay_sum_7d": 1.0})
    stale = replace(right[2], model="other", statuses={"carrier_delay_count_1h": "STALE"})
    log_predictions(kit, [tampered, stale])
    bad = check(kit, "other")
    assert not bad.healthy
    assert {(one.prediction_id, one.feature, one.status) for one in bad.first} == {
        ("p1", "gate_delay_sum_7d", "OK"),
        ("p2", "carrier_delay_count_1h", "STALE"),
    }
    assert {name for name, one in bad.features.items() if one.differences} == {
        "gate_delay_sum_7d",
        "carrier_delay_count_1h",
    }
    assert [(one.run_id, one.healthy) for one in verdicts(kit)] == [("run-delay", True), ("run-other", False)]
    assert not check(kit, "nothing").healthy


def runs(kit: BatchKit) -> list[Any]:
    """The events of runs, in their order."""
    codec = Codec(kit.settings.schema_registry)
    topic = topic_name(kit.settings.topic_prefix, RUNS)
    found = [codec.decode(message.value) for message in read_log(kit.settings, topic)]
    codec.close()
    return found


def verdicts(kit: BatchKit) -> list[HealthChecked]:
    return sorted((one for one in runs(kit) if isinstance(one, HealthChecked)), key=lambda one: one.run_id)


def test_one_command_line_lands_makes_a_training_set_and_checks(kit: BatchKit, tmp_path: Path) -> None:
    kit.publish(departures(SINCE_MS, CUT_MS + DAY_MS, 60))
    times_ms = (*QUERIES_MS, SINCE_MS + 3 * DAY_MS)
    asked = [{**keys, "asked_ms": query_ms} for keys in KEYS for query_ms in times_ms]
    left = tmp_path / "left.parquet"
    write_parquet(left, asked)
    log_predictions(kit, [replace(served(kit, 1, KEYS[0], CUT_MS), features={"gate_delay_last": -1.0})])

    done = kit.command(
        *("land", "--topic", kit.topic, "--json"),
        *("training-set", "--join", "flight", "--left", str(left), "--time", "asked_ms"),
        *("--output", "flights/training", "--json"),
        *("consistency", "--join", "flight", "--reason", "a test"),
    )
    assert done.returncode == 1, done.stderr
    landed, made = (json.loads(line) for line in done.stdout.splitlines()[:2])
    assert landed["events"] == 60
    assert (made["rows"], made["sources"]) == (len(asked), {"flights/departed": landed["version"]})
    assert "gate_delay_last was served as -1.0 (OK), recomputed" in done.stdout
    assert "1 differences in 1 predictions" in done.stdout
    started, read, recomputed, checked, finished = runs(kit)
    assert isinstance(started, RunStarted) and (started.kind, started.reason) == ("health_check", "a test")
    assert isinstance(checked, HealthChecked) and not checked.healthy
    assert isinstance(finished, RunFinished) and (finished.status, finished.error) == ("succeeded", None)
    assert {started.run_id, read.run_id, recomputed.run_id, checked.run_id, finished.run_id} == {started.run_id}
    assert "starting Spark" in done.stderr
    table = kit.spark.read.format("delta").load(table_path(kit.settings.lake, "flights/training")).toArrow()
    rows = {(row["carrier"], row["gate"], row["asked_ms"]): row for row in table.to_pylist()}
    assert len(rows) == len(asked)
    for keys in KEYS:
        for query_ms in times_ms:
            expected = {**keys, "asked_ms": query_ms, **kit.expected(keys, query_ms)}
            assert rows[keys["carrier"], keys["gate"], query_ms] == expected


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)
