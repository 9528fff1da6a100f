"""What the Flink runner decides: names that say which groups a job computes, and where a lost job goes on."""

import os
from pathlib import Path

import pytest

from bighead.errors import ConfigError
from streams.flink.job import profile
from streams.flink.names import job_name, places_of
from streams.flink.runner import newest_checkpoint


def test_the_name_of_a_job_says_which_groups_it_computes() -> None:
    name = job_name("bighead", "flights.departed.v1", [("plane", 12), ("carrier_delay", 1)])
    assert name == "bighead.flink:flights.departed.v1:carrier_delay.1,plane.12"
    assert places_of("bighead", name) == (("carrier_delay", 1), ("plane", 12))


@pytest.mark.parametrize("name", ["bighead-worker", "other.flink:t:a.1", "bighead.flink:t"])
def test_other_consumer_groups_are_nobody_s_job(name: str) -> None:
    assert places_of("bighead", name) == ()


def test_a_lost_job_goes_on_from_its_newest_complete_checkpoint(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    for number, (run, checkpoint, complete) in enumerate(
        [("first", "chk-9", True), ("second", "chk-2", True), ("second", "chk-3", False)]
    ):
        folder = tmp_path / run / checkpoint
        folder.mkdir(parents=True)
        if complete:
            (folder / "_metadata").touch()
            os.utime(folder / "_metadata", (number, number))
    assert newest_checkpoint(tmp_path) == tmp_path / "second" / "chk-2"


def test_a_profile_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="low-latency, high-throughput"):
        profile("fast")
