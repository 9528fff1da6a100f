"""What callers notice of what happens beside their requests: swaps, overload, a shadow."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle

from benchmarks.report import Row, percentiles
from benchmarks.serving import h2load, models
from benchmarks.serving.counts import Counted, Measured, in_turn, measured
from benchmarks.serving.h2load import Load
from benchmarks.serving.rows import CLIENTS, ROUNDS, Found, row
from benchmarks.serving.world import World
from benchmarks.stack import say
from benchmarks.trained import deploy
from bighead.client.models import ModelsClient
from bighead.errors import PlatformError

SHARE = 0.5
"""Of what the server can do at the most: at full load all work beside the requests would only lower the throughput."""
STREAMS = 4
SWAP_EVERY_S = 0.2
DEADLINE_MS = 100
OVERLOAD = 10
OVERLOAD_STREAMS = 100
_PEAK_S = 4.0
_REASON = "a measurement"


def swaps(world: World, seconds: float) -> Found:
    """A model whose two versions, both in memory, take turns, beside the same without swaps."""
    ours, versions = world.server.columns, two_versions(world)
    load = half_of_peak(ours, seconds)
    calm: list[Measured] = []
    swapped: list[Measured] = []
    count = 0
    for _ in range(ROUNDS):
        calm.append(measured(ours, load))
        with _swapping(world, versions) as done:
            swapped.append(measured(ours, load))
        count += done()
    return _compared("swaps", f"{count} swaps", calm, swapped, 1.2)


def shadow(world: World, seconds: float) -> Found:
    """Every request computed by a second version as well, beside the same without it."""
    ours, (live, other) = world.server.columns, two_versions(world)
    client = ModelsClient(world.settings, "benchmarks", timeout_s=60)
    load = half_of_peak(ours, seconds)
    off: list[Measured] = []
    on: list[Measured] = []
    for _ in range(ROUNDS):
        client.deploy(models.COLUMNS, live, _REASON)
        off.append(measured(ours, load))
        client.set_traffic(models.COLUMNS, {live: 100.0}, _REASON, shadows=[other])
        on.append(measured(ours, load))
    client.deploy(models.COLUMNS, live, _REASON)
    return _compared("shadow", "with a shadow", off, on, 1.1)


def goodput(world: World, seconds: float) -> Found:
    """Ten times what the server can do, with deadlines of 100 ms, beside its peak.

    What came back later than the deadline is taken from what the server says that it answered: no error and nothing
    late counts, whatever it was.
    """
    ours = world.server.tensors
    (peak,) = in_turn([ours], Load(seconds, CLIENTS), 1)
    rate = OVERLOAD * peak.seen.rate
    say(f"measuring: {rate:,.0f} calls/s are offered for {seconds:g} s")
    before = ours.count()
    seen = h2load.run(ours.target, Load(seconds, CLIENTS, OVERLOAD_STREAMS, rate, DEADLINE_MS))
    late = sum(latency > DEADLINE_MS for latency in seen.latencies_ms)
    good = max(0, ours.count() - before - late) / seen.seconds
    rows: list[Row] = [
        row(f"overload: {CLIENTS} clients, no more than it can do", peak),
        {
            "what": f"overload: {rate:,.0f} calls/s offered",
            "server": ours.what,
            "calls/s": seen.rate,
            **percentiles(seen.latencies_ms),
            "answered in time/s": good,
        },
    ]
    share = good / peak.seen.rate
    return Found(rows, {"goodput under overload to peak": share}, {"goodput 80 % of peak": share >= 0.8})


def two_versions(world: World) -> list[int]:
    """The numbers of two versions of the model of columns that are in memory, the one that answers first."""
    view = ModelsClient(world.settings, "benchmarks").show(models.COLUMNS)
    numbers = [version.number for version in view.state.versions]
    if len(numbers) == 1:
        another = models.column_model(world.settings, None, seed=8)
        numbers.append(deploy(world.settings, models.COLUMNS, another))
    return numbers[::-1]


def half_of_peak(server: Counted, seconds: float) -> Load:
    """A fixed rate that leaves room for other work."""
    (peak,) = in_turn([server], Load(_PEAK_S, CLIENTS), 1)
    return Load(seconds / ROUNDS, CLIENTS, STREAMS, rate=SHARE * peak.seen.rate)


@contextmanager
def _swapping(world: World, versions: Sequence[int]) -> Iterator[Callable[[], int]]:
    """Deploys the versions in turn, each as soon as the server has told of the one before, with a pause."""
    client = ModelsClient(world.settings, "benchmarks", timeout_s=60)
    ended, swapped, failures = threading.Event(), [0], list[Exception]()

    def swap() -> None:
        try:
            for version in cycle(versions):
                if ended.wait(SWAP_EVERY_S):
                    return
                client.deploy(models.COLUMNS, version, _REASON)
                swapped[0] += 1
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            failures.append(error)

    thread = threading.Thread(target=swap, name="swaps")
    thread.start()
    try:
        yield lambda: swapped[0]
    finally:
        ended.set()
        thread.join()
    if failures:
        raise PlatformError(f"a swap failed: {failures[0]}") from failures[0]


def _compared(name: str, what: str, calm: list[Measured], disturbed: list[Measured], goal: float) -> Found:
    before, after = Measured.together(calm), Measured.together(disturbed)
    share = percentiles(after.seen.latencies_ms)["p99 ms"] / percentiles(before.seen.latencies_ms)["p99 ms"]
    return Found(
        [row(f"{name}: none", before), row(f"{name}: {what}", after)],
        {f"p99 {what} to none": share},
        {f"p99 {what} at most {goal:g} times that without": share <= goal},
    )
