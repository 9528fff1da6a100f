"""Any interleaving of commands, repeated at will, keeps the registry's promises."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bighead.events.message import Position
from bighead.events.types import CommandRejected, ModelRecord, ModelRegistered, RolloutEnded, RolloutStarted
from bighead.registry import Command, ModelState, RegistryEvent, decide, evolve, replay
from bighead.registry.views import ModelView, project
from tests.unit.registry.samples import (
    COST_RECORD,
    GOOD_RECORD,
    MODEL,
    advance,
    deploy,
    partition,
    register,
    retire,
    roll_back,
    roll_out,
    split,
    stop,
)

VERSIONS = st.integers(0, 5)
RECORDS = st.sampled_from([GOOD_RECORD, COST_RECORD])
PARTITIONED: tuple[Callable[[str], Command], ...] = (
    lambda id: register(id, of=GOOD_RECORD),
    lambda id: register(id, of=COST_RECORD),
    lambda id: register(id, of=COST_RECORD),
    lambda id: deploy(id, 1),
    lambda id: deploy(id, 2),
    lambda id: partition(id, {"carrier=AA": 3}),
)
"""The way to a model with segments is long for a random walk: some begin there."""


class Registry(RuleBasedStateMachine):
    """One model's writer, fed with commands and repeats of earlier ones under a clock that stumbles."""

    @initialize(story=st.sampled_from([(), PARTITIONED]))
    def start(self, story: tuple[Callable[[str], Command], ...]) -> None:
        self.state = ModelState(MODEL)
        self.view = ModelView(self.state)
        self.log: list[RegistryEvent] = []
        self.sent: list[Command] = []
        self.live_at: list[tuple[int, int | None]] = []
        self.now_ms = 1_000
        for build in story:
            self.send(build)

    def send(self, build: Callable[[str], Command]) -> None:
        command = build(f"c{len(self.sent)}")
        self.sent.append(command)
        events = decide(self.state, command, self.now_ms)
        assert events
        assert {(event.command_id, event.actor) for event in events} == {(command.command_id, command.actor)}
        for event in events:
            self.append(event)

    def append(self, event: RegistryEvent) -> None:
        before = self.state
        self.state = evolve(before, event)
        if isinstance(event, CommandRejected):
            untouched = replace(self.state, answered=before.answered, at_ms=before.at_ms)
            assert untouched == before
        self.view = project(self.view, event, Position("models", 0, len(self.log)))
        self.log.append(event)
        self.live_at.append((event.at_ms, self.state.live))

    @rule(passed=st.integers(-5, 5))
    def clock(self, passed: int) -> None:
        self.now_ms += passed

    @rule(of=RECORDS)
    def register(self, of: ModelRecord) -> None:
        self.send(lambda id: register(id, of=of))

    @rule(version=VERSIONS)
    def deploy(self, version: int) -> None:
        self.send(lambda id: deploy(id, version))

    @rule(version=st.none() | VERSIONS)
    def roll_back(self, version: int | None) -> None:
        self.send(lambda id: roll_back(id, version))

    @rule(version=st.none() | VERSIONS)
    def retire(self, version: int | None) -> None:
        self.send(lambda id: retire(id, version))

    @rule(version=VERSIONS, percent=st.sampled_from([10, 100]))
    def divide(self, version: int, percent: int) -> None:
        self.send(lambda id: split(id, {1: 90, version: percent}))

    @rule(versions=st.dictionaries(st.sampled_from(["carrier=AA", "carrier=UA", "region=EU"]), VERSIONS))
    def partition(self, versions: dict[str, int]) -> None:
        self.send(lambda id: partition(id, versions))

    @rule(version=VERSIONS, percents=st.sampled_from([(1, 50, 100), (10,), (50, 20)]))
    def roll_out(self, version: int, percents: tuple[int, ...]) -> None:
        self.send(lambda id: roll_out(id, version, *percents))

    @rule(stage=st.integers(0, 3))
    def advance(self, stage: int) -> None:
        self.send(lambda id: advance(id, self.state.rollout.id if self.state.rollout else "gone", stage))

    @rule()
    def stop(self) -> None:
        self.send(stop)

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        if self.sent:
            assert decide(self.state, data.draw(st.sampled_from(self.sent)), self.now_ms) == ()

    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        if self.log:
            offset = data.draw(st.integers(0, len(self.log) - 1))
            assert project(self.view, self.log[offset], Position("models", 0, offset)) is self.view

    @invariant()
    def versions_are_dense(self) -> None:
        assert [version.number for version in self.state.versions] == list(range(1, len(self.state.versions) + 1))
        registered = [event.version for event in self.log if isinstance(event, ModelRegistered)]
        assert registered == [version.number for version in self.state.versions]

    @invariant()
    def what_is_live_can_serve(self) -> None:
        for number in set(self.state.deployed) | self.state.shared:
            version = self.state.version(number)
            assert version is not None
            assert version.retired is None
        assert self.state.live != self.state.previous or self.state.live is None
        assert self.state.live is not None or not self.state.shared

    @invariant()
    def whatever_the_segment_of_a_row_its_answer_fits_into_one_table(self) -> None:
        live, segments, traffic = self.state.live, self.state.segments, self.state.traffic
        if live is not None and segments is not None:
            arms = [arm.version for arm in traffic.arms] if traffic else []
            answering = [self.state.version(number) for number in (live, *arms, *segments.versions.values())]
            assert len({version.record.signature.outputs for version in answering if version}) == 1

    @invariant()
    def a_roll_out_has_its_share_until_it_ends(self) -> None:
        rollout, traffic = self.state.rollout, self.state.traffic
        if rollout is not None:
            assert traffic is not None
            shares = {arm.version: arm.percent for arm in traffic.arms}
            assert shares == {self.state.live: 100 - rollout.percent, rollout.version: rollout.percent}
            assert (traffic.unit, traffic.salt) == (rollout.unit, rollout.salt)
        started = sum(isinstance(event, RolloutStarted) for event in self.log)
        assert started == sum(isinstance(event, RolloutEnded) for event in self.log) + (rollout is not None)

    @invariant()
    def every_command_was_answered_once(self) -> None:
        answered = dict.fromkeys(event.command_id for event in self.log)
        assert list(answered) == [command.command_id for command in self.sent]

    @invariant()
    def the_view_is_the_log(self) -> None:
        assert self.view.state == self.state == replay(MODEL, self.log)
        assert len(self.view.history) == len(self.log)

    @invariant()
    def as_of_is_a_replay_up_to_then(self) -> None:
        times = [at_ms for at_ms, _ in self.live_at]
        assert times == sorted(times)
        for at_ms in {*times, self.now_ms}:
            past = [live for then, live in self.live_at if then <= at_ms]
            assert replay(MODEL, self.log, at_ms).live == self.view.live_as_of(at_ms) == (past[-1] if past else None)


TestRegistry = Registry.TestCase
