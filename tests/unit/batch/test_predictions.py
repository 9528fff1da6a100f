"""What is refused before a model is run over a table, and what a worker does."""

import json
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import types as T

from batch.copies import FULL_NAME, ParquetCopy, TopicCopy, copy_to, field_name, record_schema
from batch.predictions import PREDICTION_ID, ModelOf, check_table, output_schema, predictions, predictor_of
from batch.tables import TableVersion
from bighead.client.run_log import reason_of
from bighead.errors import ConfigError, InvalidInput
from bighead.inference.loading import load
from bighead.inference.registered import Registered
from bighead.inference.signature import Column, Signature
from tests.unit.serving.models import mixed_stored

SOURCE = TableVersion("/lake/flights", 7)
KINDS: dict[str, T.DataType] = {
    "BIGINT": T.LongType(),
    "INT": T.IntegerType(),
    "FLOAT": T.FloatType(),
    "DOUBLE": T.DoubleType(),
    "STRING": T.StringType(),
    "BOOLEAN": T.BooleanType(),
    "DATE": T.DateType(),
    "ARRAY<STRING>": T.ArrayType(T.StringType()),
}
COLUMNS = "id BIGINT, delay DOUBLE, flights BIGINT, carrier STRING, is_late BOOLEAN, hour INT"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Registered, Signature]:
    record = mixed_stored(tmp_path_factory.mktemp("mixed"))
    return Registered("mixed", 2, record), load("mixed", 2, record)[0].signature


def schema(text: str) -> T.StructType:
    """Columns as SQL writes them; Spark's own reader of such a text needs a session."""
    columns = (column.rsplit(" ", 1) for column in text.split(", "))
    return T.StructType([T.StructField(name.strip("`"), KINDS[kind]) for name, kind in columns])


def test_a_table_that_fits_may_have_more(mixed: tuple[Registered, Signature]) -> None:
    found, signature = mixed
    check_table(SOURCE, schema(f"{COLUMNS}, tags ARRAY<STRING>"), signature.inputs, found)


def test_everything_that_does_not_fit_is_told_at_once(mixed: tuple[Registered, Signature]) -> None:
    found, signature = mixed
    with pytest.raises(InvalidInput) as refused:
        check_table(
            SOURCE, schema("dleay DOUBLE, flights STRING, carrier STRING, is_late INT"), signature.inputs, found
        )
    assert str(refused.value) == (
        "table /lake/flights version 7 does not fit model 'mixed' version 2: "
        "column 'delay' is missing, expected FP32 (did you mean 'dleay'?); "
        "column 'flights' is string, expected INT64; column 'is_late' is int, expected BOOL; "
        "column 'hour' is missing, expected INT64. It has dleay, flights, carrier, is_late. "
        "Rows get the features of its join by `bighead features training-set flight`"
    )


def test_a_tensor_that_is_no_column_cannot_come_from_a_table(mixed: tuple[Registered, Signature]) -> None:
    wide = Column("x", "FP32", (-1, 3), "request")
    with pytest.raises(InvalidInput, match=r"input 'x' is FP32 \[-1, 3\], which no column holds"):
        check_table(SOURCE, schema("x ARRAY<STRING>"), [wide], mixed[0])


def test_what_is_written_has_each_column_once(mixed: tuple[Registered, Signature]) -> None:
    outputs = mixed[1].outputs
    written = output_schema(SOURCE, schema(COLUMNS), ["id"], outputs)
    assert written == schema(
        "id BIGINT, prediction_id STRING, model STRING, model_version INT, score DOUBLE, `both[0]` DOUBLE, "
        "`both[1]` DOUBLE, label STRING"
    )
    with pytest.raises(ConfigError, match="column 'Score' would be written twice, as a column of /lake/flights"):
        output_schema(SOURCE, schema("id BIGINT, Score DOUBLE"), ["id", "Score"], outputs)
    with pytest.raises(ConfigError, match=r"has no column 'flihgt' to keep \(did you mean 'flight'\?\)"):
        output_schema(SOURCE, schema("flight BIGINT"), ["flihgt"], outputs)
    with pytest.raises(ConfigError, match="cannot have the column 'a b'"):
        output_schema(SOURCE, schema("id BIGINT"), [], [Column("a b", "FP32", (-1, 1), "request")])
    with pytest.raises(InvalidInput, match="how many columns it becomes is not known"):
        output_schema(SOURCE, schema("id BIGINT"), [], [Column("y", "FP32", (-1, -1), "request")])


def test_a_worker_loads_a_model_once(mixed: tuple[Registered, Signature]) -> None:
    of = ModelOf("mixed", 2, json.dumps(mixed[0].record.to_record()), (("BIGHEAD_HOME", "/nowhere"),))
    row = {"id": 5, PREDICTION_ID: "p", "delay": 2.5, "flights": 3, "carrier": "UA", "is_late": True, "hour": 7}
    rows = pa.RecordBatch.from_pylist([row, {**row, "delay": None, "flights": None}])
    names = ("id", PREDICTION_ID, "model", "model_version", "score", "both[0]", "both[1]", "label")
    predictor_of.cache_clear()
    for _ in range(2):  # two tasks of one process
        (first, second) = predictions(of, ("id",), names, iter([rows, rows.slice(0, 0), rows]))
        assert first.equals(second) is False  # a null feature is NaN, which is no other NaN
        assert first.to_pylist()[0] == {
            "id": 5,
            PREDICTION_ID: "p",
            "model": "mixed",
            "model_version": 2,
            "score": 13.5,
            "both[0]": 13.5,
            "both[1]": 2.5,
            "label": "UA",
        }
    assert predictor_of.cache_info().misses == 1


def test_where_a_copy_goes() -> None:
    assert copy_to("topic:scored.v1", "/lake") == TopicCopy("scored.v1")
    assert copy_to("parquet:scored", "/lake") == ParquetCopy("/lake/scored")
    assert copy_to("parquet:s3://bucket/scored/", "/lake") == ParquetCopy("s3://bucket/scored")
    for wrong in ("scored", "topic:", "csv:scored"):
        with pytest.raises(ConfigError, match="a copy goes to topic:NAME or parquet:FOLDER; received"):
            copy_to(wrong, "/lake")


def test_a_copied_record_has_the_columns_of_the_table() -> None:
    record = record_schema(schema("prediction_id STRING, id INT, `both[0]` FLOAT, tags ARRAY<STRING>"))
    assert f"{record['namespace']}.{record['name']}" == FULL_NAME
    types: dict[str, Any] = {field["name"]: field["type"] for field in record["fields"]}
    assert types == {
        "prediction_id": "string",
        "id": ["null", "long"],
        "both_0": ["null", "double"],
        "tags": ["null", {"type": "array", "items": "string"}],
    }
    with pytest.raises(ConfigError, match="column 'day' is date, which is not copied to a topic; say which col"):
        record_schema(schema("day DATE"))
    with pytest.raises(ConfigError, match="same name 'a_b' in Avro"):
        record_schema(schema("`a-b` INT, a_b INT"))
    assert [field_name(name) for name in ("a.b", "9", "日")] == ["a_b", "_9", "_"]


def test_what_a_worker_refused_is_found_in_what_spark_says() -> None:
    said = (
        "An error occurred while calling o1.save.\n: org.apache.spark.SparkException: Job aborted\n"
        "Caused by: org.apache.spark.api.python.PythonException: Traceback (most recent call last):\n"
        '  File "worker.py", line 1, in main\n'
        "bighead.errors.InvalidInput: model 'late' version 1: column 'hour': received null; expected INT64\n"
        "\tat org.apache.spark.Anything(Anything.scala:1)"
    )
    assert reason_of(RuntimeError(said)) == (
        "InvalidInput: model 'late' version 1: column 'hour': received null; expected INT64"
    )
    assert reason_of(OSError("x" * 9000)) == f"OSError: {'x' * 4000}"
