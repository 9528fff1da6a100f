"""What a server does next, given what it should hold and what it holds."""

from dataclasses import replace

import pytest

from bighead.registry.deployments import Deployments, Load, Step, Swap, Unload, next_step
from tests.unit.registry.samples import MODEL, deploy, obey, promote, register, retire, roll_back, split

VERSIONS = [register(f"r{number}") for number in (1, 2, 3, 4)]


def desired(*commands: object) -> Deployments:
    deployments = Deployments()
    for event in obey(*VERSIONS, *commands)[1]:  # type: ignore[arg-type]
        deployments = deployments.apply(event)
    return deployments


def test_the_live_version_the_one_before_and_those_with_traffic_are_wanted() -> None:
    deployments = desired(deploy("a", 1), deploy("b", 2), split("c", {2: 90, 4: 10}))
    wanted = deployments.of(MODEL)
    assert wanted is not None
    assert wanted.wanted == (2, 4, 1)
    assert set(wanted.records) == {1, 2, 4}
    assert wanted.command_id == "b"
    assert list(deployments.all()) == [MODEL]


def test_a_roll_back_wants_what_is_below_it() -> None:
    wanted = desired(deploy("a", 1), deploy("b", 2), deploy("c", 3), roll_back("d")).of(MODEL)
    assert wanted is not None
    assert (wanted.wanted, wanted.command_id) == ((2, 1), "d")


def test_a_version_with_a_label_is_held_whatever_is_live() -> None:
    wanted = desired(deploy("a", 1), promote("b", "champion", 3), deploy("c", 2)).of(MODEL)
    assert wanted is not None
    assert (wanted.wanted, wanted.answering) == ((2, 3, 1), frozenset({2, 3}))
    assert wanted.labels == {"champion": 3}
    assert set(wanted.records) == {1, 2, 3}


def test_another_environment_wants_what_was_deployed_there() -> None:
    there = Deployments("staging")
    for event in obey(*VERSIONS, deploy("a", 1), replace(deploy("b", 2), environment="staging"))[1]:
        there = there.apply(event)
    wanted = there.of(MODEL)
    assert wanted is not None
    assert (wanted.wanted, wanted.command_id) == ((2,), "b")


def test_nothing_is_wanted_of_a_model_that_is_unknown_undeployed_or_retired() -> None:
    assert Deployments().of("nobody") is None
    assert desired().of(MODEL) is None
    assert desired(deploy("a", 1), retire("b")).all() == {}


@pytest.mark.parametrize(
    ("loaded", "serving", "failed", "step"),
    [
        (set(), None, set(), Load(3)),
        ({2}, 2, set(), Load(3)),
        ({2, 3}, 2, set(), Swap(3)),
        ({1, 2, 3}, 3, set(), Unload(1)),
        ({3}, 3, set(), Load(2)),
        ({2, 3}, 3, set(), None),
        ({1}, 1, {3}, Load(2)),
        (set(), None, {3}, Load(2)),
        ({2}, None, {3}, Swap(2)),
        ({2}, 2, {3}, None),
        ({3}, 3, {2}, None),
    ],
)
def test_a_server_loads_swaps_and_only_then_unloads(
    loaded: set[int], serving: int | None, failed: set[int], step: Step | None
) -> None:
    wanted = desired(deploy("a", 2), deploy("b", 3)).of(MODEL)
    assert next_step(wanted, loaded, serving, failed) == step


def test_a_model_taken_away_is_unloaded_version_by_version() -> None:
    assert next_step(None, {4, 3}, 4) == Unload(3)
    assert next_step(None, set(), None) is None
