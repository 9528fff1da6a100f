"""Rows of named columns, as typed lists or as an Arrow IPC stream, to entities, and answers back in the same form.

Pure translation; which columns a model takes is checked by the predictor.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from bighead.client.proto import prediction_pb2 as pb
from bighead.client.proto import value_pb2
from bighead.errors import InvalidInput
from bighead.features.plan import Status
from bighead.inference.arrow import batch_of, check_type, plain
from bighead.inference.signature import MAX_ROWS, Value
from serving.answers import Answer, Entity

MAX_CELLS = 2_000_000
"""Of one request, rows times columns: each becomes a value in memory."""
PREDICTION_ID = "prediction_id"

Table = dict[str, list[Value]]
_STATUSES = {str(status): getattr(value_pb2, status) for status in Status}
_FIELDS: dict[type, str] = {bool: "booleans", int: "integers", float: "doubles", str: "strings"}


def entities_of(request: pb.PredictRowsRequest) -> list[Entity]:
    """One entity for each row."""
    table = _arrow(request.arrow) if request.WhichOneof("rows") == "arrow" else _typed(request.columns.columns)
    keys = _chosen("keys", request.keys, table)
    inputs = _chosen("inputs", request.inputs, table) or [name for name in table if name not in keys]
    rows = len(next(iter(table.values())))
    return [
        Entity(key, values) for key, values in zip(_rows(keys, table, rows), _rows(inputs, table, rows), strict=True)
    ]


def answer_of(request: pb.PredictRowsRequest, answer: Answer) -> pb.PredictRowsResponse:
    """The answer, its outputs in the form of the request's rows."""
    response = pb.PredictRowsResponse(
        model=answer.model,
        version=answer.version,
        arm=answer.arm,
        feature_epochs=answer.feature_epochs,
        as_of_ms=answer.as_of_ms,
        latency_us=answer.latency_us,
        explanation=answer.why if request.explain else "",
        prediction_ids=answer.ids,
        versions=answer.versions,
        arms=answer.arms,
    )
    for name in answer.features[0].statuses:
        response.features.add(name=name, statuses=[_STATUSES[row.statuses[name]] for row in answer.features])
    outputs = {name: [plain(row[name]) for row in answer.outputs] for name in answer.outputs[0]}
    if request.WhichOneof("rows") == "arrow":
        response.arrow = _stream({PREDICTION_ID: answer.ids, **outputs})
    else:
        response.columns.columns.extend(_column(name, values) for name, values in outputs.items())
    return response


def _typed(columns: Sequence[pb.Column]) -> Table:
    table: Table = {}
    rows = len(_values(columns[0])) if columns else 0
    _check_size(rows, len(columns))
    for column in columns:
        place, held = f"column {column.name[:60]!r}", _values(column)
        if len(held) != rows:
            raise InvalidInput(f"{place}: received {len(held)} rows; expected {rows} as in the first column")
        values: list[Value] = list(held)
        for row in column.nulls:
            if row >= rows:
                raise InvalidInput(f"{place}: received row {row} as null; expected rows 0 to {rows - 1}")
            values[row] = None
        _add(table, column.name, values)
    return table


def _values(column: pb.Column) -> Sequence[Any]:
    kind = column.WhichOneof("values")
    if kind is None:
        expected = ", ".join(_FIELDS.values())
        raise InvalidInput(f"column {column.name[:60]!r}: received no values; expected one of {expected}")
    values: Sequence[Any] = getattr(column, kind).values
    return values


def _arrow(content: bytes) -> Table:
    """The columns of an Arrow IPC stream, read batch by batch: what is too much is refused before it is read."""
    table: Table = {}
    rows = 0
    try:
        with pa.ipc.open_stream(content) as reader:
            _check_schema(reader.schema)
            for batch in reader:
                rows += batch.num_rows
                _check_size(rows, batch.num_columns)
                batch.validate(full=True)
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    table.setdefault(name, []).extend(column.to_pylist())
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"arrow: received {len(content)} bytes that are no Arrow IPC stream: {error}") from error
    _check_size(rows, len(table))
    return table


def _check_schema(schema: pa.Schema) -> None:
    seen: Table = {}
    for field in schema:
        check_type(field)
        _add(seen, field.name, [])


def _check_size(rows: int, columns: int) -> None:
    """Refuses what is empty or too large, before it is copied."""
    if not 0 < rows <= MAX_ROWS:
        raise InvalidInput(f"rows: received {rows}; expected 1 to {MAX_ROWS}")
    if not 0 < rows * columns <= MAX_CELLS:
        raise InvalidInput(f"rows: received {rows} of {columns} columns; expected 1 to {MAX_CELLS} values")


def _add(table: Table, name: str, values: list[Value]) -> None:
    if name in table:
        raise InvalidInput(f"column {name[:60]!r}: received twice; expected once")
    table[name] = values


def _chosen(place: str, names: Iterable[str], table: Table) -> list[str]:
    chosen = list(dict.fromkeys(names))
    for name in chosen:
        if name not in table:
            raise InvalidInput(f"{place}: received {name[:60]!r}, which is no column; received {list(table)[:20]}")
    return chosen


def _rows(names: Sequence[str], table: Table, rows: int) -> Iterator[dict[str, Value]]:
    if not names:
        return iter([{} for _ in range(rows)])
    return (dict(zip(names, row, strict=True)) for row in zip(*(table[name] for name in names), strict=True))


def _column(name: str, values: Sequence[Any]) -> pb.Column:
    kind = type(values[0])
    if kind is int and max(values) >= 1 << 63:
        raise InvalidInput(f"output {name!r}: {max(values)} is too large for a typed list; send the rows as Arrow")
    column = pb.Column(name=name)
    getattr(column, _FIELDS[kind]).values.extend(values)
    return column


def _stream(table: Mapping[str, Sequence[Any]]) -> bytes:
    batch = batch_of(table)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content
