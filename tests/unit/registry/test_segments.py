"""Partitioned models: the finest segment of a row that has a version answers it, and the live version the rest."""

from collections.abc import Mapping
from typing import Any

import pytest

from bighead.errors import CommandRefused
from bighead.events.message import Position
from bighead.events.types import CommandRejected, ModelRecord, SegmentsChanged, TrafficArm
from bighead.registry import Command, ModelState, decide
from bighead.registry.deployments import deployment
from bighead.registry.segments import candidates, check_segments
from bighead.registry.state import Segments
from bighead.registry.views import ModelView, from_json, project, to_json
from tests.unit.registry.samples import (
    COST_RECORD,
    MODEL,
    deploy,
    obey,
    partition,
    record,
    register,
    retire,
    roll_back,
    roll_out,
    split,
)

AIRLINES = Segments(("carrier", "region"), {"carrier=AA": 2, "region=EU": 3, "region=3": 4, "region=true": 5})
THREE = (register("a"), register("b"), register("c"), deploy("d", 1))


def refusal(state: ModelState, command: Any) -> str:
    (event,) = decide(state, command, 100)
    assert isinstance(event, CommandRejected)
    return event.reason_rejected


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"carrier": "AA", "region": "EU"}, ["carrier=AA", "region=EU"]),
        ({"carrier": "UA", "region": "EU"}, ["region=EU"]),
        ({"carrier": "AA"}, ["carrier=AA"]),
        ({"carrier": "UA", "region": "US"}, []),
        ({"carrier": None, "region": b"EU"}, ["region=EU"]),
        ({"region": 3.0}, ["region=3"]),
        ({"region": True}, ["region=true"]),
        ({}, []),
    ],
)
def test_a_row_is_looked_up_from_its_finest_segment_up(row: Mapping[str, Any], found: list[str]) -> None:
    assert [name for name, _ in candidates(AIRLINES, row.get)] == found


def test_segments_are_set_and_servers_hold_their_versions() -> None:
    state, events = obey(*THREE, partition("e", {"carrier=AA": 3, "region=EU": 2}))
    assert isinstance(events[-1], SegmentsChanged)
    assert state.segments == Segments(("carrier", "region"), {"carrier=AA": 3, "region=EU": 2})
    wanted = deployment(state)
    assert wanted is not None
    assert wanted.wanted == (1, 2, 3)
    assert wanted.answering == set(wanted.records) == {1, 2, 3}


def test_they_stay_while_the_live_version_and_its_traffic_change() -> None:
    state, _ = obey(*THREE, partition("e", {"carrier=AA": 3}), deploy("f", 2), split("g", {1: 50, 2: 50}))
    assert state.segments is not None
    assert obey(roll_back("h"), state=state)[0].segments == state.segments
    assert obey(roll_out("h", 3, 10, 100), state=state)[0].segments == state.segments


def test_they_end_when_they_are_taken_away_or_the_model_is_retired() -> None:
    state, _ = obey(*THREE, partition("e", {"carrier=AA": 3}))
    assert obey(partition("f", {}), state=state)[0].segments is None
    assert obey(retire("f"), state=state)[0].segments is None


def test_a_version_that_answers_for_a_segment_is_not_retired() -> None:
    state, _ = obey(*THREE, partition("e", {"carrier=AA": 3}))
    assert "version 3 of 'delays' answers requests" in refusal(state, retire("f", 3))
    assert obey(partition("f", {}), retire("g", 3), state=state)[0].versions[2].retired


def test_what_answers_what_is_in_no_segment_comes_first() -> None:
    state, _ = obey(register("a"))
    assert "deploy the one that answers what is in no segment" in refusal(state, partition("b", {"carrier=AA": 1}))
    assert "has no version 9" in refusal(obey(*THREE)[0], partition("e", {"carrier=AA": 9}))


@pytest.mark.parametrize("other", [COST_RECORD, record(join="flight")], ids=["outputs", "join"])
def test_all_segments_give_the_same_table(other: ModelRecord) -> None:
    state, _ = obey(*THREE, register("x", of=other))
    why = refusal(state, partition("e", {"carrier=AA": 4}))
    assert "version 4 of 'delays', of segment 'carrier=AA', gives the outputs" in why
    assert "expected those of version 1" in why
    partitioned, _ = obey(partition("e", {"carrier=AA": 3}), state=state)
    assert "of segment 'carrier=AA'" in refusal(partitioned, deploy("f", 4)), "nor may another version go live"


@pytest.mark.parametrize(
    "command", [roll_back("g"), roll_back("g", 1), split("g", {1: 1, 2: 99}), roll_out("g", 1, 10)], ids=str
)
def test_what_other_tables_come_from_answers_nothing_beside_segments(command: Command) -> None:
    story = (
        register("a"),
        register("b", of=COST_RECORD),
        register("c", of=COST_RECORD),
        deploy("d", 1),
        deploy("e", 2),
    )
    state, _ = obey(*story, partition("f", {"carrier=AA": 3}))
    why = refusal(state, command)
    assert "version 3 of 'delays', of segment 'carrier=AA', gives the outputs cost" in why
    assert "expected those of version 1, which is to answer what is in no segment: the outputs late" in why


@pytest.mark.parametrize("command", [split("e", {1: 90, 2: 10}), roll_out("e", 2, 10, 100)], ids=str)
def test_segments_fit_all_versions_among_which_traffic_is_divided(command: Command) -> None:
    state, _ = obey(register("a"), register("b", of=COST_RECORD), register("c"), deploy("d", 1), command)
    assert "expected those of version 2" in refusal(state, partition("f", {"carrier=AA": 3}))
    alike, _ = obey(deploy("f", 1), partition("g", {"carrier=AA": 3}), state=state)
    assert alike.segments is not None, "the deployment ended the division"


def test_a_shadow_and_a_label_may_have_outputs_of_their_own() -> None:
    state, _ = obey(register("a"), register("b", of=COST_RECORD), register("c"), deploy("d", 1))
    arms = (TrafficArm(arm="v1", version=1, percent=100), TrafficArm(arm="s", version=2, percent=100, shadow=True))
    tried = split("e", {}, arms=arms, labels={"costly": 2})
    for commands in ((tried, partition("f", {"carrier=AA": 3})), (partition("f", {"carrier=AA": 3}), tried)):
        after, _ = obey(*commands, state=state)
        assert after.segments is not None
        assert after.traffic is not None


@pytest.mark.parametrize(
    ("keys", "versions", "expected"),
    [
        (("carrier", "carrier"), {"carrier=AA": 1}, "expected each once"),
        (("",), {"=AA": 1}, "expected each once"),
        (("a=b",), {"a=b=c": 1}, "without '='"),
        (("carrier",), {"region=EU": 1}, "'region=EU' is no segment"),
        (("carrier",), {"carrier": 1}, "'carrier' is no segment"),
        (("carrier",), {"carrier=": 1}, "'carrier=' is no segment"),
        (("carrier", "region"), {"carrier=AA": 1}, "key 'region' has no segment"),
    ],
)
def test_what_is_no_segment_is_named(keys: tuple[str, ...], versions: Mapping[str, int], expected: str) -> None:
    with pytest.raises(CommandRefused, match=expected):
        check_segments(keys, versions)


def test_a_view_has_them_and_tells_their_history() -> None:
    view = ModelView(ModelState(MODEL))
    for offset, event in enumerate(obey(*THREE, partition("e", {"carrier=AA": 3}), partition("f", {}))[1]):
        view = project(view, event, Position("models", 0, offset))
        assert from_json(to_json(view)) == view
    assert [(line.what, line.detail) for line in view.history[-2:]] == [
        ("SegmentsChanged", "carrier=AA to version 3"),
        ("SegmentsChanged", "none"),
    ]
