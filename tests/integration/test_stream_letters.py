"""A worker's dead letters on a real broker: one for each message and stage, however many workers read it."""

from bighead.config import Settings
from bighead.errors import InvalidEvent
from bighead.events.codec import Codec
from bighead.events.log import read_log
from bighead.events.message import Message
from bighead.events.topics import DEAD_LETTERS, topic_name
from bighead.events.types import DeadLetter
from streams.letters import LettersOnce

ERROR = InvalidEvent("no key")


def message(offset: int) -> Message:
    return Message("orders.v1", 0, offset, None, b"bytes", (("a", None),))


def written(settings: Settings) -> list[tuple[int, str]]:
    codec = Codec(settings.schema_registry)
    log = read_log(settings, topic_name(settings.topic_prefix, DEAD_LETTERS))
    letters = [codec.decode(message.value) for message in log]
    return sorted((letter.offset, letter.stage) for letter in letters if isinstance(letter, DeadLetter))


def test_a_message_that_is_read_again_is_written_once_for_each_stage(ready_settings: Settings) -> None:
    codec = Codec(ready_settings.schema_registry)
    killed = LettersOnce(ready_settings, codec)
    killed.send(message(1), ERROR, "lane")
    killed.send(message(1), ERROR, "lane")
    killed.flush()
    killed.send(message(3), ERROR, "lane")  # it was not flushed: nobody went on as if it were safe

    restarted = LettersOnce(ready_settings, codec)
    for stage in ("lane", "materializer"):
        for offset in (1, 2):
            restarted.send(message(offset), ERROR, stage)
    restarted.flush()
    restarted.send(message(2), ERROR, "lane")
    restarted.flush()

    assert written(ready_settings) == [(1, "lane"), (1, "materializer"), (2, "lane"), (2, "materializer")]
