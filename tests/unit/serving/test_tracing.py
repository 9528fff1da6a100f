"""Traces as a collector receives them: by OTLP, over gRPC and HTTP, continued from the caller."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bighead.client.proto import inference_pb2, prediction_pb2
from bighead.config import tracing_of
from bighead.errors import ConfigError
from bighead.inference.loading import load
from serving.observing import Observer
from serving.predictor import Predictor
from serving.tracing import Tracing, exporter_of
from tests.unit.serving.fakes import FakeLog, FakeReader, predictor_of
from tests.unit.serving.models import mixed_stored, times_stored
from tests.unit.serving.running import running

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
INPUTS = {"carrier": "UA", "is_late": True, "hour": 7}


class Collector(otlp_grpc.TraceServiceServicer):
    """Keeps what is exported to it."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resource: dict[str, str] = {}

    def Export(self, request: otlp.ExportTraceServiceRequest, context: Any) -> otlp.ExportTraceServiceResponse:
        for group in request.resource_spans:
            self.resource = {one.key: one.value.string_value for one in group.resource.attributes}
            for scope in group.scope_spans:
                self.spans.extend(scope.spans)
        return otlp.ExportTraceServiceResponse()

    def of(self, name: str) -> Span:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def below(self, parent: Span) -> list[str]:
        return sorted(span.name for span in self.spans if span.parent_span_id == parent.span_id)


def said(span: Span) -> dict[str, Any]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Listens for OTLP over gRPC, where the variables say."""
    kept, server = Collector(), grpc.server(ThreadPoolExecutor(2))
    otlp_grpc.add_TraceServiceServicer_to_server(kept, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    yield kept
    server.stop(0).wait()


def predictor(folder: Path, tracing: Tracing | None, log: FakeLog | None = None) -> Predictor:
    models = [load("mixed", 3, mixed_stored(folder))[0], load("times", 2, times_stored(folder, 3.0))[0]]
    return predictor_of(*models, reader=FakeReader(), log=log, observer=Observer(tracing))


def entities() -> prediction_pb2.PredictRequest:
    request = prediction_pb2.PredictRequest(model="mixed")
    entity = request.entities.add()
    entity.keys["carrier"].string_value = "UA"
    entity.inputs["carrier"].string_value = "UA"
    entity.inputs["is_late"].bool_value = True
    entity.inputs["hour"].int64_value = 7
    return request


def call(address: str, path: str, request: Any, kind: Any, **metadata: str) -> Any:
    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary(
            path, request_serializer=type(request).SerializeToString, response_deserializer=kind.FromString
        )
        return ask(
            request, metadata=tuple((name.replace("_", "-"), value) for name, value in metadata.items()), timeout=10
        )


def test_a_request_is_a_child_of_its_caller_and_has_features_and_model_below(
    tmp_path: Path, collector: Collector
) -> None:
    tracing, log = Tracing(exporter_of("grpc"), "server-1"), FakeLog()
    with running(predictor(tmp_path, tracing, log)) as at:
        answer = call(
            at.grpc,
            "/bighead.v1.Prediction/Predict",
            entities(),
            prediction_pb2.PredictResponse,
            traceparent=TRACEPARENT,
        )
    tracing.stop()
    request = collector.of("bighead.v1.Prediction/Predict")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, CALLER)
    assert request.kind == Span.SPAN_KIND_SERVER
    assert said(request) == {
        "rpc.system": "grpc",
        "rpc.service": "bighead.v1.Prediction",
        "rpc.method": "Predict",
        "bighead.request_id": answer.predictions[0].prediction_id,
        "bighead.model": "mixed",
        "bighead.version": 3,
        "bighead.arm": "live",
    }
    assert collector.below(request) == ["features", "model"]
    assert said(collector.of("features")) == {"bighead.join": "flight"}
    assert said(collector.of("model")) == {"bighead.model": "mixed", "bighead.version": 3}
    for part in ("features", "model"):
        span = collector.of(part)
        assert request.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= request.end_time_unix_nano
    assert collector.resource["service.name"] == "bighead-server"
    assert collector.resource["service.instance.id"] == "server-1"
    (logged,) = log.answers
    assert logged.traceparent == f"00-{TRACE}-{request.span_id.hex()}-01"


def test_requests_of_the_inference_protocol_and_refused_ones_are_seen(tmp_path: Path, collector: Collector) -> None:
    tracing = Tracing(exporter_of("grpc"), "server-1")
    infer, response = "/inference.GRPCInferenceService/ModelInfer", inference_pb2.ModelInferResponse
    request = inference_pb2.ModelInferRequest(model_name="times", id="seven")
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1, 1])
    tensor.contents.fp32_contents.append(2.0)
    with running(predictor(tmp_path, tracing)) as at:
        call(at.grpc, infer, request, response)
        request.model_name = "other"
        with pytest.raises(grpc.RpcError):
            call(at.grpc, infer, request, response, x_request_id="of the caller")
    tracing.stop()
    answered, refused = [span for span in collector.spans if span.name == infer[1:]]
    assert not answered.parent_span_id, "nobody asked for it to be continued"
    assert said(answered)["bighead.request_id"] == "seven"
    assert (said(answered)["bighead.model"], said(answered)["bighead.version"]) == ("times", 2)
    assert collector.below(answered) == ["model"]
    assert said(refused)["bighead.request_id"] == "'of the caller'"
    assert refused.status.code == Status.STATUS_CODE_UNSET, "an unknown model is the caller's mistake"
    assert collector.below(refused) == []


def test_http_requests_are_continued_and_exported_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Collector()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.Export(otlp.ExportTraceServiceRequest.FromString(body), None)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    receiver = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.server_port}")
    tracing = Tracing(exporter_of("http/protobuf"), "server-1")
    body = {"model": "mixed", "entities": [{"keys": {"carrier": "UA"}, "inputs": INPUTS}]}
    with running(predictor(tmp_path, tracing)) as at:
        assert httpx.post(f"http://{at.http}/predict", json=body, headers={"traceparent": TRACEPARENT}).is_success
        assert httpx.post(f"http://{at.http}/explain", json=body).is_success
        assert httpx.post(f"http://{at.http}/v2/models/other/infer", json={"inputs": []}).status_code == 404
    tracing.stop()
    receiver.shutdown()
    receiver.server_close()
    request = kept.of("POST /predict")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, CALLER)
    assert kept.below(request) == ["features", "model"]
    assert kept.below(kept.of("POST /explain")) == ["explanation", "features", "model"]
    attributes = said(request)
    assert (attributes["http.route"], attributes["http.response.status_code"]) == ("/predict", 200)
    assert attributes["bighead.model"] == "mixed"
    assert said(kept.of("POST /v2/models/{model}/infer"))["http.response.status_code"] == 404


def test_a_collector_that_is_gone_holds_up_neither_requests_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    tracing = Tracing(exporter_of("http/protobuf"), "server-1")
    with running(predictor(tmp_path, tracing)) as at:
        for _ in range(5):
            call(at.grpc, "/bighead.v1.Prediction/Predict", entities(), prediction_pb2.PredictResponse)
    started = time.monotonic()
    tracing.stop(timeout_s=0.2)
    assert time.monotonic() - started < 2
    assert "Queue full" not in caplog.text


@pytest.mark.parametrize(
    ("given", "protocol"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "http/protobuf"),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, None),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, None),
    ],
)
def test_traces_are_off_unless_the_standard_variables_ask_for_them(given: dict[str, str], protocol: str | None) -> None:
    assert tracing_of(given) == protocol


def test_an_exporter_that_is_not_there_is_said() -> None:
    with pytest.raises(ConfigError, match="received OTEL_TRACES_EXPORTER 'zipkin'"):
        tracing_of({"OTEL_TRACES_EXPORTER": "zipkin"})
    assert not Observer(), "transports leave an observer out that has nothing to do"
