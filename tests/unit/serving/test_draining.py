"""How a server leaves a port that it shares: nobody who is connected or connecting is lost."""

import asyncio
import socket
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from serving.http_server import HttpServer
from serving.listening import connected, stop_listening


def sharing() -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return made


@pytest.fixture
def port() -> Iterator[int]:
    """A port that nobody else gets, for it is bound; who shares it may listen."""
    with sharing() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_a_port_is_left_to_the_others_and_connections_go_on(port: int) -> None:
    with sharing() as leaving, sharing() as staying:
        leaving.bind(("127.0.0.1", port))
        leaving.listen()
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = leaving.accept()
        assert connected(port) == 1
        assert stop_listening(port) == 1
        staying.bind(("127.0.0.1", port))
        staying.listen()
        for _ in range(20):
            socket.create_connection(("127.0.0.1", port)).close()
        client.send(b"still there")
        assert accepted.recv(20) == b"still there"
        assert stop_listening(port) == 1, "the other one is in this process too"
        client.close()
        accepted.close()
        assert connected(port) == 0


def app_of(name: str) -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def who() -> str:
        return name

    return app


async def test_http_clients_hear_with_an_answer_that_they_have_to_go(port: int) -> None:
    first, second = (HttpServer(app_of(name), f"127.0.0.1:{port}", "HTTP", share_port=True) for name in ("old", "new"))
    await first.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/")).json() == "old"
        await second.start()
        stopping = asyncio.create_task(first.stop(5))
        await asyncio.sleep(0)
        last = await client.get("/")
        assert (last.json(), last.headers["connection"]) == ("old", "close")
        assert (await client.get("/")).json() == "new"
        await stopping
    await second.stop(5)


async def test_who_waits_to_be_accepted_when_a_server_stops_is_answered(port: int) -> None:
    server = HttpServer(app_of("old"), f"127.0.0.1:{port}", "HTTP", share_port=True)
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/")).json() == "old"
    # Connected without letting the event loop run, so that nobody has accepted them yet.
    waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    for one in waiting:
        one.send(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
    await server.stop(5)
    for one in waiting:
        one.settimeout(5)
        assert b'"old"' in one.recv(1000)
        one.close()
