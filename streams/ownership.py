"""Who of several workers runs a part: the member of its consumer group that Kafka gives the one partition of a topic.

Kafka's session is the lease: who is not heard for SESSION_S is replaced. A zombie, which was paused and does not know
yet, writes nothing: its lease ended before, and the broker refuses what it had queued as too old.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.kafka import LOGGER, consumer_config
from bighead.events.topics import FEATURES_EVENTS, OLDEST_MS, topic_name
from streams.instance import FolderLock, instance_id

SESSION_S = 10.0
"""After how much silence a worker is replaced. One that comes back earlier has lost nothing."""
RENEW_S = 1.0
LEASE_S = 3.0
FRESH_S = 5.0
"""How long after it was stamped the broker takes a message. With LEASE_S it leaves two seconds of the session for the
clocks of worker and broker to differ."""
HEARTBEAT_MS = 500
_RECONNECT_MS = 1_000
_POLL_S = 0.1
_LEAVE_S = 5.0
_CHECK_S = 0.02
_log = logging.getLogger(__name__)


class NotOwner(PlatformError):
    """Another worker may own the part by now: nothing may be written."""


class Lease(Protocol):
    """The right to write in a part's name."""

    async def held(self) -> None:
        """Returns when it is held, at once as a rule; waits while Kafka does not confirm it."""

    def stamp_ms(self) -> int:
        """Kafka's time for what is written now: it must arrive within FRESH_S. Raises NotOwner where it is not held."""


class Renewal(NamedTuple):
    """When Kafka was asked to confirm the ownership, by the clock that only grows and by the one that all share.

    The first stands still while the machine sleeps, the second may be set back.
    """

    monotonic_s: float
    wall_s: float

    @classmethod
    def now(cls) -> "Renewal":
        """As of now."""
        return cls(time.monotonic(), time.time())

    def age_s(self, now: "Renewal") -> float:
        """How old it is."""
        return max(now.monotonic_s - self.monotonic_s, now.wall_s - self.wall_s)


class Ownership:
    """Membership in the group of one part. `gained` and `lost` are set in turns; a thread of its own hears Kafka."""

    def __init__(self, settings: Settings, part: str) -> None:
        self.gained = asyncio.Event()
        self.lost = asyncio.Event()
        self.failure = ""
        self._part = part
        self._settings = settings
        self._topic = topic_name(settings.topic_prefix, FEATURES_EVENTS)
        self._lock = FolderLock(settings.state, part)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=f"own-{part}", daemon=True)
        self._leaving = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._changing = threading.Lock()
        self._mine = False
        self._asked: Renewal | None = None
        self._renewed: Renewal | None = None

    def join(self) -> None:
        """Joins the group; raises PlatformError where another process has the state folder."""
        self._lock.take()
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def leave(self) -> None:
        """Leaves the group, so that another worker takes over at once. Blocks until it is done; nothing may run."""
        self._idle.set()
        self._leaving.set()
        if self._thread.is_alive():
            self._thread.join()
        self._lock.leave()

    def begin(self) -> bool:
        """Whether the part may be run now. If so, ownership is not given up before `end`: others wait."""
        with self._changing:
            if self._mine:
                self._idle.clear()
            return self._mine

    def end(self) -> None:
        """Nothing runs any more."""
        self._idle.set()

    async def held(self) -> None:
        """See `Lease`."""
        while not self._valid(Renewal.now()):
            await asyncio.sleep(_CHECK_S)

    def stamp_ms(self) -> int:
        """See `Lease`. The time is so far back that the broker refuses the message FRESH_S later."""
        now = Renewal.now()  # before the lease is looked at: who is paused in between has an old stamp
        if not self._valid(now):
            raise NotOwner(f"this worker may not be the owner of part {self._part!r} any more; what it did is dropped")
        return int((now.wall_s + FRESH_S) * 1000) - OLDEST_MS

    def _valid(self, now: Renewal) -> bool:
        renewed = self._renewed
        return renewed is not None and renewed.age_s(now) < LEASE_S

    def _run(self) -> None:
        config = consumer_config(self._settings, f"{self._settings.topic_prefix}.part.{self._part}") | {
            "group.instance.id": instance_id(self._settings.state, self._part),
            "partition.assignment.strategy": "cooperative-sticky",  # a worker that joins takes nothing away
            "session.timeout.ms": round(SESSION_S * 1000),
            "heartbeat.interval.ms": HEARTBEAT_MS,
            "socket.timeout.ms": round(SESSION_S * 1000),
            "reconnect.backoff.max.ms": _RECONNECT_MS,
        }
        try:
            consumer = Consumer({**config, "on_commit": self._answered}, logger=LOGGER)
            consumer.subscribe([self._topic], on_assign=self._take, on_revoke=self._give_up, on_lost=self._give_up)
            try:
                while not self._leaving.is_set():
                    self._hear(consumer)
                    self._renew(consumer)
                self._leave(consumer)
            finally:
                consumer.close()
        except (KafkaException, PlatformError) as error:
            self.failure = f"the ownership of part {self._part!r} cannot be settled: {error}"
        finally:
            self._drop()

    def _hear(self, consumer: Consumer) -> None:
        """Serves the group. Messages are not asked for; what is told instead of one is logged, or is the end."""
        told = consumer.poll(_POLL_S)
        error = told.error() if told is not None else None
        if error is not None and error.fatal():
            raise PlatformError(error.str())
        if error is not None:
            _log.warning("part %s: %s", self._part, error.str())  # the client tries again by itself

    def _renew(self, consumer: Consumer) -> None:
        """Commits an offset that means nothing: that Kafka takes it means that this member is one."""
        if not self._mine or self._asked is not None:
            return
        if self._renewed is not None and self._renewed.age_s(Renewal.now()) < RENEW_S:
            return
        self._asked = Renewal.now()
        try:
            consumer.commit(offsets=[TopicPartition(self._topic, 0, 0)], asynchronous=True)
        except KafkaException as error:
            self._asked = None
            _log.warning("part %s: %s", self._part, error.args[0].str())

    def _answered(self, error: KafkaError | None, _: Sequence[TopicPartition]) -> None:
        asked, self._asked = self._asked, None
        if error is not None:
            _log.warning("part %s is not confirmed: %s", self._part, error.str())
        elif self._mine and asked is not None:
            if self._renewed is None:
                self._tell(self.gained, self.lost)
            self._renewed = asked

    def _take(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        consumer.incremental_assign(assigned)
        if assigned:
            consumer.pause(assigned)
            self._mine = True
            _log.info("this worker owns part %s", self._part)

    def _give_up(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        """Returns when nothing runs any more: only then is another worker given the part."""
        self._drop()
        self._idle.wait()

    def _drop(self) -> None:
        if self._mine:
            _log.info("this worker does not own part %s any more", self._part)
        with self._changing:
            self._mine = False
        self._renewed = self._asked = None
        self._tell(self.lost, self.gained)

    def _leave(self, consumer: Consumer) -> None:
        """Says so to the group: a member with a name that only closes would be waited for."""
        consumer.unsubscribe()
        until_s = time.monotonic() + _LEAVE_S
        consumer.poll(_POLL_S)
        while self._mine and time.monotonic() < until_s:
            consumer.poll(_POLL_S)

    def _tell(self, event: asyncio.Event, other: asyncio.Event) -> None:
        def change() -> None:
            other.clear()
            event.set()

        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(change)
