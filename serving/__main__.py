"""The model server: `python -m serving`. Wires the parts together; SIGTERM drains them in order."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from bighead import config, logs
from bighead.client.catalog import CatalogFollower
from bighead.client.fleet import Heartbeat
from bighead.client.online import OnlineReader
from bighead.client.publish import Publisher
from bighead.client.staleness import StalenessFollower
from bighead.client.store import pipeline_of
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import BigheadError, ConfigError
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.dead_letters import DeadLetters
from bighead.events.guard import Guard
from bighead.events.topics import MONITORING, PREDICTIONS, SERVING_EVENTS, topic_name
from bighead.events.types import MetricComputed, ModelRecord, ServerStarted, ServerStopped
from bighead.inference.folders import sweep
from bighead.inference.loading import load
from bighead.inference.model import LoadedModel
from bighead.inference.trial import Trials
from bighead.registry.keys import trusted_keys
from serving import probe, rest
from serving.deployments import DeploymentFollower
from serving.grpc_server import GrpcServer
from serving.host import ModelHost
from serving.http_server import HttpServer
from serving.measures import MeasureReports
from serving.metrics_page import ServerCollector, page_of
from serving.observing import Observer
from serving.prediction_log import PredictionLog
from serving.predictor import Predictor
from serving.presence import Presence
from serving.security import TokenMiddleware, Tokens, tls_of

if TYPE_CHECKING:
    from serving.tracing import Tracing

_log = logging.getLogger("serving")
GRACE_S = 10.0
FLUSH_S = 5.0


class Server:
    """Every part of one model server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        name, prefix = settings.server, settings.topic_prefix
        codec = Codec(settings.schema_registry)
        # Two producers: a full queue of predictions must not hold up the report of a swap.
        self._events = Publisher(settings, f"bighead/server/{name}", codec=codec)
        predictions = Publisher(settings, f"bighead/server/{name}", codec=codec)
        self._log = PredictionLog(
            predictions,
            topic_name(prefix, PREDICTIONS),
            name,
            share=settings.log_share,
            redacted=[column.strip() for column in settings.log_redacted.split(",") if column.strip()],
        )
        self._catalog = CatalogFollower(settings, codec)
        self._store = pipeline_of(settings.redis)
        self._staleness = StalenessFollower(settings, self._catalog.current)
        reader = OnlineReader(self._store, prefix, self._catalog.current, self._staleness.current)
        self._tracing = _tracing(name)
        observer = Observer(self._tracing, lines=settings.log_requests)
        self._predictor = Predictor(reader, self._log, wall_clock_ms, observer)
        self._measures = MeasureReports(self._predictor.measures, name, self._report_metric, wall_clock_ms)
        budget = settings.model_memory_mb << 20
        self._trials = Trials()
        loader = partial(load_after_trial, self._trials, trusted_keys(settings.model_keys))
        self._host = host = ModelHost(
            self._predictor, name, self._report, wall_clock_ms, loader, budget, settings.environment
        )
        guard = Guard(codec, DeadLetters(settings, codec), f"server/{name}", settings)
        self._presence = Presence(self._store, prefix, name, self._heartbeat)
        self._ready = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._deployments = DeploymentFollower(settings, guard, host, self._on_ready)
        page = page_of(ServerCollector(self._predictor, self._log, self._staleness.current))
        self._listen(Tokens(config.tokens()), page)

    def _listen(self, tokens: Tokens, page: Callable[[], bytes]) -> None:
        settings, share = self._settings, self._settings.share_ports
        tls = tls_of(settings.tls_certificate, settings.tls_key, settings.tls_client_authority)
        self._grpc = GrpcServer(self._predictor, settings.grpc, tokens, tls, share_port=share)
        app: Any = rest.build(self._predictor, page)
        self._http = HttpServer(
            TokenMiddleware(app, tokens) if tokens else app,
            settings.http,
            "BIGHEAD_HTTP",
            share_port=share,
            **(tls.http_options() if tls else {}),
        )
        self._answering = False
        own = probe.build(lambda: self._answering, page)
        self._probe = HttpServer(own, settings.probe, "BIGHEAD_PROBE") if share else None

    async def start(self) -> None:
        """Returns when the live versions are loaded and health says so.

        It listens at once; where it shares its ports only then, for others answer until it can.
        """
        for left in await asyncio.to_thread(sweep):
            _log.info("removed %s, which a server that was killed has left", left)
        self._log.start()
        self._measures.start()
        if self._probe is not None:
            await self._probe.start()
        else:
            await self._start_listeners()
        await asyncio.to_thread(self._catalog.start)
        self._staleness.start()
        self._deployments.start()
        await self._ready.wait()
        if self._probe is not None:
            await self._start_listeners()
        await self._grpc.declare_ready()
        self._answering = True
        self._presence.start()
        address = self._settings.grpc
        self._report(
            ServerStarted(
                server=self._settings.server,
                address=address,
                environment=self._settings.environment,
                at_ms=wall_clock_ms(),
            )
        )
        _log.info("ready: gRPC on %s, REST on %s", address, self._settings.http)

    async def _start_listeners(self) -> None:
        await self._grpc.start()
        await self._http.start()

    async def stop(self) -> None:
        """Drains: requests first, then what they left behind."""
        self._answering = False
        await self._presence.stop()
        await asyncio.gather(self._grpc.stop(GRACE_S), self._http.stop(GRACE_S))
        await self._predictor.shadows.settle()
        self._predictor.close()
        await asyncio.to_thread(self._deployments.stop, FLUSH_S)
        await asyncio.to_thread(self._trials.close)
        await asyncio.to_thread(self._log.stop, FLUSH_S)
        await self._measures.stop()
        address = self._settings.grpc
        self._report(ServerStopped(server=self._settings.server, address=address, at_ms=wall_clock_ms()))
        await asyncio.to_thread(self._flush_events)
        await asyncio.to_thread(self._staleness.stop)
        await asyncio.to_thread(self._catalog.stop)
        await self._store.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.stop, FLUSH_S)
        if self._probe is not None:
            await self._probe.stop(0)
        _log.info("stopped; %d predictions dropped, %d not published", self._log.dropped, self._log.failed)

    def _heartbeat(self) -> Heartbeat:
        settings = self._settings
        live = self._host.answering()
        return Heartbeat(settings.server, settings.grpc, live, wall_clock_ms(), settings.environment)

    def _on_ready(self) -> None:
        self._loop.call_soon_threadsafe(self._ready.set)

    def _report(self, event: Event) -> None:
        """Serving goes on when the report of it cannot be sent."""
        try:
            self._events.publish(
                event,
                key=self._settings.server,
                topic=topic_name(self._settings.topic_prefix, SERVING_EVENTS),
            )
        except BigheadError as error:
            _log.warning("%s was not reported: %s", event.FULL_NAME, error)

    def _report_metric(self, event: MetricComputed) -> None:
        said = replace(event, environment=self._settings.environment)
        self._events.publish(said, key=event.model, topic=topic_name(self._settings.topic_prefix, MONITORING))

    def _flush_events(self) -> None:
        try:
            self._events.flush(FLUSH_S)
        except BigheadError as error:
            _log.warning("events of this server may be missing: %s", error)


def _tracing(server: str) -> "Tracing | None":
    protocol = config.tracing_protocol()
    if protocol is None:
        return None
    try:
        from serving.tracing import Tracing, exporter_of
    except ImportError as error:
        raise ConfigError(
            f"OTEL_* asks for traces, but {error.name} is not installed: pip install 'bighead[tracing]', or set "
            "OTEL_SDK_DISABLED=true"
        ) from error
    return Tracing(exporter_of(protocol), server)


def load_after_trial(
    trials: Trials, trusted: Collection[str], name: str, version: int, record: ModelRecord, room_bytes: int
) -> tuple[LoadedModel, dict[str, float]]:
    """Loads a version as a server does."""
    return load(name, version, record, trials.try_out, room_bytes, trusted)


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, which may also come while it starts."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = Server(settings)
    starting = asyncio.create_task(server.start())
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
    await waiting
    starting.cancel()
    await server.stop()


def main() -> int:
    """Runs the server with the settings of the environment."""
    try:
        settings = config.load()
        logs.configure(settings)
        asyncio.run(serve(settings))
    except BigheadError as error:
        _log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
