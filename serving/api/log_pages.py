"""The log as pages: of several topics at once, by time, from any place. Pure but for the reading that is handed in."""

import heapq
from collections.abc import Iterator, Mapping, Sequence

from bighead.errors import UndecodableEvent
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.log import Places
from bighead.events.message import Message


def merged(read: Mapping[tuple[str, int], Sequence[Message]]) -> Iterator[Message]:
    """Messages of all partitions by their time on the broker, each partition in its own order."""
    return (message for *_, message in heapq.merge(*(_timed(messages) for messages in read.values())))


def taken(
    codec: Codec, messages: Iterator[Message], start: Places, limit: int, as_of_ms: int | None, model: str | None
) -> tuple[list[tuple[Message, Event, dict[tuple[str, int], int]]], dict[tuple[str, int], int]]:
    """Up to `limit` events not newer than a time and of a model (None: any), each with the place behind it; and the
    place behind everything that was looked at.
    """
    places = dict(start)
    found: list[tuple[Message, Event, dict[tuple[str, int], int]]] = []
    for message in messages:
        if len(found) == limit:
            break
        places[message.topic, message.partition] = message.offset + 1
        event = readable(codec, message)
        if event is not None and (as_of_ms is None or event.time_ms <= as_of_ms) and concerns(event, model):
            found.append((message, event, dict(places)))
    return found, places


def readable(codec: Codec, message: Message) -> Event | None:
    """The event of a message; None for what the platform did not write."""
    try:
        return codec.decode(message.value)
    except UndecodableEvent:
        return None


def concerns(event: Event, model: str | None) -> bool:
    """Whether an event is about the model; those that name none are about all."""
    return model is None or getattr(event, "model", model) == model


def _timed(messages: Sequence[Message]) -> Iterator[tuple[int, str, int, int, Message]]:
    """With a time that never runs backwards within the partition, as producers' clocks may."""
    newest = 0
    for message in messages:
        newest = max(newest, message.timestamp_ms)
        yield newest, message.topic, message.partition, message.offset, message
