"""Requests that wait for the same model are run together, and nobody sees it but in the time that it takes."""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from bighead.errors import DeadlineExceeded, InvalidInput
from bighead.inference.batches import ALONE, batch_rows
from bighead.inference.datatypes import Array
from bighead.inference.loading import load
from bighead.inference.model import LoadedModel
from bighead.inference.signature import Signature
from serving.batching import Batches
from tests.unit.serving.models import times_stored


class Model:
    """Twice the input; waits until it is let, and remembers the rows of each run. Takes no negative values."""

    def __init__(self, signature: Signature, version: int = 1, most: int = 8) -> None:
        self.runs: list[list[float]] = []
        self.go_on = threading.Event()
        self.loaded = LoadedModel("m", version, signature, None, self._run, 0, {}, batch_rows=most)

    def _run(self, tensors: Mapping[str, Array]) -> list[Array]:
        self.go_on.wait(30)
        x = numbers(tensors)
        self.runs.append(x.ravel().tolist())
        if (x < np.float32(0)).any():
            raise InvalidInput("the graph takes no negative values")
        return [x * np.float32(2), np.array([[f"row {one:g}"] for one in x.ravel().tolist()], object)]


def numbers(tensors: Mapping[str, Array]) -> NDArray[np.float32]:
    return tensors["x"].astype(np.float32, copy=False)


def x(*values: float) -> dict[str, Array]:
    return {"x": np.array([[value] for value in values], np.float32)}


@pytest.fixture(scope="module")
def signature(tmp_path_factory: pytest.TempPathFactory) -> Signature:
    return load("times", 1, times_stored(tmp_path_factory.mktemp("times"), 2.0))[0].signature


@pytest.fixture
def model(signature: Signature) -> Model:
    return Model(signature)


@pytest.fixture
def batches() -> Batches:
    return Batches(ThreadPoolExecutor(1), 1)


async def begun(batches: Batches, model: Model, *requests: dict[str, Array]) -> "list[asyncio.Task[list[Array]]]":
    tasks = [asyncio.create_task(batches.run(model.loaded, one, len(one["x"]), None)) for one in requests]
    await asyncio.sleep(0)
    return tasks


async def test_who_comes_while_the_model_is_busy_is_run_together_with_the_others(
    batches: Batches, model: Model
) -> None:
    tasks = await begun(batches, model, x(1), x(2), x(3, 4), x(5))
    model.go_on.set()
    answers = await asyncio.gather(*tasks)
    assert model.runs == [[1], [2, 3, 4, 5]], "the first found a free thread and waited for nobody"
    assert [answer[0].ravel().tolist() for answer in answers] == [[2], [4], [6, 8], [10]]
    assert answers[2][1].tolist() == [["row 3"], ["row 4"]]


async def test_a_run_has_no_more_rows_than_pay(batches: Batches, model: Model) -> None:
    tasks = await begun(batches, model, x(1), x(*range(6)), x(*range(6)), x(7, 8), x(*range(20)))
    model.go_on.set()
    await asyncio.gather(*tasks)
    assert [len(rows) for rows in model.runs] == [1, 8, 6, 20]


async def test_versions_and_shapes_are_never_mixed(batches: Batches, signature: Signature) -> None:
    first, second, alone = Model(signature), Model(signature, version=2), Model(signature, most=ALONE)
    tasks = await begun(batches, first, x(0))
    for one in (first, second, alone):
        tasks += await begun(batches, one, x(1), x(2), {"x": np.array([[3, 4]], np.float32)})
        one.go_on.set()
    await asyncio.gather(*tasks)
    assert first.runs == [[0], [1, 2], [3, 4]]
    assert second.runs == [[1, 2], [3, 4]]
    assert alone.runs == [[1], [2], [3, 4]]


async def test_a_bad_row_fails_the_request_that_has_it_and_no_other(batches: Batches, model: Model) -> None:
    tasks = await begun(batches, model, x(1), x(2), x(-3), x(4))
    model.go_on.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[2], InvalidInput)
    assert [answer[0].tolist() for answer in answers if isinstance(answer, list)] == [[[2]], [[4]], [[8]]]
    assert model.runs == [[1], [2, -3, 4], [2], [-3], [4]]


async def test_late_and_cancelled_requests_are_left_out(batches: Batches, model: Model) -> None:
    busy, cancelled, kept = await begun(batches, model, x(1), x(2), x(3))
    late = asyncio.create_task(batches.run(model.loaded, x(4), 1, 1))
    await asyncio.sleep(0)
    cancelled.cancel()
    model.go_on.set()
    with pytest.raises(DeadlineExceeded, match="the deadline passed before model 'm' version 1 was run"):
        await late
    assert [(await one)[0].tolist() for one in (busy, kept)] == [[[2]], [[6]]]
    assert model.runs == [[1], [3]]


def test_it_is_tried_whether_rows_are_independent_and_whether_it_pays(signature: Signature) -> None:
    golden = x(1, 2, 3)

    def cheap_together(tensors: Mapping[str, Array]) -> list[Array]:
        return [numbers(tensors) * np.float32(2)]

    def shares(tensors: Mapping[str, Array]) -> list[Array]:
        return [numbers(tensors) / numbers(tensors).sum()]

    def rounds_elsewhere(tensors: Mapping[str, Array]) -> list[Array]:
        return [numbers(tensors) * np.float32(1 + 1e-6 * (len(tensors["x"]) > 1))]

    assert batch_rows(signature, golden, cheap_together, one_s=0.01) == 256
    assert batch_rows(signature, golden, cheap_together, one_s=1e-9) == ALONE, "a row costs the same in a run of many"
    assert batch_rows(signature, golden, shares, one_s=0.01) == ALONE, "a row's answer depends on the others"
    assert batch_rows(signature, golden, rounds_elsewhere, one_s=0.01) == ALONE, "the last bits depend on them"
