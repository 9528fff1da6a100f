"""Reports what became of a prediction: the outcome is an event, for monitoring and for the next training."""

import json
from collections.abc import Mapping

from bighead.client.publish import Publisher
from bighead.config import Settings
from bighead.events.sender import Delivery
from bighead.events.topics import OUTCOMES, topic_name
from bighead.events.types import OutcomeObserved


def canonical_entity(keys: Mapping[str, bool | int | float | str | None]) -> str:
    """The keys of an entity as the JSON object that predictions and outcomes carry, and that keys their topics."""
    return json.dumps(dict(keys), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Outcomes:
    """Publishes outcomes for one model, by prediction or, without its id, by the entity's keys."""

    def __init__(self, settings: Settings, publisher: Publisher, model: str) -> None:
        self._publisher = publisher
        self._model = model
        self._topic = topic_name(settings.topic_prefix, OUTCOMES)

    def observe(
        self,
        keys: Mapping[str, bool | int | float | str | None],
        label: float,
        event_ms: int,
        prediction_id: str | None = None,
    ) -> Delivery:
        """The true value for an entity, known since `event_ms`."""
        entity = canonical_entity(keys)
        outcome = OutcomeObserved(
            prediction_id=prediction_id, model=self._model, entity=entity, label=label, event_ms=event_ms
        )
        return self._publisher.publish(outcome, key=entity, topic=self._topic)
