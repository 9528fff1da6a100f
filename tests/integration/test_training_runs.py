"""Training runs over a real broker and a real lake: told on the topic of runs, read by Spark, replayed from the log."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pyspark.sql import SparkSession
from sklearn.linear_model import LogisticRegression

from batch.fitting import Executors, check_alike, train_command
from batch.rows import write_rows
from batch.tables import table_path
from batch.training import write_training_set
from batch.work import Work
from bighead.client.publish import Publisher
from bighead.client.run_sinks import TopicSink, full_run_id, local_sink, read_run, read_runs
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import ConfigError, DefinitionError, ModelError
from bighead.events.topics import MODELS_EVENTS, OUTCOMES, PREDICTIONS, topic_name
from bighead.events.types import ModelRegistered, OutcomeObserved, PredictionServed
from bighead.features.windows import DAY_MS
from bighead.registry.records import record_from_json
from bighead.training.reading import read_rows
from bighead.training.replaying import Asked, replay
from bighead.training.running import Trained, Wanted, train
from bighead.training.specification import AtRandom, DeltaRows, Specification, Training, load_specification
from tests.integration.batch_kit import CUT_MS, BatchKit, departures
from tests.unit.training.kit import PARTITIONED, Project, rows


def trained(settings: Settings, tmp_path: Path) -> Trained:
    project = Project.made(tmp_path)
    sink = TopicSink(settings, "test")
    try:
        return train(load_specification(project.specification), settings, sink, Wanted(reason="test"), print)
    finally:
        sink.close()


def test_a_run_is_told_on_the_topic_and_its_version_is_replayed(ready_settings: Settings, tmp_path: Path) -> None:
    found = trained(ready_settings, tmp_path)
    sink = TopicSink(ready_settings, "test")
    run = read_run(sink, full_run_id(sink, found.run_id[:8]))
    assert run is not None
    assert run.newest is not None
    assert (run.status, run.started and run.started.kind) == ("succeeded", "train")
    assert [one.step for one in run.newest.steps] == ["read", "check", "fit", "prove", "evaluate", "record"]
    assert {one.name for one in run.newest.artifacts} == {"model.onnx", "evidence.json", "rows.u64"}
    assert {"auc", "log_loss"} <= {one.name for one in run.newest.metrics}
    with pytest.raises(ConfigError, match="is the beginning of 0 runs"):
        full_run_id(sink, "nothing")

    publish_log(ready_settings, found)
    now_ms = wall_clock_ms()
    made = replay(ready_settings, Asked("late", 1, now_ms - 600_000, now_ms + 1, "test"), print)
    assert (made.predictions, made.labelled, made.compared) == (40, 40, 40)
    assert made.intervals.endswith("entities")
    assert np.isfinite([one.value for one in made.differences]).all()
    [evaluated, _] = read_runs(sink).runs(None, wall_clock_ms())
    sink.close()
    assert evaluated.started is not None
    assert evaluated.newest is not None
    assert (evaluated.status, evaluated.started.kind) == ("succeeded", "evaluate")
    assert evaluated.newest.outputs.count('"verdict"') == 1


def publish_log(settings: Settings, found: Trained) -> None:
    """The version, registered, and forty predictions with outcomes."""
    record = record_from_json((Path(found.folder) / "record.json").read_text())
    now_ms = wall_clock_ms()
    who: dict[str, Any] = {"actor": "test", "reason": "test", "at_ms": now_ms}
    publisher = Publisher(settings, "test")

    def publish(event: Any, key: str, topic: str) -> None:
        publisher.publish(event, key=key, topic=topic_name(settings.topic_prefix, topic))

    publish(ModelRegistered(model="late", version=1, command_id="c", record=record, **who), "late", MODELS_EVENTS)
    for at, row in enumerate(rows(40).to_dict("records")):
        served = PredictionServed(
            prediction_id=f"p{at}", model="late", version=1, entity=f'{{"plane":"{at}"}}', as_of_ms=now_ms,
            at_ms=now_ms, server="s", features={"x": row["x"]}, inputs={"c": row["c"]}, outputs={"probability": 0.5},
        )  # fmt: skip
        publish(served, served.entity, PREDICTIONS)
        known = OutcomeObserved(
            prediction_id=f"p{at}", model="late", entity=served.entity, label=float(row["late"]), event_ms=now_ms
        )
        publish(known, served.entity, OUTCOMES)
    publisher.flush()
    publisher.codec.close()


def test_executors_fit_the_segments_to_the_bytes_of_a_process(spark: SparkSession, tmp_path: Path) -> None:
    project, calls, interrupt = Project.made(tmp_path), tmp_path / "calls", tmp_path / "interrupt"
    project.write(PARTITIONED)
    rows(400).to_parquet(tmp_path / "rows.parquet")

    def on_spark(home: Path) -> dict[str, Any]:
        calls.unlink(missing_ok=True)
        work = Work("local", replace(project.settings, home=home))
        vars(work)["spark"] = spark
        done = CliRunner().invoke(train_command, [str(project.specification), "--local", "--json"], obj=work)
        assert done.exit_code == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def here(home: Path) -> Trained:
        settings = replace(project.settings, home=home)
        return train(
            load_specification(project.specification), settings, local_sink(settings), Wanted(reason="x"), print
        )

    def fitted_elsewhere() -> int:
        return sum(line != f"made in {os.getpid()}" for line in calls.read_text().splitlines())

    found = on_spark(tmp_path / "spark")
    assert fitted_elsewhere() == 4
    process = here(tmp_path / "process")
    assert (found["run_id"], found["sha256"]) == (process.run_id, process.sha256)

    calls.unlink()
    interrupt.write_text("5")
    with pytest.raises(KeyboardInterrupt):
        here(tmp_path / "both")
    interrupt.unlink()
    assert on_spark(tmp_path / "both")["sha256"] == process.sha256
    assert fitted_elsewhere() == 2, "what the process has kept is not fitted again"


def test_a_single_fit_is_not_distributed(tmp_path: Path) -> None:
    project = Project.made(tmp_path)
    with pytest.raises(DefinitionError, match="names no segments, and one fit is not distributed"):
        train(
            load_specification(project.specification),
            project.settings,
            project.sink,
            Wanted(reason="x"),
            print,
            Executors(lambda: pytest.fail("Spark was started")),
        )


def test_an_executor_with_other_packages_is_refused() -> None:
    check_alike({"numpy": "2.4.0", "torch": "2.9"}, {"numpy": "2.4.0", "pandas": "3.0"})
    with pytest.raises(ModelError, match=r"an executor has numpy 2\.3\.0 instead of 2\.4\.0; models of other versions"):
        check_alike({"numpy": "2.4.0", "pandas": "3.0"}, {"numpy": "2.3.0", "pandas": "3.0"})


def test_spark_gives_the_rows_of_a_version_with_what_they_were_made_from(spark: SparkSession, tmp_path: Path) -> None:
    import pyarrow as pa

    lake = str(tmp_path / "lake")
    table = spark.createDataFrame(pa.Table.from_pandas(rows(20), preserve_index=False)).coalesce(1)
    writer = table.write.format("delta").option("userMetadata", '{"join": "flight", "join_hash": "ab"}')
    writer.save(f"{lake}/training")
    found = write_rows(spark, lake, "training", None, "late = 1", tmp_path / "rows")
    assert (found.version, found.rows) == (0, int(rows(20).late.sum()))
    assert found.made_from == {"join": "flight", "join_hash": "ab"}
    with pytest.raises(ConfigError, match="has no rows for which late = 7 holds"):
        write_rows(spark, lake, "training", 0, "late = 7", tmp_path / "none")


def test_a_training_set_by_name_is_read_with_what_it_was_made_from(
    ready_settings: Settings, spark: SparkSession, tmp_path: Path
) -> None:
    kit = BatchKit(ready_settings, spark, [])
    kit.prepare()
    kit.publish(departures(CUT_MS - DAY_MS, CUT_MS, 20))
    landed = kit.land()
    rows_of = [(("UA", "AA")[at % 2], 1 + at % 3 // 2, CUT_MS + 7 * (5 - at), at % 2) for at in range(6)]
    left = spark.createDataFrame(rows_of, "carrier STRING, gate BIGINT, at BIGINT, was_late BIGINT")
    join = kit.catalog().join("flight")
    write_training_set(spark, ready_settings, join, left, "at", "flights/training", print)
    data = DeltaRows(
        join="flight",
        table="flights/training",
        label="was_late",
        time="at",
        where="gate = 1",
        request={"carrier": "BYTES"},
        features=("carrier_delay_average_1d",),
    )
    training = Training(
        model="late", data=data, split=AtRandom(), make=lambda parameters, seed: LogisticRegression(), seed=1
    )
    read = read_rows(Specification(training, "", "spec.py", tmp_path), ready_settings, print, {})
    assert read.identity == {"table": table_path(ready_settings.lake, "flights/training"), "version": 0}
    assert read.rows.rows["at"].tolist() == sorted(at for _, gate, at, _ in rows_of if gate == 1)
    assert [(one.name, one.type, one.source) for one in read.rows.inputs] == [
        ("carrier", "BYTES", "request"),
        ("carrier_delay_average_1d", "FP64", "feature"),
    ]
    assert read.rows.origin["sources"] == {"flights/departed": landed.version}
    assert (read.rows.join_epoch, read.rows.join_hash) == (1, join.hash)
    assert read.rows.sources["carrier_delay_average_1d"].topic == kit.topic
