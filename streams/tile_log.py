"""Writes tiles and marks to the state topic, and says when they are safe.

Per-partition order makes a mark a promise about all tiles before it.
"""

import asyncio
import json
import threading
import time
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from bighead.config import Settings
from bighead.errors import Overloaded, PlatformError
from bighead.events.codec import Codec
from bighead.events.headers import cloud_event
from bighead.events.kafka import LOGGER, producer_config
from bighead.events.topics import FEATURES_STATE, topic_name
from bighead.events.types import FeatureTile, PositionReached, SourcePosition

LANE = "python"
"""The id of this lane in marks. It is not a host's: a lane that moves goes on with its marks."""
_SOURCE = f"bighead/lane/{LANE}"
_LIMITS: dict[str, str | int | bool] = {"linger.ms": 1, "queue.buffering.max.kbytes": 64 * 1024}
_QUEUE_FULL_S = 30.0
_WAIT_S = 0.01
_LISTEN_S = 0.2


class Flight:
    """Messages that were queued together, until all of them are acknowledged."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._landed: asyncio.Future[None] = loop.create_future()
        self._offsets: dict[int, int] = {}
        self._failure = ""
        self._sent = self._heard = 0
        self._complete = False

    async def landed(self) -> dict[int, int]:
        """By partition the offset behind what was written; raises PlatformError where something was not delivered."""
        await self._landed
        if self._failure:
            raise PlatformError(self._failure)
        return self._offsets

    def sent(self) -> None:
        """One more message is under way."""
        self._sent += 1

    def complete(self) -> None:
        """No more messages are sent."""
        self._complete = True
        if self._heard == self._sent:
            self._wake()

    def heard(self, error: KafkaError | None, message: KafkaMessage) -> None:
        """Called by the client for each message, in the thread that listens."""
        partition, offset = message.partition(), message.offset()
        if error is not None or partition is None or offset is None:
            reason = error.str() if error else "no position was given"
            self._failure = f"{message.topic()} did not take a tile or a mark: {reason}"
        else:
            self._offsets[partition] = offset + 1
        self._heard += 1
        if self._complete and self._heard == self._sent and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if not self._landed.done():
            self._landed.set_result(None)


class TileLog:
    """The state topic, to write to. A thread of its own hears acknowledgements; nobody waits for them to go on."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self.topic = topic_name(settings.topic_prefix, FEATURES_STATE)
        self._partitions = settings.partitions
        self._codec = codec
        self._producer = Producer(producer_config(settings) | _LIMITS, logger=LOGGER)
        self._flight: Flight | None = None
        self._closed = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="tile-log", daemon=True)
        self._listener.start()

    def tile(self, key: str, value: bytes, latest_ms: int) -> None:
        """Queues the bytes of a FeatureTile."""
        headers = cloud_event(event_type=FeatureTile.FULL_NAME, source=_SOURCE, subject=key, time_ms=latest_ms)
        self._send(key.encode(), value, headers, -1)

    def erase(self, key: str) -> None:
        """Queues what makes the log forget a tile, once it is compacted."""
        self._send(key.encode(), None, [], -1)

    def mark(self, topic: str, positions: Sequence[SourcePosition]) -> None:
        """Queues a mark to every partition: below these offsets, everything of a source is included.

        All partitions of the source are named each time, since compaction keeps the newest mark alone.
        """
        first, *others = positions
        event = PositionReached(
            lane=LANE,
            topic=topic,
            partition=first.partition,
            offset=first.offset,
            event_ms=first.event_ms,
            others=tuple(others),
        )
        value = self._codec.encode(event, self.topic)
        key = json.dumps([LANE, topic], separators=(",", ":"))
        headers = cloud_event(event_type=event.FULL_NAME, source=_SOURCE, subject=key, time_ms=first.event_ms)
        for state_partition in range(self._partitions):
            self._send(key.encode(), value, headers, state_partition)

    def send_off(self) -> Flight:
        """What was queued since the last call."""
        flight = self._flight or Flight(asyncio.get_running_loop())
        self._flight = None
        flight.complete()
        return flight

    def close(self) -> None:
        """Stops listening."""
        self._closed.set()
        self._listener.join()

    def _send(self, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]], partition: int) -> None:
        flight = self._flight
        if flight is None:
            flight = self._flight = Flight(asyncio.get_running_loop())
        deadline_s = time.monotonic() + _QUEUE_FULL_S
        while True:
            try:
                self._producer.produce(self.topic, value, key, partition, flight.heard, headers=list(headers))
            except BufferError:
                if time.monotonic() > deadline_s:
                    raise Overloaded(f"Kafka has taken no message for {_QUEUE_FULL_S} s; is the broker up?") from None
                time.sleep(_WAIT_S)
            except KafkaException as error:
                raise PlatformError(f"{self.topic} cannot take the message: {error.args[0].str()}") from error
            else:
                flight.sent()
                return

    def _listen(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(_LISTEN_S)
