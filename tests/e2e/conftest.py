"""A platform to be hurt, whose parts can be killed under their supervisor; and one to be looked at, with a browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from bighead.local.parts import INFRASTRUCTURE
from bighead.local.platform import Platform
from bighead.local.ports import free_settings
from tests.e2e.browser import chromium
from tests.e2e.flights_story import Story, tell

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, headless. While it runs an event loop runs in this thread: what needs one of its own comes before."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="package")
def story(applications: Platform) -> Story:
    """The flights demo in small, told to the shared platform."""
    return tell(applications.settings)
