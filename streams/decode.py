"""Messages of one topic to rows with the columns that its groups read.

Knows the codec and nothing of groups' meaning. What cannot be decoded is handed back with the reason.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from bighead.errors import InvalidEvent, UndecodableEvent
from bighead.events.codec import FRAME, Codec
from bighead.features.fold import Ints
from bighead.features.types import ValueType, columns_of
from streams.kafka import Record, replay_stage

_MOST_KNOWN = 10_000


@dataclass(frozen=True)
class Failure:
    """A message that cannot be applied, by all groups (`group` None) or by one, or that is meant for one."""

    partition: int
    record: Record
    error: Exception
    group: str | None = None


@dataclass(frozen=True)
class Batch:
    """Decoded messages, row by row: the message, which schema wrote it, and its fields.

    spans: the rows of each partition, in offset order. addressed: for a replayed dead letter, its row and the stage
    that it is meant for.
    """

    records: Sequence[Record]
    spans: Mapping[int, slice]
    schema_ids: Sequence[int]
    values: Sequence[Mapping[str, Any]]
    addressed: Mapping[int, str]
    failures: Sequence[Failure]

    @cached_property
    def offsets(self) -> Ints:
        """Where the rows lie in their partitions."""
        return np.array([record.offset for record in self.records], np.int64)

    @cached_property
    def timestamps_ms(self) -> Ints:
        """When Kafka took them."""
        return np.array([record.timestamp for record in self.records], np.int64)


@dataclass
class _Rows:
    records: list[Record] = field(default_factory=list)
    values: list[dict[str, Any]] = field(default_factory=list)
    schema_ids: list[int] = field(default_factory=list)
    addressed: dict[int, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


class Decoder:
    """Decodes the messages of one topic. `columns` are those that its groups read; `stages` those that answer to it."""

    def __init__(self, codec: Codec, columns: Mapping[str, ValueType], stages: frozenset[str]) -> None:
        self._codec = codec
        self._columns = dict(columns)
        self._stages = stages
        self._known: set[bytes] = set()
        self._fits: dict[bytes, tuple[int, tuple[str, ...]]] = {}  # by the frame: schema id and columns to leave null
        self.misfits = lru_cache(maxsize=None)(self._misfits)

    def unknown(self, polled: Mapping[int, Sequence[Record]]) -> set[bytes]:
        """The beginnings of values, with the ids of schemas, that were not seen yet."""
        heads = {record.value[: FRAME.size] for records in polled.values() for record in records if record.value}
        return heads - self._known

    def learn(self, heads: set[bytes]) -> None:
        """Asks the registry for schemas; raises PlatformError where it does not answer."""
        for head in heads:
            with suppress(UndecodableEvent):  # decoding says it again, of each message
                self._codec.decode_record(head)
            self._known.add(head)
        if len(self._known) > _MOST_KNOWN:  # broken bytes begin in any way
            self._known = set(heads)

    def decode(self, polled: Mapping[int, Sequence[Record]]) -> Batch:
        """All messages of a poll. Messages that are replayed for other consumers are left out."""
        rows = _Rows()
        spans: dict[int, slice] = {}
        for partition, records in polled.items():
            start = len(rows.records)
            self._decode_partition(partition, records, rows)
            spans[partition] = slice(start, len(rows.records))
        return Batch(
            records=rows.records,
            spans=spans,
            schema_ids=rows.schema_ids,
            values=rows.values,
            addressed=rows.addressed,
            failures=rows.failures,
        )

    def _decode_partition(self, partition: int, records: Sequence[Record], rows: _Rows) -> None:
        decode = self._codec.decode_record
        for record in records:
            stage = replay_stage(record)
            if stage is not None and stage not in self._stages:
                continue
            try:
                _, value = decode(record.value)
            except UndecodableEvent as error:
                rows.failures.append(Failure(partition, record, error))
                continue
            frame = (record.value or b"")[: FRAME.size]
            schema_id, misfits = self._fits.get(frame) or self._fit(frame)
            for name in misfits:
                value[name] = None
            if stage is not None:
                rows.addressed[len(rows.records)] = stage
            rows.records.append(record)
            rows.values.append(value)
            rows.schema_ids.append(schema_id)

    def _fit(self, frame: bytes) -> tuple[int, tuple[str, ...]]:
        schema_id = int(FRAME.unpack(frame)[1])
        fit = self._fits[frame] = (schema_id, tuple(self.misfits(schema_id)))
        return fit

    def complaint(self, schema_id: int, columns: Sequence[str]) -> InvalidEvent | None:
        """Why events of this schema cannot be read by a group that reads `columns`; None where they can."""
        for name, found in self.misfits(schema_id).items():
            if name in columns:
                return InvalidEvent(
                    f"field {name!r} of schema id {schema_id} is {found}; the definition that was applied reads it as "
                    f"{self._columns[name]}: apply a definition for the new schema, or publish the old type"
                )
        return None

    def _misfits(self, schema_id: int) -> dict[str, str]:
        """Fields that are there with another type than the columns have. A field that is not there is null."""
        schema = self._codec.writer_schema(schema_id)
        kinds = columns_of(schema)
        fields = {one["name"] for one in schema["fields"]}
        return {
            name: str(kinds.get(name, "of a type that features cannot read"))
            for name, kind in self._columns.items()
            if name in fields and kinds.get(name) is not kind
        }
