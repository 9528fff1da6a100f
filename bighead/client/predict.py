"""Asks a model server for predictions by entity keys, blocking or with asyncio. Knows the gRPC form of the protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bighead.client.proto.prediction_pb2 import ExplainRequest, PredictRequest, PredictResponse
from bighead.client.proto.value_pb2 import FeatureStatus
from bighead.client.rpc import OPEN, AsyncClient, Client, Method, Security
from bighead.client.values import Row, Value, fill, read
from bighead.errors import InvalidInput

_PREDICT = Method("/bighead.v1.Prediction/Predict", PredictRequest, PredictResponse)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one entity, and which version and arm or segment gave it. Features may be lists and maps."""

    prediction_id: str
    outputs: dict[str, Value]
    features: dict[str, Any]
    statuses: dict[str, str]
    version: int
    arm: str


@dataclass(frozen=True, slots=True)
class Predictions:
    """The answers for the entities of one request, in their order.

    All are from one version, unless they are in several segments of a partitioned model: then `version` is 0.
    """

    model: str
    version: int
    arm: str
    feature_epochs: dict[str, int]
    as_of_ms: int
    predictions: tuple[Prediction, ...]
    latency_us: dict[str, int]


class PredictionClient(Client[PredictRequest, PredictResponse]):
    """Blocking. `address` is host:port of the server's gRPC listener."""

    def __init__(self, address: str, security: Security = OPEN) -> None:
        super().__init__(address, _PREDICT, security)

    def predict(
        self,
        model: str,
        entities: Sequence[Row],
        inputs: Sequence[Row] | None = None,
        *,
        version: int | None = None,
        as_of_ms: int | None = None,
        segment: Row = MappingProxyType({}),
        timeout_s: float = 5.0,
    ) -> Predictions:
        """Predictions for entities by their keys; `inputs` gives each the columns that the request must carry.

        segment: values that say in which segment of a partitioned model they are, where keys and inputs do not.
        """
        return _answer(self.call(_request(model, entities, inputs, version, as_of_ms, segment), timeout_s))


class AsyncPredictionClient(AsyncClient[PredictRequest, PredictResponse]):
    """The same for asyncio."""

    def __init__(self, address: str, security: Security = OPEN) -> None:
        super().__init__(address, _PREDICT, security)

    async def predict(
        self,
        model: str,
        entities: Sequence[Row],
        inputs: Sequence[Row] | None = None,
        *,
        version: int | None = None,
        as_of_ms: int | None = None,
        segment: Row = MappingProxyType({}),
        timeout_s: float = 5.0,
    ) -> Predictions:
        """The same as `PredictionClient.predict`."""
        return _answer(await self.call(_request(model, entities, inputs, version, as_of_ms, segment), timeout_s))


def _request(
    model: str,
    entities: Sequence[Row],
    inputs: Sequence[Row] | None,
    version: int | None,
    as_of_ms: int | None,
    segment: Row,
) -> PredictRequest:
    request = PredictRequest(model=model, version=version, as_of_ms=as_of_ms)
    fill_entities(request, entities, inputs)
    fill(request.segment, segment)
    return request


def fill_entities(
    request: PredictRequest | ExplainRequest, entities: Sequence[Row], inputs: Sequence[Row] | None
) -> None:
    """Adds the entities to a request; raises InvalidInput where inputs are not one row for each."""
    given: Sequence[Row] = [{}] * len(entities) if inputs is None else inputs
    if len(given) != len(entities):
        raise InvalidInput(f"inputs: received {len(given)} rows; expected {len(entities)}, one for each entity")
    for keys, columns in zip(entities, given, strict=True):
        entity = request.entities.add()
        fill(entity.keys, keys)
        fill(entity.inputs, columns)


def _answer(response: PredictResponse) -> Predictions:
    names = list(response.feature_names)
    return Predictions(
        model=response.model,
        version=response.version,
        arm=response.arm,
        feature_epochs=dict(response.feature_epochs),
        as_of_ms=response.as_of_ms,
        predictions=tuple(
            Prediction(
                prediction_id=item.prediction_id,
                outputs={name: read(value) for name, value in item.outputs.items()},
                features=dict(zip(names, map(read, item.features.values), strict=True)),
                statuses=dict(zip(names, map(FeatureStatus.Name, item.features.statuses), strict=True)),
                version=item.version or response.version,
                arm=item.arm or response.arm,
            )
            for item in response.predictions
        ),
        latency_us=dict(response.latency_us),
    )
