"""Real components for the whole session: Kafka, schema registry and Redis on free ports in a temporary folder.

`settings` gives each test names of its own on them; `applications` adds the worker, the server and the console.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import redis
from xdist.scheduler import LoadFileScheduling

from bighead import config
from bighead.config import Settings
from bighead.events import admin
from bighead.local.parts import INFRASTRUCTURE
from bighead.local.platform import ALL, Platform
from bighead.local.ports import free_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# What an example takes says how busy the machine is, not whether the answer is right.
hypothesis.settings.register_profile("bighead", deadline=None)
hypothesis.settings.load_profile("bighead")
_REDIS_DATABASES = 64
_LONGEST_FIRST = ("tests/e2e/", "tests/integration/test_batch", "tests/conformance/")
_TOGETHER = "tests/e2e/"
"""Files that share platforms which take long to start: they run in one process, which starts each once."""
_APART = "tests/e2e/test_flink_lane.py"
_FILLS_THE_LOG = "tests/e2e/test_crashes.py"
"""It comes last of those that share its platform: where the log is read again, all of its events would be, too."""
_FEW_TASKS = {"spark.sql.shuffle.partitions": "2", "spark.databricks.delta.snapshotPartitions": "1"}
"""A task generates the code of its plan before it reads a row: with so few rows, that is what tests would wait for."""
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files that take longest first, so that no process is left alone with one of them."""
    last = len(_LONGEST_FIRST)

    def rank(item: pytest.Item) -> tuple[int, bool]:
        at = next((at for at, start in enumerate(_LONGEST_FIRST) if item.nodeid.startswith(start)), last)
        return at, item.nodeid.startswith(_FILLS_THE_LOG)

    items.sort(key=rank)


class Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """A file, or the files that run together, to one of the processes that run side by side."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return _TOGETHER if file.startswith(_TOGETHER) and file != _APART else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Called by pytest-xdist, where tests run side by side."""
    return Scheduling(config, log)


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

    settings = config.load({"BIGHEAD_HOME": str(tmp_path_factory.mktemp("spark"))})
    session = spark_session(settings, "tests", conf=_FEW_TASKS)
    yield session
    session.stop()
