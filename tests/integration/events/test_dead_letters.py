"""One event in a hundred cannot be decoded: every one is kept as it was, none else, and can be sent back."""

import json
import random

import pytest
from click.testing import CliRunner

from bighead import config
from bighead.commands.dead_letters import command
from bighead.config import Settings
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.dead_letters import DeadLetters, read_dead_letters, replay
from bighead.events.guard import Counts, Guard
from bighead.events.headers import REPLAY_OF, REPLAY_STAGE
from bighead.events.log import read_log
from bighead.events.message import Headers, Message
from bighead.events.sender import Sender
from bighead.events.topics import OUTCOMES, topic_name
from bighead.events.types import OutcomeObserved
from tests.event_examples import TIME_MS

COUNT = 2_000


@pytest.fixture
def topic(ready_settings: Settings) -> str:
    return topic_name(ready_settings.topic_prefix, OUTCOMES)


@pytest.fixture
def codec(ready_settings: Settings) -> Codec:
    return Codec(ready_settings.schema_registry)


def guard(settings: Settings, codec: Codec, stage: str) -> Guard:
    return Guard(codec, DeadLetters(settings, codec), stage, settings)


def outcome(number: int) -> OutcomeObserved:
    return OutcomeObserved(model="delay", entity=f'{{"n":{number}}}', label=1.0, event_ms=TIME_MS + number)


def spoil(value: bytes, number: int) -> bytes | None:
    kinds = [value[:-3], value + b"!", b"\x07" + value[1:], b"\x00\x7f\xff\xff\xff" + value[5:], b"{}", b"", None]
    return kinds[number % len(kinds)]


def test_dead_letters_are_exact(ready_settings: Settings, topic: str, codec: Codec) -> None:
    chosen = set(random.Random(7).sample(range(COUNT), COUNT // 100))
    sender, bad = Sender(ready_settings), {}
    for number in range(COUNT):
        value: bytes | None = codec.encode(outcome(number), topic)
        headers: Headers = (("number", str(number).encode()), ("raw", b"\x00\xff"), ("none", None))
        if number in chosen:
            value = spoil(value or b"", number)
            bad[str(number).encode()] = (value, headers)
        sender.send(topic, str(number).encode(), value, headers)
    sender.flush()

    handled: list[Event] = []
    watch = guard(ready_settings, codec, "monitoring")
    for message in read_log(ready_settings, topic):
        watch.run(message, lambda event, received: handled.append(event))

    assert watch.counts == Counts(accepted=COUNT - len(bad), dead=len(bad))
    assert {event.time_ms - TIME_MS for event in handled} == set(range(COUNT)) - chosen
    letters = [row.letter for row in read_dead_letters(ready_settings, codec)]
    assert {letter.key: (letter.value, pairs(letter.headers)) for letter in letters} == bad
    assert len(letters) == len(bad)
    assert {letter.stage for letter in letters} == {"monitoring"}
    assert {letter.error_class for letter in letters} == {"UndecodableEvent"}
    originals = {message.key: message for message in read_log(ready_settings, topic)}
    for letter in letters:
        original = originals[letter.key]
        assert (letter.topic, letter.partition, letter.offset) == (topic, original.partition, original.offset)
        assert letter.timestamp_ms == original.timestamp_ms


def pairs(headers: object) -> Headers:
    return tuple((header.name, header.value) for header in headers)  # type: ignore[attr-defined]


def test_a_restarted_consumer_writes_letters_twice_and_they_are_listed_once(
    ready_settings: Settings, topic: str, codec: Codec
) -> None:
    sender = Sender(ready_settings)
    sender.send(topic, b"k", b"garbage", ())
    sender.flush()
    for _ in range(2):
        watch = guard(ready_settings, codec, "monitoring")
        for message in read_log(ready_settings, topic):
            watch.run(message, lambda event, received: None)
    assert len(read_dead_letters(ready_settings, codec)) == 1


def test_a_replay_reaches_only_the_stage_that_failed(ready_settings: Settings, topic: str, codec: Codec) -> None:
    value = codec.encode(outcome(1), topic)
    headers: Headers = (("mine", b"\x01"), ("mine", None))
    sender = Sender(ready_settings)
    origin = sender.send(topic, b"k", value, headers).position()

    def fails(event: Event, received: Message) -> None:
        raise ValueError("the table is missing")

    [message] = read_log(ready_settings, topic)
    guard(ready_settings, codec, "monitoring").run(message, fails)
    assert guard(ready_settings, codec, "other").run(message, lambda event, received: "done") == "done"
    [stored] = read_dead_letters(ready_settings, codec)
    assert stored.letter.error_message == "the table is missing"

    [position] = replay(ready_settings, codec, [stored.letter], "ann")
    _, again = read_log(ready_settings, topic)
    assert again.position == position
    assert (again.partition, again.key, again.value) == (origin.partition, b"k", value)
    assert again.headers == (*headers, (REPLAY_OF, str(origin).encode()), (REPLAY_STAGE, b"monitoring"))
    assert guard(ready_settings, codec, "other").run(again, lambda event, received: "twice") is None
    assert guard(ready_settings, codec, "monitoring").run(again, lambda event, received: "mended") == "mended"
    [after] = read_dead_letters(ready_settings, codec)
    assert after.replayed


def test_a_replay_that_fails_again_is_a_new_letter(ready_settings: Settings, topic: str, codec: Codec) -> None:
    sender = Sender(ready_settings)
    sender.send(topic, b"k", b"garbage", (("mine", b"1"),))
    sender.flush()
    watch = guard(ready_settings, codec, "monitoring")
    for round_number in range(2):
        newest = list(read_log(ready_settings, topic))[-1]
        assert watch.run(newest, lambda event, received: None) is None
        letters = read_dead_letters(ready_settings, codec)
        assert [row.replayed for row in letters] == [True] * round_number + [False]
        replay(ready_settings, codec, [letters[-1].letter], "ann")
    newest = list(read_log(ready_settings, topic))[-1]
    assert [name for name, _ in newest.headers] == ["mine", REPLAY_OF, REPLAY_STAGE]


def test_a_message_of_the_greatest_size_still_fits_with_the_dead_letters(
    ready_settings: Settings, topic: str, codec: Codec
) -> None:
    value = random.Random(1).randbytes(1_000_000)
    sender = Sender(ready_settings)
    sender.send(topic, b"k", value, ())
    sender.flush()
    [message] = read_log(ready_settings, topic)
    guard(ready_settings, codec, "monitoring").run(message, lambda event, received: None)
    [stored] = read_dead_letters(ready_settings, codec)
    assert stored.letter.value == value


def test_commands_list_show_and_replay(ready_settings: Settings, topic: str, codec: Codec) -> None:
    sender = Sender(ready_settings)
    for number in range(3):
        sender.send(topic, f"key {number}".encode(), b"garbage", (("mine", b"\xff"),))
    sender.flush()
    watch = guard(ready_settings, codec, "monitoring")
    for message in read_log(ready_settings, topic):
        watch.run(message, lambda event, received: None)
    runner = CliRunner(env=config.variables(ready_settings))

    listed = [json.loads(line) for line in runner.invoke(command, ["ls", "--json"]).stdout.splitlines()]
    assert {row["key"] for row in listed} == {"key 0", "key 1", "key 2"}
    table = runner.invoke(command, ["ls"]).stdout.splitlines()
    assert len(table) == 4
    assert "UndecodableEvent: the value starts with 0x67" in table[1]

    first = listed[0]
    shown = json.loads(runner.invoke(command, ["show", first["position"]]).stdout)
    assert shown == first
    assert shown["headers"] == [["mine", {"base64": "/w=="}]]

    assert runner.invoke(command, ["replay", first["position"]]).exit_code == 0
    assert len(runner.invoke(command, ["ls"]).stdout.splitlines()) == 3
    assert len(runner.invoke(command, ["ls", "--all"]).stdout.splitlines()) == 4
    rest = runner.invoke(command, ["replay", "--all"])
    assert "2 dead letters sent back" in rest.stderr
    assert len(list(read_log(ready_settings, topic))) == 6
    assert runner.invoke(command, ["ls"]).stdout.splitlines() == ["position  original  stage  replayed  error"]


def test_commands_refuse_what_they_cannot_mean(ready_settings: Settings) -> None:
    runner = CliRunner(env=config.variables(ready_settings))
    assert "no dead letter at 0/99" in str(runner.invoke(command, ["show", "0/99"]).exception)
    for arguments in (["replay"], ["replay", "0/1", "--all"]):
        assert runner.invoke(command, arguments).exit_code == 2
