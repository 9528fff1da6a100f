"""What the console folds from the log besides models: each part as of any time, bounded, and true to a replay."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bighead.client import run_state
from bighead.client.run_state import RunState
from bighead.events.base import Event
from bighead.events.message import Position
from bighead.events.types import (
    AlertRaised,
    AlertResolved,
    BackfillCompleted,
    CommandRejected,
    DeadLetter,
    DeadLetterReplayed,
    DeploymentChanged,
    FeatureStatisticsComputed,
    GroupByActivated,
    GroupByApplied,
    HealthChecked,
    MetricComputed,
    RunArtifact,
    RunBeat,
    RunFinished,
    RunMetric,
    RunStarted,
    StepFinished,
)
from bighead.features import Aggregation, EventSource, GroupBy, Op
from bighead.features.catalog import Catalog, evolve
from bighead.features.compiled import compile_group
from bighead.features.types import ValueType
from serving.console import letter_state
from serving.console.audit_state import ACCEPTED, REFUSED, WAITING, AuditState
from serving.console.feature_state import MOST_DAYS, STEP, FeatureState
from serving.console.letter_state import LetterState
from serving.console.monitoring_state import MOST_POINTS, MonitoringState
from tests.unit.registry.samples import deploy

SOURCE = EventSource(topic="orders.v1", table="orders", time="at_ms", select={"shop": "shop", "price": "price"})
COLUMNS = {"at_ms": ValueType.LONG, "shop": ValueType.STRING, "price": ValueType.DOUBLE}
WHO: dict[str, Any] = {"actor": "ada", "reason": "needed"}


def applied(epoch: int, at_ms: int, *windows: str) -> GroupByApplied:
    group = compile_group(GroupBy("sales", SOURCE, ["shop"], [Aggregation("price", Op.SUM, list(windows))]), COLUMNS)
    return GroupByApplied(
        group="sales", epoch=epoch, definition=group.to_json(), definition_hash=group.hash, engine="python",
        at_ms=at_ms, **WHO,
    )  # fmt: skip


def activated(epoch: int, at_ms: int) -> GroupByActivated:
    return GroupByActivated(group="sales", epoch=epoch, at_ms=at_ms, **WHO)


def backfilled(cut_ms: int, at_ms: int) -> BackfillCompleted:
    return BackfillCompleted(
        group="sales", epoch=1, cut_ms=cut_ms, tiles=3, events=9, table="tiles/sales", table_version=1, at_ms=at_ms
    )


def features(events: Sequence[Event]) -> FeatureState:
    state = FeatureState()
    for event in events:
        state.apply(event)
    return state


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(10, 200), max_size=3 * STEP), st.integers(0, 220))
def test_the_catalog_of_a_time_is_what_the_events_until_then_make(times: list[int], as_of_ms: int) -> None:
    events = [applied(1, 1, "1d"), activated(1, 2), *(backfilled(7 * at_ms, at_ms) for at_ms in times)]
    expected = Catalog()
    for event in events:
        if event.time_ms <= as_of_ms:
            expected = evolve(expected, event)
    found = features(events).at(as_of_ms)
    assert {place: one.cut_ms for place, one in found.groups.items()} == {
        place: one.cut_ms for place, one in expected.groups.items()
    }
    assert found.active == expected.active


def test_a_history_says_who_and_why_as_of_a_time() -> None:
    state = features([applied(1, 1, "1d"), activated(1, 2), applied(2, 30, "7d")])
    changes, dropped = state.changes("sales", 2)
    assert [(one.what, one.epoch, one.actor) for one in changes] == [("activated", 1, "ada"), ("applied", 1, "ada")]
    assert dropped == 0
    assert state.at(2).next_epoch("sales") == 2
    assert state.at(None).next_epoch("sales") == 3


def statistics(day: int, at_ms: int, count: int = 1) -> FeatureStatisticsComputed:
    return FeatureStatisticsComputed(
        feature="price", kind="double", group="sales", origin="stream", count=count, nulls=0, null_share=0.0,
        from_ms=day, to_ms=day + 1, at_ms=at_ms,
    )  # fmt: skip


def test_of_each_day_the_newest_statistics_are_kept() -> None:
    state = features([statistics(day, 10 * day + more, count=more) for day in range(20) for more in (1, 2, 1)])
    [newest] = state.statistics("sales", None)
    assert (newest.from_ms, newest.count) == (19, 2)
    [before] = state.statistics("sales", 190)
    assert before.from_ms == 18
    assert state.statistics("sales", 10 * (20 - MOST_DAYS) - 1) == []


def step(name: str, at_ms: int) -> StepFinished:
    return StepFinished(run_id="r", step=name, status="succeeded", started_ms=at_ms - 1, rows=5, at_ms=at_ms)


def started(at_ms: int, run_id: str = "r") -> RunStarted:
    return RunStarted(run_id=run_id, name="refresh", kind="backfill", spec="{}", spec_hash="h", at_ms=at_ms, **WHO)


def test_a_run_as_of_a_time_has_the_attempts_and_steps_until_then() -> None:
    state = RunState()
    failed = RunFinished(run_id="r", status="failed", started_ms=1, error="no table", at_ms=4)
    done = RunFinished(run_id="r", status="succeeded", started_ms=10, outputs='{"rows":5}', at_ms=14)
    for event in (started(1), step("land", 3), failed, started(10), step("land", 12), step("fill", 13), done):
        state.apply(event)
    then = state.run("r", 3, 20)
    assert then is not None
    assert (then.status, [one.step for one in then.attempts[0].steps]) == (run_state.RUNNING, ["land"])
    [now] = state.runs(None, 20)
    assert [(one.status, one.error, len(one.steps)) for one in now.attempts] == [
        ("failed", "no table", 1),
        ("succeeded", None, 2),
    ]
    assert state.run("r", 0, 20) is None
    assert state.run("other", None, 20) is None


def test_runs_are_bounded_and_all_are_counted() -> None:
    state = RunState()
    for number in range(run_state.MOST_RUNS + 5):
        state.apply(started(number, f"r{number}"))
    assert len(state.runs(None, 20)) == run_state.MOST_RUNS
    assert state.count == run_state.MOST_RUNS + 5


def test_a_health_check_alone_is_a_run_too() -> None:
    state = RunState()
    state.apply(HealthChecked(run_id="c", subject="flight", healthy=False, checks=(), at_ms=5))
    [run] = state.runs(None, 20)
    assert (run.status, run.started, run.at_ms) == ("failed", None, 5)


def test_a_run_without_a_sign_of_life_has_failed_and_one_that_is_begun_again_too() -> None:
    state, minute_ms = RunState(), 60_000
    promised = replace(started(0), host="pod-7", pid=41, silence_s=60)
    for event in (promised, step("read", 2), RunBeat(run_id="r", step="fit", at_ms=15_000)):
        state.apply(event)
    state.apply(RunBeat(run_id="r", step="fit", at_ms=30_000))
    seen = [state.run("r", None, now_ms) for now_ms in (30_000 + minute_ms, 30_001 + minute_ms)]
    [alive, dead] = [run.newest for run in seen if run is not None and run.newest is not None]
    assert (alive.status, alive.doing, alive.heard_ms) == (run_state.RUNNING, "fit", 30_000)
    assert (dead.status, dead.finished_ms) == (run_state.FAILED, 30_000)
    assert dead.error is not None
    assert "pod-7:41 since 1970-01-01 00:00:30Z" in dead.error
    past = state.run("r", 20_000, 10 * minute_ms)
    assert past is not None
    assert past.status == run_state.RUNNING, "then it was alive: it spoke later"

    state.apply(replace(promised, at_ms=minute_ms))
    again = state.run("r", None, minute_ms)
    assert again is not None
    assert [one.status for one in again.attempts] == [run_state.FAILED, run_state.RUNNING]


def test_a_run_that_promised_no_sign_of_life_does_not_run_for_ever_either() -> None:
    state, day_ms = RunState(), 24 * 3_600_000
    state.apply(started(0))
    assert [state.runs(None, now_ms)[0].status for now_ms in (day_ms, day_ms + 1)] == ["running", "failed"]


def test_figures_and_files_belong_to_the_attempt_and_push_out_nothing_else() -> None:
    state = RunState()
    state.apply(started(1))
    state.apply(RunArtifact(run_id="r", step="prove", name="model.onnx", uri="file:/m", sha256="ab", size=3, at_ms=2))
    for trial in range(run_state.MOST_EVENTS + 5):
        state.apply(RunMetric(run_id="r", name="auc", value=trial / 1000, trial=trial, at_ms=3 + trial))
    [run] = state.runs(None, 10_000)
    assert run.newest is not None
    assert [one.name for one in run.newest.artifacts] == ["model.onnx"]
    assert [one.trial for one in run.newest.metrics] == list(range(5, run_state.MOST_EVENTS + 5))


def alert(alert_id: str, at_ms: int) -> AlertRaised:
    return AlertRaised(
        alert_id=alert_id, rule="coverage", model="late", version=1, severity="warning", message="low", value=0.1,
        threshold=0.5, at_ms=at_ms,
    )  # fmt: skip


def test_an_alert_that_was_resolved_later_is_open_in_the_past() -> None:
    state = MonitoringState()
    resolved = AlertResolved(alert_id="a", rule="coverage", model="late", version=1, value=0.9, raised_ms=1, at_ms=5)
    for event in (alert("a", 1), alert("b", 3), resolved):
        state.apply(event)
    assert [(one.raised.alert_id, one.resolved_ms) for one in state.alerts(None)] == [("b", None), ("a", 5)]
    assert [(one.raised.alert_id, one.resolved_ms) for one in state.alerts(4)] == [("b", None), ("a", None)]
    assert state.alerts(0) == []


def metric(value: float, at_ms: int) -> MetricComputed:
    return MetricComputed(
        model="late", version=1, metric="auc", value=value, window="all", count=at_ms, predictions=10, coverage=0.5,
        from_ms=0, to_ms=at_ms, at_ms=at_ms,
    )  # fmt: skip


def test_a_long_metric_becomes_coarser_and_stays_whole() -> None:
    state = MonitoringState()
    for at_ms in range(10 * MOST_POINTS):
        state.apply(metric(at_ms / 100, at_ms))
    [series] = state.series(None)
    course = state.course(series, None)
    assert course is not None
    times = [at_ms for at_ms, _ in course.points]
    assert len(times) <= MOST_POINTS
    assert times == sorted(times)
    assert (times[0], times[-1], course.count) == (0, 10 * MOST_POINTS - 1, 10 * MOST_POINTS - 1)
    then = state.course(series, 1_000)
    assert then is not None
    assert all(at_ms <= 1_000 for at_ms, _ in then.points)
    assert state.series(-1) == []


def letter(offset: int, at_ms: int, stage: str = "lane") -> DeadLetter:
    return DeadLetter(
        topic="orders.v1", partition=0, offset=offset, stage=stage, error_class="UndecodableEvent", error_message="?",
        value=b"\x01\x02", timestamp_ms=1, at_ms=at_ms,
    )  # fmt: skip


def replayed(offset: int, at_ms: int) -> DeadLetterReplayed:
    return DeadLetterReplayed(topic="orders.v1", partition=0, offset=offset, stage="lane", at_ms=at_ms, **WHO)


def test_dead_letters_as_of_a_time_were_not_sent_back_yet() -> None:
    state = LetterState()
    for place, event in enumerate([letter(1, 1), letter(2, 2), letter(2, 3), replayed(2, 9), letter(3, 9, "late")]):
        state.apply(event, Position("dead", 0, place))
    assert [(one.stage, one.total, one.waiting) for one in state.counts()] == [("lane", 2, 1), ("late", 1, 1)]
    assert [(one.stage, one.total, one.waiting) for one in state.counts(8)] == [("lane", 2, 2)]
    rows = {str(row.position): row.replay for row in state.rows()}
    assert rows["dead/0/0"] is None
    assert rows["dead/0/1"] == letter_state.Replay(9, "ada", "needed")
    row = state.row(Position("dead", 0, 1), as_of_ms=8)
    assert row is not None
    assert row.replay is None


def answered(command_id: str, at_ms: int) -> DeploymentChanged:
    return DeploymentChanged(model="late", version=2, command_id=command_id, at_ms=at_ms, **WHO)


def refused(command_id: str, at_ms: int) -> CommandRejected:
    return CommandRejected(
        model="late", command_id=command_id, command_type="bighead.v1.DeployModel", reason_rejected="no version 9",
        at_ms=at_ms, **WHO,
    )  # fmt: skip


def test_the_audit_joins_commands_with_what_came_of_them_in_any_order() -> None:
    asked = [replace(deploy(name, 2), at_ms=at_ms) for name, at_ms in (("c1", 1), ("c2", 5), ("c3", 7))]
    events: list[Event] = [*asked, answered("c1", 3), refused("c2", 6)]
    for order in (events, list(reversed(events))):
        state = AuditState()
        for place, event in enumerate(order):
            state.apply(event, Position("models", 0, place))
        found = {one.id: (one.type, one.outcome, one.asked_ms, one.decided_ms) for one in state.entries(None)}
        assert found == {
            "c1": ("DeployModel", ACCEPTED, 1, 3),
            "c2": ("DeployModel", REFUSED, 5, 6),
            "c3": ("DeployModel", WAITING, 7, None),
        }
        assert {one.id: one.outcome for one in state.entries(5)} == {"c1": ACCEPTED, "c2": WAITING}
        assert state.count == 3


def test_the_audit_lists_everything_else_that_somebody_did() -> None:
    state = AuditState()
    for place, event in enumerate([activated(2, 1), started(2), replayed(7, 3), metric(0.5, 4)]):
        state.apply(event, Position("t", 0, place))
    assert [(one.type, one.subject, one.actor) for one in state.entries(None)] == [
        ("DeadLetterReplayed", "orders.v1/0/7", "ada"),
        ("RunStarted", "refresh", "ada"),
        ("GroupByActivated", "sales", "ada"),
    ]
