"""The Features API in its three forms, over a reader that is a stand-in: limits, errors, lists and maps."""

import asyncio
from typing import Any

import httpx
import pytest

from bighead.client.feature_values import check_entities
from bighead.client.proto.features_pb2 import GetFeaturesRequest, GetFeaturesResponse
from bighead.client.values import read
from bighead.errors import InvalidInput
from serving import rest
from serving.grpc_server import FEATURES, handlers
from tests.unit.serving.fakes import NOW_MS, Aborted, FakeContext, FakeReader, predictor_of

VALUES = {"delay": 2.5, "carriers": ["UA", "AA"], "by_gate": {"1": [3, 4]}, "unused": None}


def ask(body: dict[str, Any]) -> httpx.Response:
    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(rest.build(predictor_of(reader=FakeReader(VALUES))))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.post("/features", json=body)

    return asyncio.run(post())


async def call(request: GetFeaturesRequest) -> GetFeaturesResponse:
    found: dict[str, Any] = {}
    for handler in handlers(predictor_of(reader=FakeReader(VALUES))):
        found |= handler._method_handlers  # type: ignore[attr-defined]  # what gRPC itself looks methods up in
    raw = await found[f"/{FEATURES}/GetFeatures"].unary_unary(request.SerializeToString(), FakeContext())
    return GetFeaturesResponse.FromString(raw)


def test_rest_answers_lists_and_maps_with_statuses() -> None:
    statuses = {"delay": "OK", "carriers": "OK", "by_gate": "OK", "unused": "EMPTY"}
    answer = ask({"join": "flight", "entities": [{"carrier": "UA"}, {"carrier": None}], "as_of_ms": 5})
    assert answer.status_code == 200
    assert answer.json() == {
        "join": "flight",
        "as_of_ms": 5,
        "feature_epochs": {"g": 1},
        "vectors": [{"values": VALUES, "statuses": statuses}] * 2,
    }
    assert ask({"join": "flight", "entities": [{"carrier": "UA"}]}).json()["as_of_ms"] == NOW_MS


async def test_grpc_answers_the_same() -> None:
    request = GetFeaturesRequest(join="flight")
    request.entities.add().keys["carrier"].string_value = "UA"
    answer = await call(request)
    values = dict(zip(answer.feature_names, map(read, answer.vectors[0].values), strict=True))
    assert values == VALUES


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"join": "flight", "entities": []}, "entities: received 0; expected 1 to 1,000"),
        ({"join": "flight", "entities": [{"carrier": "UA"}] * 1001}, "entities: received 1001; expected 1 to 1,000"),
        ({"join": "flights", "entities": [{"carrier": "UA"}]}, "join 'flights' is not applied; there are flight"),
        ({"join": "flight", "entities": [{"origin": "EWR"}]}, "needs key 'carrier'; received ['origin']"),
        ({"join": "flight", "entities": [{"carrier": ["UA"]}]}, "entities.0.carrier"),
        ({"entities": [{"carrier": "UA"}]}, "join: received"),
    ],
)
def test_what_cannot_be_answered_says_why(body: dict[str, Any], error: str) -> None:
    answer = ask(body)
    assert answer.status_code == 400
    assert error in answer.json()["error"]


async def test_a_thousand_entities_are_answered_and_one_more_is_refused() -> None:
    request = GetFeaturesRequest(join="flight")
    for _ in range(1_000):
        request.entities.add().keys["carrier"].string_value = "UA"
    assert len((await call(request)).vectors) == 1_000
    request.entities.add().keys["carrier"].string_value = "UA"
    with pytest.raises(Aborted, match="INVALID_ARGUMENT: entities: received 1001"):
        await call(request)
    with pytest.raises(InvalidInput, match="expected 1 to 1,000, send more in several requests"):
        check_entities([{}] * 1_001)


def test_openapi_describes_the_features_endpoint() -> None:
    described = rest.build(predictor_of()).openapi()
    answer = described["paths"]["/features"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": "#/components/schemas/FeaturesAnswer"}
    assert set(described["components"]["schemas"]["VectorBody"]["properties"]) == {"values", "statuses"}
