"""The console's pages that reach beyond the folded log, on a real broker: the live tail, dead letters and replays."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis
from fastapi import FastAPI

from bighead.client.fleet import Heartbeat
from bighead.client.models import ModelsClient
from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import StoreError, UndecodableEvent
from bighead.events.codec import Codec
from bighead.events.dead_letters import DeadLetters, read_dead_letters
from bighead.events.headers import REPLAY_STAGE
from bighead.events.log import read_log
from bighead.events.message import Message
from bighead.events.topics import DEAD_LETTERS, OUTCOMES, topic_name
from bighead.events.types import DeadLetterReplayed, OutcomeObserved
from bighead.features.tiles import visible_key
from bighead.testing import eventually
from serving.api.security import Access, ConsoleTokens
from serving.console.app import build
from serving.console.desk import PlatformDesk
from serving.console.log_state import LogFollower
from serving.console.reach import SERVERS_AGE_S, TAIL_AGE_S, Reach
from tests.unit.serving.console.kit import ask, field_of, get, words_of

BYTES = b"\x07no event <b>"


@pytest.fixture
def codec(ready_settings: Settings) -> Codec:
    return Codec(ready_settings.schema_registry)


@pytest.fixture
def now_s() -> list[float]:
    return [0.0]


@pytest.fixture
def app(ready_settings: Settings, codec: Codec, now_s: list[float]) -> Iterator[FastAPI]:
    follower = LogFollower(ready_settings, codec)
    follower.start()
    reach = Reach(ready_settings, codec, lambda: now_s[0])
    access = Access(ConsoleTokens(""), "ada")
    desk = PlatformDesk(ready_settings, ModelsClient(ready_settings))
    yield build(lambda: follower.state, lambda: follower.problem, lambda: (), access, desk, reach)
    follower.stop(10)


async def test_freshness_is_what_the_store_says_and_a_store_that_is_gone_says_so(
    ready_settings: Settings, codec: Codec
) -> None:
    with redis.Redis.from_url(ready_settings.redis) as store:
        place = visible_key(ready_settings.topic_prefix, "orders.v1")
        store.hset(place, mapping={"0:0": 7, "latest:0": 1_000, "latest:1": 3_000})
    found = await Reach(ready_settings, codec).newest_ms(["orders.v1", "other.v1"])
    assert found == {"orders.v1": 3_000, "other.v1": None}
    gone = replace(ready_settings, redis="redis://127.0.0.1:1/0")
    with pytest.raises(StoreError, match="the online store does not answer"):
        await Reach(gone, codec).newest_ms(["orders.v1"])


def test_the_servers_that_live_are_known_by_their_environment(
    ready_settings: Settings, codec: Codec, now_s: list[float]
) -> None:
    reach = Reach(ready_settings, codec, lambda: now_s[0])
    assert reach.servers() == {}
    with redis.Redis.from_url(ready_settings.redis) as store:
        for name, *arguments in Heartbeat("s1", "127.0.0.1:1", {}, 0, "staging").commands(ready_settings.topic_prefix):
            store.execute_command(name, *arguments)
    assert reach.servers() == {}, "it is asked once for all who look at once"
    now_s[0] += SERVERS_AGE_S + 1
    assert reach.servers() == {"s1": "staging"}
    assert Reach(replace(ready_settings, redis="redis://127.0.0.1:1/0"), codec).servers() is None


def outcome(entity: str) -> OutcomeObserved:
    return OutcomeObserved(model="late", entity=entity, label=1.0, event_ms=1_700_000_000_000)


def test_the_tail_shows_what_comes_and_what_had_come_by_a_time(
    ready_settings: Settings, codec: Codec, app: FastAPI, now_s: list[float]
) -> None:
    topic, publisher = topic_name(ready_settings.topic_prefix, OUTCOMES), Publisher(ready_settings, "test", codec=codec)
    path = f"/events?topic={topic}"
    assert "The topic is empty" in words_of(get(app, path))
    publisher.publish(outcome("first"), key="first", topic=topic)
    publisher.flush()
    assert "The topic is empty" in words_of(get(app, path)), "many who look share one reading"
    now_s[0] += TAIL_AGE_S + 1
    assert "OutcomeObserved first" in words_of(get(app, path))
    [message] = read_log(ready_settings, topic)
    eventually(lambda: publish_later(publisher, topic, message.timestamp_ms), 10)
    now_s[0] += TAIL_AGE_S + 1
    text = words_of(get(app, path))
    assert text.index("OutcomeObserved later") < text.index("OutcomeObserved first")
    then = words_of(get(app, f"{path}&as_of={message.timestamp_ms}"))
    assert "OutcomeObserved first" in then
    assert "OutcomeObserved later" not in then


def publish_later(publisher: Publisher, topic: str, after_ms: int) -> bool:
    """Publishes once Kafka's clock has moved on."""
    if wall_clock_ms() <= after_ms:
        return False
    publisher.publish(outcome("later"), key="later", topic=topic)
    publisher.flush()
    return True


def test_a_dead_letter_is_shown_with_its_bytes_and_sent_back_from_its_page(
    ready_settings: Settings, codec: Codec, app: FastAPI
) -> None:
    topic = topic_name(ready_settings.topic_prefix, OUTCOMES)
    letters = DeadLetters(ready_settings, codec)
    letters.send(Message(topic, 1, 17, b"k", BYTES, (("raw", b"\xff"),)), UndecodableEvent("no Avro"), "monitoring")
    letters.flush()
    eventually(lambda: "monitoring" in get(app, "/dead-letters").text, 20)
    [stored] = read_dead_letters(ready_settings, codec)
    place = f"{stored.position.partition}/{stored.position.offset}"
    shown = words_of(get(app, f"/dead-letters/{place}"))
    assert BYTES.hex(" ") in shown
    assert f"{topic}/1/17" in shown
    assert get(app, "/dead-letters/0/99999").status_code == 404
    form = get(app, f"/dead-letters/replay?p={place}")
    fields = {"csrf": field_of(form, "csrf"), "positions": field_of(form, "positions"), "reason": "mended"}
    answer = ask(app, "POST", "/dead-letters/replay", data=fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/dead-letters?sent=1")
    [back] = read_log(ready_settings, topic)
    assert (back.partition, back.key, back.value) == (1, b"k", BYTES)
    assert back.header(REPLAY_STAGE) == "monitoring"
    events = [codec.decode(one.value) for one in read_log(ready_settings, stored.position.topic)]
    [event] = [one for one in events if isinstance(one, DeadLetterReplayed)]
    assert (event.actor, event.reason) == ("ada", "mended")
    eventually(lambda: "All of them were sent back" in words_of(get(app, "/dead-letters")), 20)
    assert "ada mended" in words_of(get(app, "/audit"))
    assert stored.position.topic == topic_name(ready_settings.topic_prefix, DEAD_LETTERS)
