"""The replay's order: what was known before, then the question, then what happened since."""

import asyncio
from typing import Any

import pytest

from bighead.errors import NotReady
from examples.flights.data import ARRIVED, DEPARTED, ReplayedEvent
from examples.flights.replay import Answer, Flight, percentile, replay


class Recorder:
    """A feed that writes down what it is asked to do."""

    def __init__(self, failing: str = "") -> None:
        self.lines: list[str] = []
        self._failing = failing

    def publish(self, event: ReplayedEvent) -> None:
        self.lines.append(f"{event.topic.name.split('.')[1]} {event.record['flight_id']} at {event.time_ms}")

    def observe(self, flight: Flight, answer: Answer, label: float, at_ms: int) -> None:
        self.lines.append(f"outcome {answer.prediction_id} {label:.0f} at {at_ms}")

    async def visible(self) -> None:
        self.lines.append("visible")

    async def predict(self, flight: Flight) -> Answer:
        if flight["flight_id"] == self._failing:
            raise NotReady("no answer")
        self.lines.append(f"ask {flight['flight_id']}")
        return Answer(flight["flight_id"], f"p-{flight['flight_id']}", 1, 0.5, 0.001)


def asked(flight_id: str, asked_ms: int) -> dict[str, Any]:
    return {"flight_id": flight_id, "asked_ms": asked_ms}


def departed(flight_id: str, time_ms: int) -> ReplayedEvent:
    return ReplayedEvent(time_ms, DEPARTED, {"flight_id": flight_id})


def arrived(flight_id: str, time_ms: int, delay: float) -> ReplayedEvent:
    return ReplayedEvent(time_ms, ARRIVED, {"flight_id": flight_id, "arr_delay_min": delay})


def test_a_question_sees_what_happened_before_it_and_nothing_else() -> None:
    feed = Recorder()
    flights = [asked("a", 100), asked("b", 100), asked("c", 130), asked("d", 140)]
    events = [
        departed("x", 99),
        departed("y", 100),
        arrived("a", 120, 20.0),
        arrived("z", 125, 1.0),
        arrived("b", 150, 15.0),
    ]
    done = asyncio.run(replay(feed, flights, events))
    assert feed.lines == [
        "departed x at 99",
        "visible",
        "ask a",
        "ask b",
        "departed y at 100",  # the window is exclusive: what happens at 100 is not known at 100
        "arrived a at 120",
        "outcome p-a 1 at 120",
        "arrived z at 125",  # was never asked for: no outcome
        "visible",
        "ask c",
        "ask d",  # nothing happened in between: nothing to wait for
        "arrived b at 150",
        "outcome p-b 0 at 150",  # fifteen minutes are not late
        "visible",
    ]
    assert (done.events, done.outcomes, len(done.answers), done.failures) == (5, 2, 4, [])


def test_a_failed_request_is_reported_and_the_rest_goes_on() -> None:
    done = asyncio.run(replay(Recorder(failing="a"), [asked("a", 1), asked("b", 1)], []))
    assert done.failures == ["a: no answer"]
    assert list(done.answers) == ["b"]


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2.0), (0.99, 4.0), (0.25, 1.0)])
def test_percentiles_are_values_that_occurred(share: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == expected
