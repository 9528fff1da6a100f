"""As of any time: what a timeline answers is what a plain replay up to then gives, whatever the times and the order."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bighead.errors import UnknownModel
from bighead.events.message import Position
from bighead.events.types import ModelLoaded, ModelLoadFailed, ModelSwapped, ServerStopped
from bighead.registry import REGISTRY_EVENTS, Command, ModelState, decide, evolve
from bighead.registry.state import MOST_STEPS_BACK
from bighead.registry.timeline import Timelines
from bighead.registry.views import ModelView, ViewedEvent, concerns, from_json, project, to_json
from tests.unit.registry.samples import (
    MODEL,
    approve,
    deploy,
    obey,
    partition,
    policy,
    promote,
    register,
    retire,
    roll_back,
    roll_out,
    split,
)

Fact = tuple[ViewedEvent, Position]
MODELS = ("delays", "price", "eta")
SERVERS = ("s1", "s2")
TIMES = st.integers(0, 6)


def replayed(facts: Sequence[Fact], as_of_ms: int | None) -> dict[str, ModelView]:
    """The oracle: every event that is not newer, folded from the beginning, the registry's before the servers'."""
    views = {name: ModelView(ModelState(name)) for name in MODELS}
    ordered = [*(fact for fact in facts if is_asked(fact)), *(fact for fact in facts if not is_asked(fact))]
    for event, position in ordered:
        if as_of_ms is None or event.at_ms <= as_of_ms:
            for name in MODELS:
                if concerns(event, name):
                    views[name] = project(views[name], event, position)
    return {name: lean(view) for name, view in sorted(views.items()) if view.state.versions}


def lean(view: ModelView) -> ModelView:
    return replace(view, state=replace(view.state, answered=frozenset()))


def is_asked(fact: Fact) -> bool:
    return isinstance(fact[0], REGISTRY_EVENTS)


@st.composite
def asked(draw: st.DrawFn) -> list[ViewedEvent]:
    """What several people ask of several models at times that stand still or jump; half of the logs were edited."""
    now_ms, states = 0, {name: ModelState(name) for name in MODELS}
    events: list[ViewedEvent] = []
    for number in range(draw(st.integers(0, 25))):
        now_ms += draw(st.sampled_from((0, 0, 0, 1)))
        name, version = draw(st.sampled_from(MODELS)), draw(st.integers(1, 3))
        command = replace(draw(st.sampled_from(_commands(version))), model=name, command_id=f"c{number}")
        for event in decide(states[name], command, now_ms):
            states[name] = evolve(states[name], event)
            events.append(event)
    if draw(st.booleans()):
        return [replace(event, at_ms=draw(TIMES)) for event in events]
    return events


def _commands(version: int) -> tuple[Command, ...]:
    divided = split("x", {1: 50, 2: 50}, labels={"champion": version})
    writes = (register("x"), deploy("x", version), roll_back("x"), retire("x", version), retire("x"), divided)
    placed = (promote("x", "champion", version), approve("x", version), policy("x", "approvals=1"))
    elsewhere = (replace(deploy("x", version), environment="staging"), promote("x", "champion", None), *placed)
    return (
        *writes,
        *elsewhere,
        register("x"),
        deploy("x", version),
        partition("x", {"a=b": version}),
        roll_out("x", version, 50),
    )


@st.composite
def reports(draw: st.DrawFn) -> list[ViewedEvent]:
    """What servers say, each in its order; its clock may be set back."""
    events: list[ViewedEvent] = []
    for server in draw(st.lists(st.sampled_from(SERVERS), max_size=20)):
        at_ms, name, version = draw(TIMES), draw(st.sampled_from(MODELS)), draw(st.integers(1, 3))
        about = {"server": server, "model": name, "version": version, "command_id": f"c{version}", "at_ms": at_ms}
        said: tuple[ViewedEvent, ...] = (
            ServerStopped(server=server, address="127.0.0.1:1", at_ms=at_ms),
            ModelLoaded(**about, artifact_sha256="ab", steps={}),  # type: ignore[arg-type]
            ModelSwapped(**about, swap_us=3),  # type: ignore[arg-type]
            ModelLoadFailed(**about, step="golden", error="row 0", kept_version=1),  # type: ignore[arg-type]
        )
        events.append(said[draw(st.integers(0, len(said) - 1))])
    return sorted(events, key=lambda event: event.at_ms) if draw(st.booleans()) else events


def placed(asked: Sequence[ViewedEvent], said: Sequence[ViewedEvent]) -> list[Fact]:
    """The events at positions: a model's in one partition, a server's in one."""
    ends: dict[tuple[str, int], int] = {}
    facts = []
    for topic, events in (("models", asked), ("serving", said)):
        for event in events:
            number = MODELS.index(event.model) % 2 if topic == "models" else 0  # type: ignore[union-attr]
            offset = ends[topic, number] = ends.get((topic, number), -2) + 2
            facts.append((event, Position(topic, number, offset)))
    return facts


@settings(deadline=None, max_examples=60)
@given(asked(), reports(), st.randoms(use_true_random=False))
def test_as_of_any_time_it_is_a_replay_up_to_then(asked: list[ViewedEvent], said: list[ViewedEvent], luck) -> None:  # type: ignore[no-untyped-def]
    facts, lines = placed(asked, said), Timelines()
    pending = [[fact for fact in facts if is_asked(fact)], [fact for fact in facts if not is_asked(fact)]]
    while any(pending):  # topics have no order against each other
        event, position = luck.choice([topic for topic in pending if topic]).pop(0)
        lines.apply(event, position)
        lines.apply(event, position)  # what comes twice changes nothing
    for as_of_ms in (None, -1, *range(8)):
        expected = replayed(facts, as_of_ms)
        assert lines.models(as_of_ms) == expected
        for name, view in expected.items():
            assert to_json(lines.model(name, as_of_ms)) == to_json(view)
            assert lean(from_json(to_json(view))) == view


def test_a_version_that_was_retired_later_is_not_retired_before() -> None:
    lines = Timelines()
    events = obey(register("a"), register("b"), deploy("c", 1), retire("d", 2), register("e"), retire("f"))[1]
    for offset, event in enumerate(events):
        lines.apply(event, Position("models", 0, offset))
    retired = [[one.retired is not None for one in lines.model(MODEL, at).state.versions] for at in range(10, 16)]
    assert retired == [[False], [False] * 2, [False] * 2, [False, True], [False, True, False], [True] * 3]
    assert lines.model(MODEL).positions == {"models/0": 6}
    assert lines.model(MODEL, 12).positions == {"models/0": 3}


def test_a_model_is_unknown_until_it_has_a_version() -> None:
    lines = Timelines()
    for offset, event in enumerate(obey(deploy("z", 1), register("a"))[1]):
        lines.apply(event, Position("models", 0, offset))
    assert (lines.models(10), list(lines.models(11))) == ({}, [MODEL])
    with pytest.raises(UnknownModel, match="'delays' by then"):
        lines.model(MODEL, 10)
    with pytest.raises(UnknownModel, match="did you mean 'delays'"):
        lines.model("delay")


def test_the_path_back_of_a_model_that_is_deployed_every_hour_ends_somewhere() -> None:
    state, events = obey(register("a"), register("b"), *(deploy(f"d{one}", 1 + one % 2) for one in range(1_200)))
    assert (len(events), len(state.deployed)) == (1_202, MOST_STEPS_BACK)
    assert (state.live, state.previous) == (2, 1)
    lines = Timelines()
    for offset, event in enumerate(events):
        lines.apply(event, Position("m", 0, offset))
    assert lines.model(MODEL).state == replace(state, answered=frozenset())
