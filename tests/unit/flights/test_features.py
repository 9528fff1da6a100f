"""The demo's features fit its events, and travel through the feature log unchanged."""

from bighead.features.compiled import CompiledGroup, compile_group, compile_join, group_of_json, join_of_json
from bighead.features.definition import GroupBy
from bighead.features.types import columns_of
from examples.flights import data, features

COLUMNS = {topic.name: columns_of(topic.schema) for topic in data.TOPICS}
GROUPS = [part for part in features.flight.parts if isinstance(part, GroupBy)]


def compiled() -> dict[str, CompiledGroup]:
    return {group.name: compile_group(group, COLUMNS[group.source.topic]) for group in GROUPS}


def test_definitions_are_the_same_after_their_way_through_the_log() -> None:
    groups = compiled()
    travelled = {name: group_of_json(group.to_json()) for name, group in groups.items()}
    assert {name: group.hash for name, group in travelled.items()} == {name: one.hash for name, one in groups.items()}
    join = compile_join(features.flight, groups)
    assert join_of_json(join.to_json(), travelled).hash == join.hash


def test_sources_are_the_topics_of_the_events() -> None:
    described = {(topic.name, topic.table, topic.time) for topic in data.TOPICS}
    assert {(group.source.topic, group.source.table, group.source.time) for group in GROUPS} == described


def test_late_means_the_same_in_features_and_outcomes() -> None:
    assert f"> {data.LATE_MIN:.0f} " in features.arrivals.select["late"]


def test_a_request_brings_the_keys_of_the_join() -> None:
    assert tuple(features.flight.left) == data.KEYS
    names = list(compile_join(features.flight, compiled()).kinds)
    for key in ("carrier", "origin", "dest", "plane"):
        for column in ("late", "delay"):
            assert [name for name in names if name.startswith(f"{key}_arrivals_{column}_average")] == [
                f"{key}_arrivals_{column}_average_{window}" for window in ("1h", "3h", "1d", "7d")
            ]
    assert not set(names) & set(data.REQUEST_COLUMNS)
