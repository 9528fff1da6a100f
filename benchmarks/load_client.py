"""A lean gRPC client in a process of its own: ready-made bytes out, answers counted and not parsed.

`python -m benchmarks.load_client PLAN` with a plan in JSON; it prints when it is ready, starts on a line of input, and
prints what it saw. Closed loop (`in_flight`): each call follows the answer to the one before. Open loop (`rate`): calls
start on a fixed schedule and their latency counts from there.
"""

import asyncio
import base64
import json
import sys
import time
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import grpc

TIMEOUT_S = 10.0


@dataclass
class Load:
    """Calls one method with the requests in turn."""

    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
    requests: list[bytes]
    latencies_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def closed(self, in_flight: int, seconds: float) -> None:
        """Keeps that many calls under way."""
        end = time.perf_counter() + seconds
        upcoming = cycle(self.requests)

        async def one_after_another() -> None:
            while (started := time.perf_counter()) < end:
                await self._ask(next(upcoming), started)

        await asyncio.gather(*(one_after_another() for _ in range(in_flight)))

    async def open(self, rate: float, seconds: float) -> None:
        """Starts calls on schedule, answered or not."""
        first, calls = time.perf_counter(), []
        for number, request in zip(range(int(rate * seconds)), cycle(self.requests), strict=False):
            due = first + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            calls.append(asyncio.create_task(self._ask(request, due)))
        await asyncio.gather(*calls)

    async def _ask(self, request: bytes, due: float) -> None:
        try:
            await self.call(request, timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            self.errors.append(f"{error.code().name}: {error.details()}")
        else:
            self.latencies_ms.append((time.perf_counter() - due) * 1000)


async def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Connects, waits for the start, loads and says what it saw."""
    async with grpc.aio.insecure_channel(plan["address"]) as channel:
        load = Load(channel.unary_unary(plan["method"]), [base64.b64decode(one) for one in plan["requests"]])
        await load.closed(1, plan["warm_s"])
        warm, load.latencies_ms = len(load.latencies_ms), []
        print("{}", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        started, before_s = time.perf_counter(), time.process_time()
        if "in_flight" in plan:
            await load.closed(plan["in_flight"], plan["seconds"])
        else:
            await load.open(plan["rate"], plan["seconds"])
        seconds, used_s = time.perf_counter() - started, time.process_time() - before_s
    return {
        "warm": warm,
        "seconds": seconds,
        "cpu_s": used_s,
        "latencies_ms": load.latencies_ms,
        "errors": load.errors,
    }


def main() -> None:
    """Reads the plan from the file named."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps(asyncio.run(run(plan))), flush=True)


if __name__ == "__main__":
    main()
