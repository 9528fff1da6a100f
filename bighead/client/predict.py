"""Asks a model server for predictions by entity keys, blocking or with asyncio. Knows the gRPC form of the protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc

from bighead.client.proto.prediction_pb2 import Entity, PredictRequest, PredictResponse
from bighead.client.proto.value_pb2 import FeatureStatus
from bighead.client.rpc import error_of
from bighead.client.values import Row, Value, read, write
from bighead.errors import InvalidInput

_PREDICT = "/bighead.v1.Prediction/Predict"


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one entity. Features may be lists and maps."""

    prediction_id: str
    outputs: dict[str, Value]
    features: dict[str, Any]
    statuses: dict[str, str]


@dataclass(frozen=True, slots=True)
class Predictions:
    """The answers for the entities of one request, in their order, all from one version."""

    model: str
    version: int
    arm: str
    feature_epochs: dict[str, int]
    as_of_ms: int
    predictions: tuple[Prediction, ...]
    latency_us: dict[str, int]


class PredictionClient:
    """Blocking. `address` is host:port of the server's gRPC listener."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel = grpc.insecure_channel(address)
        self._predict = self._channel.unary_unary(
            _PREDICT,
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=PredictResponse.FromString,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def predict(
        self,
        model: str,
        entities: Sequence[Row],
        inputs: Sequence[Row] | None = None,
        *,
        version: int | None = None,
        as_of_ms: int | None = None,
        timeout_s: float = 5.0,
    ) -> Predictions:
        """Predictions for entities by their keys; `inputs` gives each the columns that the request must carry."""
        try:
            return _answer(self._predict(_request(model, entities, inputs, version, as_of_ms), timeout=timeout_s))
        except grpc.RpcError as error:
            raise error_of(self._address, error) from error

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()


class AsyncPredictionClient:
    """The same for asyncio."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel = grpc.aio.insecure_channel(address)
        self._predict = self._channel.unary_unary(
            _PREDICT,
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=PredictResponse.FromString,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def predict(
        self,
        model: str,
        entities: Sequence[Row],
        inputs: Sequence[Row] | None = None,
        *,
        version: int | None = None,
        as_of_ms: int | None = None,
        timeout_s: float = 5.0,
    ) -> Predictions:
        """Predictions for entities by their keys; `inputs` gives each the columns that the request must carry."""
        request = _request(model, entities, inputs, version, as_of_ms)
        try:
            return _answer(await self._predict(request, timeout=timeout_s))
        except grpc.RpcError as error:
            raise error_of(self._address, error) from error

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()


def _request(
    model: str,
    entities: Sequence[Row],
    inputs: Sequence[Row] | None,
    version: int | None,
    as_of_ms: int | None,
) -> PredictRequest:
    given: Sequence[Row] = [{}] * len(entities) if inputs is None else inputs
    if len(given) != len(entities):
        raise InvalidInput(f"inputs: received {len(given)} rows; expected {len(entities)}, one for each entity")
    request = PredictRequest(model=model, version=version, as_of_ms=as_of_ms)
    for keys, columns in zip(entities, given, strict=True):
        entity = request.entities.add()
        _fill(entity, keys, columns)
    return request


def _fill(entity: Entity, keys: Row, columns: Row) -> None:
    for target, values in ((entity.keys, keys), (entity.inputs, columns)):
        for name, value in values.items():
            try:
                write(target[name], value)
            except InvalidInput as error:
                raise InvalidInput(f"{name!r}: {error}") from None


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
            )
            for item in response.predictions
        ),
        latency_us=dict(response.latency_us),
    )
