"""The protocol's edges through real listeners: when to try again, bodies that are too large or packed, parameters."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import grpc
import httpx
import pytest

from bighead.client.proto.inference_pb2 import ModelInferRequest, ModelMetadataRequest
from serving import http_body
from serving.predictor import Predictor
from serving.snapshot import Snapshot
from tests.unit.serving.elsewhere import models
from tests.unit.serving.malformed import times
from tests.unit.serving.running import Addresses, running

INFER = "/v2/models/times/infer"
TENSOR: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [2, 1]}
GOOD = {"inputs": [TENSOR | {"data": [1, 2]}]}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(predictor: Predictor) -> Iterator[Addresses]:
    with running(predictor) as addresses:
        yield addresses


@pytest.fixture(scope="module")
def http(server: Addresses) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{server.http}") as client:
        yield client


def infer(server: Addresses, request: ModelInferRequest) -> tuple[grpc.StatusCode, str]:
    with grpc.insecure_channel(server.grpc) as channel:
        call: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        try:
            call(request.SerializeToString(), timeout=10)
        except grpc.RpcError as error:
            return error.code(), str(error.details())
    return grpc.StatusCode.OK, ""


def test_what_may_be_better_later_says_when(server: Addresses, http: httpx.Client, predictor: Predictor) -> None:
    before = predictor.snapshot
    predictor.snapshot = replace(Snapshot(), ready=False)
    try:
        refused = http.get("/v2/models/times")
        with grpc.insecure_channel(server.grpc) as channel:
            call: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelMetadata")
            with pytest.raises(grpc.RpcError) as error:
                call(ModelMetadataRequest(name="times").SerializeToString(), timeout=10)
    finally:
        predictor.snapshot = before
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    failed: Any = error.value
    assert failed.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(failed.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
    assert "retry-after" not in http.get("/v2/models/none").headers


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_packed_bodies(http: httpx.Client, encoding: str, pack: Any) -> None:
    content = pack(json.dumps(GOOD).encode())
    assert http.post(INFER, content=content, headers={"content-encoding": encoding}).status_code == 200
    cut = http.post(INFER, content=content[:-9], headers={"content-encoding": encoding})
    assert (cut.status_code, "cut off" in cut.json()["error"]) == (400, True)
    unknown = http.post(INFER, content=content, headers={"content-encoding": "br"})
    assert unknown.json()["error"] == "content-encoding: received 'br'; expected gzip or deflate"


def test_a_small_body_that_unpacks_to_a_huge_one_and_one_that_is_huge(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_body, "MAX_BODY_BYTES", 100_000)
    bomb = http.post(INFER, content=gzip.compress(b" " * 1_000_000), headers={"content-encoding": "gzip"})
    assert (bomb.status_code, "holds more than 100000 bytes" in bomb.json()["error"]) == (400, True)
    huge = http.post(INFER, content=b" " * 1_000_000)
    assert (huge.status_code, "send less at a time" in huge.json()["error"]) == (413, True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"outputs": [{"name": "y"}, {"name": "y"}]}, "output 'y': asked for twice"),
        ({"parameters": {"timeout": -1}}, "parameter 'timeout': received -1; expected microseconds"),
        ({"outputs": [{"name": "y", "parameters": {"classification": 3}}]}, "received the parameter 'classification'"),
        ({"inputs": [TENSOR | {"parameters": {"shared_memory_region": "r"}}]}, "send the tensor in the request"),
        ({"inputs": [TENSOR]}, "expected data or the parameter binary_data_size"),
        ({"inputs": [TENSOR | {"data": [1, 2], "parameters": {"binary_data_size": 0}}]}, "expected one of them"),
        ({"inputs": [TENSOR | {"data": [1, 2], "name": "x" * 300}]}, "received a name of 300 characters"),
    ],
)
def test_what_is_not_understood_is_refused_and_named(http: httpx.Client, change: dict[str, Any], expected: str) -> None:
    answer = http.post(INFER, json=GOOD | change)
    assert answer.status_code == 400
    assert expected in answer.json()["error"]


def twice(request: ModelInferRequest) -> None:
    request.outputs.add(name="y")


def timeout_in_words(request: ModelInferRequest) -> None:
    request.parameters["timeout"].string_param = "1"


def in_shared_memory(request: ModelInferRequest) -> None:
    request.inputs[0].parameters["shared_memory_region"].string_param = "r"


def as_classes(request: ModelInferRequest) -> None:
    request.outputs[0].parameters["classification"].int64_param = 3


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (twice, "output 'y': asked for twice"),
        (timeout_in_words, "parameter 'timeout': received 0"),
        (in_shared_memory, "input 'x': received the parameter 'shared_memory_region'"),
        (as_classes, "output 'y': received the parameter 'classification'"),
    ],
)
def test_grpc_refuses_the_same(server: Addresses, spoil: Callable[[ModelInferRequest], None], expected: str) -> None:
    request = times()
    spoil(request)
    code, message = infer(server, request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert expected in message


def test_a_timeout_that_is_too_short_is_a_deadline(server: Addresses, http: httpx.Client) -> None:
    request = times()
    request.parameters["timeout"].int64_param = 1
    assert infer(server, request)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert http.post(INFER, json=GOOD | {"parameters": {"timeout": 1}}).status_code == 504
