"""Who answers: by label, by the arm of a unit, beside shadows; decided once per request, from one snapshot."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bighead.errors import UnknownModel
from bighead.events.types import TrafficArm
from bighead.inference.loading import load
from bighead.inference.model import LoadedModel
from bighead.registry.state import Traffic
from serving.answers import Entity
from serving.predictor import Predictor
from serving.snapshot import Served, Snapshot
from tests.unit.serving.fakes import FakeLog, predictor_of
from tests.unit.serving.models import times_stored


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[int, LoadedModel]:
    folder: Path = tmp_path_factory.mktemp("times")
    return {version: load("times", version, times_stored(folder, version * 10.0))[0] for version in (1, 2, 3)}


def divided(
    models: Mapping[int, LoadedModel], shares: Mapping[int, float], shadow: int | None = None, unit: str | None = None
) -> Traffic:
    arms = [TrafficArm(arm=f"v{version}", version=version, percent=percent) for version, percent in shares.items()]
    if shadow is not None:
        arms.append(TrafficArm(arm="shadow", version=shadow, percent=100, shadow=True))
    return Traffic(tuple(arms), {"champion": 1}, unit, "salt")


def predictor_with(models: Mapping[int, LoadedModel], traffic: Traffic, log: FakeLog | None = None) -> Predictor:
    predictor = predictor_of(models[1], log=log)
    predictor.snapshot = Snapshot({"times": Served(models[1], models, traffic)}, ready=True)
    return predictor


def customer(number: int) -> Entity:
    return Entity({"customer": number}, {"x": 1.0})


async def test_a_unit_stays_with_its_arm_and_shares_hold(models: dict[int, LoadedModel]) -> None:
    predictor = predictor_with(models, divided(models, {1: 80, 2: 20}, unit="customer"))
    arms = [(await predictor.predict("times", None, [customer(number)])).arm for number in range(400)]
    again = [(await predictor.predict("times", None, [customer(number)])).arm for number in range(400)]
    assert arms == again
    assert 48 < arms.count("v2") < 112  # four standard deviations around 80


async def test_an_answer_is_that_of_the_version_that_it_names_and_says_why(models: dict[int, LoadedModel]) -> None:
    predictor = predictor_with(models, divided(models, {1: 50, 2: 50}, unit="customer"))
    for number in range(20):
        answer = await predictor.predict("times", None, [customer(number)])
        assert answer.outputs[0]["y"] == answer.version * 10.0
        assert (answer.arm, f"unit '{number}'" in answer.why) == (f"v{answer.version}", True)


async def test_the_whole_entity_decides_where_the_unit_is_not_in_the_request(models: dict[int, LoadedModel]) -> None:
    predictor = predictor_with(models, divided(models, {1: 50, 2: 50}, unit="account"))
    assert """unit '{"customer":7}'""" in (await predictor.predict("times", None, [customer(7)])).why


async def test_requests_without_keys_are_units_of_their_own(models: dict[int, LoadedModel]) -> None:
    predictor = predictor_with(models, divided(models, {1: 50, 2: 50}))
    arms = {(await predictor.predict("times", None, [Entity({}, {"x": 1.0})])).arm for _ in range(100)}
    assert arms == {"v1", "v2"}


async def test_a_label_and_a_version_are_what_they_say(models: dict[int, LoadedModel]) -> None:
    predictor = predictor_with(models, divided(models, {2: 100}))
    tensors = {"x": np.array([[1.0]], np.float32)}
    assert (await predictor.infer("times", "champion", tensors)).model.version == 1
    assert (await predictor.infer("times", 3, tensors)).model.version == 3
    assert (await predictor.infer("times", None, tensors)).model.version == 2
    with pytest.raises(UnknownModel, match=r"has no version 'chalenger'.*its labels are: champion"):
        await predictor.infer("times", "chalenger", tensors)


async def test_a_request_over_tensors_is_assigned_by_the_unit_that_it_names(models: dict[int, LoadedModel]) -> None:
    predictor = predictor_with(models, divided(models, {1: 50, 2: 50}))
    tensors = {"x": np.array([[1.0]], np.float32)}
    arms = {(await predictor.infer("times", None, tensors, unit="customer-1")).arm for _ in range(50)}
    assert len(arms) == 1
    assert {(await predictor.infer("times", None, tensors)).arm for _ in range(100)} == {"v1", "v2"}


async def test_a_shadow_is_logged_under_the_same_identity_and_never_returned(models: dict[int, LoadedModel]) -> None:
    log = FakeLog()
    predictor = predictor_with(models, divided(models, {1: 100}, shadow=3), log)
    answer = await predictor.predict("times", None, [customer(1)])
    await predictor.shadows.settle()
    assert [(one.version, one.shadow, one.ids == answer.ids) for one in log.answers] == [
        (1, False, True),
        (3, True, True),
    ]
    assert log.answers[1].outputs[0]["y"] == 30.0


async def test_a_shadow_that_fails_or_is_slow_costs_the_caller_nothing(models: dict[int, LoadedModel]) -> None:
    def broken(tensors: object) -> list[np.ndarray]:
        raise RuntimeError("broken")

    held = {**models, 3: replace(models[3], run=broken)}
    predictor = predictor_with(held, divided(held, {1: 100}, shadow=3))
    answers = await asyncio.gather(*(predictor.predict("times", None, [customer(number)]) for number in range(100)))
    assert {answer.version for answer in answers} == {1}
    await predictor.shadows.settle()
    assert predictor.shadows.failed + predictor.shadows.dropped == 100
    assert predictor.shadows.dropped > 0, "only so many at a time"


async def test_an_arm_that_could_not_be_loaded_is_answered_by_the_live_version(models: dict[int, LoadedModel]) -> None:
    held = {1: models[1]}
    answer = await predictor_with(held, divided(held, {2: 100})).predict("times", None, [customer(1)])
    assert (answer.version, answer.arm) == (1, "live")
    assert "its version 2 is not loaded" in answer.why


def test_a_label_of_the_traffic_stands_before_one_that_stays(models: dict[int, LoadedModel]) -> None:
    labels = {"champion": 2, "next": 3}
    served = Served(models[1], models, divided(models, {2: 100}), labels=labels)
    snapshot = Snapshot({"times": served, "plain": Served(models[1], models, labels=labels)}, ready=True)
    assert [snapshot.version("times", label).version for label in ("champion", "next")] == [1, 3]
    assert snapshot.version("plain", "champion").version == 2
