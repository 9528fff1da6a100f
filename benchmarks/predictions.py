"""Predictions through gRPC, with and without looking features up, beside a bare echo server under the same clients.

The model server, the registry and the models are real: trained, proven, registered and deployed as in the demo.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import grpc

from benchmarks import flight_models, load
from benchmarks.load import Target
from benchmarks.report import Report, Row, percentiles
from benchmarks.stack import answer_of, cpu_s, process, say, stack
from bighead.client.proto.prediction_pb2 import PredictRequest
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.log import end_offsets
from bighead.events.topics import PREDICTIONS, topic_name
from bighead.local.parts import INFRASTRUCTURE
from bighead.local.platform import Platform
from bighead.local.ports import free_settings
from bighead.testing import eventually

SECONDS = 20.0
IN_FLIGHT = 8
RATE = 100.0
REQUESTS = 200
PREDICT = "/bighead.v1.Prediction/Predict"
_LOGGED_S = 30.0


@dataclass(frozen=True)
class Server:
    """What is measured: its name, its process, what is asked of it, and how many predictions it says it made."""

    what: str
    pid: int
    target: Target
    made: Callable[[], int] | None


def run(seconds: float = SECONDS, events: int = flight_models.EVENTS) -> Report:
    """Deploys two models, then measures them and the echo, each for `seconds` in closed and in open loop."""
    with stack((*INFRASTRUCTURE, "worker", "materializer", "server")) as platform:
        settings = platform.settings
        say("publishing a week of made-up flights")
        flight_models.fill(settings, events)
        say("training, proving and deploying two models")
        inputs = flight_models.serve(settings)
        targets = {model: Target(settings.grpc, PREDICT, requests(model)) for model in inputs}
        answer = settings.home / "answer"
        answer.write_bytes(ask(targets[flight_models.WITH]))
        pid = _pid(platform)
        address = free_settings(settings.home).grpc

        def made() -> int:
            return sum(end_offsets(settings, topic_name(settings.topic_prefix, PREDICTIONS)).values())

        with process(settings, "benchmarks.echo", address, str(answer)) as echo:
            answer_of(echo, settings)
            echo_target = Target(address, PREDICT, targets[flight_models.WITH].requests)
            servers = [
                Server("grpc.aio echo", echo.pid, echo_target, None),
                Server("without look-up", pid, targets[flight_models.WITHOUT], made),
                Server("with look-up", pid, targets[flight_models.WITH], made),
            ]
            rows = [_measured(settings, server, seconds) for server in servers]
    return _report(rows, inputs, seconds)


def requests(model: str) -> list[bytes]:
    """Requests for one flight each, as bytes."""
    made = []
    for keys, inputs in islice(flight_models.flights(3), REQUESTS):
        request = PredictRequest(model=model)
        entity = request.entities.add()
        for target, values in ((entity.keys, keys), (entity.inputs, inputs)):
            for name, value in values.items():
                if isinstance(value, str):
                    target[name].string_value = value
                else:
                    target[name].double_value = value
        made.append(request.SerializeToString())
    return made


def ask(target: Target) -> bytes:
    """The answer to the first request; raises where it is an error, which h2load would not see."""
    with grpc.insecure_channel(target.address) as channel:
        call: Callable[..., bytes] = channel.unary_unary(target.method)
        return call(target.requests[0], timeout=10)


def _measured(settings: Settings, server: Server, seconds: float) -> Row:
    say(f"measuring: {server.what}")
    if server.made is not None:
        ask(server.target)
    before, before_s = server.made() if server.made else 0, cpu_s(server.pid)
    busy = load.closed(settings, server.target, IN_FLIGHT, seconds)
    used_s = cpu_s(server.pid) - before_s
    calm = load.open_loop(settings, server.target, RATE, seconds)
    if errors := [*busy.errors, *calm.errors]:
        raise PlatformError(f"{server.what}: {len(errors)} calls failed; the first: {errors[0]}")
    sent = busy.sent + calm.sent
    if server.made is not None:
        _check_log(server.made, before, sent)
    steady = percentiles(calm.latencies_ms)
    under_load = percentiles(busy.latencies_ms)
    return {
        "what": server.what,
        "calls": sent,
        "calls/s": len(busy.latencies_ms) / busy.seconds,
        "server us/call": used_s / busy.sent * 1e6,
        "client us/call": busy.client_cpu_s / busy.sent * 1e6,
        **{f"full load {name}": under_load[name] for name in ("p50 ms", "p99 ms")},
        **{f"{RATE:g}/s {name}": value for name, value in steady.items()},
        "client": busy.tool,
    }


def _check_log(made: Callable[[], int], before: int, sent: int) -> None:
    """The server logs each prediction that it made: as many as were answered, else some calls were not what they seem.

    Calls that h2load cut off at its end were made as well.
    """
    try:
        eventually(lambda: made() - before >= sent, _LOGGED_S, 0.2)
    except AssertionError:
        raise PlatformError(
            f"{sent} calls were answered, but the server logged {made() - before} predictions: it dropped the others "
            "from its log, or answered with errors"
        ) from None


def _pid(platform: Platform) -> int:
    (server,) = platform.status(["server"])
    if server.pid is None:
        raise PlatformError(f"the model server has no process: {server.health.detail}")
    return server.pid


def _report(rows: list[Row], inputs: dict[str, int], seconds: float) -> Report:
    echo, plain, looked_up = ({name: float(row[name]) for name in ("calls/s", "server us/call")} for row in rows)
    return Report(
        "predictions",
        f"one flight a call, boosted trees in ONNX with {inputs[flight_models.WITHOUT]} inputs without and "
        f"{inputs[flight_models.WITH]} with look-up of 9 groups; {IN_FLIGHT} calls in flight for {seconds:g} s",
        rows,
        {
            "calls/s without look-up to echo": plain["calls/s"] / echo["calls/s"],
            "calls/s with look-up to echo": looked_up["calls/s"] / echo["calls/s"],
            "server time without look-up to echo": plain["server us/call"] / echo["server us/call"],
            "server time with look-up to echo": looked_up["server us/call"] / echo["server us/call"],
        },
        notes=[
            f"clients and servers share {os.cpu_count()} cores; server time holds the log of predictions as well",
            "each call at the fixed rate counts from when it was due, and every prediction was found in the log",
        ],
    )
