"""Online reads of a Join with 30 features in 3 groups while it is written, in the library and over gRPC.

Beside them, in the same run and request by request, the same fields of the same hashes by pipelined HMGET: the floor.
"""

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import grpc
import hiredis
import redis
from redis.asyncio.connection import parse_url

from benchmarks import purchases
from benchmarks.report import Report, Row, percentiles
from benchmarks.stack import answer_of, process, say, stack
from bighead.client.catalog import read_catalog
from bighead.client.online import OnlineReader
from bighead.client.proto.features_pb2 import GetFeaturesRequest
from bighead.client.redis import HashFields, RedisPipeline
from bighead.client.visibility import Visibility
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import PlatformError, StoreError
from bighead.events.codec import Codec
from bighead.features.catalog import Catalog
from bighead.features.plan import GroupPlan, Status
from bighead.features.tiles import entity_of, store_key
from bighead.local.parts import INFRASTRUCTURE

SECONDS = 20.0
FEAST = "0.67.0"
EVENTS = 200_000
RATE = 500
SIZES = (1, 100)
GOALS_P99_MS = {1: 1.0, 100: 5.0}
GET_FEATURES = "/bighead.v1.Features/GetFeatures"
_FILLED_S = 300.0
_TIMEOUT_S = 5.0
Entities = list[dict[str, str]]
Ask = Callable[[Entities], Awaitable[None]]


def run(seconds: float = SECONDS, events: int = EVENTS, *, feast: bool = False) -> Report:
    """Fills a week, then measures each size in turn for `seconds` while purchases go on, and Feast if asked to."""
    with stack((*INFRASTRUCTURE, "worker", "materializer", "server")) as platform:
        settings = platform.settings
        with closing(Visibility(settings)) as visibility:
            visibility.wait(purchases.create(settings).positions, _FILLED_S)
            say(f"filling {events:,} purchases of a week")
            visibility.wait(purchases.fill(settings, events), _FILLED_S)
        codec = Codec(settings.schema_registry)
        catalog = read_catalog(settings, codec)
        codec.close()
        with process(settings, "benchmarks.purchases", str(RATE)) as writer:
            answer_of(writer, settings)
            rows = [row for size in SIZES for row in asyncio.run(_measured(settings, catalog, size, seconds))]
            rows += _feast(settings, seconds) if feast else []
        return _report(rows, _stored(settings, catalog), seconds)


def _feast(settings: Settings, seconds: float) -> list[Row]:
    """Feast's reads of as many features from the same Redis, in an environment that is made for it and kept."""
    folder = Path(tempfile.gettempdir()) / f"bighead-feast-{FEAST}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        say(f"installing Feast {FEAST} into {folder}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", f"feast[redis]=={FEAST}"], check=True)
        (folder / "ready").touch()
    say(f"measuring: Feast {FEAST}")
    address = parse_url(settings.redis)
    script = Path(__file__).with_name("feast_reads.py")
    arguments = [str(python), str(script), f"{address['host']}:{address['port']},db=1", str(seconds)]
    done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return [
        {"what": f"Feast {FEAST}", "entities": int(size), "requests": len(one), **percentiles(one)}
        for size, one in measured.items()
    ]


async def _measured(settings: Settings, catalog: Catalog, size: int, seconds: float) -> list[Row]:
    say(f"measuring: {size} entities a request, {seconds:g} s")
    store = RedisPipeline(settings.redis)
    reader = OnlineReader(store, settings.topic_prefix, lambda: catalog)
    async with grpc.aio.insecure_channel(settings.grpc) as channel:
        asks: dict[str, Ask] = {
            "floor: pipelined HMGET": _floor(settings, catalog),
            "library": _library(reader),
            "gRPC": _remote(channel),
        }
        latencies_ms: dict[str, list[float]] = {what: [] for what in asks}
        stream = purchases.entities(3)
        end_ns = perf_counter_ns() + int(seconds * 1e9)
        while perf_counter_ns() < end_ns:
            for what, ask in asks.items():
                latencies_ms[what].append(await _timed(ask, list(islice(stream, size))))
    await store.close()
    return [
        {"what": what, "entities": size, "requests": len(one), **percentiles(one)} for what, one in latencies_ms.items()
    ]


async def _timed(ask: Ask, entities: Entities) -> float:
    started_ns = perf_counter_ns()
    await ask(entities)
    return (perf_counter_ns() - started_ns) / 1e6


def _library(reader: OnlineReader) -> Ask:
    async def ask(entities: Entities) -> None:
        rows = await reader.read(purchases.JOIN.name, entities, wall_clock_ms(), _TIMEOUT_S)
        if Status.ERROR in rows[0].statuses.values():
            raise StoreError("a read was answered with ERROR")

    return ask


def _remote(channel: grpc.aio.Channel) -> Ask:
    call: Any = channel.unary_unary(GET_FEATURES)

    async def ask(entities: Entities) -> None:
        request = GetFeaturesRequest(join=purchases.JOIN.name)
        for entity in entities:
            keys = request.entities.add().keys
            for name, value in entity.items():
                keys[name].string_value = value
        await call(request.SerializeToString(), timeout=_TIMEOUT_S)

    return ask


def _floor(settings: Settings, catalog: Catalog) -> Ask:
    """The same hashes and fields, replies parsed and thrown away, on a blocking socket."""
    plans = catalog.plans(catalog.join(purchases.JOIN.name))
    address = parse_url(settings.redis)
    connection = socket.create_connection((address["host"], address["port"]))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(b"SELECT %d\r\n" % address.get("db", 0))
    reader = hiredis.Reader()
    _take(connection, reader, 1)

    async def ask(entities: Entities) -> None:
        commands_of = [HashFields(plan.at(wall_clock_ms()).fields).of for plan in plans]
        keys = dict.fromkeys(_keys(settings, plans, entities))
        commands = [commands_of[number](key).data for number, key in keys]
        connection.sendall(b"".join(commands))
        _take(connection, reader, len(commands))

    return ask


def _keys(settings: Settings, plans: Sequence[GroupPlan], entities: Entities) -> Iterator[tuple[int, str]]:
    for entity in entities:
        for number, plan in enumerate(plans):
            values = [entity[name] for name in plan.group.keys]
            yield number, store_key(settings.topic_prefix, plan.group.name, plan.epoch, entity_of(values))


def _take(connection: socket.socket, reader: hiredis.Reader, count: int) -> None:
    while count:
        data = connection.recv(1 << 20)
        if not data:
            raise PlatformError("the online store closed the connection")
        reader.feed(data)
        while reader.gets() is not False:
            count -= 1


def _stored(settings: Settings, catalog: Catalog) -> dict[str, float]:
    """What the store holds: hashes, and the bytes of each."""
    fields = sum(len(plan.at(wall_clock_ms()).fields) for plan in catalog.plans(catalog.join(purchases.JOIN.name)))
    with redis.Redis.from_url(settings.redis) as client:
        hashes = client.dbsize()
        return {"hashes": hashes, "bytes": client.info("memory")["used_memory"] / hashes, "fields": fields}


def _report(rows: list[Row], stored: dict[str, float], seconds: float) -> Report:
    ratios, goals = {}, {}
    for size in SIZES:
        floor, library, remote, *feast = (row for row in rows if row["entities"] == size)
        if feast:
            ratios[f"Feast to library, {size} entities, p50 ms"] = float(feast[0]["p50 ms"]) / float(library["p50 ms"])
        for name in ("p50 ms", "p99 ms"):
            ratios[f"library to floor, {size} entities, {name}"] = float(library[name]) / float(floor[name])
        ratios[f"gRPC to floor, {size} entities, p50 ms"] = float(remote["p50 ms"]) / float(floor["p50 ms"])
        goal = GOALS_P99_MS[size]
        goals[f"p99 below {goal:g} ms in the library, {size} entities"] = float(library["p99 ms"]) < goal
    return Report(
        "online",
        f"30 features in 3 groups, zipfian keys, {seconds:g} s each, while {RATE:,} purchases/s are written",
        rows,
        ratios,
        goals,
        [
            f"one request of each kind after the other; {stored['fields']:.0f} fields are asked for each entity",
            f"the store holds {stored['hashes']:,.0f} hashes of {stored['bytes']:,.0f} bytes each, overheads included",
        ],
    )
