"""What the registry accepts and refuses, told as stories."""

import json
from dataclasses import replace

import pytest

from bighead.errors import InvalidEvent
from bighead.events.types import (
    AdvanceRollout,
    CommandRejected,
    DeploymentChanged,
    ModelRegistered,
    ModelRetired,
    RegisterModel,
    RolledBack,
    Signature,
    Tensor,
    TrafficArm,
    TrafficChanged,
)
from bighead.registry import Command, ModelState, check_addressed, decide, replay
from tests.unit.registry.samples import (
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
    stop,
)


def refusal(state: ModelState, command: Command, known: tuple[str, ...] = ()) -> str:
    (event,) = decide(state, command, 99, known)
    assert isinstance(event, CommandRejected)
    assert (event.command_id, event.command_type) == (command.command_id, type(command).__name__)
    return event.reason_rejected


def test_each_registration_is_the_next_version() -> None:
    state, events = obey(register("a"), register("b"))
    assert [event.version for event in events if isinstance(event, ModelRegistered)] == [1, 2]
    assert state.live is None


def test_a_repeated_command_causes_nothing() -> None:
    state, _ = obey(register("a"), deploy("b", 7))
    assert decide(state, register("a"), 50) == ()
    assert decide(state, deploy("b", 1), 50) == (), "a refused command stays refused, whatever it says now"


def test_deploying_tells_what_a_roll_back_would_return_to() -> None:
    _, events = obey(register("a"), register("b"), deploy("c", 1), deploy("d", 2), deploy("e", 2))
    changes = [event for event in events if isinstance(event, DeploymentChanged)]
    assert [(event.version, event.previous_version) for event in changes] == [(1, None), (2, 1), (2, 1)]


def test_roll_backs_walk_down_the_path_of_deployments() -> None:
    versions = [register(f"r{number}") for number in (1, 2, 3)]
    deployments = [deploy(f"d{number}", number) for number in (1, 2, 3)]
    state, events = obey(*versions, *deployments, roll_back("x"), roll_back("y"))
    backs = [(event.from_version, event.version) for event in events if isinstance(event, RolledBack)]
    assert backs == [(3, 2), (2, 1)]
    assert refusal(state, roll_back("z")) == "nothing to roll back to: version 1 of 'delays' has no predecessor"


def test_a_roll_back_may_name_any_version_that_was_live_before() -> None:
    versions = [register(f"r{number}") for number in (1, 2, 3, 4)]
    state, _ = obey(*versions, deploy("a", 1), deploy("b", 2), deploy("c", 3))
    after, _ = obey(roll_back("d", 1), state=state)
    assert (after.live, after.previous) == (1, None)
    assert "not among those that were live before version 3 (1, 2); deploy it instead" in refusal(
        state, roll_back("e", 4)
    )
    assert refusal(state, roll_back("f", 3)) == "version 3 of 'delays' is live already"
    assert "it has versions 1 to 4" in refusal(state, roll_back("g", 9))


def test_nothing_deployed_is_nothing_to_roll_back_from() -> None:
    state, _ = obey(register("a"))
    assert "nothing to roll back from" in refusal(state, roll_back("b"))


def test_an_unknown_model_is_refused_with_the_names_it_may_have_meant() -> None:
    reason = refusal(ModelState("delay"), deploy("a", 1, model="delay"), ("delays", "prices"))
    assert reason == "no model is named 'delay' (did you mean 'delays'?); register it first"
    assert refusal(ModelState("x"), deploy("a", 1, model="x"), ("delays",)) == (
        "no model is named 'x'; register it first"
    )


def test_an_unknown_version_is_refused_with_those_there_are() -> None:
    state, _ = obey(register("a"))
    assert refusal(state, deploy("b", 2)) == "'delays' has no version 2; it has version 1"
    assert refusal(state, deploy("c", 0)) == "'delays' has no version 0; it has version 1"


@pytest.mark.parametrize("missing", ["actor", "reason"])
def test_who_and_why_are_required(missing: str) -> None:
    command = replace(register("a"), actor=" ") if missing == "actor" else replace(register("a"), reason="")
    assert f"RegisterModel has no {missing}" in refusal(ModelState(MODEL), command)


def test_a_retired_version_is_not_deployed_and_not_on_the_path_back() -> None:
    versions = [register(f"r{number}") for number in (1, 2, 3)]
    state, _ = obey(*versions, deploy("a", 1), deploy("b", 2), deploy("c", 3), retire("d", 2))
    assert (state.live, state.previous) == (3, 1)
    assert refusal(state, deploy("e", 2)) == (
        "version 2 of 'delays' was retired by bob (leaks the label); it cannot be deployed"
    )


def test_what_answers_requests_is_not_retired() -> None:
    state, _ = obey(register("a"), register("b"), register("c"), deploy("d", 1), split("e", {1: 90, 2: 10}))
    assert "answers requests" in refusal(state, retire("f", 1))
    assert "answers requests" in refusal(state, retire("g", 2))
    _, events = obey(retire("h", 3), state=state)
    assert isinstance(events[0], ModelRetired)


def test_a_whole_model_is_retired_and_may_come_back_with_a_new_version() -> None:
    state, _ = obey(register("a"), deploy("b", 1), retire("c"))
    assert (state.live, state.deployed) == (None, ())
    assert "retired already" in refusal(state, retire("d"))
    state, _ = obey(register("e"), deploy("f", 2), state=state)
    assert state.live == 2


def test_traffic_is_recorded_until_the_next_deployment() -> None:
    state, events = obey(register("a"), register("b"), deploy("c", 1), split("d", {1: 90, 2: 10}))
    assert isinstance(events[-1], TrafficChanged)
    assert state.traffic is not None and state.traffic.versions == {1, 2}
    state, _ = obey(deploy("e", 2), state=state)
    assert state.traffic is None


ARM = TrafficArm(arm="a", version=1, percent=50)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (split("x", {1: 90, 2: 20}), "110% of the traffic; expected 100"),
        (split("x", {1: 50, 7: 50}), "no version 7"),
        (split("x", {1: -5, 2: 105}), "-5% of the traffic"),
        (split("x", {1: float("nan")}), "nan% of the traffic"),
        (split("x", {}), "0% of the traffic"),
        (split("x", {1: 100}, labels={"stable": 4}), "no version 4"),
        (
            split(
                "x", {}, arms=(TrafficArm(arm="a", version=1, percent=50), TrafficArm(arm="a", version=2, percent=50))
            ),
            "give each its own name",
        ),
        (split("x", {}, arms=(replace(ARM, shadow=True),)), "not shadows have 0%"),
        (split("x", {1: 100}, labels={"2": 1}), "'2' is no label: requests name versions by number"),
    ],
)
def test_impossible_traffic_is_refused(command: Command, reason: str) -> None:
    state, _ = obey(register("a"), register("b"), deploy("c", 1))
    assert reason in refusal(state, command)


INPUT, OUTPUT = Tensor(name="delay", type="FP32", source="request"), Tensor(name="late", type="FP32")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"artifact_uri": ""}, "no artifact_uri"),
        ({"artifact_sha256": "AB" * 32}, "64 lower-case hex digits"),
        ({"artifact_size": 0}, "at least one byte"),
        ({"signature": Signature(inputs=(), outputs=(OUTPUT,))}, "no inputs"),
        ({"signature": Signature(inputs=(INPUT, INPUT), outputs=(OUTPUT,))}, "name a tensor twice"),
        ({"signature": Signature(inputs=(replace(INPUT, type="float"),), outputs=(OUTPUT,))}, "has the type 'float'"),
        ({"signature": Signature(inputs=(replace(INPUT, source="air"),), outputs=(OUTPUT,))}, "comes from 'air'"),
        ({"signature": Signature(inputs=(replace(INPUT, source="feature"),), outputs=(OUTPUT,))}, "names no join"),
        ({"golden": "[]"}, "no golden rows"),
        ({"golden": "{"}, "golden is not JSON"),
        ({"golden": json.dumps([{"inputs": {"delay": 1}}])}, "golden row 0 is not"),
        ({"golden": json.dumps([{"inputs": {"wind": 1}, "outputs": {"late": 0}}])}, "differ in: delay, wind"),
        ({"golden": json.dumps([{"inputs": {"delay": 1}, "outputs": {"early": 0}}])}, "signature lacks: early"),
        ({"golden": "[" * 100_000}, "golden is not JSON"),
        ({"parity": "null"}, "no parity"),
        ({"parity": "[" * 100_000}, "parity is not JSON"),
        ({"parity": f'{{"max_abs_diff": 1{"0" * 400}, "tolerance": 1, "rows": 9}}'}, "expected a finite number"),
        (
            {"parity": json.dumps({"max_abs_diff": 0.5, "tolerance": 1e-5, "rows": 9})},
            "by 0.5, more than its tolerance",
        ),
        ({"parity": '{"max_abs_diff": NaN, "tolerance": 1, "rows": 9}'}, "max_abs_diff is nan"),
        ({"parity": json.dumps({"max_abs_diff": 0, "tolerance": 1e-5, "rows": 0})}, "measured on no row"),
        ({"parity": json.dumps({"max_abs_diff": 0, "rows": 3})}, "tolerance is None"),
        ({"parity": json.dumps({"max_abs_diff": 0, "tolerance": 10**400, "rows": 3})}, "tolerance is 1000"),
        ({"config": '{"a":' * 33 + "1" + "}" * 33}, "config is nested more than 32 levels"),
    ],
)
def test_a_record_without_proof_is_refused(changes: dict[str, object], reason: str) -> None:
    assert reason in refusal(ModelState(MODEL), register("a", of=record(**changes)))


@pytest.mark.parametrize("name", ["", "../etc", "a b", "-x", "x" * 129])
def test_a_name_that_cannot_be_a_key_or_path_is_refused(name: str) -> None:
    assert "cannot name a model" in refusal(ModelState(name), register("a", model=name))


def test_a_command_under_a_foreign_key_or_without_id_is_no_command() -> None:
    check_addressed(register("a"), MODEL)
    with pytest.raises(InvalidEvent, match="has the key 'other'"):
        check_addressed(register("a"), "other")
    with pytest.raises(InvalidEvent, match="empty command_id"):
        check_addressed(register(""), MODEL)


def test_time_never_runs_backwards_and_as_of_is_a_replay() -> None:
    state, events = obey(register("a"), register("b"), deploy("c", 1), now_ms=1_000)
    late = decide(state, deploy("d", 2), 5)
    assert late[0].at_ms == state.at_ms == 1_002
    events.extend(late)
    assert replay(MODEL, events, as_of_ms=1_001).live is None
    assert replay(MODEL, events, as_of_ms=1_002).live == 2


def test_of_two_who_looked_at_the_same_revision_one_wins_and_the_other_is_told() -> None:
    looked, _ = obey(register("a"), register("b"))
    assert looked.revision == 2
    after, _ = obey(replace(deploy("c", 1), expected_revision=2), state=looked, now_ms=1_000)
    assert (after.live, after.revision) == (1, 3)
    assert refusal(after, replace(deploy("d", 2), expected_revision=2)) == (
        "the command was meant for revision 2 of 'delays', which is at revision 3 since ada changed it at "
        "1970-01-01 00:00:01Z (better AUC); look at it again, then command what you still want"
    )


def test_what_was_refused_is_no_new_revision() -> None:
    state, _ = obey(register("a"), deploy("b", 7))
    assert state.revision == 1
    assert state.changed is not None and state.changed.command_id == "a"
    after, _ = obey(replace(deploy("c", 1), expected_revision=1), state=state)
    assert after.live == 1


@pytest.mark.parametrize(
    "command",
    [
        deploy("x", 1),
        split("x", {1: 100}),
        partition("x", {"carrier=AA": 1}),
        roll_out("x", 2, 50),
        stop("x"),
        roll_back("x"),
        retire("x"),
    ],
)
def test_every_command_that_changes_a_model_may_expect_a_revision(command: Command) -> None:
    state, _ = obey(register("a"), register("b"), deploy("c", 1))
    assert not isinstance(command, RegisterModel | AdvanceRollout)
    assert "was meant for revision 9" in refusal(state, replace(command, expected_revision=9))
