"""gRPC: hands requests to the predictor and turns errors into statuses. Decides nothing.

Requests are parsed here and not by the framework, which would answer undecodable bytes with INTERNAL.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from importlib.metadata import version as package_version
from time import monotonic
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from bighead.client.proto import features_pb2, inference_pb2, prediction_pb2
from bighead.config import split_address
from bighead.errors import BigheadError, ConfigError, InvalidInput
from serving import messages, rows
from serving.codes import Code, code, details
from serving.explaining import PERMUTATIONS
from serving.listening import connected, stop_listening
from serving.observing import REQUEST_ID, Observer, ended, identify, shown
from serving.predictor import Predictor
from serving.security import Tls, TokenInterceptor, Tokens

_log = logging.getLogger(__name__)
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
INFERENCE = "inference.GRPCInferenceService"
PREDICTION = "bighead.v1.Prediction"
FEATURES = "bighead.v1.Features"
SERVICES = (INFERENCE, PREDICTION, FEATURES)
_PENDING = (100, 128)
"""Calls that wait inside gRPC for the event loop. From the first number on some are refused, from the second all:
behind more than these they would come too late. gRPC says CANCELLED and nothing else, cheaply.
"""
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.server.max_pending_requests", _PENDING[0]),
    ("grpc.server.max_pending_requests_hard_limit", _PENDING[1]),
)
_AGE_S = 5.0
"""How long a connection to a port that is shared lasts: its client then makes another, to whoever listens."""
_LEAVE_S = 1.2 * _AGE_S
_PAUSE_S = 0.05
PUSHBACK = "grpc-retry-pushback-ms"
"""The trailer by which gRPC's own retries know when to try again."""

Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]
Handler = Callable[[Any, Context], Awaitable[Message]]
Refused = Callable[[Any, Code, str], Message]
"""What a stream answers to a request that is refused; the request is None where its bytes were no message."""


class GrpcServer:
    """The listener and its health, which is NOT_SERVING until `declare_ready`.

    share_port: whether other processes may listen on the address too; otherwise a port in use is an error, not a second
    server that takes half of the calls.
    """

    def __init__(
        self,
        predictor: Predictor,
        address: str,
        tokens: Tokens | None = None,
        tls: Tls | None = None,
        *,
        share_port: bool = False,
    ) -> None:
        self._address = address
        self._share_port = share_port
        self._tls = tls
        self._health = health.HealthServicer()
        shared = (("grpc.max_connection_age_ms", int(_AGE_S * 1000)),) if share_port else ()
        options = (*_OPTIONS, ("grpc.so_reuseport", int(share_port)), *shared)
        self._server = grpc.aio.server(options=options, interceptors=[TokenInterceptor(tokens)] if tokens else [])
        self._server.add_generic_rpc_handlers(handlers(predictor))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((*SERVICES, HEALTH, reflection.SERVICE_NAME), self._server)

    async def start(self) -> None:
        """Listens; raises ConfigError where the address cannot be had."""
        await self._set_health(serving=False)
        try:
            if self._tls is None:
                self._server.add_insecure_port(self._address)
            else:
                self._server.add_secure_port(self._address, self._tls.credentials())
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
        if self._share_port:
            await self._leave(split_address(self._address, "BIGHEAD_GRPC")[1])
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)

    async def _leave(self, port: int) -> None:
        """Waits until every client has gone to another process, which the age of connections makes it do.

        gRPC cancels the calls that it has received and not handed on when it stops, and it tells clients to go before
        it closes its listener, to which they would come back: so it is stopped when nobody is connected any more.
        """
        stop_listening(port)
        deadline = monotonic() + _LEAVE_S
        while connected(port) and monotonic() < deadline:
            await asyncio.sleep(_PAUSE_S)

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
        return inference_pb2.ServerMetadataResponse(
            name="bighead", version=self._version, extensions=messages.EXTENSIONS
        )

    async def model_metadata(self, request: inference_pb2.ModelMetadataRequest, context: Context) -> Message:
        snapshot = self._predictor.snapshot
        model = snapshot.version(request.name, messages.wanted_of(request.version))
        return messages.metadata(model, snapshot.models[request.name])

    async def model_infer(
        self, request: inference_pb2.ModelInferRequest, context: Context
    ) -> inference_pb2.ModelInferResponse:
        identify(request.id)
        answer = await self._predictor.infer(
            request.model_name,
            messages.wanted_of(request.model_version),
            messages.tensors_of(request),
            messages.deadline_of(request, context.time_remaining()),
            messages.unit_of(request),
            messages.given_of(request),
        )
        return messages.infer_response(request, answer)

    async def model_stream_infer(self, request: inference_pb2.ModelInferRequest, context: Context) -> Message:
        return inference_pb2.ModelStreamInferResponse(infer_response=await self.model_infer(request, context))

    async def model_config(self, request: inference_pb2.ModelConfigRequest, context: Context) -> Message:
        model = self._predictor.snapshot.version(request.name, messages.wanted_of(request.version))
        return inference_pb2.ModelConfigResponse(config=messages.config(model))

    async def model_statistics(self, request: inference_pb2.ModelStatisticsRequest, context: Context) -> Message:
        snapshot, measures = self._predictor.snapshot, self._predictor.measures
        found = messages.statistics(snapshot, measures, request.name, request.version)
        return inference_pb2.ModelStatisticsResponse(model_stats=found)

    async def repository_index(self, request: inference_pb2.RepositoryIndexRequest, context: Context) -> Message:
        return messages.index(self._predictor.snapshot)

    async def predict(self, request: prediction_pb2.PredictRequest, context: Context) -> prediction_pb2.PredictResponse:
        answer = await self._predictor.predict(
            request.model,
            messages.asked(request),
            messages.entities_of(request),
            request.as_of_ms if request.HasField("as_of_ms") else None,
            context.time_remaining(),
            messages.segment_of(request),
        )
        return messages.predict_response(answer, explain=request.explain)

    async def predict_rows(
        self, request: prediction_pb2.PredictRowsRequest, context: Context
    ) -> prediction_pb2.PredictRowsResponse:
        answer = await self._predictor.predict(
            request.model,
            messages.asked(request),
            rows.entities_of(request),
            request.as_of_ms if request.HasField("as_of_ms") else None,
            context.time_remaining(),
            messages.segment_of(request),
        )
        return rows.answer_of(request, answer)

    async def explain(self, request: prediction_pb2.ExplainRequest, context: Context) -> Message:
        explained = await self._predictor.explain(
            request.model,
            messages.asked(request),
            messages.entities_of(request),
            request.permutations if request.HasField("permutations") else PERMUTATIONS,
            request.as_of_ms if request.HasField("as_of_ms") else None,
            context.time_remaining(),
            messages.segment_of(request),
        )
        return messages.explain_response(explained)

    async def predict_stream(self, request: prediction_pb2.PredictStreamRequest, context: Context) -> Message:
        identify(request.id)
        match request.WhichOneof("request"):
            case "entities":
                entities = await self.predict(request.entities, context)
                return prediction_pb2.PredictStreamResponse(id=request.id, entities=entities)
            case "rows":
                answer = await self.predict_rows(request.rows, context)
                return prediction_pb2.PredictStreamResponse(id=request.id, rows=answer)
            case _:
                raise InvalidInput("received a request of a stream that is empty; expected entities or rows")

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
    methods, observer = _Methods(predictor), predictor.observer
    table: dict[str, dict[str, tuple[type[Message], Handler]]] = {
        INFERENCE: {
            "ServerLive": (inference_pb2.ServerLiveRequest, methods.server_live),
            "ServerReady": (inference_pb2.ServerReadyRequest, methods.server_ready),
            "ModelReady": (inference_pb2.ModelReadyRequest, methods.model_ready),
            "ServerMetadata": (inference_pb2.ServerMetadataRequest, methods.server_metadata),
            "ModelMetadata": (inference_pb2.ModelMetadataRequest, methods.model_metadata),
            "ModelInfer": (inference_pb2.ModelInferRequest, methods.model_infer),
            "ModelConfig": (inference_pb2.ModelConfigRequest, methods.model_config),
            "ModelStatistics": (inference_pb2.ModelStatisticsRequest, methods.model_statistics),
            "RepositoryIndex": (inference_pb2.RepositoryIndexRequest, methods.repository_index),
        },
        PREDICTION: {
            "Predict": (prediction_pb2.PredictRequest, methods.predict),
            "PredictRows": (prediction_pb2.PredictRowsRequest, methods.predict_rows),
            "Explain": (prediction_pb2.ExplainRequest, methods.explain),
        },
        FEATURES: {"GetFeatures": (features_pb2.GetFeaturesRequest, methods.get_features)},
    }
    streams: dict[str, dict[str, tuple[type[Message], Handler, Refused]]] = {
        INFERENCE: {"ModelStreamInfer": (inference_pb2.ModelInferRequest, methods.model_stream_infer, _infer_refused)},
        PREDICTION: {"PredictStream": (prediction_pb2.PredictStreamRequest, methods.predict_stream, _predict_refused)},
        FEATURES: {},
    }
    return tuple(
        grpc.method_handlers_generic_handler(
            service,
            {
                name: grpc.unary_unary_rpc_method_handler(_answering(f"{service}/{name}", kind, handler, observer))
                for name, (kind, handler) in table[service].items()
            }
            | {
                name: grpc.stream_stream_rpc_method_handler(
                    _streaming(f"{service}/{name}", kind, handler, refused, observer)
                )
                for name, (kind, handler, refused) in streams[service].items()
            },
        )
        for service in SERVICES
    )


def _answering(name: str, kind: type[Message], handler: Handler, observer: Observer) -> Callable[..., Awaitable[bytes]]:
    """From bytes to bytes; what goes wrong leaves as the status of the table."""
    attributes = _attributes(name)

    async def answer(raw: bytes, context: Context) -> bytes:
        request: Message | None = None
        try:
            request = _parsed(kind, raw)
            response = await handler(request, context)
            return response.SerializeToString()
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a status
            row, message = _told(name, error, request, context)
        hint = () if row.retry_after_ms is None else ((PUSHBACK, str(row.retry_after_ms)),)
        await context.abort(row.status, message, hint)
        return b""  # abort has raised: this is for the type checker

    async def observed(raw: bytes, context: Context) -> bytes:
        with observer.request(name, _carrier(context)) as seen:
            seen.attributes = attributes
            return await answer(raw, context)

    return observed if observer else answer


def _streaming(
    name: str, kind: type[Message], handler: Handler, refused: Refused, observer: Observer
) -> Callable[..., AsyncIterator[bytes]]:
    """The same for each request of a stream, one after the other; what goes wrong is an answer like any other."""
    attributes = _attributes(name)

    async def answer(raw: bytes, context: Context) -> bytes:
        request: Message | None = None
        try:
            request = _parsed(kind, raw)
            response = await handler(request, context)
        except Exception as error:  # noqa: BLE001 - as above
            response = refused(request, *_told(name, error, request, context))
        return response.SerializeToString()

    async def observed(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async for raw in requests:
            with observer.request(name, _carrier(context)) as seen:
                seen.attributes = attributes
                answered = await answer(raw, context)
            yield answered

    async def answers(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async for raw in requests:
            yield await answer(raw, context)

    return observed if observer else answers


def _told(name: str, error: Exception, request: Message | None, context: Context) -> tuple[Code, str]:
    """What a caller hears of an error. One that was not raised on purpose is a bug: INTERNAL, and logged."""
    if isinstance(error, BigheadError):
        row, message = code(error), details(str(error))
    else:
        given = getattr(request, "id", "") or _carrier(context).get(REQUEST_ID, "")
        _log.error("%s failed", name, exc_info=error, extra={"request_id": shown(given)} if given else None)
        row = Code(grpc.StatusCode.INTERNAL, 500)
        message = f"{name} failed: {type(error).__name__}; see the server's log"
    ended(row.status.name, row.http)
    return row, message


def _carrier(context: Context) -> dict[str, str]:
    """What came with a call as text."""
    given: Iterable[tuple[str, str | bytes]] = context.invocation_metadata() or ()
    return {name: value for name, value in given if isinstance(value, str)}


def _attributes(name: str) -> dict[str, str]:
    service, _, method = name.partition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}


def _infer_refused(request: inference_pb2.ModelInferRequest | None, row: Code, message: str) -> Message:
    answer = inference_pb2.ModelStreamInferResponse(error_message=message)
    answer.infer_response.id = request.id if request is not None else ""
    return answer


def _predict_refused(request: prediction_pb2.PredictStreamRequest | None, row: Code, message: str) -> Message:
    answer = prediction_pb2.PredictStreamResponse(id=request.id if request is not None else "")
    answer.refusal.status, answer.refusal.message = row.status.value[0], message
    if row.retry_after_ms is not None:
        answer.refusal.retry_after_ms = row.retry_after_ms
    return answer


def _parsed(kind: type[Message], raw: bytes) -> Message:
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise InvalidInput(f"received {len(raw)} bytes that are no {kind.DESCRIPTOR.full_name}: {error}") from error
