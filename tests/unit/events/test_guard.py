"""The guard: what fails is kept untouched and counted, and the consumer goes on; what is not its fault is raised."""

import asyncio
from collections.abc import Iterator

import pytest

from bighead import config
from bighead.errors import InvalidEvent, PlatformError, StoreError, UndecodableEvent
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.guard import Counts, Guard
from bighead.events.headers import REPLAY_STAGE
from bighead.events.message import Message
from bighead.events.schemas import platform_schemas, subject_of
from bighead.events.types import OutcomeObserved
from bighead.testing import DeadLetterList, SchemaRegistryServer
from tests.event_examples import TIME_MS

TOPIC = "bighead.outcomes.v1"
NAME = "bighead.v1.OutcomeObserved"
ORDER = {"type": "record", "name": "Order", "fields": [{"name": "at_ms", "type": "long"}]}
OUTCOME = OutcomeObserved(model="delay", entity='{"a":1}', label=1.0, event_ms=TIME_MS)


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    with SchemaRegistryServer() as server:
        server.add(subject_of(TOPIC, NAME), platform_schemas()[NAME])
        server.add(subject_of("bighead.runs.v1", NAME), platform_schemas()[NAME])
        server.add(subject_of("orders.v1", "Order"), ORDER)
        codec = Codec(server.url)
        yield codec
        codec.close()


@pytest.fixture
def letters() -> DeadLetterList:
    return DeadLetterList()


@pytest.fixture
def guard(codec: Codec, letters: DeadLetterList) -> Guard:
    settings = config.load({"BIGHEAD_HOME": "/nowhere"})
    return Guard(codec, letters, "monitoring", settings, clock_ms=lambda: TIME_MS + 1000)


def message(
    value: bytes | None, *, topic: str = TOPIC, key: bytes | None = b"k", replay_for: bytes | None = None
) -> Message:
    return Message(topic, 2, 17, key, value, ((REPLAY_STAGE, replay_for),) if replay_for else ())


def test_a_good_event_is_handled(guard: Guard, codec: Codec, letters: DeadLetterList) -> None:
    handled = guard.run(message(codec.encode(OUTCOME, TOPIC)), lambda event, received: (event, received.offset))
    assert handled == (OUTCOME, 17)
    assert letters.letters == []
    assert guard.counts == Counts(accepted=1)


@pytest.mark.parametrize("value", [None, b"", b"garbage", b"\x00\x00\x00\x00\x01"])
def test_what_cannot_be_decoded_is_kept_untouched(guard: Guard, letters: DeadLetterList, value: bytes | None) -> None:
    bad = Message(TOPIC, 2, 17, b"\xff", value, (("h", b"\x00"), ("h", None)), 5)
    assert guard.run(bad, lambda event, received: pytest.fail("it must not be handled")) is None
    [(kept, error, stage)] = letters.letters
    assert kept is bad
    assert isinstance(error, UndecodableEvent)
    assert stage == "monitoring"
    assert guard.counts == Counts(dead=1)


def test_an_event_without_its_key_is_refused(guard: Guard, codec: Codec, letters: DeadLetterList) -> None:
    assert guard.accept(message(codec.encode(OUTCOME, TOPIC), key=None)) is None
    assert guard.accept(message(codec.encode(OUTCOME, TOPIC), key=b"")) is None
    assert {str(error) for _, error, _ in letters.letters} == {f"a {NAME} on {TOPIC} has no key; expected: entity"}


def test_an_event_with_an_impossible_time_is_refused(guard: Guard, codec: Codec, letters: DeadLetterList) -> None:
    in_seconds = OutcomeObserved(model="delay", entity="{}", label=1.0, event_ms=TIME_MS // 1000)
    assert guard.accept(message(codec.encode(in_seconds, TOPIC))) is None
    [(_, error, _)] = letters.letters
    assert isinstance(error, InvalidEvent)
    assert "looks like seconds" in str(error)


def test_an_event_on_the_wrong_topic_is_refused(guard: Guard, codec: Codec, letters: DeadLetterList) -> None:
    value = codec.encode(OUTCOME, "bighead.runs.v1")
    assert guard.accept(message(value, topic="bighead.runs.v1")) is None
    assert "which carries bighead.v1.RunStarted" in str(letters.letters[0][1])


def test_what_a_handler_cannot_apply_is_kept(guard: Guard, codec: Codec, letters: DeadLetterList) -> None:
    def handle(event: Event, received: Message) -> None:
        raise ZeroDivisionError("no predictions")

    guard.run(message(codec.encode(OUTCOME, TOPIC)), handle)
    assert [repr(error) for _, error, _ in letters.letters] == ["ZeroDivisionError('no predictions')"]
    assert guard.counts == Counts(accepted=1, dead=1)


@pytest.mark.parametrize("error", [StoreError("redis is gone"), PlatformError("kafka is gone"), OSError("disk full")])
def test_what_is_not_the_messages_fault_is_raised(
    guard: Guard, codec: Codec, letters: DeadLetterList, error: Exception
) -> None:
    def handle(event: Event, received: Message) -> None:
        raise error

    async def handle_async(event: Event, received: Message) -> None:
        raise error

    with pytest.raises(type(error)):
        guard.run(message(codec.encode(OUTCOME, TOPIC)), handle)
    with pytest.raises(type(error)):
        asyncio.run(guard.run_async(message(codec.encode(OUTCOME, TOPIC)), handle_async))
    assert letters.letters == []


async def test_coroutines_are_guarded_alike(guard: Guard, codec: Codec, letters: DeadLetterList) -> None:
    async def handle(event: Event, received: Message) -> str:
        if received.key == b"bad":
            raise ValueError("cannot be applied")
        return "applied"

    value = codec.encode(OUTCOME, TOPIC)
    assert await guard.run_async(message(value), handle) == "applied"
    assert await guard.run_async(message(value, key=b"bad"), handle) is None
    assert await guard.run_async(message(b"garbage"), handle) is None
    assert guard.counts == Counts(accepted=2, dead=2)
    assert len(letters.letters) == 2


def test_a_replay_is_for_the_stage_that_failed(guard: Guard, codec: Codec, letters: DeadLetterList) -> None:
    value = codec.encode(OUTCOME, TOPIC)
    assert guard.accept(message(value, replay_for=b"another")) is None
    assert guard.accept_record(message(value, replay_for=b"another")) is None
    assert guard.accept(message(value, replay_for=b"monitoring")) == OUTCOME
    assert guard.counts == Counts(accepted=1, skipped=2)
    assert letters.letters == []


def test_a_users_event_is_accepted_with_a_believable_time(guard: Guard, codec: Codec, letters: DeadLetterList) -> None:
    def order(at_ms: int) -> Message:
        return message(codec.encode_record("orders.v1", "Order", {"at_ms": at_ms}), topic="orders.v1", key=None)

    assert guard.accept_record(order(TIME_MS), "at_ms") == ("Order", {"at_ms": TIME_MS})
    assert guard.accept_record(order(TIME_MS // 1000)) == ("Order", {"at_ms": TIME_MS // 1000})
    assert guard.accept_record(order(TIME_MS // 1000), "at_ms") is None
    assert guard.accept_record(order(TIME_MS), "placed_ms") is None
    assert [str(error)[:40] for _, error, _ in letters.letters] == [
        "at_ms of a Order is 1383264000; expected",
        "a Order has no field 'placed_ms'; it has",
    ]
