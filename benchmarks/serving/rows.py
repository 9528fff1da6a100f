"""How fast the model server answers, each figure beside its peer in the same run."""

import struct
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.predictions import ask
from benchmarks.report import Row, percentiles
from benchmarks.serving import mlserver, models
from benchmarks.serving.collector import collector
from benchmarks.serving.counts import Counted, Measured, in_turn
from benchmarks.serving.h2load import Load
from benchmarks.serving.world import World, bare, bare_onnx, echo, server
from benchmarks.stack import answer_of, say
from bighead.client.proto.inference_pb2 import ModelInferResponse
from bighead.errors import PlatformError

CLIENTS = 32
BATCH = 1_000
ROUNDS = 2
TRACED = (0.01, 1.0)
"""Shares of requests that are traced: what is usual under load, and all."""
GOALS_MS = {"without features": (0.6, 1.0), "with features": (1.2, 2.0)}
"""p50 and p95 of one client."""


@dataclass(frozen=True)
class Found:
    """Lines of the table, ratios to a peer, and which goals were met."""

    rows: Sequence[Row]
    ratios: Mapping[str, float] = field(default_factory=dict)
    goals: Mapping[str, bool] = field(default_factory=dict)


def row(what: str, measured: Measured) -> Row:
    """A line of the table."""
    return {
        "what": what,
        "server": measured.what,
        "calls/s": measured.seen.rate,
        **percentiles(measured.seen.latencies_ms),
        "server us/call": measured.cpu_s / len(measured.seen.latencies_ms) * 1e6,
    }


def throughput(world: World, seconds: float) -> Found:
    """Single rows as fast as they are answered, by one and by two processes, beside MLServer and an empty server."""
    with ExitStack() as beside:
        peer = beside.enter_context(mlserver.running(world.settings, world.files[models.TENSOR][0]))
        floor = beside.enter_context(echo(world.settings, world.server.tensors.target))
        two = beside.enter_context(server(world.settings, "bighead, 2 processes", 2))
        check_same(world.server.tensors, peer)
        measured = in_turn([two.tensors, world.server.tensors, peer, floor], Load(seconds, CLIENTS), ROUNDS)
    both, one, other, least = (each.seen.rate for each in measured)
    return Found(
        [row(f"throughput: {CLIENTS} clients, 1 row", each) for each in measured],
        {
            "calls/s of 2 processes to MLServer": both / other,
            "calls/s of 1 process to MLServer": one / other,
            "calls/s of 1 process to echo": one / least,
        },
        {"four times the calls/s of MLServer": both >= 4 * other},
    )


def latency(world: World, seconds: float) -> Found:
    """One client, without and with features from the store, beside MLServer and a server that computes nothing."""
    asked = {
        "a tensor": world.server.tensors,
        "without features": world.server.columns,
        "with features": world.server.features,
    }
    with ExitStack() as beside:
        peer = beside.enter_context(mlserver.running(world.settings, world.files[models.TENSOR][0]))
        floor = beside.enter_context(echo(world.settings, world.server.features.target))
        measured = in_turn([*asked.values(), peer, floor], Load(seconds, 1), ROUNDS)
    names = [*asked, "a tensor", "nothing computed"]
    rows = [row(f"latency: 1 client, {name}", one) for name, one in zip(names, measured, strict=True)]
    tensor, plain, looked_up, other, least = (percentiles(one.seen.latencies_ms) for one in measured)
    goals = {}
    for (name, (p50, p95)), seen in zip(GOALS_MS.items(), (plain, looked_up), strict=True):
        goals[f"{name} p50 below {p50:g} ms"] = seen["p50 ms"] < p50
        goals[f"{name} p95 below {p95:g} ms"] = seen["p95 ms"] < p95
    ratios = {
        "p50 of a tensor, MLServer to bighead": other["p50 ms"] / tensor["p50 ms"],
        "p50 without features to echo": plain["p50 ms"] / least["p50 ms"],
        "p50 with features to echo": looked_up["p50 ms"] / least["p50 ms"],
    }
    return Found(rows, ratios, goals)


def batch(world: World, seconds: float) -> Found:
    """Batches of 1,000 rows from one client, beside ONNX Runtime without a server."""
    ours = world.server.asked(models.INFER, models.TENSOR, models.infer_request(BATCH))
    alone: list[float] = []
    served: list[Measured] = []
    with bare_onnx(world, BATCH) as floor:
        for _ in range(ROUNDS):
            served += in_turn([ours], Load(seconds / ROUNDS, 1), 1)
            say("measuring: ONNX Runtime alone")
            if floor.stdin is not None:
                floor.stdin.write(f"{seconds / ROUNDS}\n")
                floor.stdin.flush()
            alone.append(float(answer_of(floor, world.settings)["rows/s"]))
    with_server = sum(one.seen.rate for one in served) / ROUNDS * BATCH
    without = sum(alone) / ROUNDS
    rows: list[Row] = [
        {**row(f"batch: 1 client, {BATCH:,} rows", Measured.together(served)), "rows/s": with_server},
        {"what": f"batch: {BATCH:,} rows", "server": "ONNX Runtime alone", "rows/s": without},
    ]
    share = with_server / without
    return Found(rows, {"rows/s of batches to ONNX Runtime alone": share}, {"80 % of ONNX Runtime's": share >= 0.8})


def observing(world: World, seconds: float) -> Found:
    """What the log, the counts and the traces cost: the whole server, and with traces, beside one without them."""
    with ExitStack() as beside:
        floor = beside.enter_context(bare(world.settings, world.files, models.COLUMNS))
        endpoint = beside.enter_context(collector())
        servers = [floor, world.server.columns]
        for share in TRACED:
            traced = server(world.settings, f"bighead, {share:.0%} traced", 1, tracing(endpoint, share))
            servers.append(beside.enter_context(traced).columns)
        measured = in_turn(servers, Load(seconds, CLIENTS), ROUNDS)
    least, *rates = (one.seen.rate for one in measured)
    ratios = {f"calls/s of {one.what} to without": rate / least for one, rate in zip(measured[1:], rates, strict=True)}
    goals = {f"log, counts and {TRACED[0]:.0%} of traces cost less than 10 %": rates[1] > 0.9 * least}
    return Found([row(f"observing: {CLIENTS} clients, 1 row", one) for one in measured], ratios, goals)


def tracing(endpoint: str, share: float) -> dict[str, str]:
    """The variables that let a server trace a share of its requests."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(share),
    }


def check_same(ours: Counted, peer: Counted) -> None:
    """Raises PlatformError where the two do not answer the same."""
    answers = [ModelInferResponse.FromString(ask(one.target)) for one in (ours, peer)]
    contents = [
        list(one.raw_output_contents) or [struct.pack("<f", *one.outputs[0].contents.fp32_contents)] for one in answers
    ]
    if contents[0] != contents[1]:
        raise PlatformError(f"{ours.what} and {peer.what} answer differently: {contents}")
