"""Labels that stay and approvals that count once, told as stories."""

from dataclasses import replace

import pytest

from bighead.events.types import CommandRejected, LabelPromoted, VersionApproved
from bighead.registry import Command, ModelState, decide, replay
from tests.unit.registry.samples import (
    MODEL,
    approve,
    deploy,
    obey,
    promote,
    register,
    retire,
    roll_back,
    roll_out,
    split,
)

STAGING = "staging"


def refusal(state: ModelState, command: Command) -> str:
    (event,) = decide(state, command, 99)
    assert isinstance(event, CommandRejected)
    return event.reason_rejected


def test_a_label_stays_until_it_is_given_to_another() -> None:
    state, events = obey(
        register("a"), register("b"), promote("c", "champion", 1), deploy("d", 1), deploy("e", 2), roll_back("f")
    )
    assert state.slot().labels == {"champion": 1}
    after, (moved,) = obey(promote("g", "champion", 2), state=state)
    assert isinstance(moved, LabelPromoted)
    assert (moved.version, moved.previous_version) == (2, 1)
    assert after.slot().labels == {"champion": 2}
    gone, _ = obey(promote("h", "champion", None), state=after)
    assert gone.slot().labels == {}
    assert replay(MODEL, events).slot().labels == {"champion": 1}


def test_the_labels_of_a_division_stand_before_it_while_it_lasts() -> None:
    divided = split("d", {1: 90, 2: 10}, labels={"champion": 2})
    state, _ = obey(register("a"), register("b"), deploy("c", 1), promote("p", "champion", 1), divided)
    assert state.slot().labelled == {"champion": 2}
    after, _ = obey(deploy("e", 2), state=state)
    assert after.slot().labelled == {"champion": 1}


def test_what_carries_a_label_is_not_retired_and_the_refusal_names_it() -> None:
    state, _ = obey(register("a"), register("b"), deploy("c", 1), promote("d", "challenger", 2, environment=STAGING))
    assert refusal(state, retire("e", 2)) == (
        "version 2 of 'delays' carries the label 'challenger' in staging; give it to another version first"
    )
    freed, _ = obey(promote("f", "challenger", 1, environment=STAGING), retire("g", 2), state=state)
    assert freed.versions[1].retired is not None


def test_a_whole_model_is_retired_with_its_labels_in_every_environment() -> None:
    there = roll_out("r", 2, 10, environment=STAGING)
    state, _ = obey(
        register("a"),
        register("b"),
        deploy("c", 1),
        replace(deploy("d", 1), environment=STAGING),
        promote("e", "champion", 1),
        there,
        retire("f"),
    )
    for slot in (state.slot(), state.slot(STAGING)):
        assert (slot.live, slot.labels, slot.rollout) == (None, {}, None)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (promote("x", "2", 1), "'2' is no label"),
        (promote("x", " ", 1), "' ' is no label"),
        (promote("x", "n" * 61, 1), "has 61 characters; at most 60"),
        (promote("x", "champion", 7), "no version 7"),
        (promote("x", "champoin", None), "(did you mean 'champion'?); its labels are: champion"),
        (promote("x", "champion", None, environment=STAGING), "its labels are: none"),
        (promote("x", "champion", 1, environment="Prod!"), "'Prod!' cannot name an environment"),
        (approve("x", 7), "no version 7"),
        (approve("x", 1, " Ada"), "was registered by ada, who cannot approve it as well"),
    ],
)
def test_what_makes_no_sense_is_refused(command: Command, reason: str) -> None:
    state, _ = obey(register("a"), promote("b", "champion", 1))
    assert reason in refusal(state, command)


def test_each_actor_approves_a_version_once_in_each_environment() -> None:
    state, events = obey(register("a"), approve("b", 1), approve("c", 1, environment=STAGING), approve("d", 1, "eve"))
    assert [stamp.actor for stamp in state.slot().approvals[1]] == ["bob", "eve"]
    assert [stamp.actor for stamp in state.slot(STAGING).approvals[1]] == ["bob"]
    assert isinstance(events[1], VersionApproved)
    assert refusal(state, approve("e", 1, "BOB ")) == (
        "bob has approved version 1 of 'delays' for production already (reviewed); an approval counts once"
    )


def test_environments_have_their_own_live_version_path_and_traffic() -> None:
    state, _ = obey(
        register("a"),
        register("b"),
        replace(deploy("c", 1), environment=STAGING),
        replace(deploy("d", 2), environment=STAGING),
        deploy("e", 1),
        replace(roll_back("f"), environment=STAGING),
    )
    assert (state.live, state.slot(STAGING).live) == (1, 1)
    assert state.slot(STAGING).lived == {1, 2}
    assert "nothing to roll back to" in refusal(state, roll_back("g"))
    assert "is deployed in test" in refusal(state, replace(split("h", {1: 100}), environment="test"))
    assert "answers requests in staging" in refusal(obey(deploy("i", 2), state=state)[0], retire("j", 1))
