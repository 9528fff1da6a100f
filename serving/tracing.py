"""Spans of requests and their stages, continued from the caller and exported as OpenTelemetry's variables say.

Imported only where traces are on: the packages are the extra `tracing`. Sampling, batching, headers and resource
attributes are the SDK's, which reads OTEL_* itself.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version as package_version

from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

from serving.observing import Seen

_log = logging.getLogger(__name__)
SERVICE = "bighead-server"
_UNNAMED = "unknown_service"


class Tracing:
    """Makes spans and gives them to the exporter from a thread of its own. server: this server's name in events."""

    def __init__(self, exporter: SpanExporter, server: str) -> None:
        version = package_version("bighead")
        # It has a line for every span that finds its queue full; that the collector is gone is said by the exporter.
        logging.getLogger("opentelemetry.sdk._shared_internal").setLevel(logging.ERROR)
        self._provider = TracerProvider(resource=_resource(server, version), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("bighead.serving", version)

    @contextmanager
    def request(self, seen: Seen, carrier: Mapping[str, str]) -> Iterator[None]:
        """The span of a whole request, a child of the caller's where the caller sent one."""
        with self._tracer.start_as_current_span(
            seen.name,
            context=propagate.extract(carrier),
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            finally:
                span.update_name(seen.name)
                span.set_attributes(_attributes(seen))
                if seen.is_fault:
                    span.set_status(Status(StatusCode.ERROR, seen.code))

    def stage(self, name: str, about: Mapping[str, str | int]) -> AbstractContextManager[object]:
        """The span of a part of the request that is worked on."""
        attributes = {f"bighead.{key}": value for key, value in about.items()}
        return self._tracer.start_as_current_span(name, attributes=attributes)

    def traceparent(self) -> str | None:
        """The current span as W3C Trace Context writes it."""
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return None
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def trace_id(self) -> str | None:
        """The identity of the current trace."""
        context = trace.get_current_span().get_span_context()
        return f"{context.trace_id:032x}" if context.is_valid else None

    def stop(self, timeout_s: float = 5.0) -> None:
        """Exports what is left, as far as the time allows: the SDK would wait longer for a collector that is gone."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(timeout_s)
        if ending.is_alive():
            _log.warning("spans may be missing: they could not be exported within %g s", timeout_s)


def exporter_of(protocol: str) -> SpanExporter:
    """OTLP over grpc or http/protobuf; the rest is read from OTEL_EXPORTER_OTLP_*."""
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter()


def _resource(server: str, version: str) -> Resource:
    """Names the service where OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES do not."""
    given = Resource.create({"service.instance.id": server, "service.version": version})
    if str(given.attributes.get("service.name", "")).startswith(_UNNAMED):
        return given.merge(Resource({"service.name": SERVICE}))
    return given


def _attributes(seen: Seen) -> dict[str, str | int]:
    found: dict[str, str | int] = dict(seen.attributes)
    if seen.request_id:
        found["bighead.request_id"] = seen.request_id
    if seen.version is not None:
        found |= {"bighead.model": seen.model, "bighead.version": seen.version, "bighead.arm": seen.arm}
    return found
