"""Asks a model server what each input adds to its answers, blocking or with asyncio. Knows the gRPC form."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bighead.client.predict import fill_entities
from bighead.client.proto.prediction_pb2 import ExplainRequest, ExplainResponse
from bighead.client.proto.value_pb2 import FeatureStatus
from bighead.client.rpc import OPEN, AsyncClient, Client, Method, Security
from bighead.client.values import Row, Value, fill, read

_EXPLAIN = Method("/bighead.v1.Prediction/Explain", ExplainRequest, ExplainResponse)


@dataclass(frozen=True, slots=True)
class OutputExplanation:
    """Of one output column. contributions, standard_errors: by input; base and contributions add up to the answer."""

    answer: float
    base: float
    contributions: dict[str, float]
    standard_errors: dict[str, float]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of one entity: what the model was given, how the features came about, what it answered, and what adds up to it.

    explained: by output column, the floating-point ones. permutations: the orders in which the inputs were revealed.
    background_rows: the golden rows that stood in for inputs that were not.
    """

    version: int
    arm: str
    inputs: dict[str, Any]
    statuses: dict[str, str]
    outputs: dict[str, Value]
    explained: dict[str, OutputExplanation]
    permutations: int
    background_rows: int


@dataclass(frozen=True, slots=True)
class Explanations:
    """Those for the entities of one request, in their order. seed: what the orders were drawn by."""

    model: str
    as_of_ms: int
    feature_epochs: dict[str, int]
    seed: int
    explanations: tuple[Explanation, ...]


class ExplanationClient(Client[ExplainRequest, ExplainResponse]):
    """Blocking. `address` is host:port of the server's gRPC listener."""

    def __init__(self, address: str, security: Security = OPEN) -> None:
        super().__init__(address, _EXPLAIN, security)

    def explain(
        self,
        model: str,
        entities: Sequence[Row],
        inputs: Sequence[Row] | None = None,
        *,
        version: int | None = None,
        permutations: int | None = None,
        as_of_ms: int | None = None,
        segment: Row = MappingProxyType({}),
        timeout_s: float = 30.0,
    ) -> Explanations:
        """What each input adds to the answers for entities, which are asked for as in `PredictionClient.predict`.

        permutations: in how many orders the inputs are revealed, an even number from 4; the server's default if absent.
        Raises InvalidInput for more than a server computes for a request, and Overloaded while it explains for others.
        """
        request = _request(model, entities, inputs, version, permutations, as_of_ms, segment)
        return _answer(self.call(request, timeout_s))


class AsyncExplanationClient(AsyncClient[ExplainRequest, ExplainResponse]):
    """The same for asyncio."""

    def __init__(self, address: str, security: Security = OPEN) -> None:
        super().__init__(address, _EXPLAIN, security)

    async def explain(
        self,
        model: str,
        entities: Sequence[Row],
        inputs: Sequence[Row] | None = None,
        *,
        version: int | None = None,
        permutations: int | None = None,
        as_of_ms: int | None = None,
        segment: Row = MappingProxyType({}),
        timeout_s: float = 30.0,
    ) -> Explanations:
        """The same as `ExplanationClient.explain`."""
        request = _request(model, entities, inputs, version, permutations, as_of_ms, segment)
        return _answer(await self.call(request, timeout_s))


def _request(
    model: str,
    entities: Sequence[Row],
    inputs: Sequence[Row] | None,
    version: int | None,
    permutations: int | None,
    as_of_ms: int | None,
    segment: Row,
) -> ExplainRequest:
    request = ExplainRequest(model=model, version=version, as_of_ms=as_of_ms, permutations=permutations)
    fill_entities(request, entities, inputs)
    fill(request.segment, segment)
    return request


def _answer(response: ExplainResponse) -> Explanations:
    return Explanations(
        model=response.model,
        as_of_ms=response.as_of_ms,
        feature_epochs=dict(response.feature_epochs),
        seed=response.seed,
        explanations=tuple(map(_explanation, response.explanations)),
    )


def _explanation(message: ExplainResponse.EntityExplanation) -> Explanation:
    return Explanation(
        version=message.version,
        arm=message.arm,
        inputs={name: read(value) for name, value in message.inputs.items()},
        statuses={name: FeatureStatus.Name(status) for name, status in message.statuses.items()},
        outputs={name: read(value) for name, value in message.outputs.items()},
        explained={
            name: OutputExplanation(one.answer, one.base, dict(one.contributions), dict(one.standard_errors))
            for name, one in message.explained.items()
        },
        permutations=message.permutations,
        background_rows=message.background_rows,
    )
