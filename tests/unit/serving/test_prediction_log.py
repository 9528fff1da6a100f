"""Predictions are logged whole, or dropped and counted; a request never waits for either."""

import threading
import time
from collections.abc import Iterator

import pytest

from bighead.errors import DeadlineExceeded, PlatformError
from bighead.events.base import Event
from bighead.events.served import chosen
from bighead.events.types import PredictionServed
from bighead.features.plan import FeatureRow
from bighead.testing import eventually
from serving.answers import Answer, Entity
from serving.prediction_log import PredictionLog


class FakePublisher:
    """Keeps events; can be held, and can fail."""

    def __init__(self) -> None:
        self.sent: list[tuple[Event, str, str]] = []
        self.open = threading.Event()
        self.open.set()
        self.failing = False

    def publish(self, event: Event, *, key: str, topic: str, traceparent: str | None = None) -> object:
        self.open.wait()
        if self.failing:
            raise PlatformError("the broker is gone")
        self.sent.append((event, key, topic))
        return None

    def flush(self, timeout_s: float) -> object:
        if self.failing:
            raise DeadlineExceeded(f"not within {timeout_s} s")
        return None


@pytest.fixture
def publisher() -> FakePublisher:
    return FakePublisher()


@pytest.fixture
def log(publisher: FakePublisher) -> Iterator[PredictionLog]:
    log = PredictionLog(publisher, "p.predictions.v1", "server-1", capacity_rows=10)
    log.start()
    yield log
    publisher.open.set()
    log.stop(5.0)


def answer(rows: int) -> Answer:
    return Answer(
        model="m",
        version=3,
        arm="live",
        why="live",
        shadow=False,
        join="flight",
        feature_epochs={"carrier": 2},
        as_of_ms=1_000,
        at_ms=2_000,
        entities=[Entity({"carrier": "UA", "n": index}, {"hour": 7}) for index in range(rows)],
        ids=[f"id-{index}" for index in range(rows)],
        features=[FeatureRow({"a": 1.5, "b": None}, {"a": "OK", "b": "EMPTY"}, 1_000, {"carrier": 2})] * rows,
        outputs=[{"p": 0.25, "label": "UA", "late": True}] * rows,
        latency_us={"features": 1, "model": 2, "total": 3},
    )


def test_an_event_says_everything_about_a_prediction(log: PredictionLog, publisher: FakePublisher) -> None:
    log.offer(answer(2))
    eventually(lambda: len(publisher.sent) == 2)
    event, key, topic = publisher.sent[1]
    assert (key, topic) == ('{"carrier":"UA","n":1}', "p.predictions.v1")
    assert event == PredictionServed(
        prediction_id="id-1",
        model="m",
        version=3,
        arm="live",
        entity='{"carrier":"UA","n":1}',
        as_of_ms=1_000,
        at_ms=2_000,
        server="server-1",
        join="flight",
        features={"a": 1.5, "b": None},
        statuses={"b": "EMPTY"},
        feature_epochs={"carrier": 2},
        inputs={"hour": 7},
        outputs={"p": 0.25, "late": 1.0},
        latency_us={"features": 1, "model": 2, "total": 3},
    )


def test_what_finds_no_room_is_dropped_and_counted_without_waiting(
    log: PredictionLog, publisher: FakePublisher
) -> None:
    publisher.open.clear()
    started = time.monotonic()
    for _ in range(20):
        log.offer(answer(3))
    assert time.monotonic() - started < 1.0
    assert log.dropped == 51
    publisher.open.set()
    eventually(lambda: len(publisher.sent) == 9)
    log.offer(answer(10))
    eventually(lambda: len(publisher.sent) == 19)
    assert log.dropped == 51


def test_what_cannot_be_published_is_counted_and_the_next_ones_go_on(
    log: PredictionLog, publisher: FakePublisher
) -> None:
    publisher.failing = True
    log.offer(answer(4))
    eventually(lambda: log.failed == 4)
    publisher.failing = False
    log.offer(answer(1))
    eventually(lambda: len(publisher.sent) == 1)


def test_stopping_writes_what_was_taken(publisher: FakePublisher) -> None:
    log = PredictionLog(publisher, "t", "server-1")
    log.start()
    for _ in range(50):
        log.offer(answer(2))
    log.stop(10.0)
    assert len(publisher.sent) == 100
    assert log.dropped == 0


def test_a_log_that_never_started_can_be_stopped(publisher: FakePublisher) -> None:
    log = PredictionLog(publisher, "p.predictions.v1", "server-1")
    log.offer(answer(2))
    log.stop(0.1)
    assert log.dropped == 2


def test_stopping_ends_in_time_and_counts_what_is_left(publisher: FakePublisher) -> None:
    log = PredictionLog(publisher, "t", "server-1")
    publisher.open.clear()
    log.start()
    log.offer(answer(5))
    log.offer(answer(5))
    log.stop(0.1)
    assert log.dropped == 10
    publisher.open.set()


def test_a_share_is_chosen_by_identity_and_named_columns_are_left_out(publisher: FakePublisher) -> None:
    log = PredictionLog(publisher, "t", "server-1", 10_000, share=0.25, redacted=["a", "hour"])
    log.start()
    publisher.open.set()
    log.offer(answer(1_000))
    log.stop(5.0)
    sent = [event for event, _, _ in publisher.sent if isinstance(event, PredictionServed)]
    assert [event.prediction_id for event in sent] == [f"id-{n}" for n in range(1_000) if chosen(f"id-{n}", 0.25)]
    assert 180 < len(sent) < 320
    assert all((event.features, event.inputs) == ({"b": None}, {}) for event in sent)
    assert log.dropped == 0
