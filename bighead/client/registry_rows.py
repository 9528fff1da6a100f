"""The registry's events as rows of a file, in a form that is read in a fraction of the time that Avro takes.

Most of what the log holds are the records of versions, and most of a record nobody asks for: what lists and searches
show of it is there at once, the rest is decoded when somebody asks. Pure: no file, no Kafka.
"""

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import fields
from io import BytesIO
from typing import Any, Self

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from bighead.events.base import Record
from bighead.events.kept import Row
from bighead.events.message import Position
from bighead.events.schemas import platform_schemas
from bighead.events.types import Attachment, ModelRecord, ModelRegistered, Signature
from bighead.registry import REGISTRY_EVENTS, RegistryEvent

_FORM = 3
"""Of the rows; another number where they are written otherwise."""
_SHOWN = ("tags", "join", "family", "model_type", "attachments")
"""What lists, searches and lineage ask of every version there is."""
_SIGNATURE = len(REGISTRY_EVENTS)
_EMPTY = Signature(inputs=(), outputs=())
_LENGTHS = struct.Struct(">II")
_PARSED: tuple[Any, ...] = tuple(parse_schema(platform_schemas()[kind.FULL_NAME]) for kind in REGISTRY_EVENTS)
_RECORD: Any = next(
    row["type"] for row in _PARSED[REGISTRY_EVENTS.index(ModelRegistered)]["fields"] if row["name"] == "record"
)
_NAMES = frozenset(field.name for field in fields(ModelRecord))
_put = object.__setattr__

Fact = tuple[RegistryEvent, Position]


class Packing:
    """Events as rows, and rows as events. Signatures are most of what a record holds, and versions share them: each is
    one row, before the first that refers to it by its number."""

    def __init__(self) -> None:
        self._signatures: dict[Signature, int] = {}
        self._numbered: list[Signature] = []

    def rows(self, event: RegistryEvent, position: Position) -> Iterator[Row]:
        """The event's row, and before it that of its signature where it is a new one."""
        if not isinstance(event, ModelRegistered):
            value = packed(event)
        else:
            signature = event.record.signature
            if signature not in self._signatures:
                self._number(signature)
                yield Row(0, 0, _SIGNATURE, json.dumps(signature.to_record()).encode())
            value = _registered(event, self._signatures[signature])
        yield Row(position.partition, position.offset, REGISTRY_EVENTS.index(type(event)), value)

    def facts(self, rows: Iterable[Row], topic: str) -> Iterator[Fact]:
        """The events of rows that follow upon those of before."""
        for row in rows:
            if row.kind == _SIGNATURE:
                self._number(Signature.from_record(json.loads(row.value)))
            else:
                yield self._event(row), Position(topic, row.partition, row.offset)

    def _event(self, row: Row) -> RegistryEvent:
        kind = REGISTRY_EVENTS[row.kind]
        if kind is not ModelRegistered:
            return kind.from_record(schemaless_reader(BytesIO(row.value), _PARSED[row.kind], None))  # type: ignore[arg-type]
        number, length = _LENGTHS.unpack_from(row.value)
        end = _LENGTHS.size + length
        said = json.loads(row.value[_LENGTHS.size : end])
        record = _Unread.of(said.pop("shown"), self._numbered[number], row.value[end:])
        return ModelRegistered(record=record, **said)

    def _number(self, signature: Signature) -> None:
        self._signatures[signature] = len(self._numbered)
        self._numbered.append(signature)


class _Unread(ModelRecord):
    """A record of which a few fields are known; what else is asked for is decoded then, once, from its Avro.
    Equal to the record that it is. Threads may ask at the same time."""

    __slots__ = ("_avro",)
    _avro: bytes

    @classmethod
    def of(cls, shown: dict[str, Any], signature: Signature, avro: bytes) -> Self:
        """Made without the initialiser, which would give every field a value."""
        record = cls.__new__(cls)
        shown["attachments"] = tuple(map(Attachment.from_record, shown["attachments"]))
        for name in _SHOWN:
            _put(record, name, shown[name])
        _put(record, "signature", signature)
        _put(record, "_avro", avro)
        return record

    def __getattr__(self, name: str) -> Any:
        """Called where a field has no value yet."""
        if name not in _NAMES:
            raise AttributeError(name)
        if avro := self._avro:
            whole = ModelRecord.from_record(schemaless_reader(BytesIO(avro), _RECORD, None))  # type: ignore[arg-type]
            for one in _NAMES - {"signature"}:
                _put(self, one, getattr(whole, one))
            _put(self, "_avro", b"")  # last: another thread that finds it empty finds every field
        return object.__getattribute__(self, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelRecord) and self.to_record() == other.to_record()

    __hash__ = None  # type: ignore[assignment]  # as that of a record, which holds maps


def _registered(event: ModelRegistered, signature: int) -> bytes:
    """The number of its signature, what is asked of every version as JSON, and the rest of its record as Avro."""
    said = event.to_record()
    record = said.pop("record") | {"signature": _EMPTY.to_record()}
    said["shown"] = {name: record[name] for name in _SHOWN}
    head = json.dumps(said).encode()
    body = BytesIO()
    schemaless_writer(body, _RECORD, record)
    return _LENGTHS.pack(signature, len(head)) + head + body.getvalue()


def packed(event: Record) -> bytes:
    """The Avro of an event of the registry."""
    body = BytesIO()
    schemaless_writer(body, _PARSED[REGISTRY_EVENTS.index(type(event))], event.to_record())
    return body.getvalue()


def fingerprint(topic: str) -> bytes:
    """How rows are written: their form, the topic, and the schema of each kind of event."""
    schemas = [platform_schemas()[kind.FULL_NAME] for kind in REGISTRY_EVENTS]
    return hashlib.sha256(json.dumps([_FORM, topic, schemas], sort_keys=True).encode()).digest()
