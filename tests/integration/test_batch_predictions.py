"""One model, three ways to run it: a server, a Python process, Spark. The answers are the same, to the byte."""

import json
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pytest
from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from batch.copies import FULL_NAME, ParquetCopy, TopicCopy
from batch.predictions import Asked, Predicted, _written, predict_table
from batch.tables import exists, table_path, version_of
from bighead import config
from bighead.client.proto import inference_pb2 as pb
from bighead.client.proto.prediction_pb2 import PredictRowsRequest, PredictRowsResponse
from bighead.config import Settings
from bighead.errors import ConfigError, Conflict, InvalidInput, UnknownModel
from bighead.events.log import read_log
from bighead.events.topics import RUNS
from bighead.events.types import ModelRecord, RunFinished, RunStarted, StepFinished
from bighead.inference import Predictor
from serving.tensors import to_raw
from tests.integration.serving_process import Registry, folder_of, serving
from tests.unit.serving.models import mixed_stored

GUIDE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
EXAMPLES = re.findall(r"^```python\n(from bighead.inference .*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
ROWS = 400
INPUTS = ("delay", "flights", "carrier", "is_late", "hour")
OUTPUTS = ("score", "both[0]", "both[1]", "label")


def silent(_: str) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def registry(ready_settings: Settings) -> Registry:
    """`mixed` takes two features, `asked` takes the same from the request; both are live."""
    registry = Registry(ready_settings)
    mixed = mixed_stored(folder_of(ready_settings), join=None)
    for name, record in (("mixed", mixed), ("asked", without_features(mixed))):
        registry.register(name, 1, record)
        registry.deploy(name, 1)
    return registry


def without_features(record: ModelRecord) -> ModelRecord:
    inputs = tuple(replace(one, source="request") for one in record.signature.inputs)
    return replace(record, signature=replace(record.signature, inputs=inputs))


def flights(nulls: bool) -> pa.Table:
    """Rows as a training set has them: values that no 32 bits hold, infinities, texts of many alphabets."""
    random = np.random.default_rng(7)
    delay = random.normal(size=ROWS) * 10.0 ** random.integers(-30, 30, ROWS)
    delay[:3] = [np.nan, np.inf, -0.0]
    counts = [None if nulls and row % 7 == 0 else int(one) for row, one in enumerate(random.integers(0, 1 << 40, ROWS))]
    return pa.table(
        {
            "id": pa.array(range(ROWS)),
            "delay": pa.array([None if nulls and row % 5 == 0 else one for row, one in enumerate(delay)]),
            "flights": pa.array(counts, pa.int64()),
            "carrier": pa.array([("UA", "Zürich", "日本", "")[row % 4] for row in range(ROWS)]),
            "is_late": pa.array([row % 3 == 0 for row in range(ROWS)]),
            "hour": pa.array([row % 24 - 12 for row in range(ROWS)], pa.int32()),
        }
    )


def written(spark: SparkSession, settings: Settings, name: str, rows: pa.Table) -> None:
    """A table of several files, whose rows are in no order."""
    frame = spark.createDataFrame(rows).repartition(3, "carrier", "hour")
    frame.write.format("delta").mode("overwrite").save(table_path(settings.lake, name))


def table(spark: SparkSession, path: str) -> pa.Table:
    return spark.read.format("delta").load(path).orderBy("id").toArrow()


def bytes_of(answer: Any, names: Sequence[str] = OUTPUTS) -> dict[str, bytes]:
    """Each output of a table as bytes: doubles as they are, texts as JSON."""
    columns = {name: answer.column(name).to_pylist() for name in names}
    return {
        name: b"".join(
            struct.pack("<d", value) if isinstance(value, float) else json.dumps(value).encode() for value in values
        )
        for name, values in columns.items()
    }


def asked_of_server(settings: Settings, rows: pa.Table) -> pa.Table:
    """What PredictRows answers, as Arrow."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    request = PredictRowsRequest(model="asked", arrow=sink.getvalue().to_pybytes())
    with grpc.insecure_channel(settings.grpc) as channel:
        call: Any = channel.unary_unary(
            "/bighead.v1.Prediction/PredictRows", PredictRowsRequest.SerializeToString, PredictRowsResponse.FromString
        )
        with pa.ipc.open_stream(call(request, timeout=30).arrow) as reader:
            return reader.read_all()


def inferred(settings: Settings, tensors: Mapping[str, Any]) -> list[bytes]:
    """The raw outputs of ModelInfer."""
    kinds = {"delay": "FP32", "flights": "INT64", "carrier": "BYTES", "is_late": "BOOL", "hour": "INT64"}
    request = pb.ModelInferRequest(model_name="mixed")
    for name, array in tensors.items():
        request.inputs.add(name=name, datatype=kinds[name], shape=array.shape)
        request.raw_input_contents.append(to_raw(array))
    with grpc.insecure_channel(settings.grpc) as channel:
        call: Any = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelInferResponse.FromString,
        )
        return list(call(request, timeout=30).raw_output_contents)


def predicted(registry: Registry, spark: SparkSession, asked: Asked) -> Predicted:
    return predict_table(spark, registry.settings, asked, silent)


def test_server_library_and_spark_answer_the_same(registry: Registry, spark: SparkSession) -> None:
    settings, rows, training = registry.settings, flights(nulls=False), flights(nulls=True)
    training = pa.concat_tables([training, training.slice(0, 5)]).sort_by("id")  # some rows are there twice
    written(spark, settings, "flights/rows", rows)
    written(spark, settings, "flights/training", training)
    with serving(settings):
        served = asked_of_server(settings, rows.select(INPUTS))
        library = Predictor.from_registry("asked", settings=settings)
        assert bytes_of(library.predict(rows)) == bytes_of(served)
        by_row = pa.Table.from_pylist(library.predict(rows.to_pylist()))
        assert bytes_of(by_row) == bytes_of(served)
        done = predicted(registry, spark, Asked("asked", None, "flights/rows", "flights/scored"))
        assert bytes_of(table(spark, done.table.table)) == bytes_of(served)
        assert done.rows == ROWS

        # Features of a training set, nulls among them, as tensors: what the server makes of what its store gives.
        mixed = Predictor.from_registry("mixed", 1, settings)
        tensors = tensors_of(training)
        raw = inferred(settings, tensors)
        assert [to_raw(array) for array in mixed.predict(tensors).values()] == raw
        done = predicted(registry, spark, Asked("mixed", 1, "flights/training", "flights/scored", ["id", "hour"]))
    scored = table(spark, done.table.table)
    assert scored.column_names == ["id", "hour", "prediction_id", "model", "model_version", *OUTPUTS]
    assert np.array(scored.column("score"), np.float32).tobytes() == raw[0]
    assert np.column_stack([scored.column(f"both[{at}]") for at in (0, 1)]).astype(np.float32).tobytes() == raw[1]
    assert to_raw(np.array(scored.column("label").to_pylist(), object)) == raw[2]
    assert set(scored.column("model").to_pylist()) == {"mixed"}
    assert len(set(scored.column("prediction_id").to_pylist())) == done.rows == ROWS + 5


def tensors_of(rows: pa.Table) -> dict[str, Any]:
    columns = {name: rows.column(name).to_pylist() for name in INPUTS}
    columns["delay"] = [np.nan if value is None else value for value in columns["delay"]]
    columns["flights"] = [value or 0 for value in columns["flights"]]
    kinds = {"delay": np.float32, "flights": np.int64, "carrier": object, "is_late": np.bool_, "hour": np.int64}
    with np.errstate(over="ignore"):
        return {name: np.array(values, kinds[name]).reshape(-1, 1) for name, values in columns.items()}


def test_a_run_that_died_goes_on_where_it_was_and_says_so(
    registry: Registry, spark: SparkSession, tmp_path: Path
) -> None:
    settings = registry.settings
    written(spark, settings, "rows", flights(nulls=False))
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the copy's folder should be")
    asked = Asked("asked", None, "rows", "scored", ["id"], ParquetCopy(f"{blocked}/copy"), "a test")
    with pytest.raises(Exception, match="blocked"):
        predicted(registry, spark, asked)
    blocked.unlink()
    before = table(spark, table_path(settings.lake, "scored"))

    resumed = predicted(registry, spark, asked)
    assert (resumed.rows, resumed.copied, resumed.repeated, resumed.table.version) == (ROWS, ROWS, False, 0)
    again = predicted(registry, spark, asked)
    assert again == replace(resumed, repeated=True)
    copied = spark.read.parquet(f"{blocked}/copy").orderBy("id").toArrow()
    assert set(copied.column("run").to_pylist()) == {resumed.run_id}
    assert copied.column_names == [*before.column_names, "run"]
    assert bytes_of(copied, before.column_names) == bytes_of(before, before.column_names)

    steps = registry.told(RUNS, StepFinished, run_id=resumed.run_id)
    assert [(one.step, one.status, one.rows) for one in steps] == [
        ("predict", "succeeded", ROWS),
        ("copy", "failed", 0),
        ("copy", "succeeded", ROWS),
    ]
    started = registry.told(RUNS, RunStarted, run_id=resumed.run_id)
    assert [(one.name, one.kind, one.reason) for one in started] == [("asked", "batch_inference", "a test")] * 2
    failed, finished = registry.told(RUNS, RunFinished, run_id=resumed.run_id)
    assert (failed.status, "blocked" in str(failed.error)) == ("failed", True)
    outputs = {"table": resumed.table.table, "table_version": 0, "rows": ROWS}
    outputs |= {"copied": ROWS, "copy_to": f"parquet:{blocked}/copy"}
    assert (finished.status, finished.error, json.loads(finished.outputs)) == ("succeeded", None, outputs)

    # The same predictions, copied to a topic as well: another run, the same identities.
    topic = f"scored-{settings.topic_prefix}"
    sent = predicted(registry, spark, replace(asked, copy=TopicCopy(topic)))
    assert (sent.copied, sent.run_id == resumed.run_id) == (ROWS, False)
    messages = list(read_log(settings, topic))
    records = [registry.codec.decode_record(message.value) for message in messages]
    assert {name for name, _ in records} == {FULL_NAME}
    by_id = sorted((record for _, record in records), key=lambda record: int(record["id"]))
    names = {"both_0": "both[0]", "both_1": "both[1]"}
    found = pa.Table.from_pylist([{names.get(name, name): value for name, value in one.items()} for one in by_id])
    assert bytes_of(found, (*OUTPUTS, "prediction_id")) == bytes_of(before, (*OUTPUTS, "prediction_id"))
    for message, (_, record) in zip(messages, records, strict=True):
        assert message.key == record["prediction_id"].encode() == dict(message.headers)["ce_id"]


def test_a_table_that_is_deleted_and_written_anew_is_another(registry: Registry, spark: SparkSession) -> None:
    settings, asked = registry.settings, Asked("asked", None, "rows", "scored")
    written(spark, settings, "rows", flights(nulls=False))
    first = predicted(registry, spark, asked)
    same = predicted(registry, spark, replace(asked, table="rows/", output="scored/"))
    assert same == replace(first, repeated=True)
    before = table(spark, first.table.table).column("prediction_id").to_pylist()

    shutil.rmtree(first.source.table)
    written(spark, settings, "rows", flights(nulls=False).slice(0, ROWS // 2))
    anew = predicted(registry, spark, asked)
    assert (anew.source, anew.repeated, anew.rows) == (first.source, False, ROWS // 2)
    assert anew.run_id != first.run_id
    after = table(spark, anew.table.table).column("prediction_id").to_pylist()
    assert after == before[: ROWS // 2], "a row keeps its identity"


def meanwhile(monkeypatch: pytest.MonkeyPatch, other: Callable[[], object]) -> None:
    """Another job commits between a run's commit and the look at what it wrote."""

    def found(spark: SparkSession, output: str, run_id: str) -> int | None:
        if exists(spark, output):
            other()
        return _written(spark, output, run_id)

    monkeypatch.setattr("batch.predictions._written", found)


def test_a_run_names_its_own_version_whatever_others_commit_meanwhile(
    registry: Registry, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = registry.settings
    written(spark, settings, "rows", flights(nulls=False))
    scored = table_path(settings.lake, "scored")
    asked = Asked("asked", None, "rows", "scored", ["id"], ParquetCopy(f"{tmp_path}/copy"))
    meanwhile(monkeypatch, lambda: DeltaTable.forPath(spark, scored).optimize().executeCompaction())
    done = predicted(registry, spark, asked)
    assert (done.table.version, version_of(spark, scored)) == (0, 1)

    other = table_path(settings.lake, "other")
    meanwhile(monkeypatch, lambda: DeltaTable.forPath(spark, other).delete("id = 0"))
    with pytest.raises(Conflict, match="were changed by another job"):
        predicted(registry, spark, replace(asked, output="other"))
    (step,) = registry.told(RUNS, StepFinished, status="failed")
    assert (step.step, step.outputs) == ("predict", "")
    assert spark.read.parquet(f"{tmp_path}/copy").count() == ROWS, "nobody's rows but ours are copied"


def test_what_cannot_work_is_refused_before_there_is_a_run(registry: Registry, spark: SparkSession) -> None:
    settings, rows = registry.settings, flights(nulls=False)
    written(spark, settings, "rows", rows)
    written(spark, settings, "misspelt", rows.rename_columns(["id", "dleay", *INPUTS[1:]]))
    asked = Asked("asked", None, "rows", "scored")
    with pytest.raises(UnknownModel, match=r"no model is named 'askd' \(did you mean 'asked'\?\)"):
        predicted(registry, spark, replace(asked, model="askd"))
    with pytest.raises(InvalidInput, match=r"column 'delay' is missing, expected FP32 \(did you mean 'dleay'\?\)"):
        predicted(registry, spark, replace(asked, table="misspelt"))
    with pytest.raises(ConfigError, match="is read and would be written"):
        predicted(registry, spark, replace(asked, output="rows"))
    with pytest.raises(ConfigError, match="belongs to the platform's own"):
        predicted(registry, spark, replace(asked, copy=TopicCopy(f"{settings.topic_prefix}.predictions.v1")))
    assert registry.told(RUNS, RunStarted) == []


def test_the_example_of_the_guide_runs(registry: Registry) -> None:
    registry.register("late", 1, without_features(mixed_stored(folder_of(registry.settings), join=None)))
    registry.deploy("late", 1)
    environment = config.inherited_environment() | config.variables(registry.settings)
    (example,) = EXAMPLES
    run = subprocess.run([sys.executable, "-c", example], env=environment, capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "1 13.5", run.stderr
