"""Settings with ports that nobody uses, for tests, for the demo and for `bighead up --free-ports`."""

import random
from collections.abc import Mapping
from pathlib import Path

from bighead.config import Settings, load
from bighead.errors import PlatformError
from bighead.local.checks import port_is_free

_HOST = "127.0.0.1"
# Below the ports that operating systems give to outgoing connections, so that none is taken between choice and use.
_RANGE = range(20_000, 32_000)
_ATTEMPTS = 2_000
_LEAST_PROBES = 3
"""For two model servers that share ports and a spare one: who has the settings may still replace their number."""


def free_settings(home: Path, given: Mapping[str, str] | None = None) -> Settings:
    """Settings for a platform in `home` on free loopback ports; `given` variables win over the choice."""
    known = {"BIGHEAD_HOME": str(home)} | dict(given or {})
    servers = load(known).server_processes
    taken: set[int] = set()
    kafka, registry, flink = (_free(2, taken) for _ in range(3))
    redis, grpc, http, console = (_free(1, taken) for _ in range(4))
    probe = _free(max(_LEAST_PROBES, servers + 1), taken)  # the spare one has a port of its own as well
    chosen = {
        "BIGHEAD_KAFKA": f"{_HOST}:{kafka}",
        "BIGHEAD_SCHEMA_REGISTRY": f"http://{_HOST}:{registry}/apis/ccompat/v7",
        "BIGHEAD_REDIS": f"redis://{_HOST}:{redis}/0",
        "BIGHEAD_GRPC": f"{_HOST}:{grpc}",
        "BIGHEAD_HTTP": f"{_HOST}:{http}",
        "BIGHEAD_PROBE": f"{_HOST}:{probe}",
        "BIGHEAD_CONSOLE": f"{_HOST}:{console}",
        "BIGHEAD_FLINK": f"{_HOST}:{flink}",
    }
    return load(chosen | known)


def _free(adjacent: int, taken: set[int]) -> int:
    """The first of `adjacent` free ports in a row; at random, so that platforms started together do not meet."""
    chooser = random.SystemRandom()
    for _ in range(_ATTEMPTS):
        first = chooser.choice(_RANGE[:-adjacent])
        wanted = range(first, first + adjacent)
        if taken.isdisjoint(wanted) and all(port_is_free(_HOST, port) for port in wanted):
            taken.update(wanted)
            return first
    raise PlatformError(f"found no free port on {_HOST} from {_RANGE.start} to {_RANGE.stop}; stop what holds them")
