"""Asks a model server for predictions by rows of named columns, blocking or with asyncio. Knows the gRPC form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bighead.client.proto import prediction_pb2 as pb
from bighead.client.proto.value_pb2 import FeatureStatus
from bighead.client.rpc import OPEN, AsyncClient, Client, Method, Security
from bighead.client.values import Row, Value, fill
from bighead.errors import InvalidInput

_PREDICT_ROWS = Method("/bighead.v1.Prediction/PredictRows", pb.PredictRowsRequest, pb.PredictRowsResponse)
# The field of a column by the types of its values, and what stands where a value is null.
_FIELDS: dict[frozenset[type], tuple[str, Value]] = {
    frozenset({bool}): ("booleans", False),
    frozenset({int}): ("integers", 0),
    frozenset({float}): ("doubles", 0.0),
    frozenset({int, float}): ("doubles", 0.0),
    frozenset({str}): ("strings", ""),
    frozenset(): ("doubles", 0.0),
}


@dataclass(frozen=True, slots=True)
class RowPredictions:
    """The answers for the rows of one request, in their order. Columns by name.

    All are from one version, unless they are in several segments of a partitioned model: then `version` is 0. versions,
    arms: those of each row.
    """

    model: str
    version: int
    arm: str
    feature_epochs: dict[str, int]
    as_of_ms: int
    prediction_ids: list[str]
    versions: list[int]
    arms: list[str]
    outputs: dict[str, list[Value]]
    statuses: dict[str, list[str]]
    latency_us: dict[str, int]


class RowsClient(Client[pb.PredictRowsRequest, pb.PredictRowsResponse]):
    """Blocking. `address` is host:port of the server's gRPC listener."""

    def __init__(self, address: str, security: Security = OPEN) -> None:
        super().__init__(address, _PREDICT_ROWS, security)

    def predict(
        self,
        model: str,
        columns: Mapping[str, Any],
        keys: Sequence[str] = (),
        inputs: Sequence[str] = (),
        *,
        version: int | None = None,
        as_of_ms: int | None = None,
        segment: Row = MappingProxyType({}),
        timeout_s: float = 10.0,
    ) -> RowPredictions:
        """Predictions for up to 10,000 rows. columns: lists, numpy arrays or anything with tolist; None is null.

        keys: the columns that are keys of the model's join. inputs: those that the model takes; if none is named, every
        column that is not a key. as_of_ms: milliseconds since the epoch, UTC; now if absent. segment: values that say
        in which segment of a partitioned model the rows are, where no column does. Raises InvalidInput for columns that
        are not the model's, UnknownModel, NotReady, Overloaded and DeadlineExceeded.
        """
        return _answer(self.call(_request(model, columns, keys, inputs, version, as_of_ms, segment), timeout_s))


class AsyncRowsClient(AsyncClient[pb.PredictRowsRequest, pb.PredictRowsResponse]):
    """The same for asyncio."""

    def __init__(self, address: str, security: Security = OPEN) -> None:
        super().__init__(address, _PREDICT_ROWS, security)

    async def predict(
        self,
        model: str,
        columns: Mapping[str, Any],
        keys: Sequence[str] = (),
        inputs: Sequence[str] = (),
        *,
        version: int | None = None,
        as_of_ms: int | None = None,
        segment: Row = MappingProxyType({}),
        timeout_s: float = 10.0,
    ) -> RowPredictions:
        """The same as `RowsClient.predict`."""
        return _answer(await self.call(_request(model, columns, keys, inputs, version, as_of_ms, segment), timeout_s))


def _request(
    model: str,
    columns: Mapping[str, Any],
    keys: Sequence[str],
    inputs: Sequence[str],
    version: int | None,
    as_of_ms: int | None,
    segment: Row,
) -> pb.PredictRowsRequest:
    typed = pb.Columns(columns=[_column(name, values) for name, values in columns.items()])
    request = pb.PredictRowsRequest(
        model=model, version=version, as_of_ms=as_of_ms, keys=keys, inputs=inputs, columns=typed
    )
    fill(request.segment, segment)
    return request


def _column(name: str, values: Any) -> pb.Column:
    plain: list[Value] = values.tolist() if hasattr(values, "tolist") else list(values)
    kinds = frozenset(type(value) for value in plain if value is not None)
    if kinds not in _FIELDS:
        received = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise InvalidInput(
            f"column {name!r}: received values of {received}; expected bool, int, float or str, and None"
        )
    field, null = _FIELDS[kinds]
    nulls = [row for row, value in enumerate(plain) if value is None]
    column = pb.Column(name=name, nulls=nulls)
    held: Any = getattr(column, field)
    held.SetInParent()
    try:
        held.values.extend([null if value is None else value for value in plain] if nulls else plain)
    except ValueError as error:
        raise InvalidInput(f"column {name!r}: {error}; expected 64-bit integers") from error
    return column


def _answer(response: pb.PredictRowsResponse) -> RowPredictions:
    rows = len(response.prediction_ids)
    return RowPredictions(
        model=response.model,
        version=response.version,
        arm=response.arm,
        feature_epochs=dict(response.feature_epochs),
        as_of_ms=response.as_of_ms,
        prediction_ids=list(response.prediction_ids),
        versions=list(response.versions) or [response.version] * rows,
        arms=list(response.arms) or [response.arm] * rows,
        outputs={column.name: _values(column) for column in response.columns.columns},
        statuses={
            column.name: [FeatureStatus.Name(status) for status in column.statuses] for column in response.features
        },
        latency_us=dict(response.latency_us),
    )


def _values(column: pb.Column) -> list[Value]:
    field = column.WhichOneof("values")
    return [] if field is None else list(getattr(column, field).values)
