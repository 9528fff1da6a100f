"""Asks a model server for the features of entities, blocking or with asyncio. Knows the gRPC form of the Features API.

What runs beside the online store can read it without a server: `bighead.client.online.OnlineReader` answers the same.
"""

from collections.abc import Sequence

from bighead.client.proto.features_pb2 import GetFeaturesRequest, GetFeaturesResponse
from bighead.client.proto.value_pb2 import FeatureStatus
from bighead.client.rpc import OPEN, AsyncClient, Client, Method, Security
from bighead.client.values import Row, read, write
from bighead.errors import InvalidInput
from bighead.features.plan import FeatureRow

MAX_ENTITIES = 1_000
"""The most entities of one request."""
_GET_FEATURES = Method("/bighead.v1.Features/GetFeatures", GetFeaturesRequest, GetFeaturesResponse)


class FeaturesClient(Client[GetFeaturesRequest, GetFeaturesResponse]):
    """Blocking. `address` is host:port of the server's gRPC listener."""

    def __init__(self, address: str, security: Security = OPEN) -> None:
        super().__init__(address, _GET_FEATURES, security)

    def read(
        self, join: str, entities: Sequence[Row], *, as_of_ms: int | None = None, timeout_s: float = 5.0
    ) -> list[FeatureRow]:
        """The columns of a Join for each entity, in order, all as of the same time.

        entities: the Join's keys, and what it takes from the request; at most 1,000. as_of_ms: milliseconds since the
        epoch, UTC; now if absent. What the server could not read in time is null with status ERROR. Raises
        InvalidInput for an unknown Join and for keys that are not its own, NotReady and DeadlineExceeded.
        """
        return _rows(self.call(_request(join, entities, as_of_ms), timeout_s))


class AsyncFeaturesClient(AsyncClient[GetFeaturesRequest, GetFeaturesResponse]):
    """The same for asyncio."""

    def __init__(self, address: str, security: Security = OPEN) -> None:
        super().__init__(address, _GET_FEATURES, security)

    async def read(
        self, join: str, entities: Sequence[Row], *, as_of_ms: int | None = None, timeout_s: float = 5.0
    ) -> list[FeatureRow]:
        """The same as `FeaturesClient.read`."""
        return _rows(await self.call(_request(join, entities, as_of_ms), timeout_s))


def check_entities(entities: Sequence[object]) -> None:
    """Refuses a request for no entity, or for too many."""
    if not 0 < len(entities) <= MAX_ENTITIES:
        raise InvalidInput(
            f"entities: received {len(entities)}; expected 1 to {MAX_ENTITIES:,}, send more in several requests"
        )


def _request(join: str, entities: Sequence[Row], as_of_ms: int | None) -> GetFeaturesRequest:
    check_entities(entities)
    request = GetFeaturesRequest(join=join, as_of_ms=as_of_ms)
    for entity in entities:
        keys = request.entities.add().keys
        for name, value in entity.items():
            try:
                write(keys[name], value)
            except InvalidInput as error:
                raise InvalidInput(f"{name!r}: {error}") from None
    return request


def _rows(response: GetFeaturesResponse) -> list[FeatureRow]:
    names, epochs = list(response.feature_names), dict(response.feature_epochs)
    return [
        FeatureRow(
            dict(zip(names, map(read, vector.values), strict=True)),
            dict(zip(names, map(FeatureStatus.Name, vector.statuses), strict=True)),
            response.as_of_ms,
            epochs,
        )
        for vector in response.vectors
    ]
