"""Roll-outs: stage by stage to live, back when a rule is broken, over when somebody else decides."""

from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bighead.events.message import Position
from bighead.events.types import (
    CommandRejected,
    DeploymentChanged,
    MetricComputed,
    ModelLoaded,
    ModelLoadFailed,
    RolloutAdvanced,
    RolloutEnded,
    RolloutRule,
    RolloutStage,
    RolloutStarted,
    ServerStopped,
    StartRollout,
    TrafficChanged,
)
from bighead.registry import Command, ModelState, decide
from bighead.registry.rollouts import (
    NOTHING,
    Advance,
    LoadEvent,
    Measured,
    Stop,
    Unloadable,
    given_up,
    hear,
    next_move,
    observe,
)
from bighead.registry.state import Rollout
from bighead.registry.traffic import choose
from bighead.registry.views import ModelView, from_json, project, to_json
from tests.unit.registry.samples import MODEL, advance, deploy, obey, register, retire, roll_back, roll_out, split, stop

STORY = (register("a"), register("b"), deploy("c", 1))


def shares(event: object) -> dict[int, float]:
    assert isinstance(event, TrafficChanged)
    return {arm.version: arm.percent for arm in event.arms}


def refusal(state: ModelState, command: Command) -> str:
    (event,) = decide(state, command, 99)
    assert isinstance(event, CommandRejected)
    return event.reason_rejected


def test_a_roll_out_advances_through_its_stages_until_the_version_is_live() -> None:
    state, events = obey(*STORY, roll_out("r", 2, 10, 100), advance("r/stage-1", "r", 1), advance("r/stage-2", "r", 2))
    started, first, advanced, second, ended, deployed = events[3:]
    assert isinstance(started, RolloutStarted)
    assert (started.rollout_id, shares(first)) == ("r", {1: 90, 2: 10})
    assert isinstance(advanced, RolloutAdvanced)
    assert (advanced.stage, advanced.percent, shares(second)) == (1, 100, {1: 0, 2: 100})
    assert isinstance(ended, RolloutEnded)
    assert (ended.outcome, ended.why) == ("completed", "every stage was passed (10%, 100%)")
    assert isinstance(deployed, DeploymentChanged)
    assert (deployed.version, deployed.previous_version) == (2, 1)
    assert (state.live, state.traffic, state.rollout) == (2, None, None)


def test_a_roll_out_that_is_stopped_gives_all_traffic_back() -> None:
    state, events = obey(*STORY, roll_out("r", 2, 10, 100), stop("r/stop", "r"))
    ended, traffic = events[-2:]
    assert isinstance(ended, RolloutEnded)
    assert (ended.outcome, ended.reason) == ("rolled back", "error_rate is 0.2")
    assert ended.why == "it was stopped at stage 1 of 2 (10%)"
    assert (shares(traffic), state.live, state.rollout) == ({1: 100}, 1, None)


@pytest.mark.parametrize("command", [deploy("x", 2), split("x", {1: 70, 2: 30}), retire("x"), roll_back("x", 3)])
def test_whoever_decides_otherwise_ends_the_roll_out_and_has_the_first_answer(command: Command) -> None:
    story = (*STORY[:2], register("d"), deploy("e", 3), STORY[2])
    state, events = obey(*story, roll_out("r", 2, 10, 100), command)
    answer, ended = events[-2:]
    assert not isinstance(answer, CommandRejected)
    assert isinstance(ended, RolloutEnded)
    assert (ended.outcome, ended.why) == ("superseded", f"{type(command).__name__} by {command.actor}")
    assert state.rollout is None
    assert refusal(state, advance("late", "r", 1)) == f"no roll-out of {MODEL!r} is under way"


def test_what_is_refused_supersedes_nothing() -> None:
    state, _ = obey(*STORY, roll_out("r", 2, 10, 100), deploy("x", 9), split("y", {1: 7}), retire("z", 2))
    assert state.rollout is not None


def test_labels_stay_and_units_keep_the_new_version_while_its_share_grows() -> None:
    labelled = split("l", {1: 100}, labels={"champion": 1})
    state, events = obey(*STORY, labelled, roll_out("r", 2, 5, 40, unit="customer"), advance("s", "r", 1))
    divided = [event for event in events if isinstance(event, TrafficChanged)][1:]
    assert [(event.labels, event.unit, event.salt) for event in divided] == [({"champion": 1}, "customer", "s")] * 2
    before, _ = obey(*STORY, labelled, roll_out("r", 2, 5, 40, unit="customer"))
    units = [str(number) for number in range(500)]
    early = {unit for unit in units if choose(1, before.traffic, unit).version == 2}
    late = {unit for unit in units if choose(1, state.traffic, unit).version == 2}
    assert early
    assert early < late


RULE = RolloutRule(metric="error_rate", at_most=0.01)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (roll_out("x", 7, 10), "no version 7"),
        (roll_out("x", 1, 10), "version 1 of 'delays' is live already"),
        (roll_out("x", 2), "the stages have no share; expected growing shares"),
        (roll_out("x", 2, 10, 10), "the stages have 10%, 10%; expected growing shares"),
        (roll_out("x", 2, 0, 10), "above 0 and up to 100"),
        (roll_out("x", 2, 10, 101), "above 0 and up to 100"),
        (roll_out("x", 2, float("nan")), "above 0 and up to 100"),
        (roll_out("x", 2, stages=(RolloutStage(percent=5, hold_ms=-1),)), "holds -1 ms and 0 predictions"),
        (roll_out("x", 2, 5, rules=(RolloutRule(metric="auc"),)), "allows from None to None; expected a number"),
        (roll_out("x", 2, 5, rules=(RolloutRule(metric="auc", at_least=0.9, at_most=0.1),)), "the lower one first"),
        (roll_out("x", 2, 5, rules=(RolloutRule(metric="auc", at_least=float("nan")),)), "expected a number"),
        (roll_out("x", 2, 5, rules=(replace(RULE, metric="eror_rate"),)), "(did you mean 'error_rate'?)"),
        (roll_out("x", 2, 5, rules=(replace(RULE, metric=" "),)), "' ' is no metric; there are error_rate, "),
        (advance("x", "r", 1), "no roll-out of 'delays' is under way"),
        (stop("x"), "no roll-out of 'delays' is under way"),
    ],
)
def test_what_cannot_be_rolled_out_is_refused(command: Command, reason: str) -> None:
    state, _ = obey(*STORY)
    assert reason in refusal(state, command)


def test_a_rule_about_a_metric_of_ones_own_is_accepted() -> None:
    own = (RolloutRule(metric="auc_pr", at_least=0.5), RolloutRule(metric="revenue", at_least=1.0))
    state, _ = obey(*STORY, roll_out("r", 2, 10, rules=own))
    assert state.rollout is not None


def test_one_roll_out_at_a_time_and_one_stage_after_the_other() -> None:
    state, _ = obey(*STORY)
    assert "no version of 'delays' is deployed" in refusal(obey(*STORY[:2])[0], roll_out("x", 2, 10))
    state, _ = obey(roll_out("r", 2, 10, 100), state=state)
    assert "version 2 of 'delays' is being rolled out, at stage 1 of 2" in refusal(state, roll_out("x", 2, 10))
    assert "only stage 1 can follow" in refusal(state, advance("x", "r", 2))
    assert "roll-out other of 'delays' is not under way; r is" in refusal(state, stop("x", "other"))
    assert "answers requests" in refusal(state, retire("x", 2))


def test_history_and_view_tell_the_roll_out() -> None:
    view = ModelView(ModelState(MODEL))
    events = obey(*STORY, roll_out("r", 2, 10, 100, rules=(RULE,)), advance("s", "r", 1), stop("t"))[1]
    for offset, event in enumerate(events[:-2]):
        view = project(view, event, Position("models", 0, offset))
    assert view.state.rollout is not None
    assert from_json(to_json(view)) == view
    for offset, event in enumerate(events[-2:], len(events) - 2):
        view = project(view, event, Position("models", 0, offset))
    assert [(line.what, line.version, line.detail) for line in view.history[3:]] == [
        ("RolloutStarted", 2, "from 10%"),
        ("TrafficChanged", None, "v1 90%, v2 10%"),
        ("RolloutAdvanced", 2, "to 100%"),
        ("TrafficChanged", None, "v1 0%, v2 100%"),
        ("RolloutEnded", 2, "rolled back, it was stopped at stage 2 of 2 (100%)"),
        ("TrafficChanged", None, "v1 100%"),
    ]


BEGAN_MS = 10_000
STAGE = RolloutStage(percent=10, hold_ms=1_000, predictions=50)
ROLLOUT = Rollout("r", 2, (STAGE, replace(STAGE, percent=100)), (RULE,), None, "", stage=0, since_ms=BEGAN_MS)


def metric(name: str, value: float, count: int, from_ms: int = BEGAN_MS, **changes: object) -> MetricComputed:
    event = MetricComputed(
        model=MODEL,
        version=2,
        segment="server-1" if name in ("error_rate", "latency_p99_ms", "predictions") else "",
        metric=name,
        value=value,
        window="5s",
        count=count,
        predictions=count,
        coverage=1.0,
        from_ms=from_ms,
        to_ms=from_ms + 5_000,
        at_ms=from_ms + 5_000,
    )
    return replace(event, **changes)  # type: ignore[arg-type]


def observed(*events: MetricComputed, rollout: Rollout = ROLLOUT) -> dict[str, Measured]:
    found = NOTHING
    for event in events:
        found = observe(found, rollout, event)
    return dict(found)


def test_what_servers_count_is_added_up_and_other_metrics_are_the_newest() -> None:
    assert observed(
        metric("predictions", 30, 30),
        metric("predictions", 12, 12, segment="server-2"),
        metric("error_rate", 0.0, 30),
        metric("error_rate", 0.5, 10),
        metric("auc", 0.6, 100),
        metric("auc", 0.7, 120),
    ) == {"predictions": Measured(42, 42), "error_rate": Measured(0.125, 40), "auc": Measured(0.7, 120)}


def test_what_is_older_than_the_stage_or_of_others_is_not_observed() -> None:
    assert (
        observed(
            metric("predictions", 30, 30, from_ms=BEGAN_MS - 1),
            metric("auc", 0.6, 100, at_ms=BEGAN_MS - 1),
            metric("auc", 0.6, 100, version=1),
            metric("auc", 0.6, 100, segment="JFK"),
            metric("auc", 0.6, 100, arm="v2"),
            metric("error_rate", 0.0, 0),
        )
        == {}
    )


@pytest.mark.parametrize(
    ("seen", "now_ms", "moves"),
    [
        ({"predictions": Measured(50, 50), "error_rate": Measured(0, 50)}, BEGAN_MS + 999, False),
        ({"predictions": Measured(49, 49), "error_rate": Measured(0, 50)}, BEGAN_MS + 1_000, False),
        ({"predictions": Measured(50, 50)}, BEGAN_MS + 1_000, False),
        ({"predictions": Measured(50, 50), "error_rate": Measured(0, 49)}, BEGAN_MS + 1_000, False),
        ({"predictions": Measured(50, 50), "error_rate": Measured(0.04, 50)}, BEGAN_MS + 1_000, False),
        ({"predictions": Measured(50, 50), "error_rate": Measured(0.01, 50)}, BEGAN_MS + 1_000, True),
    ],
)
def test_a_stage_passes_with_its_time_its_predictions_and_what_its_rules_ask(
    seen: dict[str, Measured], now_ms: int, moves: bool
) -> None:
    move = next_move(ROLLOUT, seen, now_ms)
    expected = Advance(1, "stage 1 of 2 (10%) passed with 50 predictions; error_rate is 0.01 over 50")
    assert move == (expected if moves else None)


def test_without_rules_time_and_predictions_decide() -> None:
    free = replace(ROLLOUT, rules=(), stages=(RolloutStage(percent=5),))
    assert next_move(free, {}, BEGAN_MS) == Advance(1, "stage 1 of 1 (5%) passed with 0 predictions")


def test_a_broken_rule_ends_it_at_once_and_before_anything_advances() -> None:
    failing = {"predictions": Measured(90, 90), "error_rate": Measured(0.2, 100)}
    assert next_move(ROLLOUT, failing, BEGAN_MS) == Stop("error_rate is 0.2 over 100; allowed is error_rate <= 0.01")
    between = replace(ROLLOUT, rules=(RolloutRule(metric="auc", at_least=0.6, at_most=0.9),))
    assert next_move(between, {"auc": Measured(0.95, 50)}, BEGAN_MS) == Stop(
        "auc is 0.95 over 50; allowed is 0.6 <= auc <= 0.9"
    )
    assert next_move(between, {"auc": Measured(0.5, 49)}, BEGAN_MS) is None, "too little to say so"
    assert isinstance(next_move(between, {"auc": Measured(float("nan"), 50)}, BEGAN_MS), Stop)


@pytest.mark.parametrize(
    ("failed", "answers", "ends"), [(1, 1, False), (2, 2, True), (1, 50, False), (5, 200, False), (20, 400, True)]
)
def test_a_few_failures_are_chance_and_many_are_not(failed: int, answers: int, ends: bool) -> None:
    seen = {"error_rate": Measured(failed / answers, answers)}
    assert isinstance(next_move(ROLLOUT, seen, BEGAN_MS), Stop) is ends


COUNTS = st.integers(0, 3_000)


@given(failed=COUNTS, answered=COUNTS, rate=st.floats(0, 1), passed_ms=st.integers(0, 3_000), seen=COUNTS)
def test_a_roll_out_never_advances_against_its_rule_and_never_ends_within_it(
    failed: int, answered: int, rate: float, passed_ms: int, seen: int
) -> None:
    rollout = replace(ROLLOUT, rules=(RolloutRule(metric="error_rate", at_most=rate),))
    count = failed + answered
    known = {"predictions": Measured(seen, seen)}
    if count:
        known["error_rate"] = Measured(failed / count, count)
    match next_move(rollout, known, BEGAN_MS + passed_ms):
        case Advance():
            assert passed_ms >= STAGE.hold_ms
            assert min(seen, count) >= STAGE.predictions
            assert failed / count <= rate
        case Stop():
            assert failed / count > rate


def test_a_roll_out_as_a_command_survives_the_log() -> None:
    command = roll_out("r", 2, 1, 10, rules=(RULE,))
    assert StartRollout.from_record(command.to_record()) == command


def failed(server: str, version: int = 2, at_ms: int = BEGAN_MS) -> ModelLoadFailed:
    return ModelLoadFailed(
        server=server, model=MODEL, version=version, command_id="c", step="golden", error="no", at_ms=at_ms
    )


def test_a_roll_out_is_given_up_when_every_server_that_lives_could_not_load_it() -> None:
    loaded = ModelLoaded(server="b", model=MODEL, version=2, command_id="c", artifact_sha256="", steps={}, at_ms=1)
    stopped = ServerStopped(server="b", address="", at_ms=1)

    def told(live: list[str], *events: LoadEvent) -> Stop | None:
        nothing: Unloadable = {}
        known = reduce(hear, events, nothing)
        return given_up(ROLLOUT, known.get((MODEL, 2), {}), live)

    assert told([], failed("a")) is None, "one that comes may be able to"
    assert told(["a", "b"], failed("a")) is None, "the other one has not said yet"
    assert told(["a", "b"], failed("a"), failed("b"), loaded) is None, "it was able to the second time"
    assert told(["a", "b"], failed("a"), failed("b", version=3)) is None
    assert told(["a"], failed("a", at_ms=BEGAN_MS - 1)) is None, "it said so before, and is asked to try again"
    assert told(["a", "b"], failed("a"), failed("b"), stopped) is None, "a new one of that name has not said yet"
    assert told(["a"], failed("a"), failed("b"), stopped) == Stop("no server could load version 2; a: golden: no")
    assert told(["b", "a"], failed("a"), failed("b")) == Stop(
        "no server could load version 2; a and 1 more: golden: no"
    )
    assert not hear(hear({}, failed("b")), stopped), "nothing is kept of servers that are gone"
