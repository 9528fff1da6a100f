"""Servers under load beside their own counts: errors look like answers to h2load, and must not count as such."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.load import Target
from benchmarks.serving import h2load
from benchmarks.serving.h2load import Load, Seen
from benchmarks.stack import cpu_s, say
from bighead.errors import PlatformError
from bighead.testing import eventually

WARM_S = 1.0
_COUNTED_S = 10.0


@dataclass(frozen=True)
class Counted:
    """A server: its processes, what is asked of it, and how many requests it says that it answered without an error
    (None for one that knows no errors)."""

    what: str
    pids: Sequence[int]
    target: Target
    answered: Callable[[], int] | None

    def count(self) -> int:
        """As it is now, 0 for a server that does not count."""
        return 0 if self.answered is None else self.answered()

    def cpu_s(self) -> float:
        """The processor time that it has used."""
        return sum(map(cpu_s, self.pids))


@dataclass(frozen=True)
class Measured:
    """What one server did under one load. cpu_s: what its processes used for the calls."""

    what: str
    seen: Seen
    cpu_s: float

    @classmethod
    def together(cls, rounds: Sequence[Self]) -> Self:
        """Several rounds of the same as one."""
        seen = [one.seen for one in rounds]
        latencies_ms = [latency for one in seen for latency in one.latencies_ms]
        return cls(
            rounds[0].what, Seen(sum(one.seconds for one in seen), latencies_ms), sum(one.cpu_s for one in rounds)
        )


def in_turn(servers: Sequence[Counted], load: Load, rounds: int) -> list[Measured]:
    """Each server under the load, one after the other and again, so that a slow moment of the machine meets all."""
    share = Load(load.seconds / rounds, load.clients, load.streams, load.rate, load.deadline_ms)
    for server in servers:
        h2load.run(server.target, Load(WARM_S, load.clients, load.streams, load.rate, load.deadline_ms))
    found: list[list[Measured]] = [[] for _ in servers]
    for _ in range(rounds):
        for server, kept in zip(servers, found, strict=True):
            kept.append(measured(server, share))
    return [Measured.together(kept) for kept in found]


def measured(server: Counted, load: Load) -> Measured:
    """The server under the load; raises PlatformError where it says that fewer calls were answered than came back."""
    say(f"measuring: {server.what}, {load.clients} clients, {load.seconds:g} s")
    before, before_s = server.count(), server.cpu_s()
    seen = h2load.run(server.target, load)
    used_s = server.cpu_s() - before_s
    if server.answered is not None:
        try:
            eventually(lambda: server.count() - before >= len(seen.latencies_ms), _COUNTED_S, 0.1)
        except AssertionError:
            raise PlatformError(
                f"{server.what}: {len(seen.latencies_ms)} calls came back, but the server says that it answered "
                f"{server.count() - before}: the others were errors"
            ) from None
    return Measured(server.what, seen, used_s)


def total(page: str, name: str, **labels: str) -> int:
    """The sum of a counter over all samples with these labels, from a page for Prometheus."""
    return int(
        sum(
            sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )
    )
