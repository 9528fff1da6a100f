"""Any interleaving of commands of several people, repeated and interrupted at will, keeps the registry's promises."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bighead.events.message import Position
from bighead.events.types import (
    AdvanceRollout,
    CommandRejected,
    DeploymentChanged,
    LabelPromoted,
    ModelRecord,
    ModelRegistered,
    RegisterModel,
    RetireModel,
    RolledBack,
    RolloutEnded,
    RolloutStarted,
    SegmentsChanged,
    TrafficChanged,
    VersionApproved,
)
from bighead.registry import Command, ModelState, RegistryEvent, decide, evolve, replay
from bighead.registry.state import PRODUCTION
from bighead.registry.timeline import Timelines
from bighead.registry.views import ModelView, from_json, project, to_json
from tests.unit.registry.samples import (
    COST_RECORD,
    GOOD_RECORD,
    MODEL,
    advance,
    approve,
    deploy,
    partition,
    policy,
    promote,
    register,
    retire,
    roll_back,
    roll_out,
    split,
    stop,
)

VERSIONS = st.integers(0, 5)
STAGING = "staging"
PLACES = st.sampled_from([PRODUCTION, PRODUCTION, STAGING])
ACTORS = st.sampled_from(["ada", "bob", "eve"])
POLICIES = st.lists(
    st.sampled_from(["approvals=1", "approvals=2", f"lived_in={STAGING}", "required=config"]), max_size=2
)
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
    """One model's writer, fed with commands and repeats of earlier ones under a clock that stumbles.

    Whoever commands may expect the revision that they last saw; the writer may die and read its log again.
    """

    @initialize(story=st.sampled_from([(), PARTITIONED]))
    def start(self, story: tuple[Callable[[str], Command], ...]) -> None:
        self.state = ModelState(MODEL)
        self.view = ModelView(self.state)
        self.log: list[RegistryEvent] = []
        self.sent: list[Command] = []
        self.live_at: list[tuple[int, int | None]] = []
        self.now_ms = 1_000
        self.seen: dict[str, int] = {}
        self.timelines = Timelines()
        for build in story:
            self.send(build)

    def send(self, build: Callable[[str], Command], where: str = PRODUCTION, expected: int | None = None) -> None:
        command = build(f"c{len(self.sent)}")
        if not isinstance(command, RegisterModel | RetireModel):
            command = replace(command, environment=where)
        if not isinstance(command, RegisterModel | AdvanceRollout):
            command = replace(command, expected_revision=expected)
        self.sent.append(command)
        before = self.state
        events = decide(before, command, self.now_ms)
        assert events
        assert {(event.command_id, event.actor) for event in events} == {(command.command_id, command.actor)}
        if isinstance(events[0], CommandRejected):
            assert len(events) == 1
        else:
            assert expected in (None, before.revision), "of two who looked at one revision the second was let through"
        for event in events:
            self.append(event)

    def append(self, event: RegistryEvent) -> None:
        before = self.state
        self.check_policy(event)
        self.state = evolve(before, event)
        if isinstance(event, CommandRejected):
            untouched = replace(self.state, answered=before.answered, at_ms=before.at_ms)
            assert untouched == before
        assert self.state.revision == before.revision + (not isinstance(event, CommandRejected))
        position = Position("models", 0, len(self.log))
        self.view = project(self.view, event, position)
        self.timelines.apply(event, position)
        self.log.append(event)
        self.live_at.append((event.at_ms, self.state.live))

    def check_policy(self, event: RegistryEvent) -> None:
        """What begins to answer keeps the rules of its environment, by what the log says of it."""
        match event:
            case DeploymentChanged() | RolloutStarted():
                begin = {event.version}
            case LabelPromoted():
                begin = set() if event.version is None else {event.version}
            case SegmentsChanged():
                begin = set(event.versions.values())
            case TrafficChanged():
                begin = {*(arm.version for arm in event.arms), *event.labels.values()}
            case _:
                return
        slot = self.state.slot(event.environment)
        for number in begin - {slot.live}:
            registered = next(e for e in self.log if isinstance(e, ModelRegistered) and e.version == number)
            approved = [e for e in self.log if isinstance(e, VersionApproved) and e.version == number]
            actors = {e.actor for e in approved if e.environment == event.environment} - {registered.actor}
            lived = [e for e in self.log if isinstance(e, DeploymentChanged | RolledBack) and e.version == number]
            for one in slot.policy:
                assert one.kind != "approvals" or len(actors) >= one.count
                assert one.kind != "lived_in" or any(e.environment == one.environment for e in lived)
                assert one.kind != "required" or registered.record.config

    @rule(passed=st.integers(-5, 5))
    def clock(self, passed: int) -> None:
        self.now_ms += passed

    @rule(of=RECORDS)
    def register(self, of: ModelRecord) -> None:
        self.send(lambda id: register(id, of=of))

    @rule(version=VERSIONS, where=PLACES)
    def deploy(self, version: int, where: str) -> None:
        self.send(lambda id: deploy(id, version), where)

    @rule(version=st.none() | VERSIONS, where=PLACES)
    def roll_back(self, version: int | None, where: str) -> None:
        self.send(lambda id: roll_back(id, version), where)

    @rule(version=st.none() | VERSIONS)
    def retire(self, version: int | None) -> None:
        self.send(lambda id: retire(id, version))

    @rule(version=VERSIONS, percent=st.sampled_from([10, 100]), where=PLACES)
    def divide(self, version: int, percent: int, where: str) -> None:
        self.send(lambda id: split(id, {1: 90, version: percent}), where)

    @rule(versions=st.dictionaries(st.sampled_from(["carrier=AA", "carrier=UA", "region=EU"]), VERSIONS))
    def partition(self, versions: dict[str, int]) -> None:
        self.send(lambda id: partition(id, versions))

    @rule(version=VERSIONS, percents=st.sampled_from([(1, 50, 100), (10,), (50, 20)]), where=PLACES)
    def roll_out(self, version: int, percents: tuple[int, ...], where: str) -> None:
        self.send(lambda id: roll_out(id, version, *percents), where)

    @rule(stage=st.integers(0, 3), where=PLACES)
    def advance(self, stage: int, where: str) -> None:
        rollout = self.state.slot(where).rollout
        self.send(lambda id: advance(id, rollout.id if rollout else "gone", stage), where)

    @rule(where=PLACES)
    def stop(self, where: str) -> None:
        self.send(stop, where)

    @rule(label=st.sampled_from(["champion", "next"]), version=st.none() | VERSIONS, where=PLACES)
    def promote(self, label: str, version: int | None, where: str) -> None:
        self.send(lambda id: promote(id, label, version), where)

    @rule(version=VERSIONS, actor=ACTORS, where=PLACES)
    def approve(self, version: int, actor: str, where: str) -> None:
        self.send(lambda id: approve(id, version, actor), where)

    @rule(rules=POLICIES, where=PLACES)
    def set_policy(self, rules: list[str], where: str) -> None:
        self.send(lambda id: policy(id, *rules), where)

    @rule(actor=ACTORS)
    def look(self, actor: str) -> None:
        self.seen[actor] = self.state.revision

    @rule(actor=ACTORS, version=VERSIONS, where=PLACES)
    def deploy_what_was_seen(self, actor: str, version: int, where: str) -> None:
        self.send(lambda id: replace(deploy(id, version), actor=actor), where, self.seen.get(actor))

    @rule(version=VERSIONS)
    def crash_before_it_is_written(self, version: int) -> None:
        command = deploy(f"c{len(self.sent)}", version)
        lost = decide(self.state, command, self.now_ms)
        before, self.state = self.state, replay(MODEL, self.log)
        assert self.state == before
        self.view = from_json(to_json(self.view))
        assert decide(self.state, command, self.now_ms) == lost
        self.send(lambda id: deploy(id, version))

    @rule(data=st.data())
    def look_back(self, data: st.DataObject) -> None:
        if self.log:
            at_ms = data.draw(st.sampled_from(self.log)).at_ms + data.draw(st.integers(-1, 1))
            state, seen = replay(MODEL, self.log, at_ms), self.timelines.models(at_ms)
            assert (MODEL in seen) == bool(state.versions)
            if MODEL in seen:
                assert seen[MODEL].state == replace(state, answered=frozenset())

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
    def what_answers_is_one_usable_version_for_each_slot(self) -> None:
        for slot in self.state.slots.values():
            for number in set(slot.deployed) | slot.shared:
                version = self.state.version(number)
                assert version is not None
                assert version.retired is None
            assert slot.live != slot.previous or slot.live is None
            assert slot.live is not None or (slot.traffic, slot.segments) == (None, None)
            assert slot.live is None or slot.live in slot.lived

    @invariant()
    def traffic_sums_to_100(self) -> None:
        for slot in self.state.slots.values():
            if slot.traffic is not None:
                assert sum(arm.percent for arm in slot.traffic.arms if not arm.shadow) == 100

    @invariant()
    def nobody_approves_twice_or_what_they_registered(self) -> None:
        for slot in self.state.slots.values():
            for number, stamps in slot.approvals.items():
                actors = [stamp.actor for stamp in stamps]
                assert len(set(actors)) == len(actors)
                assert self.state.versions[number - 1].registered.actor not in actors

    @invariant()
    def whatever_the_segment_of_a_row_its_answer_fits_into_one_table(self) -> None:
        for slot in self.state.slots.values():
            if slot.live is not None and slot.segments is not None:
                arms = [arm.version for arm in slot.traffic.arms] if slot.traffic else []
                answering = map(self.state.version, (slot.live, *arms, *slot.segments.versions.values()))
                assert len({version.record.signature.outputs for version in answering if version}) == 1

    @invariant()
    def a_roll_out_has_its_share_until_it_ends(self) -> None:
        for slot in self.state.slots.values():
            rollout, traffic = slot.rollout, slot.traffic
            if rollout is not None:
                assert traffic is not None
                shares = {arm.version: arm.percent for arm in traffic.arms}
                assert shares == {slot.live: 100 - rollout.percent, rollout.version: rollout.percent}
                assert (traffic.unit, traffic.salt) == (rollout.unit, rollout.salt)
        running = sum(slot.rollout is not None for slot in self.state.slots.values())
        started = sum(isinstance(event, RolloutStarted) for event in self.log)
        assert started == sum(isinstance(event, RolloutEnded) for event in self.log) + running

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
