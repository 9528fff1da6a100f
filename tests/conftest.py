"""Real components for the whole session: Kafka, schema registry and Redis on free ports in a temporary folder.

`settings` gives each test names of its own on them; `applications` adds the worker, the server and the console.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from bighead import config
from bighead.config import Settings
from bighead.events import admin
from bighead.local.parts import INFRASTRUCTURE
from bighead.local.platform import ALL, Platform
from bighead.local.ports import free_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_REDIS_DATABASES = 64
_SHARED = ("breakable", "applications")
"""What takes longest to start: all files that use one of these run in one process, which starts it once."""
_LONGEST_FIRST = ("breakable", "spark")
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files into groups for processes that run side by side, and the groups that take longest first."""
    used: dict[Path, set[str]] = {}
    for item in items:
        used.setdefault(item.path, set()).update(getattr(item, "fixturenames", ()))
    for item in items:
        group = next((name for name in _SHARED if name in used[item.path]), str(item.path))
        item.add_marker(pytest.mark.xdist_group(group))
    last = len(_LONGEST_FIRST)
    ranks = {
        path: min([_LONGEST_FIRST.index(one) for one in names & {*_LONGEST_FIRST}], default=last)
        for path, names in used.items()
    }
    items.sort(key=lambda item: ranks[item.path])


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Kafka, the schema registry and Redis, running; shared by all tests of the session."""
    running = Platform(free_settings(tmp_path_factory.mktemp("home")))
    try:
        running.up(INFRASTRUCTURE)
        yield running
    finally:
        running.down()


@pytest.fixture
def settings(platform: Platform, tmp_path: Path) -> Settings:
    """Settings on the shared components with a topic prefix, a Redis database, folders and ports of the test's own.

    No topic exists under the prefix yet: `ready_settings` has them.
    """
    number = next(_numbers)
    shared = config.variables(platform.settings)
    address = platform.settings.redis.rpartition("/")[0]
    database = f"{address}/{1 + number % (_REDIS_DATABASES - 1)}"
    with redis.Redis.from_url(database) as client:
        client.flushdb()
    own = free_settings(
        tmp_path / "home",
        {
            "BIGHEAD_KAFKA": shared["BIGHEAD_KAFKA"],
            "BIGHEAD_SCHEMA_REGISTRY": shared["BIGHEAD_SCHEMA_REGISTRY"],
            "BIGHEAD_REDIS": database,
            "BIGHEAD_TOPIC_PREFIX": f"test{number}",
        },
    )
    own.home.mkdir(parents=True)
    return own


@pytest.fixture
def ready_settings(settings: Settings) -> Settings:
    """The test's own settings, with the platform's topics created and its schemas registered under its prefix."""
    admin.ensure_topics(settings)
    admin.register_schemas(settings)
    return settings


@pytest.fixture(scope="session")
def applications(platform: Platform) -> Platform:
    """The shared platform with worker, server and console as well; use `applications.settings` to reach them."""
    platform.up(ALL)
    return platform


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[SparkSession]":
    """The Spark session of batch, once for all tests: it takes seconds to start."""
    from batch.session import spark_session

    session = spark_session(config.load({"BIGHEAD_HOME": str(tmp_path_factory.mktemp("spark"))}), "tests")
    yield session
    session.stop()
