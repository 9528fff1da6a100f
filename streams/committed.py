"""What Faust must be told about our Kafka: read committed messages alone, and leave bytes as they are.

Faust reads committed messages only in its exactly-once mode, which has open defects; without it an agent would see
decisions that were taken back.
"""

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer
from faust import App
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import EventT, TopicT

from bighead.events.message import Message


class _CommittedThread(AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust passes no such option on; the client reads this attribute when it starts.
        consumer._isolation_level = "read_committed"
        return consumer


class _CommittedConsumer(Consumer):
    def _new_consumer_thread(self) -> _CommittedThread:
        return _CommittedThread(self, loop=self.loop, beacon=self.beacon)


class _CommittedTransport(Transport):
    Consumer = _CommittedConsumer


def read_committed(app: App) -> None:
    """Makes every agent of the app see committed messages alone; to be called before the first topic is made."""
    app.transport = _CommittedTransport(app.conf.broker_consumer, app)


def raw_topic(app: App, *names: str) -> TopicT:
    """Topics whose keys and values reach an agent as the bytes that they are."""
    return app.topic(
        *names, key_type=bytes, key_serializer="raw", value_type=bytes, value_serializer="raw", allow_empty=True
    )


def message_of(event: EventT[bytes]) -> Message:
    """What an agent was given, as the guard takes it."""
    message = event.message
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    timestamp_ms = -1 if message.timestamp is None else round(message.timestamp * 1000)
    return Message(
        message.topic, message.partition, message.offset, message.key, message.value, tuple(pairs), timestamp_ms
    )
