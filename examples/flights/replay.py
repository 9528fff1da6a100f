"""The week as a stream, in the order of event time: what was known, then what is asked, then what comes next.

A prediction as of q is sent when everything before q is visible in the online store, and before anything from q on
is published. The order is kept here; `Feed` says how, so that a test can watch it.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

from bighead.client.outcomes import Outcomes
from bighead.client.predict import AsyncPredictionClient
from bighead.client.publish import Publisher
from bighead.client.visibility import Visibility
from bighead.config import Settings
from bighead.errors import BigheadError, ModelError
from examples.flights.data import ARRIVED, KEYS, LATE_MIN, REQUEST_COLUMNS, TOPICS, ReplayedEvent

Flight = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one flight was told, one hour before its departure."""

    flight_id: str
    prediction_id: str
    version: int
    probability: float
    seconds: float


@dataclass
class Replayed:
    """What happened during the replay."""

    answers: dict[str, Answer] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    events: int = 0
    outcomes: int = 0
    seconds: float = 0.0


class Feed(Protocol):
    """What the replay does to the platform."""

    def publish(self, event: ReplayedEvent) -> None:
        """Sends a domain event."""

    def observe(self, flight: Flight, answer: Answer, label: float, at_ms: int) -> None:
        """Sends the outcome of a prediction."""

    async def visible(self) -> None:
        """Returns when every event sent so far is in the online store."""

    async def predict(self, flight: Flight) -> Answer:
        """Asks for one flight."""


class PlatformFeed:
    """The feed of a real platform: Kafka, the online store and gRPC."""

    def __init__(self, settings: Settings, model: str) -> None:
        self._model = model
        self._publisher = Publisher(settings, "flights/replay")
        # A publisher of its own: only domain events can become visible in the online store.
        self._outcome_publisher = Publisher(settings, "flights/outcomes")
        self._outcomes = Outcomes(settings, self._outcome_publisher, model)
        self._visibility = Visibility(settings)
        self._client = AsyncPredictionClient(settings.grpc)
        self._names = {topic: topic.full_name for topic in TOPICS}

    def publish(self, event: ReplayedEvent) -> None:
        """Sends a domain event to its topic."""
        key = str(event.record[event.topic.key])
        name = self._names[event.topic]
        self._publisher.publish_record(event.topic.name, name, event.record, key=key, time_ms=event.time_ms)

    def observe(self, flight: Flight, answer: Answer, label: float, at_ms: int) -> None:
        """Sends an outcome to the platform's topic."""
        self._outcomes.observe(_keys(flight), label, at_ms, answer.prediction_id)

    async def visible(self) -> None:
        """Waits for acknowledgements, then for the marks of the stream."""
        positions = self._publisher.flush()
        await asyncio.to_thread(self._visibility.wait, positions)

    async def predict(self, flight: Flight) -> Answer:
        """Asks the model server by the flight's keys, as of the time at which it is asked."""
        inputs = {name: flight[name] for name in REQUEST_COLUMNS}
        started = time.perf_counter()
        answers = await self._client.predict(self._model, [_keys(flight)], [inputs], as_of_ms=flight["asked_ms"])
        [prediction] = answers.predictions
        probability = prediction.outputs["probability"]
        if not isinstance(probability, float):
            raise ModelError(f"the probability of {flight['flight_id']} is {probability!r}; expected a number")
        return Answer(
            flight["flight_id"],
            prediction.prediction_id,
            answers.version,
            probability,
            time.perf_counter() - started,
        )

    async def close(self) -> None:
        """Flushes what was sent and closes the connections."""
        self._outcome_publisher.flush()
        self._visibility.close()
        await self._client.close()


async def replay(
    feed: Feed,
    flights: Sequence[Flight],
    events: Sequence[ReplayedEvent],
    on_step: Callable[[int, Replayed], None] = lambda _, __: None,
) -> Replayed:
    """Replays `events` and asks for `flights`, both in the order of time; `on_step` gets the simulated time."""
    done = Replayed()
    started = time.perf_counter()
    known = {flight["flight_id"]: flight for flight in flights}
    upcoming = iter([*events, None])
    event = next(upcoming)
    for asked_ms, group in groupby(flights, key=lambda flight: int(flight["asked_ms"])):
        sent = done.events
        while event is not None and event.time_ms < asked_ms:
            _send(feed, event, known, done)
            event = next(upcoming)
        if done.events > sent:
            await _wait(feed, done)
        await _ask(feed, list(group), done)
        on_step(asked_ms, done)
    while event is not None:
        _send(feed, event, known, done)
        event = next(upcoming)
    await _wait(feed, done)
    done.seconds = time.perf_counter() - started
    return done


def _send(feed: Feed, event: ReplayedEvent, known: Mapping[str, Flight], done: Replayed) -> None:
    feed.publish(event)
    done.events += 1
    if event.topic is not ARRIVED:
        return
    flight_id = event.record["flight_id"]
    answer = done.answers.get(flight_id)
    if answer is not None:
        late = float(event.record["arr_delay_min"] > LATE_MIN)
        feed.observe(known[flight_id], answer, late, event.time_ms)
        done.outcomes += 1


async def _wait(feed: Feed, done: Replayed) -> None:
    started = time.perf_counter()
    await feed.visible()
    done.waits_s.append(time.perf_counter() - started)


async def _ask(feed: Feed, flights: Sequence[Flight], done: Replayed) -> None:
    answers = await asyncio.gather(*(feed.predict(flight) for flight in flights), return_exceptions=True)
    for flight, answer in zip(flights, answers, strict=True):
        if isinstance(answer, BigheadError):
            done.failures.append(f"{flight['flight_id']}: {answer}")
        elif isinstance(answer, BaseException):
            raise answer
        else:
            done.answers[answer.flight_id] = answer


def _keys(flight: Flight) -> dict[str, str]:
    return {name: flight[name] for name in KEYS}


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; not a number for no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan
