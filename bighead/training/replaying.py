"""Reads what was logged of a model and runs a candidate over it, as a run of the kind `evaluate`. Knows Kafka."""

from collections.abc import Callable
from dataclasses import dataclass

from bighead.client.run_log import RunLog
from bighead.config import Settings
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.log import offsets_at, read_log
from bighead.events.topics import OUTCOMES, PREDICTIONS, topic_name
from bighead.events.types import OutcomeObserved, PredictionServed
from bighead.inference.predictor import Predictor
from bighead.inference.registered import registered
from bighead.training.retrospective import Retrospect, retrospect

KIND = "evaluate"


@dataclass(frozen=True)
class Asked:
    """Which version of which model, over the predictions that were served in [from_ms, to_ms), UTC."""

    model: str
    version: int | str
    from_ms: int
    to_ms: int
    reason: str


def replay(settings: Settings, asked: Asked, say: Callable[[str], None]) -> Retrospect:
    """The candidate beside what answered then; UnknownModel, ArtifactError, InvalidInput say what lacks."""
    found = registered(settings, asked.model, asked.version)
    spec = {"model": found.name, "version": found.version, "from_ms": asked.from_ms, "to_ms": asked.to_ms}
    log = RunLog(settings, f"{found.name} version {found.version} in retrospect", KIND, spec, asked.reason)
    codec = Codec(settings.schema_registry)
    try:
        with log.running() as outcome:
            with log.step("read") as step:
                predictions = [
                    one
                    for one in _events(settings, codec, PREDICTIONS, asked.from_ms)
                    if isinstance(one, PredictionServed) and one.model == found.name and one.at_ms < asked.to_ms
                ]
                outcomes = [
                    one
                    for one in _events(settings, codec, OUTCOMES, asked.from_ms)
                    if isinstance(one, OutcomeObserved) and one.model == found.name
                ]
                step.rows = len(predictions)
                say(f"{len(predictions):,} predictions and {len(outcomes):,} outcomes of {found.name}")
            with log.step("compare") as step:
                made = retrospect(found.name, found.version, Predictor.load(found, settings), predictions, outcomes)
                step.rows = made.compared
                for one in made.differences:
                    log.metric(f"{one.name} less live", one.value)
            outcome.outputs |= made.document()
        return made
    finally:
        codec.close()
        log.close()


def _events(settings: Settings, codec: Codec, topic: str, from_ms: int) -> "list[Event]":
    """What was written from a time on; an outcome is never written before the prediction that it is of."""
    name = topic_name(settings.topic_prefix, topic)
    log = read_log(settings, name, start=offsets_at(settings, name, from_ms))
    return [event for _, event in codec.decoded(log)]
