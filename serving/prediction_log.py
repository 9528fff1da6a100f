"""Predictions as events, written behind the requests: a bounded queue, a thread, a producer.

A request never waits for it. What finds the queue full is dropped and counted.
"""

import logging
import queue
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from time import monotonic, sleep
from typing import Protocol, TypeVar

from bighead.errors import BigheadError
from bighead.events.base import Event
from bighead.events.served import chosen, split_features
from bighead.events.types import PredictionServed
from bighead.features.plan import Status
from serving.answers import Answer, canonical_entity

_log = logging.getLogger(__name__)
CAPACITY_ROWS = 20_000
_LOGGED_EVERY = 1000
_GATHER_S = 0.01
_OK = Status.OK  # looking up a member of an enumeration takes longer than comparing with it
T = TypeVar("T")


class EventPublisher(Protocol):
    """What is needed of `bighead.client.publish.Publisher`."""

    def publish(self, event: Event, *, key: str, topic: str, traceparent: str | None = None) -> object: ...
    def flush(self, timeout_s: float) -> object: ...


class PredictionLog:
    """`dropped` counts predictions for which there was no room, `failed` those that could not be published."""

    def __init__(
        self,
        publisher: EventPublisher,
        topic: str,
        server: str,
        capacity_rows: int = CAPACITY_ROWS,
        share: float = 1.0,
        redacted: Collection[str] = (),
    ) -> None:
        """share: how many predictions are logged, 0 to 1, by a hash of the identity; redacted: columns left out."""
        self.dropped = 0
        self.failed = 0
        self._publisher = publisher
        self._topic = topic
        self._server = server
        self._capacity_rows = capacity_rows
        self._share = share
        self._redacted = frozenset(redacted)
        self._queue: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        # Rows that were put in and taken out: each is written by one thread only, so neither needs a lock.
        self._put_rows = 0
        self._taken_rows = 0
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Starts to write."""
        self._thread.start()

    def offer(self, answer: Answer) -> None:
        """Takes the predictions of one request, or drops them. Called from the event loop only."""
        rows = len(answer.ids)
        if self._put_rows - self._taken_rows + rows > self._capacity_rows:
            self.dropped += rows
            return
        self._put_rows += rows
        self._queue.put(answer)

    def stop(self, timeout_s: float) -> None:
        """Writes what was taken, as far as the time allows; the rest is counted as dropped."""
        deadline_s = monotonic() + timeout_s
        self._queue.put(None)
        if self._thread.is_alive():  # it may be stopped while it starts
            self._thread.join(timeout_s)
        left = self._put_rows - self._taken_rows
        if left:
            self.dropped += left
            _log.warning("%d predictions were not logged within %.1f s and are dropped", left, timeout_s)
        try:
            self._publisher.flush(max(0.0, deadline_s - monotonic()))
        except BigheadError as error:
            _log.warning("predictions may be missing from %s: %s", self._topic, error)

    def _run(self) -> None:
        """Gathers for a moment what comes: woken for each, it would contend with every request for the interpreter."""
        while (answer := self._queue.get()) is not None:
            sleep(_GATHER_S)
            while answer is not None:
                self._write(answer)
                try:
                    answer = self._queue.get_nowait()
                except queue.Empty:
                    break
            else:
                return

    def _write(self, answer: Answer) -> None:
        for event in served(answer, self._server):
            if not chosen(event.prediction_id, self._share):
                continue
            try:
                event = without(event, self._redacted)
                self._publisher.publish(event, key=event.entity, topic=self._topic, traceparent=answer.traceparent)
            except Exception as error:  # noqa: BLE001 - one prediction must not end the log of all others
                self._count_failure(error)
        self._taken_rows += len(answer.ids)

    def _count_failure(self, error: Exception) -> None:
        self.failed += 1
        if self.failed % _LOGGED_EVERY == 1:
            _log.warning("%d predictions could not be logged so far: %s", self.failed, error)


def without(event: PredictionServed, redacted: frozenset[str]) -> PredictionServed:
    """The event without some features and inputs. Keys stay: outcomes are joined by them."""
    if not redacted:
        return event
    return replace(
        event,
        features=_others(event.features, redacted),
        collections=_others(event.collections, redacted),
        inputs=_others(event.inputs, redacted),
    )


def _others(values: Mapping[str, T], redacted: frozenset[str]) -> dict[str, T]:
    return {name: value for name, value in values.items() if name not in redacted}


def served(answer: Answer, server: str) -> Iterator[PredictionServed]:
    """The event of each prediction of an answer."""
    for index, prediction_id in enumerate(answer.ids):
        row, entity = answer.features[index], answer.entities[index]
        features, collections = split_features(row.values)
        yield PredictionServed(
            prediction_id=prediction_id,
            model=answer.model,
            version=answer.version,
            arm=answer.arm,
            shadow=answer.shadow,
            entity=canonical_entity(entity.keys),
            as_of_ms=answer.as_of_ms,
            at_ms=answer.at_ms,
            server=server,
            join=answer.join,
            features=features,
            collections=collections,
            statuses={name: str(status) for name, status in row.statuses.items() if status != _OK},
            feature_epochs=answer.feature_epochs,
            inputs=entity.inputs,
            outputs={
                name: float(value)
                for name, value in answer.outputs[index].items()
                if isinstance(value, bool | int | float)
            },
            latency_us=answer.latency_us,
        )
