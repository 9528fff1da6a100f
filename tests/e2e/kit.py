"""What end-to-end tests share: a source topic that remembers where its events lie, and feature reads by both ways."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from bighead.client.catalog import read_catalog
from bighead.client.features import Definitions, apply
from bighead.client.online import OnlineReader
from bighead.client.proto.features_pb2 import GetFeaturesRequest, GetFeaturesResponse
from bighead.client.publish import Publisher
from bighead.client.redis import RedisPipeline
from bighead.client.visibility import Visibility
from bighead.config import Settings
from bighead.errors import NotReady
from bighead.events import admin
from bighead.events.codec import Codec
from bighead.events.message import Position
from bighead.features import GroupBy, Join
from bighead.features.catalog import Catalog
from bighead.features.reference import SourceEvent

Keys = Mapping[str, Any]
TIMEOUT_S = 60.0


class Source:
    """A user's topic of one event type; keeps what was published to it, with positions, for the reference."""

    def __init__(
        self, settings: Settings, topic: str, schema: Mapping[str, Any], key: str, partitions: int = 2
    ) -> None:
        self.settings = settings
        self.topic = topic
        self.events: list[SourceEvent] = []
        self._name = f"{schema['namespace']}.{schema['name']}"
        self._key = key
        self._visibility = Visibility(settings)
        admin.create_topic(settings, topic, partitions)
        admin.register_schema(settings, topic, schema)
        self._publisher = Publisher(settings, "test")

    def publish(self, records: Iterable[Mapping[str, Any]]) -> list[Position]:
        """Publishes records, keyed by one of their columns; where they lie, once Kafka has all of them."""
        sent = [
            (
                record,
                self._publisher.publish_record(
                    self.topic, self._name, record, key=str(record[self._key]), time_ms=record["at_ms"]
                ),
            )
            for record in records
        ]
        self._publisher.flush()
        placed = [(record, delivery.position()) for record, delivery in sent]
        self.events += [SourceEvent(record, at.partition, at.offset) for record, at in placed]
        return [at for _, at in placed]

    def await_visible(self, positions: Iterable[Position]) -> None:
        """Waits until the online store reflects them."""
        self._visibility.wait(positions, TIMEOUT_S)

    def apply(self, groups: Sequence[GroupBy], join: Join) -> None:
        """Applies definitions, and waits until the stream has taken them in."""
        definitions = Definitions({group.name: group for group in groups}, {join.name: join})
        self.await_visible(apply(self.settings, definitions, actor="test", reason="a test").positions)


def catalog_of(settings: Settings) -> Catalog:
    """What is applied now."""
    codec = Codec(settings.schema_registry)
    try:
        return read_catalog(settings, codec)
    finally:
        codec.close()


def read_online(
    settings: Settings, catalog: Catalog, join: str, entities: Sequence[Keys], queries_ms: Iterable[int]
) -> list[list[dict[str, Any]]]:
    """For each query time the features of each entity, by the library."""

    async def run() -> list[list[dict[str, Any]]]:
        pipeline = RedisPipeline(settings.redis)
        try:
            reader = OnlineReader(pipeline, settings.topic_prefix, lambda: catalog)
            found = []
            for query_ms in queries_ms:
                rows = await reader.read(join, entities, query_ms, 5.0)
                assert not [row for row in rows if "ERROR" in row.statuses.values()]
                found.append([row.values for row in rows])
            return found
        finally:
            await pipeline.close()

    return asyncio.run(run())


class FeaturesClient:
    """`bighead.v1.Features` on a model server, through a plain channel."""

    def __init__(self, settings: Settings) -> None:
        self._channel = grpc.insecure_channel(settings.grpc)
        self._get = self._channel.unary_unary(
            "/bighead.v1.Features/GetFeatures",
            request_serializer=GetFeaturesRequest.SerializeToString,
            response_deserializer=GetFeaturesResponse.FromString,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def read(self, join: str, entities: Sequence[Keys], query_ms: int) -> list[dict[str, Any]]:
        """The features of each entity. Raises NotReady where the server says UNAVAILABLE."""
        request = GetFeaturesRequest(join=join, as_of_ms=query_ms)
        for entity in entities:
            keys = request.entities.add().keys
            for name, value in entity.items():
                setattr(keys[name], "string_value" if isinstance(value, str) else "int64_value", value)
        try:
            answer = self._get(request, timeout=5.0)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise NotReady(error.details()) from error
            raise
        return [dict(zip(answer.feature_names, map(_value, vector.values), strict=True)) for vector in answer.vectors]


def _value(message: Any) -> Any:
    kind = message.WhichOneof("kind")
    return None if kind is None else getattr(message, kind)
