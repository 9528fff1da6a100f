"""A platform to be hurt: under its supervisor, so that each part can be killed."""

from collections.abc import Iterator

import pytest

from bighead.local.parts import INFRASTRUCTURE
from bighead.local.platform import Platform
from bighead.local.ports import free_settings

MATERIALIZER = "materializer"


@pytest.fixture(scope="package")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Kafka, registry, Redis, the server, the worker and the materializer."""
    running = Platform(free_settings(tmp_path_factory.mktemp("breakable")))
    try:
        running.up((*INFRASTRUCTURE, "server", "worker", MATERIALIZER))
        yield running
    finally:
        running.down()
