"""A model server under everything at once for a long time: load, swaps, loads, moves of labels, malformed requests.

`python -m tests.integration.soak MINUTES` starts what it needs, prints what it saw and fails where it is not flat.
"""

import asyncio
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx
import psutil

from bighead.config import Settings
from bighead.events import admin
from bighead.events.log import follow
from bighead.events.topics import SERVING_EVENTS, topic_name
from bighead.events.types import ModelRecord, ModelSwapped
from bighead.local.parts import INFRASTRUCTURE
from bighead.local.platform import Platform
from bighead.local.ports import free_settings
from tests.integration.serving_process import Registry, folder_of, serving
from tests.integration.steady_load import SteadyLoad
from tests.unit.serving.malformed import over_grpc, over_http, over_stream
from tests.unit.serving.models import times_stored

SAMPLE_S = 0.5
SWAP_S = 1.0
LOAD_EVERY = 15
"""Swaps between two versions that are in memory, for each that loads a new one and drops an old one."""
LAST_S = 30.0
MALFORMED_S = 0.1
FACTORS = (3.0, 2.0)
"""What even versions multiply by, and odd ones."""
WARM_UP = 0.4
"""The share of the time after which memory and descriptors are looked at."""
ROOM_MB, ROOM_MB_A_MINUTE = 10.0, 0.3
"""How much the line through the memory after the warm-up may rise: what allocators move about, and over a long time."""
ROOM_DESCRIPTORS = 3
"""A load in its child process has some open while it is sampled; so have connections that come and go."""


@dataclass(frozen=True)
class Sample:
    """Of the server's process: seconds since the start, resident memory, open file descriptors, threads."""

    at_s: float
    memory_mb: float
    descriptors: int
    threads: int


@dataclass
class Soaked:
    """What was done, and what came of it."""

    seconds: float
    swaps: int = 0
    loads: int = 0
    label_moves: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    malformed: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    @property
    def steady(self) -> list[Sample]:
        """After the warm-up."""
        return [sample for sample in self.samples if sample.at_s >= WARM_UP * self.seconds]

    @property
    def memory_mb_a_minute(self) -> float:
        """The slope of the least-squares line through the memory."""
        line = statistics.linear_regression(
            [sample.at_s / 60 for sample in self.steady], [sample.memory_mb for sample in self.steady]
        )
        return line.slope

    @property
    def growth_mb(self) -> float:
        """What that line rises in the time that is looked at."""
        return self.memory_mb_a_minute * (1 - WARM_UP) * self.seconds / 60

    @property
    def descriptors(self) -> tuple[float, float]:
        """The median of the first third and of the last, after the warm-up."""
        counts = [sample.descriptors for sample in self.steady]
        third = max(1, len(counts) // 3)
        return statistics.median(counts[:third]), statistics.median(counts[-third:])

    def problems(self) -> list[str]:
        """Why it was not flat, or not right; nothing where all is well."""
        found = self.wrong[:20]
        room = ROOM_MB + ROOM_MB_A_MINUTE * self.seconds / 60
        if self.growth_mb > room:
            found.append(f"memory grew by {self.growth_mb:.1f} MB after the warm-up; at most {room:.1f} MB are allowed")
        early, late = self.descriptors
        if late - early > ROOM_DESCRIPTORS:
            found.append(f"file descriptors grew from {early:g} to {late:g}")
        return found

    def shown(self) -> str:
        """For people."""
        first, last = self.steady[0], self.steady[-1]
        said = {
            "minutes": round(self.seconds / 60, 1),
            "answered": dict(self.answered),
            "swaps": self.swaps,
            "of them loaded": self.loads,
            "label moves": self.label_moves,
            "malformed": dict(self.malformed.most_common(8)),
            "memory MB after the warm-up": [round(first.memory_mb, 1), round(last.memory_mb, 1)],
            "memory MB a minute": round(self.memory_mb_a_minute, 3),
            "descriptors": self.descriptors,
            "threads": [first.threads, last.threads],
        }
        return "\n".join(f"{name}: {value}" for name, value in said.items())


def soak(settings: Settings, seconds: float, pause_s: float = 0.05) -> Soaked:
    """Runs a server of its own under everything; settings: with topics and schemas in place."""
    registry, soaked = Registry(settings), Soaked(seconds)
    folder = folder_of(settings)
    records = [times_stored(folder, factor) for factor in FACTORS]
    for version in (1, 2):
        registry.register("times", version, records[version % 2])
    registry.deploy("times", 1)
    with serving(settings) as server:
        asyncio.run(_all(registry, records, soaked, psutil.Process(server.process.pid), pause_s))
    return soaked


async def _all(
    registry: Registry, records: list[ModelRecord], soaked: Soaked, process: psutil.Process, pause_s: float
) -> None:
    load = SteadyLoad(registry.settings, lambda version: FACTORS[version % 2], pause_s)
    async with load.running(grpc_clients=2):
        await asyncio.gather(
            _sampled(process, soaked),
            asyncio.to_thread(_changed, registry, records, soaked),
            asyncio.to_thread(_pestered, registry.settings, soaked),
        )
    soaked.answered = load.answered
    soaked.wrong += load.wrong


async def _sampled(process: psutil.Process, soaked: Soaked) -> None:
    started = time.monotonic()
    while (at_s := time.monotonic() - started) < soaked.seconds:
        with process.oneshot():
            memory_mb = process.memory_info().rss / 1e6
            soaked.samples.append(Sample(at_s, memory_mb, process.num_fds(), process.num_threads()))
        await asyncio.sleep(SAMPLE_S)


def _changed(registry: Registry, records: list[ModelRecord], soaked: Soaked) -> None:
    """Swaps to and fro, with a new version every now and then; between two swaps a label moves."""
    held, newest, deadline = [1, 2], 2, time.monotonic() + soaked.seconds
    topic = topic_name(registry.settings.topic_prefix, SERVING_EVENTS)
    followed = follow(registry.settings, [topic], start="end", stop=lambda: time.monotonic() > deadline + LAST_S)
    with contextlib.closing(followed) as messages:
        reports = (registry.codec.decode(message.value) for message in messages)
        while time.monotonic() < deadline:
            if soaked.swaps % LOAD_EVERY == LOAD_EVERY - 1:
                newest += 1
                soaked.loads += 1
                held = [held[1], newest]
                registry.register("times", newest, records[newest % 2])
            held.reverse()
            command = registry.deploy("times", held[0])
            soaked.swaps += 1
            if not any(isinstance(event, ModelSwapped) and event.command_id == command for event in reports):
                soaked.wrong.append(f"deployment {soaked.swaps} led to no swap")
                return
            registry.label("times", held[0], {"champion": held[soaked.swaps % 2]})
            soaked.label_moves += 1
            time.sleep(SWAP_S)


def _pestered(settings: Settings, soaked: Soaked) -> None:
    """Malformed requests, one after the other."""
    deadline, number = time.monotonic() + soaked.seconds, 0
    with grpc.insecure_channel(settings.grpc) as channel, httpx.Client(base_url=f"http://{settings.http}") as client:
        while time.monotonic() < deadline:
            number += 1
            send = over_http if number % 5 == 0 else over_stream if number % 17 == 0 else over_grpc
            code, allowed = send(random.Random(number), client, channel)
            soaked.malformed[code] += 1
            if not allowed:
                soaked.wrong.append(f"malformed request {number}: {code}")
            time.sleep(MALFORMED_S)


def main() -> int:
    """As `make soak` runs it."""
    minutes = float(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="bighead-soak-") as place:
        platform = Platform(free_settings(Path(place) / "home"))
        try:
            platform.up(INFRASTRUCTURE)
            admin.ensure_topics(platform.settings)
            admin.register_schemas(platform.settings)
            soaked = soak(platform.settings, minutes * 60, pause_s=0.01)
        finally:
            platform.down()
    print(soaked.shown())
    problems = soaked.problems()
    print(*(problems or ["flat"]), sep="\n")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
