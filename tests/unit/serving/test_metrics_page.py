"""What Prometheus reads: counts of what happened, by model and version, whatever callers sent."""

from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bighead.errors import InvalidInput
from bighead.inference.loading import load
from serving.answers import Entity
from serving.metrics_page import CONTENT_TYPE, ServerCollector, page_of
from serving.prediction_log import PredictionLog
from serving.predictor import Predictor
from tests.unit.serving.fakes import predictor_of
from tests.unit.serving.models import times_stored
from tests.unit.serving.running import running
from tests.unit.serving.test_prediction_log import FakePublisher

Samples = dict[tuple[str, ...], float]


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    return predictor_of(load("times", 2, times_stored(tmp_path, 3.0))[0])


def samples(page: str) -> Samples:
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


async def test_answers_are_counted_by_version_with_their_latency(predictor: Predictor) -> None:
    log = PredictionLog(FakePublisher(), "t", "server-1", capacity_rows=0)
    page = page_of(ServerCollector(predictor, log, lambda: ["flights.departed.v1"]))
    for _ in range(3):
        await predictor.predict("times", None, [Entity({}, {"x": 1.0})] * 2)
    with pytest.raises(InvalidInput):
        await predictor.predict("times", None, [Entity({}, {"y": 1.0})])
    await predictor.explain("times", None, [Entity({}, {"x": 1.0})])
    found = samples(page().decode())
    assert found["bighead_requests_total", "times", "answered", "2"] == 3
    assert found["bighead_requests_total", "times", "failed", "2"] == 0, "a caller's mistake is not the server's"
    assert found["bighead_predictions_total", "times", "2"] == 6
    assert found["bighead_request_seconds_count", "times", "2"] == 3, "explanations are none"
    assert found["bighead_explanations_total", "times", "2"] == 1
    assert found["bighead_request_seconds_bucket", "+Inf", "times", "2"] == 3
    assert 0 < found["bighead_request_seconds_sum", "times", "2"] < 3
    assert found["bighead_live_version", "times"] == 2
    assert found["bighead_requests_in_flight", "times"] == 0
    assert found["bighead_features_behind", "flights.departed.v1"] == 1


def test_the_page_is_served(predictor: Predictor) -> None:
    log = PredictionLog(FakePublisher(), "t", "server-1")
    with running(predictor, metrics=page_of(ServerCollector(predictor, log, list))) as at:
        answer = httpx.get(f"http://{at.http}/metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert samples(answer.text)["bighead_log_lost_total", "no room"] == 0
