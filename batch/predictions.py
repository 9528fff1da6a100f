"""Predictions for every row of a Delta table: a registered model, run by Spark's workers as a model server runs it.

Knows Spark, the registry's log and `bighead.inference`. A run is named by what it reads, runs and writes: asked for
again, it does what is left, and gives the same rows the same identities.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa
from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from batch.copies import Copy, Task
from batch.tables import TableVersion, exists, id_of, read_version, table_path, version_of
from bighead import config
from bighead.client.run_log import Past, RunLog, canonical
from bighead.compile.spark import quoted
from bighead.config import Settings
from bighead.errors import ConfigError, Conflict, InvalidInput
from bighead.inference.arrow import output_types
from bighead.inference.predictor import Predictor
from bighead.inference.registered import Registered, registered
from bighead.inference.signature import Column as Tensor
from bighead.registry.records import record_from_json
from bighead.registry.suggestions import did_you_mean

Progress = Callable[[str], None]
PREDICTION_ID, MODEL, VERSION = "prediction_id", "model", "model_version"
KIND = "batch_inference"
PREDICT, COPY = "predict", "copy"
_UNCHANGING = ("OPTIMIZE", "VACUUM START", "VACUUM END")
"""Operations that leave the rows of a table as they are."""
_LOOK_BACK = 20
_FORBIDDEN = set(" ,;{}()\n\t=")
"""What Delta takes in no column's name."""

_TIME = "yyyy-MM-dd'T'HH:mm:ss.SSSSSS"
_WHOLE_TIMES = {"timestampFormat": f"{_TIME}XXX", "timestampNTZFormat": _TIME}
"""By default JSON has milliseconds, and rows that differ in less would be the same."""

_INTEGERS = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
_ACCEPTED: dict[str, tuple[type[T.DataType], ...]] = {
    "b": (T.BooleanType,),
    "i": _INTEGERS,
    "u": _INTEGERS,
    "f": (*_INTEGERS, T.FloatType, T.DoubleType),
    "O": (T.StringType,),
}
_SPARK_TYPES: dict[pa.DataType, T.DataType] = {
    pa.bool_(): T.BooleanType(),
    pa.int64(): T.LongType(),
    pa.float64(): T.DoubleType(),
    pa.string(): T.StringType(),
}


@dataclass(frozen=True)
class Asked:
    """What somebody wants: a model's version, the table to read and the one to write.

    wanted: a number or a label; None: the live version. columns: those of the table to keep; None: all.
    """

    model: str
    wanted: int | str | None
    table: str
    output: str
    columns: Sequence[str] | None = None
    copy: Copy | None = None
    reason: str = ""


@dataclass(frozen=True)
class Predicted:
    """What a run wrote. `repeated`: an earlier run had done all of it."""

    run_id: str
    model: str
    version: int
    source: TableVersion
    table: TableVersion
    rows: int
    copied: int | None
    repeated: bool


@dataclass(frozen=True)
class _Plan:
    """A run: what it reads, with which model, what it keeps, and where it goes."""

    found: Registered
    source: TableVersion
    source_id: str
    frame: DataFrame
    kept: tuple[str, ...]
    output: str
    copy: Copy | None

    @property
    def of(self) -> dict[str, object]:
        """What a prediction's identity depends on, besides the row."""
        return {
            "model": self.found.name,
            "version": self.found.version,
            "artifact_sha256": self.found.record.artifact_sha256,
            "table": self.source.table,
        }

    @property
    def spec(self) -> dict[str, object]:
        """What the run's identity depends on. A table that is deleted and written anew counts its versions anew."""
        copy = None if self.copy is None else str(self.copy)
        table = {"table_id": self.source_id, "table_version": self.source.version}
        what = {**self.of, **table, "output": self.output}
        return {**what, "columns": list(self.kept), "copy_to": copy}


@dataclass(frozen=True)
class _Prediction:
    """What is left to predict: the columns that the model takes, and those that are written."""

    inputs: tuple[str, ...]
    schema: T.StructType


def predict_table(spark: SparkSession, settings: Settings, asked: Asked, progress: Progress) -> Predicted:
    """Writes the table's rows with the model's outputs to a Delta table, then the copy; each step at most once.

    Everything that can be wrong with the model, the tables and the copy is refused before the run starts.
    """
    plan = _planned(spark, settings, asked)
    log = RunLog(settings, plan.found.name, KIND, plan.spec, asked.reason)
    try:
        past, there = log.past(), _written(spark, plan.output, log.id)
        copied = _copied(spark, plan, past, log.id)
        if past.finished and there is not None and (plan.copy is None or copied is not None):
            progress(f"run {log.id} was done before: {plan.output} version {there}")
            return _result(plan, log.id, there, _rows(spark, plan.output, there), copied, repeated=True)
        left = _checked(settings, plan, progress) if there is None else there
        if plan.copy is not None and copied is None:
            known = read_version(spark, plan.output, left).schema if isinstance(left, int) else left.schema
            plan.copy.prepare(settings, known)
        return _run(spark, settings, plan, log, left, copied, progress)
    finally:
        log.close()


def _run(
    spark: SparkSession,
    settings: Settings,
    plan: _Plan,
    log: RunLog,
    left: _Prediction | int,
    copied: int | None,
    progress: Progress,
) -> Predicted:
    """What is left of a run: predictions, or the version of the output that has them; how many rows are copied."""
    with log.running() as outcome:
        if isinstance(left, int):
            there, rows = left, _rows(spark, plan.output, left)
        else:
            with log.step(PREDICT) as step:
                there = _write(spark, settings, plan, left, log.id)
                rows = step.rows = _rows(spark, plan.output, there)
                step.outputs = {"table": plan.output, "table_version": there}
        progress(f"{rows} predictions in {plan.output} version {there}")
        outcome.outputs = {"table": plan.output, "table_version": there, "rows": rows}
        if plan.copy is not None and copied is None:
            with log.step(COPY) as step:
                predictions = read_version(spark, plan.output, there)
                copied = step.rows = plan.copy.write(spark, settings, predictions, log.id)
                step.outputs = {"copy_to": str(plan.copy)}
            progress(f"{copied} predictions copied to {plan.copy}")
        if copied is not None:
            outcome.outputs |= {"copy_to": str(plan.copy), "copied": copied}
    return _result(plan, log.id, there, rows, copied, repeated=False)


def _planned(spark: SparkSession, settings: Settings, asked: Asked) -> _Plan:
    found = registered(settings, asked.model, asked.wanted)
    path, output = (table_path(settings.lake, table).rstrip("/") for table in (asked.table, asked.output))
    if path == output:
        raise ConfigError(f"{path} is read and would be written; give --output another table")
    source = TableVersion(path, version_of(spark, path))
    frame = read_version(spark, path, source.version)
    kept = tuple(frame.columns if asked.columns is None else dict.fromkeys(asked.columns))
    return _Plan(found, source, id_of(spark, path), frame, kept, output, asked.copy)


def _checked(settings: Settings, plan: _Plan, progress: Progress) -> _Prediction:
    """Loads the model as a server does; raises where it, the table and what is to be kept do not go together."""
    signature = Predictor.load(plan.found, settings).signature
    progress(f"model {plan.found.name!r} version {plan.found.version} answers its golden rows")
    check_table(plan.source, plan.frame.schema, signature.inputs, plan.found)
    schema = output_schema(plan.source, plan.frame.schema, plan.kept, signature.outputs)
    return _Prediction(tuple(column.name for column in signature.inputs), schema)


def check_table(source: TableVersion, schema: T.StructType, inputs: Sequence[Tensor], found: Registered) -> None:
    """Raises InvalidInput that names every input which the table has not, or has as another type."""
    columns = {field.name: field.dataType for field in schema.fields}
    wrong, absent = [], False
    for column in inputs:
        kind = columns.get(column.name)
        accepted = _ACCEPTED[column.dtype.kind] + ((T.BooleanType,) if column.source == "feature" else ())
        if not column.scalar:
            wrong.append(f"input {column.name!r} is {column}, which no column holds")
        elif kind is None:
            absent = absent or column.source == "feature"
            wrong.append(
                f"column {column.name!r} is missing, expected {column.datatype}{did_you_mean(column.name, columns)}"
            )
        elif not isinstance(kind, accepted):
            wrong.append(f"column {column.name!r} is {kind.simpleString()}, expected {column.datatype}")
    if not wrong:
        return
    join = found.record.join
    hint = f". Rows get the features of its join by `bighead features training-set {join}`" if absent and join else ""
    raise InvalidInput(
        f"table {source.table} version {source.version} does not fit model {found.name!r} version {found.version}: "
        f"{'; '.join(wrong)}. It has {', '.join(columns) or 'no columns'}{hint}"
    )


def output_schema(
    source: TableVersion, schema: T.StructType, kept: Sequence[str], outputs: Sequence[Tensor]
) -> T.StructType:
    """The columns that are written: those that are kept, who predicted, and the outputs; none may be there twice."""
    columns = {field.name: field for field in schema.fields}
    for name in kept:
        if name not in columns:
            raise ConfigError(f"table {source.table} has no column {name!r} to keep{did_you_mean(name, columns)}")
    fields = [columns[name] for name in kept]
    fields += [T.StructField(PREDICTION_ID, T.StringType()), T.StructField(MODEL, T.StringType())]
    fields += [T.StructField(VERSION, T.IntegerType())]
    fields += [T.StructField(name, _SPARK_TYPES[kind]) for name, kind in output_types(outputs).items()]
    names = [field.name.lower() for field in fields]  # Spark tells columns apart by their letters alone
    for field in fields:
        if names.count(field.name.lower()) > 1:
            raise ConfigError(
                f"column {field.name!r} would be written twice, as a column of {source.table} and as a prediction's; "
                "say which columns to keep, without it: --keep COLUMN, once or more"
            )
        if _FORBIDDEN & set(field.name):
            raise ConfigError(f"a table cannot have the column {field.name!r}: name the model's output otherwise")
    return T.StructType(fields)


def _write(spark: SparkSession, settings: Settings, plan: _Plan, left: _Prediction, run_id: str) -> int:
    """One commit of Delta: all rows or none. What was in the table before stays as an older version."""
    carried = (F.col(quoted(name)) for name in dict.fromkeys((*plan.kept, *left.inputs)))
    rows = plan.frame.select(_identity(plan).alias(PREDICTION_ID), *carried)
    made_by = canonical({"run_id": run_id, "table_version": plan.source.version, **plan.of})
    writer = rows.mapInArrow(_task(plan, left, settings), left.schema).write.format("delta").mode("overwrite")
    writer.option("overwriteSchema", "true").option("userMetadata", made_by).save(plan.output)
    there = _written(spark, plan.output, run_id)  # not the newest: another job may have committed since
    if there is None:
        raise Conflict(
            f"the rows of run {run_id} in {plan.output} were changed by another job as soon as they were written; "
            "give --output another table, or run it again when that job is done"
        )
    return there


def _identity(plan: _Plan) -> Column:
    """The prediction_id of a row: by what the row is, and where several are the same, by how many there were before."""
    values = F.struct(*(F.col(quoted(name)) for name in plan.frame.columns))
    row = F.sha2(F.to_json(values, _WHOLE_TIMES), 256)
    several = plan.frame.groupBy(row).count().where("count > 1").limit(1).count()
    # Numbering moves every row to another task, so it is done only where it has to be.
    nth = F.row_number().over(Window.partitionBy(row).orderBy(row)) if several else F.lit(1)
    return F.substring(F.sha2(F.concat_ws(":", F.lit(canonical(plan.of)), row, nth.cast("string")), 256), 1, 32)


def _task(plan: _Plan, left: _Prediction, settings: Settings) -> Task:
    """What a worker runs; the record travels as text, settings as their variables."""
    of = ModelOf(
        plan.found.name,
        plan.found.version,
        json.dumps(plan.found.record.to_record()),
        tuple(config.variables(settings).items()),
    )
    kept, names = plan.kept, tuple(left.schema.names)
    return lambda batches: predictions(of, kept, names, batches)


class ModelOf(NamedTuple):
    """A version of a model, as it travels to workers."""

    name: str
    version: int
    record: str
    variables: tuple[tuple[str, str], ...]


@lru_cache(maxsize=2)
def predictor_of(of: ModelOf) -> Predictor:
    """Verified, proven and kept in a worker's process, which Spark uses for many tasks."""
    found = Registered(of.name, of.version, record_from_json(of.record))
    return Predictor.load_tried(found, config.load(dict(of.variables)))


def predictions(
    of: ModelOf, kept: Sequence[str], names: Sequence[str], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Rows with their inputs to rows with their outputs, in the columns `names`."""
    predictor = predictor_of(of)
    for batch in batches:
        if not batch.num_rows:
            continue
        arrays = [batch.column(column) for column in (*kept, PREDICTION_ID)]
        arrays += [pa.repeat(one, batch.num_rows) for one in (pa.scalar(of.name), pa.scalar(of.version, pa.int32()))]
        arrays += [_signed(column) for column in predictor.predict(batch).columns]
        yield pa.RecordBatch.from_arrays(arrays, list(names))


def _signed(column: pa.Array) -> pa.Array:
    """Spark has no unsigned integers."""
    if column.type != pa.uint64():
        return column
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise InvalidInput(f"an output of UINT64 is too large for a table: {error}") from error


def _written(spark: SparkSession, output: str, run_id: str) -> int | None:
    """The version of the output whose rows this run wrote, if they still are its rows."""
    if not exists(spark, output):
        return None
    history = DeltaTable.forPath(spark, output).history(_LOOK_BACK).select("version", "operation", "userMetadata")
    newest = next((row for row in history.collect() if row["operation"] not in _UNCHANGING), None)
    if newest is None or not newest["userMetadata"]:
        return None
    try:
        made_by = json.loads(newest["userMetadata"])
    except ValueError:  # of somebody else
        return None
    ours = isinstance(made_by, dict) and made_by.get("run_id") == run_id
    return int(newest["version"]) if ours else None


def _copied(spark: SparkSession, plan: _Plan, past: Past, run_id: str) -> int | None:
    """How many rows an earlier attempt copied, if it copied all and they are still there."""
    if plan.copy is None or COPY not in past.steps or not plan.copy.kept(spark, run_id):
        return None
    return past.steps[COPY]


def _rows(spark: SparkSession, path: str, version: int) -> int:
    return read_version(spark, path, version).count()


def _result(plan: _Plan, run_id: str, version: int, rows: int, copied: int | None, *, repeated: bool) -> Predicted:
    table = TableVersion(plan.output, version)
    return Predicted(run_id, plan.found.name, plan.found.version, plan.source, table, rows, copied, repeated)
