"""The codec: every event goes through unchanged; what cannot be read gets a reason that a person understands."""

import json
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bighead.errors import ConfigError, InvalidEvent, PlatformError, UndecodableEvent
from bighead.events import schema_registry
from bighead.events.codec import FRAME, Codec
from bighead.events.message import Message
from bighead.events.schemas import platform_schemas, subject_of
from bighead.events.types import EVENT_TYPES, FeatureTile, RollBack, SourceOffset
from bighead.testing import SchemaRegistryServer
from tests.event_examples import example_event, records

TOPIC = "t.v1"
ORDER = {
    "type": "record",
    "name": "OrderPlaced",
    "namespace": "shop",
    "fields": [
        {"name": "at_ms", "type": "long"},
        {"name": "count", "type": "int"},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}


@pytest.fixture(scope="module")
def registry() -> Iterator[SchemaRegistryServer]:
    with SchemaRegistryServer() as server:
        for name, schema in platform_schemas().items():
            server.add(subject_of(TOPIC, name), schema)
        server.add(subject_of(TOPIC, "shop.OrderPlaced"), ORDER)
        yield server


@pytest.fixture
def codec(registry: SchemaRegistryServer) -> Iterator[Codec]:
    codec = Codec(registry.url)
    yield codec
    codec.close()


def avro(schema: Any, record: Any) -> bytes:
    body = BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema, named_schemas={}), record)
    return body.getvalue()


@pytest.mark.parametrize("full_name", sorted(EVENT_TYPES))
def test_every_event_type_comes_back_as_it_went(registry: SchemaRegistryServer, full_name: str) -> None:
    codec = Codec(registry.url)

    @hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(records(platform_schemas()[full_name]))
    def round_trip(record: dict[str, Any]) -> None:
        event = EVENT_TYPES[full_name].from_record(record)
        value = codec.encode(event, TOPIC)
        assert codec.decode(value) == event
        assert codec.decode_record(value) == (full_name, event.to_record())
        assert codec.encode_record(TOPIC, full_name, event.to_record()) == value

    round_trip()
    codec.close()


def test_framing_is_confluents(codec: Codec, registry: SchemaRegistryServer) -> None:
    value = codec.encode(example_event("bighead.v1.RollBack"), TOPIC)
    magic, schema_id = FRAME.unpack_from(value)
    assert magic == 0
    assert json.loads(registry.schemas[schema_id]["schema"])["name"] == "RollBack"
    assert codec.writer_schema(schema_id)["name"] == "bighead.v1.RollBack"


def test_each_schema_is_asked_for_once(codec: Codec, registry: SchemaRegistryServer) -> None:
    value = codec.encode(example_event("bighead.v1.RollBack"), TOPIC)
    before = len(registry.requests)
    for _ in range(3):
        codec.decode(value)
        codec.encode(example_event("bighead.v1.RollBack"), TOPIC)
    assert len(registry.requests) - before == 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no value"),
        (b"", "0 bytes"),
        (b"\x00\x00\x01", "3 bytes"),
        (b'{"at_ms": 1}', "looks like JSON"),
        (b"\x01\x00\x00\x00\x01abc", "starts with 0x01"),
        (FRAME.pack(0, 4_000_000), "schema id 4000000 is not in the registry"),
    ],
)
def test_bytes_that_are_no_event_are_named(codec: Codec, value: bytes | None, reason: str) -> None:
    with pytest.raises(UndecodableEvent, match=reason):
        codec.decode(value)
    with pytest.raises(UndecodableEvent, match=reason):
        codec.decode_record(value)


def test_a_body_that_breaks_off_or_goes_on_is_named(codec: Codec) -> None:
    value = codec.encode(example_event("bighead.v1.RollBack"), TOPIC)
    with pytest.raises(UndecodableEvent, match=r"no bighead\.v1\.RollBack: its Avro breaks off"):
        codec.decode(value[:-1])
    with pytest.raises(UndecodableEvent, match=r"RollBack with 2 bytes too many"):
        codec.decode(value + b"xy")


def test_a_reader_passes_over_what_cannot_be_decoded_and_says_where(
    codec: Codec, caplog: pytest.LogCaptureFixture
) -> None:
    event = example_event("bighead.v1.RollBack")
    values = [codec.encode(event, TOPIC), b"broken", None, codec.encode(event, TOPIC)]
    log = [Message(TOPIC, 0, offset, None, value) for offset, value in enumerate(values)]
    assert list(codec.decoded(log)) == [(log[0], event), (log[3], event)]
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "t.v1/0/1 is passed over",
        "t.v1/0/2 is passed over",
    ]


@hypothesis_settings(max_examples=300, deadline=None)
@given(st.integers(1, len(EVENT_TYPES)), st.binary(max_size=80))
def test_no_bytes_raise_anything_but_undecodable(schema_id: int, body: bytes) -> None:
    codec = _fuzzed()
    with suppress(UndecodableEvent):
        codec.decode_record(FRAME.pack(0, schema_id) + body)


def _fuzzed() -> Codec:
    if not _FUZZED:
        with SchemaRegistryServer() as server:
            codec = Codec(server.url)
            for name, schema in platform_schemas().items():
                codec.writer_schema(server.add(subject_of(TOPIC, name), schema))
            codec.close()
        _FUZZED.append(codec)
    return _FUZZED[0]


_FUZZED: list[Codec] = []


def test_an_unknown_id_is_not_asked_for_again_and_again(codec: Codec, registry: SchemaRegistryServer) -> None:
    before = len(registry.requests)
    for _ in range(5):
        with pytest.raises(UndecodableEvent):
            codec.decode_record(FRAME.pack(0, 4_000_001))
    assert len(registry.requests) - before == 1


def test_what_an_older_or_newer_program_wrote_is_read_as_ours(codec: Codec, registry: SchemaRegistryServer) -> None:
    ours = platform_schemas()["bighead.v1.RollBack"]
    older = ours | {"fields": [row for row in ours["fields"] if row["name"] != "version"]}
    newer = ours | {"fields": [*ours["fields"], {"name": "ticket", "type": "string", "default": ""}]}
    event = RollBack(command_id="c", model="delay", version=None, actor="ann", reason="bad", at_ms=5)
    for schema, more in ((older, {}), (newer, {"ticket": "X-1"})):
        schema_id = registry.add("other", schema)
        written = {key: value for key, value in event.to_record().items() if schema is newer or key != "version"}
        assert codec.decode(FRAME.pack(0, schema_id) + avro(schema, written | more)) == event


def test_a_registry_that_reorders_what_it_keeps_costs_no_resolution(registry: SchemaRegistryServer) -> None:
    schema = platform_schemas()["bighead.v1.FeatureTile"]
    nested = next(row for row in schema["fields"] if row["name"] == "positions")
    shortened = {key: value for key, value in nested["type"]["items"].items() if key not in ("namespace", "doc")}
    fields = [
        row if row is not nested else row | {"type": {"type": "array", "items": shortened}} for row in schema["fields"]
    ]
    schema_id = registry.add("shortened", dict(reversed((schema | {"fields": fields}).items())))
    codec = Codec(registry.url)
    tile = FeatureTile(
        group="g",
        epoch=1,
        level="5m",
        start_ms=0,
        entity='["UA"]',
        rank=0,
        seq=1,
        latest_ms=9,
        positions=(SourceOffset(partition=1, offset=2),),
        state=b"\x00",
    )
    assert codec.decode(FRAME.pack(0, schema_id) + avro(schema, tile.to_record())) == tile
    assert codec._readers[FRAME.pack(0, schema_id)].resolve_to is None


def test_a_users_event_is_no_platform_event(codec: Codec) -> None:
    value = codec.encode_record(TOPIC, "shop.OrderPlaced", {"at_ms": 1, "count": 2})
    assert codec.decode_record(value) == ("shop.OrderPlaced", {"at_ms": 1, "count": 2, "note": None})
    with pytest.raises(UndecodableEvent, match=r"shop\.OrderPlaced; expected one of the platform's own"):
        codec.decode(value)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"at_ms": 1}, "count"),
        ({"at_ms": 1, "count": "two"}, r"OrderPlaced\.count is <two>"),
        ({"at_ms": 1, "count": 2, "colour": "red"}, "colour"),
    ],
)
def test_a_record_that_does_not_fit_names_the_field(codec: Codec, record: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        codec.encode_record(TOPIC, "shop.OrderPlaced", record)


@pytest.mark.parametrize("count", [1.5, True, 2**40])
def test_a_value_that_would_be_bent_is_refused(codec: Codec, count: object) -> None:
    with pytest.raises(InvalidEvent, match=r"OrderPlaced\.count"):
        codec.check_record(TOPIC, "shop.OrderPlaced", {"at_ms": 1, "count": count})


def test_logical_types_stay_the_numbers_on_the_wire(codec: Codec, registry: SchemaRegistryServer) -> None:
    time = {"type": "long", "logicalType": "timestamp-millis"}
    schema = {"type": "record", "name": "Seen", "fields": [{"name": "at", "type": ["null", time]}]}
    registry.add(subject_of("seen.v1", "Seen"), schema)
    value = codec.encode_record("seen.v1", "Seen", {"at": 1_383_264_000_000})
    assert codec.decode_record(value) == ("Seen", {"at": 1_383_264_000_000})


def test_a_schema_that_refers_to_others_is_read(codec: Codec, registry: SchemaRegistryServer) -> None:
    place = {"type": "record", "name": "Place", "namespace": "geo", "fields": [{"name": "city", "type": "string"}]}
    trip = {"type": "record", "name": "Trip", "namespace": "geo", "fields": [{"name": "to", "type": "geo.Place"}]}
    registry.add("places", place)
    references = [{"name": "geo.Place", "subject": "places", "version": 1}]
    registry.add(subject_of("trips.v1", "geo.Trip"), trip, references=references)
    value = codec.encode_record("trips.v1", "geo.Trip", {"to": {"city": "Rome"}})
    assert codec.decode_record(value) == ("geo.Trip", {"to": {"city": "Rome"}})


@pytest.mark.parametrize(
    ("schema", "more", "reason"),
    [
        ({"type": "object"}, {"schemaType": "JSON"}, "of kind JSON"),
        ("string", {}, "expected a record"),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "decimal128"}]}, {}, "no Avro"),
    ],
)
def test_schemas_that_are_no_avro_record_are_named(
    codec: Codec, registry: SchemaRegistryServer, schema: object, more: dict[str, object], reason: str
) -> None:
    with pytest.raises(UndecodableEvent, match=reason):
        codec.decode_record(FRAME.pack(0, registry.add("odd", schema, **more)))


def test_an_event_that_is_not_registered_is_not_registered_on_the_fly(codec: Codec) -> None:
    with pytest.raises(ConfigError, match=r"not registered under other\.v1-bighead\.v1\.RollBack"):
        codec.encode(example_event("bighead.v1.RollBack"), "other.v1")
    with pytest.raises(ConfigError, match="register its schema first"):
        codec.encode_record("other.v1", "shop.OrderPlaced", {})


def test_the_only_event_type_of_a_topic_needs_no_name(codec: Codec, registry: SchemaRegistryServer) -> None:
    registry.add("orders.v1-shop.OrderPlaced", ORDER)
    registry.add("orders.v1-late-shop.Other", ORDER)
    assert codec.latest_schema("orders.v1") == ORDER
    with pytest.raises(ConfigError, match="name the type"):
        codec.latest_schema(TOPIC)
    with pytest.raises(ConfigError, match=r"\(none\)"):
        codec.latest_schema("nothing.v1")


def test_a_registry_that_stumbles_is_asked_again(
    registry: SchemaRegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_registry, "FIRST_WAIT_S", 0.001)
    registry.failures += [503, 500]
    codec = Codec(registry.url)
    assert codec.writer_schema(1)["type"] == "record"


def test_a_registry_that_is_down_is_no_fault_of_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_registry, "FIRST_WAIT_S", 0.001)
    with SchemaRegistryServer() as server:
        url = server.url
    with pytest.raises(PlatformError, match="does not answer GET schemas/ids/1"):
        Codec(url).decode(FRAME.pack(0, 1))
