"""Any interleaving of commands, repeated at will, keeps the registry's promises."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bighead.events.message import Position
from bighead.events.types import CommandRejected, ModelRegistered
from bighead.registry import Command, ModelState, RegistryEvent, decide, evolve, replay
from bighead.registry.views import ModelView, project
from tests.unit.registry.samples import MODEL, deploy, register, retire, roll_back, split

VERSIONS = st.integers(0, 5)


class Registry(RuleBasedStateMachine):
    """One model's writer, fed with commands and repeats of earlier ones under a clock that stumbles."""

    @initialize()
    def start(self) -> None:
        self.state = ModelState(MODEL)
        self.view = ModelView(self.state)
        self.log: list[RegistryEvent] = []
        self.sent: list[Command] = []
        self.live_at: list[tuple[int, int | None]] = []
        self.now_ms = 1_000

    def send(self, build: Callable[[str], Command]) -> None:
        command = build(f"c{len(self.sent)}")
        self.sent.append(command)
        events = decide(self.state, command, self.now_ms)
        assert len(events) == 1
        assert (events[0].command_id, events[0].actor) == (command.command_id, command.actor)
        self.append(events[0])

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

    @rule()
    def register(self) -> None:
        self.send(register)

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
        numbers = set(self.state.deployed) | (self.state.traffic.versions if self.state.traffic else set())
        for number in numbers:
            version = self.state.version(number)
            assert version is not None
            assert version.retired is None
        assert self.state.live != self.state.previous or self.state.live is None

    @invariant()
    def every_command_was_answered_once(self) -> None:
        assert [event.command_id for event in self.log] == [command.command_id for command in self.sent]

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
