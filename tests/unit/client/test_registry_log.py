"""What is kept of the registry's log: the same events at the same positions, and so the same fold."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bighead.client.registry_rows import Packing
from bighead.events.kept import KeptRows
from bighead.events.message import Position
from bighead.events.types import Tensor
from bighead.registry import Command, RegistryEvent
from bighead.registry.timeline import Timelines
from bighead.registry.views import to_json
from tests.unit.registry.samples import (
    GOOD_RECORD,
    deploy,
    obey,
    partition,
    register,
    retire,
    roll_back,
    roll_out,
    split,
)

TWO_INPUTS = replace(
    GOOD_RECORD.signature, inputs=(*GOOD_RECORD.signature.inputs, Tensor(name="carrier", type="BYTES"))
)
COMMANDS: tuple[Command, ...] = (
    register("x"),
    register("x", of=replace(GOOD_RECORD, signature=TWO_INPUTS, metrics={"auc": 0.1 + 0.2})),
    deploy("x", 1),
    deploy("x", 2),
    roll_back("x"),
    retire("x", 1),
    split("x", {1: 33.3, 2: 66.7}, labels={"champion": 1}),
    partition("x", {"carrier=AA": 1}),
    roll_out("x", 2, 10, 50),
)


def kept(events: Sequence[RegistryEvent], path: Path, chunk: int) -> list[tuple[RegistryEvent, Position]]:
    """The events as a process reads them that starts after one that kept them in chunks."""
    path.unlink(missing_ok=True)
    rows, packing = KeptRows(path, b"a"), Packing()
    for start in range(0, len(events), chunk):
        numbered = enumerate(events[start : start + chunk], start)
        rows.add(row for offset, event in numbered for row in packing.rows(event, Position("m", 0, offset)))
    fresh = Packing()
    return [fact for loaded in KeptRows(path, b"a").load() for fact in fresh.facts(loaded, "m")]


@settings(max_examples=40, deadline=None)
@given(commands=st.lists(st.sampled_from(COMMANDS), max_size=15), chunk=st.integers(1, 6))
def test_the_fold_of_what_was_kept_is_the_fold_of_the_log(
    tmp_path_factory: pytest.TempPathFactory, commands: list[Command], chunk: int
) -> None:
    path = tmp_path_factory.mktemp("kept") / "events"
    events = obey(*(replace(one, command_id=f"c{number}") for number, one in enumerate(commands)))[1]
    full, quick = Timelines(), Timelines()
    for offset, event in enumerate(events):
        full.apply(event, Position("m", 0, offset))
    facts = kept(events, path, chunk)
    assert [event for event, _ in facts] == events
    for event, position in facts:
        quick.apply(event, position)
    assert {name: to_json(view) for name, view in quick.models().items()} == {
        name: to_json(view) for name, view in full.models().items()
    }


def test_versions_share_their_signature(tmp_path: Path) -> None:
    events = obey(*(register(f"c{number}") for number in range(6)))[1]
    facts = kept(events, tmp_path / "events", 2)
    assert len({id(event.record.signature) for event, _ in facts}) == 1  # type: ignore[union-attr]


def test_a_record_that_was_kept_is_the_record_whatever_is_asked_of_it_first(tmp_path: Path) -> None:
    events = obey(*(register(f"c{number}") for number in range(3)))[1]
    first, second, third = (event.record for event, _ in kept(events, tmp_path / "events", 3))  # type: ignore[union-attr]
    assert (first.tags, first.signature) == (GOOD_RECORD.tags, GOOD_RECORD.signature)
    assert first.artifact_sha256 == GOOD_RECORD.artifact_sha256
    assert [one == other for one, other in ((first, GOOD_RECORD), (GOOD_RECORD, second), (first, second))] == [True] * 3
    assert first != replace(GOOD_RECORD, family="other") != second
    assert replace(second, family="other") == replace(GOOD_RECORD, family="other")
    assert repr(third).partition("(")[2] == repr(GOOD_RECORD).partition("(")[2]
    with pytest.raises(AttributeError, match="colour"):
        _ = third.colour  # type: ignore[union-attr]
