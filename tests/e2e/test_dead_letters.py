"""One event in a hundred cannot be used: each is a dead letter as it was, with a reason, once; the others count.

The worker is killed on the way, so that it meets many of them twice.
"""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bighead.config import Settings
from bighead.events.codec import FRAME, Codec
from bighead.events.log import read_log
from bighead.events.message import Position
from bighead.events.sender import Delivery, Sender
from bighead.events.topics import DEAD_LETTERS, topic_name
from bighead.events.types import DeadLetter
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op
from bighead.features.reference import SourceEvent
from bighead.features.windows import DAY_MS, MINUTE_MS
from bighead.local.platform import Platform
from tests.conformance.cases import COLUMNS, MIDNIGHT_MS
from tests.e2e.kit import Killer, Source, catalog_of, check_tiles, read_online, reference
from tests.lane_kit import avro_schema

FLIGHTS = EventSource(topic="broken.flights.v1", table="broken/flights", time="at_ms")
OPS = [Op.COUNT, Op.SUM, Op.LAST]
CARRIER = GroupBy("broken_carrier", FLIGHTS, ["carrier"], [Aggregation("delay", op, ["1h", "1d"]) for op in OPS])
PLANE = GroupBy("broken_plane", FLIGHTS, ["tail"], [Aggregation("fuel", op) for op in OPS])
FLIGHT = Join("broken_flight", Keys("carrier", "tail"), [CARRIER, PLANE])
SCHEMA = avro_schema("Departed", COLUMNS, ["at_ms"])
NAME = "conformance.Departed"
GOOD, BAD = 5_000, 50
END_MS = MIDNIGHT_MS + DAY_MS


@dataclass(frozen=True)
class Sent:
    """A message that cannot be used: its bytes, and for each stage what the reason must say."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    reasons: Mapping[str, str]


def flight(chooser: random.Random, index: int) -> dict[str, Any]:
    return {
        "at_ms": MIDNIGHT_MS + index * DAY_MS // GOOD - chooser.randrange(30 * MINUTE_MS),
        "carrier": f"C{chooser.randrange(8)}",
        "gate": None,
        "delay": chooser.randrange(-20, 100),
        "fuel": chooser.randrange(400) / 4,
        "tail": f"N{chooser.randrange(30)}",
        "late": None,
    }


def broken(codec: Codec, record: dict[str, Any], index: int) -> Sent:
    """One of every kind, in turn."""
    good = codec.encode_record(FLIGHTS.topic, NAME, record)
    at_s = record["at_ms"] // 1000

    def changed(**fields: Any) -> bytes:
        return codec.encode_record(FLIGHTS.topic, NAME, record | fields)

    kinds: list[tuple[bytes | None, dict[str, str]]] = [
        (b"\x07" + good[1:], {"lane": "starts with 0x07; expected 0x00 and a schema id"}),
        (b'{"carrier": "C1"}', {"lane": "it looks like JSON"}),
        (FRAME.pack(0, 999_999) + good[FRAME.size :], {"lane": "schema id 999999 is not in the registry"}),
        (good[:-3], {"lane": "its Avro breaks off"}),
        (good + b"!!", {"lane": "with 2 bytes too many"}),
        (b"", {"lane": "the value has 0 bytes"}),
        (None, {"lane": "the message has no value"}),
        (changed(at_ms=at_s), {"lane": f"'at_ms' is {at_s}; expected milliseconds"}),
        (changed(at_ms=record["at_ms"] * 1000), {"lane": "This looks like microseconds"}),
        (
            changed(carrier=None, tail=None),
            {"lane:broken_carrier": "key 'carrier' of group 'broken_carrier' is null", "lane:broken_plane": "'tail'"},
        ),
    ]
    value, reasons = kinds[index % len(kinds)]
    key = [b"some key", None, b"\xff\x00"][index % 3]
    return Sent(key, value, (("trace", str(index).encode()), ("empty", None), ("trace", b"\xfe")), reasons)


def test_what_cannot_be_used_is_kept_as_it_was_and_said_once(breakable: Platform) -> None:
    settings, chooser, killer = breakable.settings, random.Random(7), Killer(breakable)
    source = Source(settings, FLIGHTS.topic, SCHEMA, key="tail")
    source.apply([CARRIER, PLANE], FLIGHT)
    codec, sender = Codec(settings.schema_registry), Sender(settings)
    bad: list[tuple[Sent, Delivery]] = []
    deaths = set(chooser.sample(range(GOOD), 3))
    places = Counter(chooser.choices(range(GOOD), k=BAD))
    good: list[tuple[dict[str, Any], Delivery]] = []
    for index in range(GOOD):
        record = flight(chooser, index)
        value = codec.encode_record(FLIGHTS.topic, NAME, record)
        good.append((record, sender.send(FLIGHTS.topic, record["tail"].encode(), value, [])))
        for _ in range(places[index]):
            sent = broken(codec, record, len(bad))
            bad.append((sent, sender.send(FLIGHTS.topic, sent.key, sent.value, sent.headers)))
        if index in deaths:
            sender.flush()
            killer.kill("worker")
    sender.flush()
    source.events += [SourceEvent(record, at.partition, at.offset) for record, sent in good for at in [sent.position()]]
    source.await_visible([*source.ends, *(delivery.position() for _, delivery in bad)])

    check_letters(letters(settings, codec), {delivery.position(): sent for sent, delivery in bad})
    entities = [{"carrier": f"C{index % 8}", "tail": f"N{index}"} for index in range(30)]
    (rows,) = read_online(settings, catalog_of(settings), FLIGHT.name, entities, [END_MS])
    assert rows == reference(source, FLIGHT.name, entities, END_MS)
    check_tiles(source, FLIGHT.name)


def letters(settings: Settings, codec: Codec) -> list[DeadLetter]:
    """The dead letters of the topic as they lie in the log, those that say the same twice included."""
    log = read_log(settings, topic_name(settings.topic_prefix, DEAD_LETTERS))
    found = [codec.decode(message.value) for message in log]
    return [event for event in found if isinstance(event, DeadLetter) and event.topic == FLIGHTS.topic]


def check_letters(found: list[DeadLetter], expected: Mapping[Position, Sent]) -> None:
    """As many as there are reasons, each where its message lay and with its bytes."""
    stages = Counter((Position(one.topic, one.partition, one.offset), one.stage) for one in found)
    assert stages == Counter((at, stage) for at, sent in expected.items() for stage in sent.reasons)
    for letter in found:
        sent = expected[Position(letter.topic, letter.partition, letter.offset)]
        assert (letter.key, letter.value) == (sent.key, sent.value)
        assert tuple((header.name, header.value) for header in letter.headers) == sent.headers
        assert sent.reasons[letter.stage] in letter.error_message
