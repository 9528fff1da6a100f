"""A platform to be hurt: under its supervisor, with the materializer as a process apart, so that each can be killed."""

import sys
from collections.abc import Iterator

import pytest

from bighead.local.parts import INFRASTRUCTURE, Part
from bighead.local.platform import Platform
from bighead.local.ports import free_settings
from bighead.testing import eventually

MATERIALIZER = "materializer"


@pytest.fixture(scope="package")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Kafka, registry, Redis, the server, a worker, and a worker that only materializes."""
    running = Platform(free_settings(tmp_path_factory.mktemp("breakable")))
    try:
        running.up((*INFRASTRUCTURE, "server"))
        for name, only in (("worker", "lane,registry,monitoring,views"), (MATERIALIZER, MATERIALIZER)):
            running.supervisor.add(Part(name, (sys.executable, "-m", "streams", "--only", only), ()))
            running.supervisor.start_part(name)
        eventually(lambda: all(running.status(["worker"])[0].ok for _ in range(2)), 60, 0.1)
        yield running
    finally:
        running.supervisor.stop_parts([MATERIALIZER])
        running.down()
