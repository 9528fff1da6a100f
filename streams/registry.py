"""The registry's writer: turns commands into decisions, each with the consumed offset in one Kafka transaction.

Knows Kafka and the pure registry; what is decided is none of its business. `RegistryService` hosts it in a worker.
"""

import asyncio
import enum
import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from aiokafka.partitioner import murmur2
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from mode import Service

from bighead.client.policies import default_policies
from bighead.client.registry_log import CHUNK, RegistryLog, many_objects
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import InvalidEvent, PlatformError
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.dead_letters import DeadLetters
from bighead.events.guard import Guard
from bighead.events.headers import cloud_event
from bighead.events.kafka import consumer_config, producer_config
from bighead.events.log import message_of
from bighead.events.message import Message
from bighead.events.topics import MODELS_COMMANDS, MODELS_EVENTS, spec_of, topic_name
from bighead.events.types import CommandRejected, ModelRegistered
from bighead.registry import (
    COMMANDS,
    Command,
    ModelState,
    RegistryEvent,
    check_addressed,
    decide,
    evolve,
    evolve_unnoted,
)

LOGGER = logging.getLogger("bighead.registry")
STAGE = "registry"
_KEPT = "registry.events"
_POLL_S = 0.1
_CALL_S = 10.0
_ABORTS_IN_A_ROW = 5
_HEADERS_BYTES = 4096
_POSITIVE = 0x7FFFFFFF


class WriterState(enum.Enum):
    """What the writer is doing."""

    STOPPED = "stopped"
    JOINING = "joining"
    FOLDING = "folding"
    DECIDING = "deciding"
    FAILED = "failed"


@dataclass(slots=True)
class WriterCounts:
    """What became of the commands so far. `repeated`: answered before. `aborted`: transactions tried again."""

    accepted: int = 0
    rejected: int = 0
    repeated: int = 0
    dead: int = 0
    aborted: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """An event and its bytes, ready for the log."""

    event: RegistryEvent
    value: bytes
    headers: list[tuple[str, bytes]]


class RegistryWriter:
    """Decides the commands of the partitions that the consumer group gives it.

    One producer per partition, its transactional id bound to that partition: taking a partition over fences whoever
    wrote it before and ends the transaction that a killed writer left open. Events go to the partition with the
    number of their command's, so that a partition's owner is the only writer of its models.
    """

    def __init__(self, settings: Settings, *, clock_ms: Callable[[], int] = wall_clock_ms) -> None:
        self.state = WriterState.STOPPED
        self.counts = WriterCounts()
        self.models: dict[str, ModelState] = {}
        self._known: set[str] = set()
        self._log: RegistryLog | None = None
        self._kept = 0
        self._settings = settings
        self._policies = default_policies(settings.policies)
        self._clock_ms = clock_ms
        self._commands = topic_name(settings.topic_prefix, MODELS_COMMANDS)
        self._events = topic_name(settings.topic_prefix, MODELS_EVENTS)
        self._group = topic_name(settings.topic_prefix, "registry")
        self._codec = Codec(settings.schema_registry)
        self._guard = Guard(self._codec, DeadLetters(settings, self._codec), STAGE, settings, clock_ms=clock_ms)
        self._producers: dict[int, Producer] = {}
        self._partitions = 0
        self._aborts = 0

    def health(self) -> dict[str, Any]:
        """State, partitions and counts, for the worker's health page."""
        partitions = sorted(self._producers)
        return {"state": self.state.value, "partitions": partitions, "counts": asdict(self.counts)}

    def run(self, stop: threading.Event) -> None:
        """Decides until `stop`. Raises when it was replaced by a newer writer or Kafka fails: start it again."""
        self.state = WriterState.JOINING
        try:
            self._run(stop)
        except KafkaException as error:
            self.state = WriterState.FAILED
            raise PlatformError(f"the registry's writer stops: {_reason(error.args[0])}") from error
        except BaseException:
            self.state = WriterState.FAILED
            raise
        self.state = WriterState.STOPPED

    def _run(self, stop: threading.Event) -> None:
        consumer = self._consumer()
        try:
            self._partitions = self._counted_partitions(consumer)
            consumer.subscribe([self._commands], on_assign=self._take, on_revoke=self._give_up, on_lost=self._give_up)
            while not stop.is_set():
                received = consumer.poll(_POLL_S)
                if received is None:
                    continue
                if (error := received.error()) is not None:
                    raise KafkaException(error)
                self._answer(consumer, message_of(received))
        finally:
            self._producers.clear()
            consumer.close()

    def _consumer(self) -> Consumer:
        """A static member: a writer that was killed gets its partitions back at once, without a rebalance."""
        config = consumer_config(self._settings, self._group) | {
            "group.instance.id": instance_id(self._settings.state),
            "session.timeout.ms": 10_000,
        }
        return Consumer(config, logger=LOGGER)

    def _counted_partitions(self, consumer: Consumer) -> int:
        counts = []
        for topic in (self._commands, self._events):
            found = consumer.list_topics(topic, timeout=_CALL_S).topics[topic]
            if found.error is not None:
                raise PlatformError(f"topic {topic} cannot be used: {found.error.str()}; `bighead up` creates it")
            counts.append(len(found.partitions))
        if counts[0] != counts[1]:
            raise PlatformError(
                f"{self._commands} has {counts[0]} partitions and {self._events} {counts[1]}; expected as many, since "
                "a model's events lie in the partition of its commands"
            )
        return counts[0]

    def _take(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        """Fences earlier owners first: only then are the offsets and the log final, and may be read."""
        self.state = WriterState.FOLDING
        for part in assigned:
            self._producers[part.partition] = self._producer(part.partition)
        committed = consumer.committed(assigned, timeout=_CALL_S) if assigned else []
        self.models = self._folded()
        self._known = {name for name, state in self.models.items() if state.versions}
        consumer.assign(
            [
                TopicPartition(part.topic, part.partition, part.offset if part.offset >= 0 else OFFSET_BEGINNING)
                for part in committed
            ]
        )
        self.state = WriterState.DECIDING
        LOGGER.info("deciding on partitions %s with %d models", sorted(self._producers), len(self.models))

    def _give_up(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        for part in revoked:
            self._producers.pop(part.partition, None)
        self.state = WriterState.JOINING

    def _producer(self, partition: int) -> Producer:
        config = producer_config(self._settings) | {
            "transactional.id": f"{self._group}-{partition}",
            "transaction.timeout.ms": 30_000,
            # A transaction is one small decision that somebody waits for.
            "linger.ms": 0,
        }
        producer = Producer(config, logger=LOGGER)
        _insist(lambda: producer.init_transactions(_CALL_S))
        return producer

    def _folded(self) -> dict[str, ModelState]:
        models: dict[str, ModelState] = {}
        self._log = RegistryLog(self._settings, self._settings.state / _KEPT, self._guard.accept)
        self._kept = 0
        answered: dict[str, list[str]] = {}
        with many_objects():
            for event, _ in self._log.read():
                models[event.model] = evolve_unnoted(models.get(event.model) or ModelState(event.model), event)
                answered.setdefault(event.model, []).append(event.command_id)
        self._guard.flush()
        return {name: replace(state, answered=frozenset(answered[name])) for name, state in models.items()}

    def _keep(self, events: int) -> None:
        """Lets the file follow what is written, a chunk at a time: a start is short however long this one ran."""
        self._kept += events
        if self._log is not None and self._kept >= CHUNK:
            self._kept = 0
            for _ in self._log.read():
                pass

    def _answer(self, consumer: Consumer, message: Message) -> None:
        """Decides one command and commits the answer; the state changes only once that is done."""
        dead = self._guard.counts.dead
        written = self._guard.run(message, self._decide) or []
        try:
            self._commit(consumer, message, written)
        except KafkaException as error:
            self._abort(consumer, message, error)
            return
        self._aborts = 0
        for item in written:
            self.models[item.event.model] = evolve(self._state_of(item.event.model), item.event)
            if isinstance(item.event, ModelRegistered):
                self._known.add(item.event.model)
        self._count(written, self._guard.counts.dead > dead)
        self._keep(len(written))

    def _decide(self, event: Event, message: Message) -> list[Written]:
        if not isinstance(event, COMMANDS):
            raise InvalidEvent(f"{event.FULL_NAME} is no command to the registry")
        self._check_placed(event, message)
        decided = decide(self._state_of(event.model), event, self._clock_ms(), self._known, self._policies)
        return [self._written(answer, message) for answer in decided]

    def _check_placed(self, command: Command, message: Message) -> None:
        """Another partitioner would give one model two writers, so its commands are refused."""
        key = message.key or b""
        check_addressed(command, key.decode("utf-8", "replace"))
        expected = (murmur2(key) & _POSITIVE) % self._partitions
        if message.partition != expected:
            raise InvalidEvent(
                f"a command to model {command.model!r} lies in partition {message.partition}; its place is {expected}: "
                "let the producer use the partitioner of Kafka's Java client (murmur2_random in librdkafka)"
            )

    def _written(self, event: RegistryEvent, cause: Message) -> Written:
        value = self._codec.encode(event, self._events)
        spec = spec_of(self._settings.topic_prefix, self._events)
        limit = spec.max_bytes - _HEADERS_BYTES if spec is not None else len(value)
        if len(value) > limit:
            raise InvalidEvent(f"{type(event).__name__} of {event.model!r} has {len(value)} bytes; at most {limit} fit")
        headers = cloud_event(
            event_type=event.FULL_NAME,
            source="bighead/registry",
            subject=event.model,
            time_ms=event.at_ms,
            traceparent=cause.header("traceparent"),
        )
        return Written(event, value, headers)

    def _commit(self, consumer: Consumer, message: Message, written: list[Written]) -> None:
        """Answer and offset become visible together or not at all."""
        producer = self._producers[message.partition]
        producer.begin_transaction()
        for item in written:
            producer.produce(
                self._events, item.value, item.event.model.encode(), message.partition, headers=list(item.headers)
            )
        after = [TopicPartition(message.topic, message.partition, message.offset + 1)]
        member = consumer.consumer_group_metadata()
        _insist(lambda: producer.send_offsets_to_transaction(after, member, _CALL_S))
        _insist(lambda: producer.commit_transaction(_CALL_S))

    def _abort(self, consumer: Consumer, message: Message, error: KafkaException) -> None:
        """Takes the transaction back and reads the command again; raises where the writer must be started anew."""
        reason: KafkaError = error.args[0]
        self._aborts += 1
        if not reason.txn_requires_abort() or self._aborts > _ABORTS_IN_A_ROW:
            raise error
        LOGGER.warning("%s is decided again: %s", message.position, _reason(reason))
        producer = self._producers[message.partition]
        _insist(lambda: producer.abort_transaction(_CALL_S))
        consumer.seek(TopicPartition(message.topic, message.partition, message.offset))
        self.counts.aborted += 1

    def _state_of(self, model: str) -> ModelState:
        return self.models.get(model, ModelState(model))

    def _count(self, written: list[Written], dead: bool) -> None:
        if dead:
            self.counts.dead += 1
        elif not written:
            self.counts.repeated += 1
        elif isinstance(written[0].event, CommandRejected):
            self.counts.rejected += 1
        else:
            self.counts.accepted += 1


class RegistryService(Service):
    """Hosts a writer in a worker's event loop: the writer runs in a thread, and its failure is the worker's."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        super().__init__(**options)
        self.writer = RegistryWriter(settings)
        self._stop_writer = threading.Event()
        self._writing: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> str:
        """Why nothing is decided, or empty."""
        return "" if self.writer.state is WriterState.DECIDING else self.writer.state.value

    async def on_start(self) -> None:
        """Called by the worker."""
        self._writing = asyncio.create_task(asyncio.to_thread(self.writer.run, self._stop_writer))
        self.add_future(self._watch(self._writing))

    async def on_stop(self) -> None:
        """Called by the worker; returns once the writer has closed its consumer."""
        self._stop_writer.set()
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _watch(self, writing: "asyncio.Task[None]") -> None:
        """Lets the writer's failure become this service's; the thread itself cannot be cancelled."""
        await asyncio.shield(writing)


def instance_id(folder: Path) -> str:
    """The name of the writer whose state folder this is; made up once, then kept."""
    path = folder / "registry-instance"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(f"registry-{uuid.uuid4().hex}")
    return path.read_text()


def _insist(call: Callable[[], object]) -> None:
    """Kafka's transaction calls may be repeated, and must be, for as long as it says that another try may succeed."""
    while True:
        try:
            call()
        except KafkaException as error:
            if not error.args[0].retriable():
                raise
            LOGGER.warning("Kafka is asked again: %s", error.args[0].str())
        else:
            return


def _reason(error: KafkaError) -> str:
    if error.code() in (KafkaError._FENCED, KafkaError.FENCED_INSTANCE_ID, KafkaError.PRODUCER_FENCED):
        return f"a newer writer has taken its place ({error.str()})"
    return str(error.str())
