"""Whatever a caller sends, the answer names the mistake: no request is answered with INTERNAL or UNKNOWN."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bighead.client.proto.features_pb2 import GetFeaturesRequest
from bighead.client.proto.inference_pb2 import InferTensorContents, ModelInferRequest, ModelMetadataRequest
from bighead.client.proto.prediction_pb2 import Entity, PredictRequest
from bighead.client.proto.value_pb2 import Value
from bighead.inference.datatypes import DTYPES
from bighead.inference.loading import load
from serving import rest
from serving.grpc_server import handlers
from serving.predictor import Predictor
from tests.unit.serving.fakes import Aborted, FakeContext, predictor_of
from tests.unit.serving.models import mixed_stored, times_stored

INFER = "/inference.GRPCInferenceService/ModelInfer"
PREDICT = "/bighead.v1.Prediction/Predict"
FEATURES = "/bighead.v1.Features/GetFeatures"
METADATA = "/inference.GRPCInferenceService/ModelMetadata"
CALLERS_FAULT = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
COLUMNS = ["x", "delay", "flights", "carrier", "is_late", "hour", "", "é"]
MODELS = ["times", "mixed", "none", ""]
quick = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


class _Details:
    """What a handler is looked up by."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("models")
    return predictor_of(load("times", 1, times_stored(folder, 2.0))[0], load("mixed", 2, mixed_stored(folder))[0])


Call = Callable[[str, bytes], Awaitable[bytes]]


@pytest.fixture(scope="module")
def call(predictor: Predictor) -> Call:
    """Calls a method as the server does: bytes in, bytes or a status out."""
    services: Any = handlers(predictor)

    async def ask(method: str, raw: bytes) -> bytes:
        found = next(handler for service in services if (handler := service.service(_Details(method))) is not None)
        answer: bytes = await found.unary_unary(raw, FakeContext())
        return answer

    return ask


def status(call: Call, method: str, request: bytes | Message) -> grpc.StatusCode:
    raw = request if isinstance(request, bytes) else request.SerializeToString()
    try:
        asyncio.run(call(method, raw))  # type: ignore[arg-type]
    except Aborted as aborted:
        assert aborted.details
        return aborted.status
    return grpc.StatusCode.OK


numbers = st.integers(-3, 3) | st.sampled_from([1 << 31, 1 << 62, -(1 << 63), (1 << 63) - 1])
values = st.one_of(
    st.just(Value()),
    st.builds(Value, int64_value=numbers),
    st.builds(Value, double_value=st.floats()),
    st.builds(Value, string_value=st.sampled_from(["", "UA", "é", "x" * 2000])),
    st.builds(Value, bool_value=st.booleans()),
)
rows = st.dictionaries(st.sampled_from(COLUMNS), values, max_size=6)
predictions = st.builds(
    PredictRequest,
    model=st.sampled_from(MODELS),
    version=st.none() | st.sampled_from([0, 1, 2, -1, 1 << 40]),
    as_of_ms=st.none() | numbers,
    entities=st.lists(st.builds(Entity, keys=rows, inputs=rows), max_size=3),
)
contents = st.one_of(
    st.none(),
    st.builds(InferTensorContents, fp32_contents=st.lists(st.floats(width=32), max_size=4)),
    st.builds(InferTensorContents, int_contents=st.lists(st.integers(-300, 300), max_size=4)),
    st.builds(InferTensorContents, bytes_contents=st.lists(st.binary(max_size=4), max_size=4)),
    st.builds(InferTensorContents, bool_contents=st.lists(st.booleans(), max_size=4)),
)
tensors = st.builds(
    ModelInferRequest.InferInputTensor,
    name=st.sampled_from(COLUMNS),
    datatype=st.sampled_from([*sorted(DTYPES), "", "FLOAT"]),
    shape=st.lists(numbers, max_size=4) | st.just([1, 1]),
    contents=contents,
)
inferences = st.builds(
    ModelInferRequest,
    model_name=st.sampled_from(MODELS),
    model_version=st.sampled_from(["", "1", "2", "x", "-1", "9" * 5000, "١"]),
    inputs=st.lists(tensors, max_size=6),
    outputs=st.lists(
        st.builds(ModelInferRequest.InferRequestedOutputTensor, name=st.sampled_from(["y", "score", ""])), max_size=2
    ),
    raw_input_contents=st.just([]) | st.lists(st.binary(max_size=9), max_size=6),
)


@quick
@given(predictions)
def test_predictions_by_entity(call: Call, request: PredictRequest) -> None:
    assert status(call, PREDICT, request) in CALLERS_FAULT | {grpc.StatusCode.OK}


@quick
@given(inferences)
def test_inferences(call: Call, request: ModelInferRequest) -> None:
    assert status(call, INFER, request) in CALLERS_FAULT | {grpc.StatusCode.OK}


@quick
@given(st.sampled_from([INFER, PREDICT, FEATURES, METADATA]), st.binary(max_size=64))
def test_bytes_that_are_no_message(call: Call, method: str, raw: bytes) -> None:
    assert status(call, method, raw) in CALLERS_FAULT | {grpc.StatusCode.OK}


@quick
@given(st.data())
def test_requests_that_were_cut_or_flipped(call: Call, data: st.DataObject) -> None:
    request = bytearray(good_inference().SerializeToString())
    at = data.draw(st.integers(0, len(request) - 1))
    if data.draw(st.booleans()):
        del request[at:]
    else:
        request[at] ^= 1 << data.draw(st.integers(0, 7))
    assert status(call, INFER, bytes(request)) in CALLERS_FAULT | {grpc.StatusCode.OK}


def good_inference() -> ModelInferRequest:
    request = ModelInferRequest(model_name="times")
    request.inputs.add(name="x", datatype="FP32", shape=[2, 1])
    request.raw_input_contents.append(np.array([1, 2], np.float32).tobytes())
    return request


def test_a_good_request_is_answered(call: Call) -> None:
    assert status(call, INFER, good_inference()) is grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (GetFeaturesRequest(join="none", entities=[{}]), "join 'none' is not applied"),
        (GetFeaturesRequest(join="flight"), "entities: received 0"),
        (GetFeaturesRequest(join="flight", entities=[{}]), "needs key 'carrier'"),
    ],
)
def test_features_name_the_mistake(call: Call, request_: GetFeaturesRequest, expected: str) -> None:
    with pytest.raises(Aborted, match=expected) as aborted:
        asyncio.run(call(FEATURES, request_.SerializeToString()))  # type: ignore[arg-type]
    assert aborted.value.status is grpc.StatusCode.INVALID_ARGUMENT


def test_an_unknown_model_is_not_found(call: Call) -> None:
    assert status(call, METADATA, ModelMetadataRequest(name="none")) is grpc.StatusCode.NOT_FOUND
    assert status(call, INFER, ModelInferRequest(model_name="none")) is grpc.StatusCode.NOT_FOUND
    assert status(call, PREDICT, PredictRequest(model="none", entities=[{}])) is grpc.StatusCode.NOT_FOUND


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(COLUMNS), inner, max_size=3),
    max_leaves=6,
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(MODELS) | json_values,
        "version": json_values,
        "as_of_ms": json_values,
        "entities": json_values
        | st.lists(st.fixed_dictionaries({"keys": json_values, "inputs": json_values}), max_size=2),
    },
)
tensor_bodies = st.fixed_dictionaries(
    {
        "inputs": st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.sampled_from(COLUMNS),
                    "datatype": st.sampled_from([*sorted(DTYPES), "x"]),
                    "shape": st.lists(numbers, max_size=3) | json_values,
                    "data": st.lists(json_values, max_size=3),
                }
            ),
            max_size=3,
        )
    }
)


def post(predictor: Predictor, path: str, content: bytes | str, kind: str = "application/json") -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(rest.build(predictor))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.post(path, content=content, headers={"content-type": kind})

    return asyncio.run(ask())


@settings(quick, max_examples=100)
@given(st.data())
def test_json(predictor: Predictor, data: st.DataObject) -> None:
    path, body = data.draw(
        st.tuples(st.just("/predict"), bodies)
        | st.tuples(st.sampled_from(["/v2/models/times/infer", "/v2/models/mixed/versions/2/infer"]), tensor_bodies)
    )
    answer = post(predictor, path, content=json.dumps(body))
    assert answer.status_code in (200, 400, 404)
    assert answer.status_code == 200 or answer.json()["error"]


SURROGATES = json.dumps(
    {"model": "mixed", "entities": [{"keys": {"carrier": "\ud800"}, "inputs": {"carrier": "\ud800"}}]}
).encode()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe{", b"[" * 100_000, b'{"model": NaN}', b"null", b'"\\ud800"', SURROGATES]
)
def test_bytes_that_are_no_json(predictor: Predictor, content: bytes) -> None:
    answer = post(predictor, "/predict", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_json_that_does_not_say_so_is_told_how(predictor: Predictor) -> None:
    answer = post(predictor, "/predict", b"{}", kind="text/plain")
    assert answer.status_code == 400
    assert "content-type: application/json" in answer.json()["error"]


def test_answers_that_json_cannot_say_are_null(predictor: Predictor) -> None:
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [float("nan")]}]}
    answer = post(predictor, "/v2/models/times/infer", content=json.dumps(body))
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == [None]
