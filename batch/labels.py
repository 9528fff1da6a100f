"""Labels of many rows: an aggregation of the raw events within a horizon after each row's time.

Knows Spark. Rows and events meet by entity and block of days, as in `batch.training`; a row is asked at the end of its
horizon, so that the events that it needs lie before it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batch.arrow import arrow_column
from batch.asof import AsOf, Kind, Layout
from batch.meeting import MeetingRows
from batch.ranges import Ranges, event_states
from batch.tables import check_columns, kind_of, read_version, source_events, table_path
from batch.views import Views
from bighead.compile.spark import (
    BACK,
    ENTITY,
    OFFSET,
    PARTITION,
    SQL_TYPES,
    START,
    entity_sql,
    input_name,
    inputs_sql,
    quoted,
)
from bighead.features.compiled import CompiledGroup, group_of_json
from bighead.features.labels import CompiledLabel, Label, compile_label
from bighead.features.types import ValueType
from bighead.features.windows import DAY_MS, ceil_to

_BLOCK_MS = 8 * DAY_MS
_END = "__end_ms"


@dataclass(frozen=True)
class KnownLabel:
    """A label with the version of its source's table, which knows everything before `known_ms`."""

    compiled: CompiledLabel
    version: int
    known_ms: int

    @property
    def name(self) -> str:
        """The label's name."""
        return self.compiled.label.name


def known_label(spark: SparkSession, lake: str, label: Label, version: int, known_ms: int | None) -> KnownLabel:
    """A label over a version of its table; without `known_ms`, that knows everything up to its newest event."""
    frame = read_version(spark, table_path(lake, label.source.table), version)
    columns = {one.name: kind for one in frame.schema.fields if (kind := kind_of(one)) is not None}
    compiled = compile_label(label, columns)
    if known_ms is None:
        newest_ms = frame.agg(F.max(quoted(label.source.time))).collect()[0][0]
        known_ms = 0 if newest_ms is None else newest_ms + 1
    return KnownLabel(compiled, version, known_ms)


def with_label(spark: SparkSession, lake: str, known: KnownLabel, rows: DataFrame, row: str, at: str) -> DataFrame:
    """`row` and the label of each mature one of `rows`, which have a number in `row` and a time in `at`."""
    group, horizon_ms = known.compiled.group, known.compiled.label.horizon_ms
    kinds = dict(zip(group.keys, group.key_kinds, strict=True))
    check_columns(f"the left table of label {group.name!r}", rows.schema, kinds)
    view = Views(spark, f"label_{group.name}")
    source = source_events(spark, lake, group, known.version)
    events = view(inputs_sql(group, view(source, "source")), "inputs")
    mature = rows.withColumn(_END, F.col(at) + F.lit(horizon_ms)).where(F.col(_END) <= known.known_ms)
    keys = {quoted(key): kind for key, kind in kinds.items()}
    left = view(mature.selectExpr(f"{entity_sql(keys)} AS {ENTITY}", f"{_END} AS {START}", f"{row} AS row"), "left")
    inputs = {input_name(name): kind for name, kind in group.input_kinds.items()} | {BACK: ValueType.BOOLEAN}
    layout = Layout(whole=False, block_ms=max(_BLOCK_MS, ceil_to(horizon_ms, DAY_MS)), reach_ms=horizon_ms)
    parts = MeetingRows(layout, inputs)
    both = [
        parts.of(Kind.QUERY, left, (), "row"),
        parts.of(Kind.EVENT, events, inputs, OFFSET, PARTITION, reach=horizon_ms),
    ]
    found = spark.sql(" UNION ALL ".join(both)).repartition(ENTITY, "block")
    schema = f"{quoted(row)} BIGINT, {quoted(group.name)} {SQL_TYPES[known.compiled.kind]}"
    return found.mapInArrow(_task(group.to_json(), layout, horizon_ms), schema)


def _task(
    definition: str, layout: Layout, horizon_ms: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    return lambda batches: _answer(group_of_json(definition), layout, horizon_ms, batches)


def _answer(
    group: CompiledGroup, layout: Layout, horizon_ms: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    received = list(batches)
    if not received:
        return
    asof = AsOf(layout, pa.Table.from_batches(received))
    (cell,), (feature,) = group.cells, group.features
    states = Ranges(event_states(cell, asof), cell.operation)
    first, last = asof.events_within(horizon_ms)
    values = [feature.answer(states.over(*run)) for run in zip(first.tolist(), last.tolist(), strict=True)]
    columns: Mapping[str, pa.Array] = {"row": pa.array(asof.queries.rows), "label": arrow_column(values, feature.kind)}
    yield from pa.table(columns).to_batches(max_chunksize=100_000)
