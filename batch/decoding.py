"""Messages of a topic as rows of its table, by Spark's workers: what the stream refuses is refused, with the reason.

Knows the codec, and Spark through Arrow batches and SQL texts alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from batch.arrow import arrow_column
from bighead import config
from bighead.clock import wall_clock_ms
from bighead.compile.spark import OFFSET, PARTITION, SQL_TYPES
from bighead.config import Settings
from bighead.errors import EventError, InvalidEvent
from bighead.events.codec import FRAME, Codec
from bighead.events.headers import REPLAY_OF, REPLAY_STAGE
from bighead.events.message import Position
from bighead.events.times import check_time
from bighead.features.types import ValueType, columns_of

Columns = Mapping[str, ValueType]
REFUSED = "__refused"
ORIGIN_PARTITION = "__origin_partition"
ORIGIN_OFFSET = "__origin_offset"
_STREAM_STAGE = "lane"
"""The stage of dead letters that no group could read. Those of one group alone are landed already, as originals."""
_HIDDEN = (
    (PARTITION, "INT", pa.int32()),
    (OFFSET, "BIGINT", pa.int64()),
    (REFUSED, "STRING", pa.string()),
    (ORIGIN_PARTITION, "INT", pa.int32()),
    (ORIGIN_OFFSET, "BIGINT", pa.int64()),
)
_HEADERS = ((REPLAY_STAGE, "stage"), (REPLAY_OF, "of"))
Row = dict[str, Any]


def messages_sql() -> list[str]:
    """What is read of Spark's messages."""
    return [
        "value",
        "partition",
        "offset",
        "unix_millis(timestamp) AS timestamp_ms",
        *(
            f"CAST({_header(name)} AS STRING) AS {alias}"
            for name, alias in ((REPLAY_STAGE, "stage"), (REPLAY_OF, "of"))
        ),
    ]


def schema_sql(columns: Columns) -> str:
    """The rows' columns: those of the events, their place in the log, why they are refused, and what they replay."""
    fields = [f"`{name}` {SQL_TYPES[kind]}" for name, kind in columns.items()]
    return ", ".join([*fields, *(f"{name} {sql}" for name, sql, _ in _HIDDEN)])


def decode_task(
    settings: Settings, columns: Columns, times: Sequence[str]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What a worker runs; settings travel as their variables."""
    variables, kinds, names = config.variables(settings), dict(columns), tuple(times)
    return lambda batches: _decode(config.load(variables), kinds, names, batches)


def _header(name: str) -> str:
    return f"TRY_ELEMENT_AT(FILTER(headers, header -> header.key = '{name}'), -1).value"


def _decode(
    settings: Settings, columns: Columns, times: Sequence[str], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    codec = Codec(settings.schema_registry)
    decoder = RowDecoder(codec, columns, times, settings.max_future_ms)
    try:
        for batch in batches:
            rows = [decoder.row(message) for message in batch.to_pylist() if message["stage"] in (None, _STREAM_STAGE)]
            yield _arrow(columns, rows)
    finally:
        codec.close()


def _arrow(columns: Columns, rows: list[Row]) -> pa.RecordBatch:
    arrays = [arrow_column([row.get(name) for row in rows], kind) for name, kind in columns.items()]
    arrays += [pa.array([row.get(name) for row in rows], kind) for name, _, kind in _HIDDEN]
    return pa.RecordBatch.from_arrays(arrays, [*columns, *(name for name, _, _ in _HIDDEN)])


def _origin(text: str) -> Row:
    try:
        origin = Position.parse(text)
    except ValueError:
        return {}  # not written by a replay of ours, so nothing can be told apart by it
    return {ORIGIN_PARTITION: origin.partition, ORIGIN_OFFSET: origin.offset}


class RowDecoder:
    """Gives each message its row: the event's fields, or why it has none."""

    def __init__(self, codec: Codec, columns: Columns, times: Sequence[str], max_future_ms: int) -> None:
        self._codec = codec
        self._columns = columns
        self._times = times
        self._max_future_ms = max_future_ms
        self._complaints: dict[int, str] = {}

    def row(self, message: Row) -> Row:
        """The row of one message."""
        place = {PARTITION: message["partition"], OFFSET: message["offset"]}
        if message["of"] is not None:
            place |= _origin(message["of"])
        try:
            _, record = self._codec.decode_record(message["value"])
            self._check_types(message["value"])
            self._check_times(record, message["timestamp_ms"])
        except EventError as error:
            return place | {REFUSED: str(error)}
        return {name: record.get(name) for name in self._columns} | place

    def _check_types(self, value: bytes) -> None:
        schema_id = FRAME.unpack_from(value)[1]
        if schema_id not in self._complaints:
            kinds = columns_of(self._codec.writer_schema(schema_id))
            wrong = [
                f"field {name!r} of schema id {schema_id} is {kinds[name]}, the newest schema's is {kind}"
                for name, kind in self._columns.items()
                if kinds.get(name, kind) is not kind
            ]
            self._complaints[schema_id] = "; ".join(wrong)
        if self._complaints[schema_id]:
            raise InvalidEvent(self._complaints[schema_id])

    def _check_times(self, record: Row, timestamp_ms: int) -> None:
        """Refuses an event without any believable time; of several, one that is not believed becomes null."""
        # Kafka's own time of the message stands for now, as in the stream, so that a second run says the same.
        now_ms = min(timestamp_ms, wall_clock_ms()) if timestamp_ms >= 0 else wall_clock_ms()
        failures = []
        for name in self._times:
            try:
                check_time(record.get(name), now_ms=now_ms, max_future_ms=self._max_future_ms, name=name)
            except InvalidEvent as error:
                failures.append(error)
                record[name] = None
        if failures and len(failures) == len(self._times):
            raise failures[0]
