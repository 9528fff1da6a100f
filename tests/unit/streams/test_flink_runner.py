"""What the Flink runner decides: names that say which groups a job computes, and where a lost job goes on."""

import os
from pathlib import Path

import pytest

from bighead.errors import ConfigError
from bighead.features import Aggregation, EventSource, GroupBy, Op
from bighead.features.catalog import GroupEpoch
from bighead.features.compiled import compile_group
from bighead.features.types import ValueType
from streams.flink.job import profile
from streams.flink.names import job_name, places_of
from streams.flink.runner import newest_checkpoint, together


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


def test_groups_of_one_topic_share_a_job_unless_they_read_a_column_as_different_types() -> None:
    def epoch(name: str, topic: str, kind: ValueType) -> GroupEpoch:
        source = EventSource(topic, topic, "at_ms")
        columns = {"at_ms": ValueType.LONG, "key": ValueType.STRING, "value": kind}
        group = compile_group(GroupBy(name, source, ["key"], [Aggregation("value", Op.COUNT)]), columns)
        return GroupEpoch(1, group, None)

    long, text = ValueType.LONG, ValueType.STRING
    given = [epoch("a", "one", long), epoch("b", "two", long), epoch("c", "one", text), epoch("d", "one", long)]
    assert [[one.group.name for one in job] for job in together(given)] == [["a", "d"], ["b"], ["c"]]


def test_a_profile_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="low-latency, high-throughput"):
        profile("fast")
