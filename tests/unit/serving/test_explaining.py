"""Explanations by real servers: what adds up to which answer, what they may cost, and that predictions go before."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from bighead.client.explain import AsyncExplanationClient, ExplanationClient
from bighead.client.predict import PredictionClient
from bighead.client.rpc import Security
from bighead.errors import DeadlineExceeded, InvalidInput, Overloaded, Unauthenticated, UnknownModel
from bighead.events.types import TrafficArm
from bighead.inference.datatypes import Array
from bighead.inference.loading import load
from bighead.inference.model import LoadedModel
from bighead.registry.state import Segments, Traffic
from bighead.testing import eventually
from serving import batching
from serving.answers import Entity
from serving.explaining import MOST_MODEL_ROWS, Explained
from serving.predictor import Predictor
from serving.security import Tokens
from serving.snapshot import Served, Snapshot
from tests.unit.serving.fakes import NOW_MS, FakeLog, FakeReader, predictor_of
from tests.unit.serving.models import mixed_stored, times_stored
from tests.unit.serving.running import Addresses, running

GOLDEN = [
    {"delay": 2.5, "flights": 3, "carrier": "UA", "is_late": True, "hour": 7},
    {"delay": 0.5, "flights": 1, "carrier": "AA", "is_late": False, "hour": 3},
    {"delay": 6.0, "flights": 8, "carrier": "", "is_late": True, "hour": 2},
]
SCORES = [13.5, 4.5, 17.0]
KEYS: dict[str, Any] = {"carrier": "UA"}
INPUTS: dict[str, Any] = {"carrier": "UA", "is_late": True, "hour": 9}
# The features of `FakeReader` are delay 2.5 and flights 3; each input less its mean over the golden rows.
ADDED = {"delay": 2.5 - 3.0, "flights": 3 - 4.0, "carrier": 0.0, "is_late": 1 - 2 / 3, "hour": 9 - 4.0}
TOKEN = "a-token-of-many-characters"


def mixed_model(folder: Path) -> LoadedModel:
    """`mixed` with three golden rows: score = delay + flights + hour + is_late."""
    golden = [
        {"inputs": row, "outputs": {"score": score, "both": [score, row["delay"]], "label": row["carrier"]}}
        for row, score in zip(GOLDEN, SCORES, strict=True)
    ]
    return load("mixed", 4, replace(mixed_stored(folder), golden=json.dumps(golden)))[0]


def times_model(folder: Path, factor: float, version: int = 1) -> LoadedModel:
    """`times`, with the golden rows 1, 2 and 3."""
    golden = [{"inputs": {"x": x}, "outputs": {"y": x * factor}} for x in (1.0, 2.0, 3.0)]
    return load("times", version, replace(times_stored(folder, factor), golden=json.dumps(golden)))[0]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("models")
    return predictor_of(mixed_model(folder), times_model(folder, 2.0), reader=FakeReader(), log=FakeLog())


@pytest.fixture(scope="module")
def server(predictor: Predictor) -> Iterator[Addresses]:
    with running(predictor) as addresses:
        yield addresses


def test_base_and_contributions_of_each_input_add_up_to_the_prediction(server: Addresses) -> None:
    with ExplanationClient(server.grpc) as client, PredictionClient(server.grpc) as predictions:
        answer = client.explain("mixed", [KEYS], [INPUTS])
        predicted = predictions.predict("mixed", [KEYS], [INPUTS]).predictions[0]
    (one,) = answer.explanations
    assert (answer.model, answer.as_of_ms, answer.feature_epochs, answer.seed) == ("mixed", NOW_MS, {"g": 1}, 0)
    assert (one.version, one.arm, one.permutations, one.background_rows) == (4, "live", 32, 3)
    assert one.outputs == predicted.outputs == {"score": 15.5, "both[0]": 15.5, "both[1]": 2.5, "label": "UA"}
    assert one.inputs == INPUTS | {"delay": 2.5, "flights": 3}
    assert one.statuses == {"delay": "OK", "flights": "OK"}
    assert one.explained.keys() == {"score", "both[0]", "both[1]"}, "a text is no sum"
    score = one.explained["score"]
    assert score.answer == 15.5
    assert score.base == pytest.approx(sum(SCORES) / 3)
    assert score.contributions == pytest.approx(ADDED, abs=1e-5)
    assert score.base + sum(score.contributions.values()) == pytest.approx(15.5, rel=1e-12)
    assert max(score.standard_errors.values()) < 1e-5, "its inputs do not interact"
    assert one.explained["both[1]"].contributions == pytest.approx(dict.fromkeys(ADDED, 0.0) | {"delay": -0.5})


def test_http_and_asyncio_answer_the_same(server: Addresses) -> None:
    body = {"model": "mixed", "entities": [{"keys": KEYS, "inputs": INPUTS}] * 2, "permutations": 8, "version": 4}
    received = httpx.post(f"http://{server.http}/explain", json=body)

    async def asked() -> Any:
        async with AsyncExplanationClient(server.grpc) as client:
            return await client.explain("mixed", [KEYS] * 2, [INPUTS] * 2, permutations=8, version=4)

    expected = asdict(asyncio.run(asked()))
    assert (received.status_code, len(expected["explanations"])) == (200, 2)
    assert received.json() == expected | {"explanations": list(expected["explanations"])}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"permutations": 5}, "permutations: received 5; expected an even number from 4 to 1000"),
        ({"permutations": 2}, "permutations: received 2; expected"),
        ({"entities": []}, "entities: received 0; expected 1 to 10000"),
        ({"inputs": [{}]}, "column 'carrier': received nothing in inputs"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(server: Addresses, change: dict[str, Any], expected: str) -> None:
    asked = {"entities": [KEYS], "inputs": [INPUTS]} | change
    asked["inputs"] = asked["inputs"][: len(asked["entities"])]
    with ExplanationClient(server.grpc) as client, pytest.raises(InvalidInput, match=expected):
        client.explain("mixed", **asked)


def test_more_than_may_be_computed_is_refused_with_what_may_be(server: Addresses) -> None:
    many: dict[str, Any] = {"entities": [KEYS] * 80, "inputs": [INPUTS] * 80}
    with ExplanationClient(server.grpc) as client:
        with pytest.raises(InvalidInput) as refused:
            client.explain("mixed", **many, permutations=110)
        # 80 entities, 5 inputs, 3 golden rows: 80 x (1 + 102 x 4) x 3 = 98,160.
        assert "with 110 permutations it would compute 105,840 rows; at most 100,000" in str(refused.value)
        assert "ask for 102 permutations or less, or explain fewer entities" in str(refused.value)
        assert len(client.explain("mixed", **many, permutations=102).explanations) == 80
        every_order = client.explain("mixed", [KEYS], [INPUTS], permutations=1000).explanations[0]
        assert every_order.permutations == 120, "of five inputs there are no more orders"
        with pytest.raises(InvalidInput, match="100,000 are computed for a request: explain fewer entities at a time"):
            client.explain("times", [{}] * 40_000, [{"x": 1.0}] * 40_000)
        with pytest.raises(UnknownModel, match="no model 'other'"):
            client.explain("other", [KEYS])


async def test_a_model_that_is_too_large_for_one_entity_is_told_so(predictor: Predictor, tmp_path: Path) -> None:
    large = predictor_of(replace(mixed_model(tmp_path), golden={"delay": np.ones((MOST_MODEL_ROWS, 1))}))
    with pytest.raises(InvalidInput, match=r"too many inputs and golden rows .* ask for the prediction alone"):
        await large.explain("mixed", None, [Entity(KEYS, INPUTS)])


async def test_a_model_runs_a_thousand_rows_at_once_at_the_most(tmp_path: Path) -> None:
    quick, ran = mixed_model(tmp_path), list[int]()

    def run(tensors: Mapping[str, Array]) -> list[Array]:
        ran.append(len(tensors["hour"]))
        return quick.run(tensors)

    counted = predictor_of(replace(quick, run=run))
    await counted.explain("mixed", None, [Entity(KEYS, INPUTS)], permutations=120)
    # The prediction, then (1 + 120 x 4) x 3 rows.
    assert ran == [1, 999, 444]


async def test_what_is_no_number_is_not_explained(predictor: Predictor) -> None:
    with pytest.raises(InvalidInput, match="model 'times' version 1: output 'y' is not a finite number"):
        await predictor.explain("times", None, [Entity({}, {"x": None})])


def test_who_may_not_predict_may_not_explain(predictor: Predictor) -> None:
    with running(predictor, tokens=Tokens(f"predict:{TOKEN}")) as guarded:
        with ExplanationClient(guarded.grpc) as client, pytest.raises(Unauthenticated):
            client.explain("times", [{}], [{"x": 1.0}])
        with ExplanationClient(guarded.grpc, Security(token=TOKEN)) as client:
            explained = client.explain("times", [{}], [{"x": 5.0}]).explanations[0].explained["y"]
        assert httpx.post(f"http://{guarded.http}/explain", json={}).status_code == 401
    assert (explained.base, explained.contributions, explained.standard_errors) == (4.0, {"x": 6.0}, {"x": 0.0})


async def test_nothing_is_logged_no_shadow_sees_it_and_it_counts_for_itself(tmp_path: Path) -> None:
    models = {version: times_model(tmp_path, version * 10.0, version) for version in (1, 2)}
    log = FakeLog()
    predictor = predictor_of(models[1], log=log)
    arms = (TrafficArm(arm="v1", version=1, percent=100), TrafficArm(arm="s", version=2, percent=100, shadow=True))
    predictor.snapshot = Snapshot({"times": Served(models[1], models, Traffic(arms, {}, None, "salt"))}, ready=True)
    await predictor.explain("times", None, [Entity({}, {"x": 1.0})] * 3)
    await predictor.shadows.settle()
    assert log.answers == []
    counts = predictor.measures.of("times", 1)
    assert (counts.explanations, counts.answers, counts.predictions, counts.latencies_us) == (3, 0, 0, [])
    assert predictor.measures.take(0, 1) == [], "a roll-out is judged by predictions"


async def test_each_segment_of_a_partitioned_model_explains_its_own(tmp_path: Path) -> None:
    models = {version: times_model(tmp_path, version * 10.0, version) for version in (1, 2)}
    predictor = predictor_of(models[1])
    segments = Segments(("carrier",), {"carrier=AA": 2})
    predictor.snapshot = Snapshot({"times": Served(models[1], models, None, segments)}, ready=True)
    entities = [Entity({"carrier": carrier}, {"x": x}) for carrier, x in (("AA", 3.0), ("UA", 4.0), ("AA", 5.0))]
    found = (await predictor.explain("times", None, entities)).explanations
    assert [(one.version, one.arm) for one in found] == [(2, "carrier=AA"), (1, "live"), (2, "carrier=AA")]
    assert [one.explained["y"].base for one in found] == [40.0, 20.0, 40.0]
    assert [one.explained["y"].contributions["x"] for one in found] == [20.0, 20.0, 60.0]


class Held:
    """`times`, whose runs of all golden rows wait until they are let: those of explanations."""

    def __init__(self, folder: Path) -> None:
        self.started = 0
        self.go_on = threading.Event()
        quick = times_model(folder, 2.0)
        self._answer = quick.run
        self.predictor = predictor_of(replace(quick, inline_rows=0, run=self._run))

    def _run(self, tensors: Mapping[str, Array]) -> list[Array]:
        if len(tensors["x"]) == 3:
            self.started += 1
            self.go_on.wait(30)
        return self._answer(tensors)

    def explain(self, deadline_s: float | None = None) -> "asyncio.Task[Explained]":
        asked = self.predictor.explain("times", None, [Entity({}, {"x": 1.0})], deadline_s=deadline_s)
        return asyncio.create_task(asked)


async def begun(held: Held, count: int) -> "list[asyncio.Task[Explained]]":
    """Explanations, the first of which has a thread."""
    tasks = [held.explain() for _ in range(count)]
    await asyncio.to_thread(eventually, lambda: held.started == 1, 10)
    return tasks


async def test_explanations_take_turns_and_leave_a_thread_to_predictions(tmp_path: Path) -> None:
    held = Held(tmp_path)
    tasks = await begun(held, 8)
    answer = await held.predictor.predict("times", None, [Entity({}, {"x": 4.0})])
    assert (answer.outputs, held.started) == ([{"y": 8.0}], 1)
    with pytest.raises(Overloaded, match="model 'times' has 8 requests for explanations in flight"):
        await held.explain()
    held.go_on.set()
    assert len(await asyncio.gather(*tasks)) == held.started == 8
    assert (held.predictor.gates.of("times").in_flight, held.predictor.gates.of("times").refused) == (0, 1)


async def test_who_waits_too_long_for_a_turn_or_has_gone_is_not_explained(tmp_path: Path) -> None:
    held = Held(tmp_path)
    (first,) = await begun(held, 1)
    late, gone = held.explain(deadline_s=0.05), held.explain()
    passed_s = time.perf_counter() + 0.05
    while time.perf_counter() <= passed_s:
        await asyncio.sleep(0)
    gone.cancel()
    held.go_on.set()
    with pytest.raises(DeadlineExceeded, match="the deadline passed before model 'times' version 1 was run"):
        await late
    await first
    assert (held.started, gone.cancelled()) == (1, True)


async def test_the_deadline_counts_between_the_runs_of_an_explanation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, ran = mixed_model(tmp_path), list[int]()

    def run(tensors: Mapping[str, Array]) -> list[Array]:
        ran.append(len(tensors["hour"]))
        if ran[-1] == 999:  # an hour passes
            monkeypatch.setattr(batching, "perf_counter_ns", lambda: time.perf_counter_ns() + 3600 * 10**9)
        return quick.run(tensors)

    predictor = predictor_of(replace(quick, run=run))
    with pytest.raises(DeadlineExceeded, match="the deadline passed before model 'mixed' version 4 was run"):
        await predictor.explain("mixed", None, [Entity(KEYS, INPUTS)], permutations=120, deadline_s=60.0)
    assert ran == [1, 999]
