"""Avro in Confluent framing: 0x00, four bytes of schema id, the Avro body. Every schema is parsed once.

Knows the schema registry, and nothing of Kafka. Decoded values are Avro's own: a logical type such as
timestamp-millis stays the plain number that it is on the wire.
"""

import json
import logging
import struct
import time
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import SchemaParseException, to_parsing_canonical_form
from fastavro.validation import ValidationError, validate

from bighead.errors import ConfigError, InvalidEvent, UndecodableEvent
from bighead.events.base import Event
from bighead.events.message import Message
from bighead.events.schema_registry import SchemaRegistry, Stored
from bighead.events.schemas import full_name_of, platform_schemas, subject_of, types_of
from bighead.events.types import EVENT_TYPES

_log = logging.getLogger(__name__)
FRAME = struct.Struct(">bI")
UNKNOWN_ID_S = 30.0
"""How long an id that the registry did not know is not asked for again."""
# What fastavro raises on bytes that do not fit the schema.
_BAD_BODY = (EOFError, IndexError, KeyError, ValueError, TypeError, OverflowError, MemoryError, struct.error)
_BAD_RECORD = (ValueError, TypeError, KeyError, AttributeError, OverflowError)


@dataclass(frozen=True, slots=True)
class _Reader:
    """How to read what was written under one schema id. `resolve_to`: our own version, where the writer's differs."""

    full_name: str
    schema: dict[str, Any]
    resolve_to: dict[str, Any] | None
    event_class: type[Event] | None


@dataclass(frozen=True, slots=True)
class _Writer:
    """How to write one event type to one topic."""

    frame: bytes
    schema: dict[str, Any]


class Codec:
    """Encodes and decodes events with the schemas of a registry; registers nothing."""

    def __init__(self, schema_registry_url: str) -> None:
        self.registry = SchemaRegistry(schema_registry_url)
        self._readers: dict[bytes, _Reader] = {}  # by the frame: no number is unpacked for each message
        self._unknown_until_s: dict[int, float] = {}
        self._event_writers: dict[tuple[str, str], _Writer] = {}
        self._record_writers: dict[tuple[str, str], _Writer] = {}

    def close(self) -> None:
        """Closes the connection to the registry."""
        self.registry.close()

    def encode(self, event: Event, topic: str) -> bytes:
        """A platform event, under this program's own version of its schema."""
        writer = self._event_writers.get((topic, event.FULL_NAME)) or self._event_writer(topic, event.FULL_NAME)
        return _write(writer, event.FULL_NAME, event.to_record())

    def frame_of(self, full_name: str, topic: str) -> bytes:
        """What stands before the Avro of a platform event: for those who write it themselves, as it is so often."""
        return (self._event_writers.get((topic, full_name)) or self._event_writer(topic, full_name)).frame

    def encode_record(self, topic: str, full_name: str, record: Mapping[str, Any]) -> bytes:
        """A user's event, under the schema that was the latest of `{topic}-{full_name}` when it was first needed."""
        writer = self._record_writers.get((topic, full_name)) or self._record_writer(topic, full_name)
        return _write(writer, full_name, record)

    def check_record(self, topic: str, full_name: str, record: Mapping[str, Any]) -> None:
        """Refuses a record that `encode_record` would bend, such as 1.5 for a long; the message names the field."""
        writer = self._record_writers.get((topic, full_name)) or self._record_writer(topic, full_name)
        complaint = _complaint(writer.schema, record)
        if complaint:
            raise InvalidEvent(f"{full_name} cannot be written: {complaint}")

    def decode(self, value: bytes | None) -> Event:
        """A platform event."""
        reader = self._reader(value)
        if reader.event_class is None:
            raise UndecodableEvent(f"the value is a {reader.full_name}; expected one of the platform's own events")
        return reader.event_class.from_record(_read(reader, value))

    def decoded(self, messages: Iterable[Message]) -> Generator[tuple[Message, Event], None, None]:
        """Messages with their platform events, for readers: one that cannot be decoded is passed over.

        Those who must act on it put it with the dead letters.
        """
        for message in messages:
            try:
                event = self.decode(message.value)
            except UndecodableEvent as error:
                _log.warning("%s is passed over: %s", message.position, error)
                continue
            yield message, event

    def decode_record(self, value: bytes | None) -> tuple[str, dict[str, Any]]:
        """Full name and fields of any registered Avro record."""
        reader = self._reader(value)
        return reader.full_name, _read(reader, value)

    def writer_schema(self, schema_id: int) -> dict[str, Any]:
        """The parsed schema with that id."""
        return self._reader(FRAME.pack(0, schema_id)).schema

    def latest_schema(self, topic: str, full_name: str | None = None) -> dict[str, Any]:
        """The newest schema of a topic's event type; the name may be left out where the topic has one type."""
        subject = subject_of(topic, full_name) if full_name else self._only_subject(topic)
        stored = self.registry.latest(subject)
        if stored is None:
            raise ConfigError(
                f"no schema is registered under {subject}; register it with `bighead events topics create`"
            )
        schema: dict[str, Any] = json.loads(stored.text)
        return schema

    def _only_subject(self, topic: str) -> str:
        names = types_of(topic, self.registry.subjects())
        if len(names) != 1:
            found = ", ".join(names) or "none"
            raise ConfigError(f"topic {topic} has not one registered event type ({found}); name the type that is meant")
        return subject_of(topic, names[0])

    def _reader(self, value: bytes | None) -> _Reader:
        frame = b"" if value is None else value[: FRAME.size]
        return self._readers.get(frame) or self._new_reader(value)

    def _new_reader(self, value: bytes | None) -> _Reader:
        schema_id = _schema_id(value)
        stored = self._fetched(schema_id)
        if stored is None:
            raise UndecodableEvent(
                f"schema id {schema_id} is not in the registry at {self.registry.url}; the producer registered "
                "elsewhere, or the bytes are not what they seem"
            )
        reader = self._readers[FRAME.pack(0, schema_id)] = self._reader_of(stored)
        return reader

    def _fetched(self, schema_id: int) -> Stored | None:
        now_s = time.monotonic()
        if self._unknown_until_s.get(schema_id, 0.0) > now_s:
            return None
        stored = self.registry.by_id(schema_id)
        if stored is None:
            if len(self._unknown_until_s) >= 1000:
                self._unknown_until_s.clear()
            self._unknown_until_s[schema_id] = now_s + UNKNOWN_ID_S
        return stored

    def _reader_of(self, stored: Stored) -> _Reader:
        if stored.kind != "AVRO":
            raise UndecodableEvent(f"schema id {stored.id} is of kind {stored.kind}; only AVRO is read")
        schema = json.loads(stored.text)
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise UndecodableEvent(f"schema id {stored.id} is {stored.text[:80]}; expected a record")
        full_name = full_name_of(schema)
        parsed = _parsed(_without_logical_types(schema), self._referenced(stored))
        ours = platform_schemas().get(full_name)
        # Registries reorder and shorten what they keep: only the canonical form tells whether the bytes differ.
        differs = ours is not None and to_parsing_canonical_form(ours) != to_parsing_canonical_form(schema)
        resolve_to = _parsed(ours) if ours is not None and differs else None
        return _Reader(full_name, parsed, resolve_to, EVENT_TYPES.get(full_name))

    def _referenced(self, stored: Stored) -> dict[str, Any]:
        """The named schemas that a schema refers to in other subjects."""
        named: dict[str, Any] = {}
        for name, subject, version in stored.references:
            other = self.registry.version(subject, version)
            if other is None:
                raise UndecodableEvent(
                    f"schema id {stored.id} refers to {name} ({subject}, {version}), which is missing"
                )
            named |= self._referenced(other)
            _parsed(_without_logical_types(json.loads(other.text)), named)
        return named

    def _event_writer(self, topic: str, full_name: str) -> _Writer:
        schema = platform_schemas()[full_name]
        schema_id = self.registry.id_of(subject_of(topic, full_name), schema)
        if schema_id is None:
            raise ConfigError(
                f"{full_name} is not registered under {subject_of(topic, full_name)}; the platform registers its "
                "schemas when it starts: `bighead up`"
            )
        writer = self._event_writers[topic, full_name] = _Writer(FRAME.pack(0, schema_id), _parsed(schema))
        return writer

    def _record_writer(self, topic: str, full_name: str) -> _Writer:
        stored = self.registry.latest(subject_of(topic, full_name))
        if stored is None:
            raise ConfigError(
                f"{full_name} is not registered under {subject_of(topic, full_name)}; register its schema first: "
                f"`bighead events topics create {topic} --schema FILE.avsc`"
            )
        parsed = _parsed(json.loads(stored.text), self._referenced(stored))
        writer = self._record_writers[topic, full_name] = _Writer(FRAME.pack(0, stored.id), parsed)
        return writer


def _schema_id(value: bytes | None) -> int:
    if value is None:
        raise UndecodableEvent("the message has no value; expected 0x00, a schema id and Avro")
    if len(value) < FRAME.size:
        raise UndecodableEvent(
            f"the value has {len(value)} bytes; expected at least {FRAME.size}: 0x00 and a schema id"
        )
    magic, schema_id = FRAME.unpack_from(value)
    if magic != 0:
        looks = "; it looks like JSON" if value[:1] in b'{["' else ""
        raise UndecodableEvent(
            f"the value starts with 0x{value[0]:02x}{looks}; expected 0x00 and a schema id: "
            "let the producer use an Avro serializer with the schema registry"
        )
    return int(schema_id)


def _read(reader: _Reader, value: bytes | None) -> dict[str, Any]:
    content = value or b""
    body = BytesIO(content)
    body.seek(FRAME.size)
    try:
        record: dict[str, Any] = schemaless_reader(body, reader.schema, reader.resolve_to)  # type: ignore[assignment]
    except _BAD_BODY as error:
        raise UndecodableEvent(
            f"the value is no {reader.full_name}: its Avro breaks off or does not fit the schema "
            f"({type(error).__name__}: {error})"
        ) from error
    if left := len(content) - body.tell():
        raise UndecodableEvent(
            f"the value is a {reader.full_name} with {left} bytes too many; it was written otherwise"
        )
    return record


def _write(writer: _Writer, full_name: str, record: Mapping[str, Any]) -> bytes:
    body = BytesIO()
    body.write(writer.frame)
    try:
        schemaless_writer(body, writer.schema, record, strict_allow_default=True)
    except _BAD_RECORD as error:
        raise InvalidEvent(f"{full_name} cannot be written: {_complaint(writer.schema, record) or error}") from error
    return body.getvalue()


def _complaint(schema: dict[str, Any], record: Mapping[str, Any]) -> str:
    # Collecting reasons is slow even for a valid record with unions: only where it is not valid.
    if validate(record, schema, raise_errors=False):
        return ""
    try:
        validate(record, schema)
    except ValidationError as error:
        return "; ".join(str(problem) for problem in error.errors)
    return ""


def _parsed(schema: dict[str, Any], named: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = parse_schema(schema, named_schemas=named if named is not None else {})  # type: ignore[assignment]
    except (SchemaParseException, ValueError, KeyError, TypeError) as error:
        raise UndecodableEvent(
            f"{schema.get('name')!r} is registered with a schema that is no Avro: {error}"
        ) from error
    return parsed


def _without_logical_types(schema: Any) -> Any:
    match schema:
        case dict():
            return {key: _without_logical_types(value) for key, value in schema.items() if key != "logicalType"}
        case list():
            return [_without_logical_types(value) for value in schema]
    return schema
