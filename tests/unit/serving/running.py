"""A model server without a platform: real listeners for gRPC and HTTP in this process, on free ports."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from serving import rest
from serving.grpc_server import GrpcServer
from serving.http_server import HttpServer
from serving.predictor import Predictor
from serving.security import Tls, TokenMiddleware, Tokens


class Addresses(NamedTuple):
    """host:port of each listener."""

    grpc: str
    http: str


@contextmanager
def running(
    predictor: Predictor,
    tokens: Tokens | None = None,
    tls: Tls | None = None,
    metrics: Callable[[], bytes] | None = None,
) -> Iterator[Addresses]:
    """Serves what the predictor holds, with an event loop of its own, until the block ends."""
    addresses = Addresses(_free(), _free())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="server", daemon=True)
    thread.start()

    async def start() -> tuple[GrpcServer, HttpServer]:
        app: Any = rest.build(predictor, metrics)
        app = TokenMiddleware(app, tokens) if tokens else app
        grpc = GrpcServer(predictor, addresses.grpc, tokens, tls)
        http = HttpServer(app, addresses.http, "HTTP", **(tls.http_options() if tls else {}))
        await grpc.start()
        await http.start()
        await grpc.declare_ready()
        return grpc, http

    grpc_server, http_server = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    try:
        yield addresses
    finally:
        for stopping in (grpc_server.stop(1), http_server.stop(1)):
            asyncio.run_coroutine_threadsafe(stopping, loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def _free() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{held.getsockname()[1]}"
