"""gRPC: hands requests to the predictor and turns errors into statuses. Decides nothing.

Requests are parsed here and not by the framework, which would answer undecodable bytes with INTERNAL.
"""

import logging
from collections.abc import Awaitable, Callable
from importlib.metadata import version as package_version
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from bighead.client.proto import features_pb2, inference_pb2, prediction_pb2
from bighead.errors import BigheadError, ConfigError, InvalidInput
from serving import messages
from serving.codes import code
from serving.predictor import Predictor

_log = logging.getLogger(__name__)
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
INFERENCE = "inference.GRPCInferenceService"
PREDICTION = "bighead.v1.Prediction"
FEATURES = "bighead.v1.Features"
SERVICES = (INFERENCE, PREDICTION, FEATURES)
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a port in use is an error, not a second server that takes half of the calls
)

# Trailers are limited to some kilobytes, and what is not ASCII takes three times as many.
MAX_DETAILS = 1000

Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]
Handler = Callable[[Any, Context], Awaitable[Message]]


class GrpcServer:
    """The listener and its health, which is NOT_SERVING until `declare_ready`."""

    def __init__(self, predictor: Predictor, address: str) -> None:
        self._address = address
        self._health = health.HealthServicer()
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers(handlers(predictor))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((*SERVICES, HEALTH, reflection.SERVICE_NAME), self._server)

    async def start(self) -> None:
        """Listens; raises ConfigError where the address cannot be had."""
        await self._set_health(serving=False)
        try:
            self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise ConfigError(
                f"BIGHEAD_GRPC is {self._address}, which cannot be listened on ({error}); stop what uses that port "
                "or choose another"
            ) from error
        await self._server.start()

    async def declare_ready(self) -> None:
        """From now on health says SERVING."""
        await self._set_health(serving=True)

    async def stop(self, grace_s: float) -> None:
        """Says NOT_SERVING, takes no new call, lets those under way end within the time."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)

    async def _set_health(self, *, serving: bool) -> None:
        states = health_pb2.HealthCheckResponse
        for service in ("", *SERVICES):
            await self._health.set(service, states.SERVING if serving else states.NOT_SERVING)


class _Methods:
    """One method for each RPC: message in, message out, BigheadError for what cannot be answered."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._version = package_version("bighead")

    async def server_live(self, request: inference_pb2.ServerLiveRequest, context: Context) -> Message:
        return inference_pb2.ServerLiveResponse(live=True)

    async def server_ready(self, request: inference_pb2.ServerReadyRequest, context: Context) -> Message:
        return inference_pb2.ServerReadyResponse(ready=self._predictor.snapshot.ready)

    async def model_ready(self, request: inference_pb2.ModelReadyRequest, context: Context) -> Message:
        return inference_pb2.ModelReadyResponse(
            ready=messages.is_ready(self._predictor.snapshot, request.name, request.version)
        )

    async def server_metadata(self, request: inference_pb2.ServerMetadataRequest, context: Context) -> Message:
        return inference_pb2.ServerMetadataResponse(name="bighead", version=self._version)

    async def model_metadata(self, request: inference_pb2.ModelMetadataRequest, context: Context) -> Message:
        snapshot = self._predictor.snapshot
        model = snapshot.version(request.name, messages.wanted_of(request.version))
        return messages.metadata(model, snapshot.models[request.name].versions)

    async def model_infer(self, request: inference_pb2.ModelInferRequest, context: Context) -> Message:
        answer = await self._predictor.infer(
            request.model_name,
            messages.wanted_of(request.model_version),
            messages.tensors_of(request),
            context.time_remaining(),
            messages.unit_of(request),
        )
        return messages.infer_response(request, answer)

    async def predict(self, request: prediction_pb2.PredictRequest, context: Context) -> Message:
        answer = await self._predictor.predict(
            request.model,
            messages.asked(request),
            messages.entities_of(request),
            request.as_of_ms if request.HasField("as_of_ms") else None,
            context.time_remaining(),
        )
        return messages.predict_response(answer, explain=request.explain)

    async def get_features(self, request: features_pb2.GetFeaturesRequest, context: Context) -> Message:
        as_of_ms, rows = await self._predictor.features(
            request.join,
            [messages.values_of(entity.keys) for entity in request.entities],
            request.as_of_ms if request.HasField("as_of_ms") else None,
            context.time_remaining(),
        )
        return messages.features_response(request.join, as_of_ms, rows)


def handlers(predictor: Predictor) -> tuple[grpc.GenericRpcHandler, ...]:
    """What answers the calls of each service, bytes in and bytes out."""
    methods = _Methods(predictor)
    table: dict[str, dict[str, tuple[type[Message], Handler]]] = {
        INFERENCE: {
            "ServerLive": (inference_pb2.ServerLiveRequest, methods.server_live),
            "ServerReady": (inference_pb2.ServerReadyRequest, methods.server_ready),
            "ModelReady": (inference_pb2.ModelReadyRequest, methods.model_ready),
            "ServerMetadata": (inference_pb2.ServerMetadataRequest, methods.server_metadata),
            "ModelMetadata": (inference_pb2.ModelMetadataRequest, methods.model_metadata),
            "ModelInfer": (inference_pb2.ModelInferRequest, methods.model_infer),
        },
        PREDICTION: {"Predict": (prediction_pb2.PredictRequest, methods.predict)},
        FEATURES: {"GetFeatures": (features_pb2.GetFeaturesRequest, methods.get_features)},
    }
    return tuple(
        grpc.method_handlers_generic_handler(
            service,
            {
                name: grpc.unary_unary_rpc_method_handler(_answering(f"{service}/{name}", kind, handler))
                for name, (kind, handler) in rows.items()
            },
        )
        for service, rows in table.items()
    )


def _answering(name: str, kind: type[Message], handler: Handler) -> Callable[..., Awaitable[bytes]]:
    """From bytes to bytes; what goes wrong leaves as the status of the table."""

    async def answer(raw: bytes, context: Context) -> bytes:
        try:
            response = await handler(_parsed(kind, raw), context)
            return response.SerializeToString()
        except BigheadError as error:
            status, message = code(error).status, str(error)
        except Exception as error:  # noqa: BLE001 - the last resort: a bug is INTERNAL, and logged
            _log.exception("%s failed", name)
            status, message = grpc.StatusCode.INTERNAL, f"{name} failed: {type(error).__name__}; see the server's log"
        await context.abort(status, message[:MAX_DETAILS])
        return b""  # abort has raised: this is for the type checker

    return answer


def _parsed(kind: type[Message], raw: bytes) -> Message:
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise InvalidInput(f"received {len(raw)} bytes that are no {kind.DESCRIPTOR.full_name}: {error}") from error
