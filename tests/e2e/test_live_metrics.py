"""Live metrics from a worker that is killed on the way: what scikit-learn says of the same pairs of score and label."""

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from bighead.client.outcomes import Outcomes, canonical_entity
from bighead.client.publish import Publisher
from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.log import read_log
from bighead.events.topics import MONITORING, PREDICTIONS, topic_name
from bighead.events.types import MetricComputed, PredictionServed
from bighead.local.platform import Platform
from bighead.testing import eventually
from tests.conformance.cases import MIDNIGHT_MS
from tests.e2e.kit import Killer

MODEL = "live"
COUNT = 6_000
HOUR_MS = 3_600_000


def served(number: int, score: float) -> PredictionServed:
    """The third prediction in a row is about the same entity, an hour later; every fourth is by version 2."""
    return PredictionServed(
        prediction_id=f"p{number}",
        model=MODEL,
        version=2 if number % 4 == 0 else 1,
        entity=canonical_entity({"flight": number // 3}),
        as_of_ms=MIDNIGHT_MS + number % 3 * HOUR_MS,
        at_ms=MIDNIGHT_MS + number % 3 * HOUR_MS + 5,
        server="test",
        outputs={"probability": score},
    )


class Week:
    """Predictions and what becomes of them, in an order that a bus can give; `labels` is what must be joined."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self.scores: dict[int, float] = {}
        self.labels: dict[int, float] = {}
        self._chooser = random.Random(seed)
        self._publisher = Publisher(settings, "test")
        self._topic = topic_name(settings.topic_prefix, PREDICTIONS)
        self._outcomes = Outcomes(settings, self._publisher, MODEL)

    def go(self, numbers: Sequence[int]) -> None:
        """Predicts and observes: an outcome may come long before its prediction is read, twice, corrected or never."""
        steps: list[tuple[float, Callable[[], Any]]] = []
        for number in numbers:
            at = self._chooser.random()
            steps.append((at, partial(self._predict, number)))
            for late in self._observations(number):
                steps.append((at + self._chooser.uniform(-0.01, 0.3), late))
        for _, step in sorted(steps, key=lambda one: one[0]):
            step()
        self._publisher.flush()

    def _predict(self, number: int) -> None:
        self.scores[number] = round(self._chooser.random(), 3)
        event = served(number, self.scores[number])
        self._publisher.publish(event, key=event.entity, topic=self._topic)

    def _observations(self, number: int) -> list[Callable[[], Any]]:
        kind = self._chooser.choice(["by id", "by entity", "twice", "corrected", "never"])
        label, event_ms = float(self._chooser.random() < 0.3), MIDNIGHT_MS + number % 3 * HOUR_MS + 60_000
        keys, name = {"flight": number // 3}, f"p{number}"
        if kind == "never":
            return []
        self.labels[number] = label
        if kind == "by entity":
            return [lambda: self._outcomes.observe(keys, label, event_ms)]
        right = [lambda: self._outcomes.observe(keys, label, event_ms, name)] * (2 if kind == "twice" else 1)
        wrong = [lambda: self._outcomes.observe(keys, 1.0 - label, event_ms - 1, name)] * (kind == "corrected")
        return [*right, *wrong]


def test_metrics_equal_those_of_the_same_pairs_also_after_a_kill(breakable: Platform) -> None:
    week, killer = Week(breakable.settings, 3), Killer(breakable)
    week.go(range(2 * COUNT // 3))
    killer.kill("worker")
    week.go(range(2 * COUNT // 3, COUNT))
    check(breakable.settings, week)
    killer.kill("worker")
    week.go(range(COUNT, COUNT + 10))
    check(breakable.settings, week)


def check(settings: Settings, week: Week) -> None:
    """The newest metrics of all versions and of each, once they cover everything."""
    labelled, total = len(week.labels), len(week.scores)

    def complete() -> bool:
        metrics.update(newest(settings))
        found = [metrics[version, "auc"] for version in (0, 1, 2) if (version, "auc") in metrics]
        # Both: each prediction is in the figures of all versions and in those of its own.
        return sum(one.predictions for one in found) == 2 * total and sum(one.count for one in found) == 2 * labelled

    metrics: dict[tuple[int, str], MetricComputed] = {}
    eventually(complete, 60, 0.2)
    for version in (0, 1, 2):
        numbers = [number for number in week.scores if version in (0, served(number, 0.5).version)]
        known = [number for number in numbers if number in week.labels]
        labels, scores = [week.labels[number] for number in known], [week.scores[number] for number in known]
        expected = {
            "auc": roc_auc_score(labels, scores),
            "log_loss": log_loss(labels, scores, labels=[0, 1]),
            "brier": brier_score_loss(labels, scores),
            "coverage": len(known) / len(numbers),
        }
        found = {name: metrics[version, name] for name in expected}
        assert np.allclose([found[name].value for name in expected], list(expected.values()), rtol=0, atol=1e-9)
        assert {(one.count, one.predictions) for one in found.values()} == {(len(known), len(numbers))}


def newest(settings: Settings) -> dict[tuple[int, str], MetricComputed]:
    codec = Codec(settings.schema_registry)
    log = read_log(settings, topic_name(settings.topic_prefix, MONITORING))
    events = [codec.decode(message.value) for message in log]
    codec.close()
    return {(one.version, one.metric): one for one in events if isinstance(one, MetricComputed) and one.model == MODEL}
