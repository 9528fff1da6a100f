"""Answers come from one snapshot, with what the store gave or did not give, and are logged."""

import asyncio
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bighead.errors import ArtifactError, DeadlineExceeded, InvalidInput, NotReady, UnknownModel
from bighead.inference.loading import load
from bighead.inference.model import LoadedModel
from bighead.inference.signature import Row
from serving.answers import Entity, canonical_entity
from serving.snapshot import Snapshot
from tests.unit.serving.fakes import NOW_MS, FakeLog, FakeReader, predictor_of
from tests.unit.serving.models import mixed_stored, times_stored

INPUTS: Row = {"carrier": "UA", "is_late": True, "hour": 7}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load("mixed", 4, mixed_stored(tmp_path_factory.mktemp("mixed")))[0]


def entity(inputs: Row = INPUTS, keys: Row | None = None) -> Entity:
    return Entity({"carrier": "UA"} if keys is None else keys, inputs)


def times_of(tmp_path: Path, *factors: float) -> list[LoadedModel]:
    return [load("times", index, times_stored(tmp_path, factor))[0] for index, factor in enumerate(factors, 1)]


async def test_an_answer_names_everything_that_made_it(mixed: LoadedModel) -> None:
    reader, log = FakeReader(), FakeLog()
    predictor = predictor_of(mixed, reader=reader, log=log)
    answer = await predictor.predict("mixed", None, [entity(), entity({**INPUTS, "hour": -3})])
    assert (answer.model, answer.version, answer.arm, answer.join) == ("mixed", 4, "live", "flight")
    assert answer.outputs[0] == {"score": 13.5, "both[0]": 13.5, "both[1]": 2.5, "label": "UA"}
    assert answer.outputs[1]["score"] == 3.5
    assert (answer.feature_epochs, answer.as_of_ms, answer.at_ms) == ({"g": 1}, NOW_MS, NOW_MS)
    assert answer.features[0].statuses == {"delay": "OK", "flights": "OK", "unused": "EMPTY"}
    assert len(set(answer.ids)) == 2
    assert set(answer.latency_us) == {"features", "model", "total"}
    assert log.answers == [answer]
    assert reader.asked == [("flight", [{"carrier": "UA"}] * 2, NOW_MS, 1.0)]


async def test_what_the_join_takes_from_the_request_goes_to_it_and_is_no_unknown_input(mixed: LoadedModel) -> None:
    reader = FakeReader()
    predictor = predictor_of(mixed, reader=reader)
    given = entity({**INPUTS, "distance_km": 4139.0})
    with pytest.raises(InvalidInput, match="column 'distance_km': not a column that the request gives"):
        await predictor.predict("mixed", None, [given])
    reader.takes = frozenset({"distance_km"})
    await predictor.predict("mixed", None, [given])
    assert reader.asked[-1][1] == [{"carrier": "UA", "distance_km": 4139.0}]
    with pytest.raises(InvalidInput, match="column 'distance_miles'"):
        await predictor.predict("mixed", None, [entity({**INPUTS, "distance_miles": 2572.0})])


async def test_features_are_read_as_of_the_time_that_is_asked(mixed: LoadedModel) -> None:
    reader = FakeReader()
    answer = await predictor_of(mixed, reader=reader).predict("mixed", None, [entity()], as_of_ms=1_383_264_000_000)
    assert answer.as_of_ms == 1_383_264_000_000
    assert answer.at_ms == NOW_MS
    assert reader.asked[0][2] == 1_383_264_000_000


async def test_a_store_that_fails_still_gives_an_answer_that_says_so(mixed: LoadedModel) -> None:
    reader = FakeReader()
    reader.failing = True
    answer = await predictor_of(mixed, reader=reader).predict("mixed", None, [entity()])
    assert math.isnan(float(answer.outputs[0]["score"] or 0))
    assert answer.outputs[0]["label"] == "UA"
    assert set(answer.features[0].statuses.values()) == {"ERROR"}
    assert set(answer.features[0].values.values()) == {None}


async def test_the_deadline_of_the_request_bounds_the_read_of_features(mixed: LoadedModel) -> None:
    reader = FakeReader()
    await predictor_of(mixed, reader=reader).predict("mixed", None, [entity()], deadline_s=0.25)
    assert 0 < reader.asked[0][3] <= 0.25


async def test_work_whose_deadline_has_passed_is_not_run(tmp_path: Path) -> None:
    ran: list[int] = []
    (model,) = times_of(tmp_path, 2.0)
    model = replace(model, run=lambda tensors: ran.append(1) or [])  # type: ignore[func-returns-value]
    with pytest.raises(DeadlineExceeded, match="deadline passed before model 'times' version 1"):
        await predictor_of(model).predict("times", None, [Entity({}, {"x": 1.0})], deadline_s=0.0)
    assert ran == []


async def test_versions_that_are_loaded_can_be_asked_for(tmp_path: Path) -> None:
    predictor = predictor_of(*times_of(tmp_path, 2.0, 3.0))
    tensors = {"x": np.array([[1.0]], np.float32)}
    live = await predictor.infer("times", None, tensors)
    pinned = await predictor.infer("times", 1, tensors)
    assert (live.model.version, live.arm, live.outputs[0].tolist()) == (2, "live", [[3.0]])
    assert (pinned.model.version, pinned.arm, pinned.outputs[0].tolist()) == (1, "pinned", [[2.0]])
    with pytest.raises(UnknownModel, match=r"version 7 of model 'times' is not loaded; loaded: \[1, 2\]"):
        await predictor.infer("times", 7, tensors)


async def test_an_unknown_model_is_unknown_only_once_the_log_was_read(tmp_path: Path) -> None:
    predictor = predictor_of(*times_of(tmp_path, 2.0))
    with pytest.raises(UnknownModel, match="no model 'other' is deployed on this server; it serves: times"):
        await predictor.predict("other", None, [entity()])
    predictor.snapshot = Snapshot()
    with pytest.raises(NotReady, match="still reads the log"):
        await predictor.predict("other", None, [entity()])


async def test_a_join_that_is_not_applied_is_no_fault_of_the_caller(mixed: LoadedModel) -> None:
    with pytest.raises(NotReady, match="needs a join that this server does not know: join 'other' is not applied"):
        await predictor_of(replace(mixed, join="other")).predict("mixed", None, [entity()])


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"is_late": True, "hour": 7}, "column 'carrier': received nothing in inputs; expected BYTES"),
        ({**INPUTS, "gate": 1}, "column 'gate': not a column that the request gives; expected ['carrier', 'is_late'"),
        ({**INPUTS, "delay": 1.0}, "column 'delay': not a column that the request gives"),
        ({**INPUTS, "hour": 7.5}, "column 'hour': received '7.5' (float); expected INT64"),
        ({**INPUTS, "hour": "7"}, "column 'hour': received '7' (str); expected INT64"),
        ({**INPUTS, "hour": True}, "column 'hour': received 'True' (bool); expected INT64"),
        ({**INPUTS, "hour": None}, "column 'hour': received null; expected INT64"),
        ({**INPUTS, "hour": 1 << 63}, "expected INT64"),
        ({**INPUTS, "is_late": 1}, "column 'is_late': received '1' (int); expected BOOL"),
        ({**INPUTS, "carrier": 5}, "column 'carrier': received '5' (int); expected BYTES"),
    ],
)
async def test_inputs_that_do_not_fit_are_named(mixed: LoadedModel, inputs: Row, expected: str) -> None:
    log = FakeLog()
    with pytest.raises(InvalidInput, match="model 'mixed' version 4") as refused:
        await predictor_of(mixed, log=log).predict("mixed", None, [entity(inputs)])
    assert expected in str(refused.value)
    assert log.answers == []


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"carrier": 7}, "column 'carrier': received '7' (int); expected BYTES"),
        ({"is_late": None}, "column 'is_late': received null; expected BOOL"),
        ({"hour": True}, "column 'hour': received 'True' (bool); expected INT64"),
        ({"hour": 1 << 63}, "column 'hour': received '9223372036854775808' (int); expected INT64"),
        ({"other": 1}, "column 'other': not a column that the request gives"),
    ],
)
async def test_one_wrong_value_among_many_rows_is_named(mixed: LoadedModel, wrong: Row, expected: str) -> None:
    rows = [entity() for _ in range(40)]
    assert len((await predictor_of(mixed).predict("mixed", None, rows)).ids) == 40
    rows[30] = entity({**INPUTS, **wrong})
    with pytest.raises(InvalidInput) as refused:
        await predictor_of(mixed).predict("mixed", None, rows)
    assert expected in str(refused.value)


async def test_one_number_among_many_rows_that_the_datatype_cannot_hold(tmp_path: Path) -> None:
    predictor = predictor_of(*times_of(tmp_path, 2.0))
    rows = [Entity({}, {"x": value}) for value in [1.0, math.nan, math.inf, -3.4e38] * 10]
    assert (await predictor.predict("times", None, rows)).outputs[2] == {"y": math.inf}
    with pytest.raises(InvalidInput, match=r"column 'x': received '1e\+300' \(float\); expected FP32"):
        await predictor.predict("times", None, [*rows, Entity({}, {"x": 1e300})])


async def test_keys_that_are_not_the_joins_are_named(mixed: LoadedModel) -> None:
    with pytest.raises(InvalidInput, match="needs key 'carrier'"):
        await predictor_of(mixed).predict("mixed", None, [entity(keys={"origin": "EWR"})])


@pytest.mark.parametrize(("count", "as_of_ms"), [(0, None), (10_001, None), (1, -1), (1, 1 << 60)])
async def test_requests_out_of_bounds_are_refused(mixed: LoadedModel, count: int, as_of_ms: int | None) -> None:
    with pytest.raises(InvalidInput, match="received"):
        await predictor_of(mixed).predict("mixed", None, [entity()] * count, as_of_ms)


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ({}, "input 'x': received nothing; expected FP32 [-1, 1]"),
        ({"x": np.zeros((1, 1))}, "input 'x': received FP64 [1, 1]; expected FP32 [-1, 1]"),
        ({"x": np.zeros(1, np.float32)}, "input 'x': received FP32 [1]; expected FP32 [-1, 1]"),
        ({"x": np.zeros((1, 2), np.float32)}, "input 'x': received shape [1, 2]; expected FP32 [-1, 1]"),
        ({"x": np.zeros((0, 1), np.float32)}, "input 'x': received 0 rows; expected 1 to 10000"),
        ({"x": np.zeros((1, 1), np.float32), "q": np.zeros(1)}, "input 'q': not an input of the model; expected x ("),
    ],
)
async def test_tensors_that_do_not_fit_are_named(tmp_path: Path, tensors: dict[str, np.ndarray], expected: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await predictor_of(*times_of(tmp_path, 2.0)).infer("times", None, tensors)
    assert expected in str(refused.value)


async def test_inputs_must_agree_on_the_number_of_rows(mixed: LoadedModel) -> None:
    tensors = {column.name: np.zeros((2, 1), column.dtype) for column in mixed.signature.inputs}
    tensors["hour"] = np.zeros((3, 1), np.int64)
    with pytest.raises(InvalidInput, match="input 'hour': received 3 rows; expected 2"):
        await predictor_of(mixed).infer("mixed", None, tensors)


async def test_a_feature_that_changed_its_type_is_a_fault_of_the_deployment(mixed: LoadedModel) -> None:
    reader = FakeReader({"delay": "late", "flights": 3})
    with pytest.raises(Exception, match="feature 'delay' of the model is not FP32 in the join as it is now"):
        await predictor_of(mixed, reader=reader).predict("mixed", None, [entity()])


@pytest.mark.parametrize("collection", [[1.5, 2.5], {"UA": 1.5}])
async def test_a_feature_that_is_a_list_or_map_is_no_input_of_a_model(mixed: LoadedModel, collection: object) -> None:
    reader = FakeReader({"delay": collection, "flights": 3, "unused": None})
    with pytest.raises(ArtifactError, match=r"feature 'delay' is a (list|dict) in the join.*answers a single value"):
        await predictor_of(mixed, reader=reader).predict("mixed", None, [entity()])


async def test_lists_and_maps_that_the_model_does_not_take_are_answered(mixed: LoadedModel) -> None:
    reader = FakeReader({"delay": 2.5, "flights": 3, "unused": [1, 2]})
    answer = await predictor_of(mixed, reader=reader).predict("mixed", None, [entity()])
    assert answer.features[0].values["unused"] == [1, 2]


async def test_long_work_leaves_the_event_loop_free(tmp_path: Path) -> None:
    (model,) = times_of(tmp_path, 2.0)
    predictor = predictor_of(replace(model, inline_rows=0))
    loops: list[bool] = []

    def run(tensors: object) -> list[np.ndarray]:
        try:
            asyncio.get_running_loop()
            loops.append(True)
        except RuntimeError:
            loops.append(False)
        return [np.zeros((1, 1), np.float32)]

    predictor = predictor_of(replace(model, inline_rows=0, run=run))
    await predictor.predict("times", None, [Entity({}, {"x": 1.0})])
    assert loops == [False]
    predictor.close()


async def test_no_request_sees_two_versions_while_they_are_exchanged(tmp_path: Path) -> None:
    models = times_of(tmp_path, 2.0, 3.0)
    snapshots = [predictor_of(models[0]).snapshot, predictor_of(models[1]).snapshot]
    predictor = predictor_of(models[0])

    async def ask() -> None:
        for index in range(200):
            predictor.snapshot = snapshots[index % 2]
            answer = await predictor.predict("times", None, [Entity({}, {"x": 1.0})] * 3)
            assert [row["y"] for row in answer.outputs] == [float(answer.version + 1)] * 3
            await asyncio.sleep(0)

    await asyncio.gather(ask(), ask(), ask())


def test_entities_are_written_canonically() -> None:
    assert canonical_entity({"b": 1, "a": "é"}) == '{"a":"é","b":1}'
    assert json.loads(canonical_entity({"a": None, "b": True})) == {"a": None, "b": True}
