"""What a server counts of its versions, and the events that it makes of it."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bighead.errors import DeadlineExceeded, InvalidInput
from bighead.events.types import MetricComputed
from bighead.inference.datatypes import Array
from bighead.inference.loading import load
from bighead.inference.model import LoadedModel
from serving.answers import Entity
from serving.measures import MOST_LATENCIES, MeasureReports, Measures, metrics, percentile
from tests.unit.serving.fakes import NOW_MS, predictor_of
from tests.unit.serving.models import times_stored


@pytest.fixture(scope="module")
def times(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder: Path = tmp_path_factory.mktemp("times")
    return load("times", 1, times_stored(folder, 2.0))[0]


ROWS = {"x": np.array([[1.0], [2.0]], np.float32)}


async def test_answers_and_faults_are_counted_and_the_callers_mistakes_are_not(times: LoadedModel) -> None:
    def broken(tensors: Mapping[str, Array]) -> list[Array]:
        raise RuntimeError("broken")

    predictor = predictor_of(times)
    await predictor.infer("times", None, ROWS)
    await predictor.predict("times", None, [Entity({"id": 1}, {"x": 1.0})])
    with pytest.raises(InvalidInput):
        await predictor.infer("times", None, {"x": np.array([["a"]], object)})
    with pytest.raises(InvalidInput):
        await predictor.predict("times", None, [Entity({"id": 1}, {})])
    with pytest.raises(DeadlineExceeded):
        await predictor.infer("times", None, ROWS, deadline_s=0.0)
    counts = predictor.measures.of("times", 1)
    assert (counts.answers, counts.predictions, counts.failures, len(counts.latencies_us)) == (2, 3, 1, 2)
    predictor = predictor_of(replace(times, run=broken))
    for ask in (predictor.infer("times", None, ROWS), predictor.predict("times", None, [Entity({}, {"x": 1.0})])):
        with pytest.raises(RuntimeError):
            await ask
    counts = predictor.measures.of("times", 1)
    assert (counts.answers, counts.predictions, counts.failures, counts.latencies_us) == (0, 0, 2, [])


def test_an_interval_has_what_is_new_and_totals_only_grow() -> None:
    measures = Measures()
    counts = measures.of("times", 1)
    counts.answered(10, 2_000)
    counts.failures += 1
    (first,) = measures.take(0, 5_000)
    assert (first.answers, first.failures, first.predictions, first.latencies_us) == (1, 1, 10, [2_000])
    assert measures.take(5_000, 10_000) == [], "nothing was asked"
    counts.answered(1, 3_000)
    (second,) = measures.take(10_000, 15_000)
    assert (second.answers, second.failures, second.predictions, second.latencies_us) == (1, 0, 1, [3_000])
    assert (counts.answers, counts.failures, counts.predictions) == (2, 1, 11)


def test_an_interval_becomes_events_with_what_they_rest_on() -> None:
    measures = Measures()
    for latency_ms in range(1, 201):
        measures.of("times", 3).answered(2, latency_ms * 1000)
    measures.of("times", 3).failures = 50
    (interval,) = measures.take(1_000, 6_000)
    events = {event.metric: event for event in metrics(interval, "server-1")}
    assert {name: (event.value, event.count) for name, event in events.items()} == {
        "error_rate": (0.2, 250),
        "latency_p99_ms": (198.0, 200),
        "predictions": (400.0, 400),
    }
    assert {(event.model, event.version, event.segment, event.window, event.from_ms, event.to_ms, event.at_ms)
            for event in events.values()} == {("times", 3, "server-1", "5s", 1_000, 6_000, 6_000)}  # fmt: skip


def test_a_version_that_only_fails_has_an_error_rate() -> None:
    measures = Measures()
    measures.of("times", 3).failures = 2
    (event,) = metrics(measures.take(0, 5_000)[0], "server-1")
    assert (event.metric, event.value, event.count) == ("error_rate", 1.0, 2)


def test_latencies_are_bounded() -> None:
    counts = Measures().of("times", 1)
    for _ in range(MOST_LATENCIES + 5):
        counts.answered(1, 1)
    assert (counts.answers, len(counts.latencies_us)) == (MOST_LATENCIES + 5, MOST_LATENCIES)


@pytest.mark.parametrize(("values", "expected"), [([7], 7), ([2, 1], 2), (list(range(100, 0, -1)), 99)])
def test_a_percentile_is_a_value_that_occurred(values: list[int], expected: int) -> None:
    assert percentile(values, 99) == expected


async def test_what_is_left_is_reported_when_the_server_stops() -> None:
    said: list[MetricComputed] = []
    measures = Measures()
    reports = MeasureReports(measures, "server-1", said.append, lambda: NOW_MS, every_s=0.01)
    reports.start()
    measures.of("times", 1).answered(1, 1_000)
    async with asyncio.timeout(5):
        while not said:
            await asyncio.sleep(0)
    measures.of("times", 2).answered(1, 1_000)
    await reports.stop()
    assert [event.version for event in said] == [1, 1, 1, 2, 2, 2]
