"""A line of the log for each request, where it is asked for: who asked, what answered, how it ended."""

import logging
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from bighead.client.proto import inference_pb2
from bighead.inference.loading import load
from serving.observing import Observer
from tests.unit.serving.fakes import predictor_of
from tests.unit.serving.models import times_stored
from tests.unit.serving.running import running

SECRET = "0123456789abcdef"


def given(record: logging.LogRecord) -> dict[str, Any]:
    names = ("request", "code", "model", "version", "arm", "request_id")
    return {name: getattr(record, name) for name in names}


def test_each_request_has_a_line_with_the_callers_identity_or_the_predictions(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "serving.requests")
    predictor = predictor_of(load("times", 2, times_stored(tmp_path, 3.0))[0], observer=Observer(lines=True))
    body = {"model": "times", "entities": [{"keys": {}, "inputs": {"x": 2}}]}
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1]}
    with running(predictor) as at, httpx.Client(base_url=f"http://{at.http}") as client:
        answer = client.post("/predict", json=body).json()
        client.post("/predict", json=body, headers={"x-request-id": "mine", "authorization": f"Bearer {SECRET}"})
        client.post("/v2/models/times/infer", json={"id": "of-the-body", "inputs": [tensor]})
        client.post("/v2/models/times/infer", json={"id": "two\nlines", "inputs": []})
        infer(at.grpc, inference_pb2.ModelInferRequest(model_name="other", id="grpc-1"))
    predict = {"request": "POST /predict", "code": "200", "model": "times", "version": 2, "arm": "live"}
    tensors = predict | {"request": "POST /v2/models/{model}/infer"}
    assert [given(record) for record in caplog.records if record.name == "serving.requests"] == [
        predict | {"request_id": answer["predictions"][0]["prediction_id"]},
        predict | {"request_id": "mine"},
        tensors | {"request_id": "of-the-body"},
        tensors | {"request_id": "'two\\nlines'", "code": "400"},
        {
            "request": "inference.GRPCInferenceService/ModelInfer",
            "code": "NOT_FOUND",
            "model": None,
            "version": None,
            "arm": None,
            "request_id": "grpc-1",
        },
    ]
    assert SECRET not in caplog.text
    assert not any("\n" in record.getMessage() for record in caplog.records if record.name == "serving.requests")


def test_a_fault_of_ours_is_logged_with_the_callers_identity_even_without_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = predictor_of(load("times", 2, times_stored(tmp_path, 3.0))[0])

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(predictor, "infer", broken)
    with running(predictor) as at:
        infer(at.grpc, inference_pb2.ModelInferRequest(model_name="times", id="grpc-2"))
    (fault,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert vars(fault)["request_id"] == "grpc-2"
    assert not [record for record in caplog.records if record.name == "serving.requests"]


def infer(address: str, request: inference_pb2.ModelInferRequest) -> None:
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=inference_pb2.ModelInferRequest.SerializeToString,
        )(request, timeout=10)
