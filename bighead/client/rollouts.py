"""Staged roll-outs: start one, follow it, stop it. The stream worker advances it by what is measured.

Knows Kafka through the log and the models' client.
"""

from collections.abc import Callable, Iterator, Sequence

from bighead.client.models import ModelsClient, new_id, unexpected
from bighead.events.log import follow
from bighead.events.types import (
    RolloutEnded,
    RolloutRule,
    RolloutStage,
    RolloutStarted,
    StartRollout,
    StopRollout,
)
from bighead.registry.state import RolloutEvent


class RolloutsClient(ModelsClient):
    """What a person or a program asks about roll-outs, in the name of `actor`; errors are those of ModelsClient."""

    def start(
        self,
        model: str,
        version: int | None,
        stages: Sequence[RolloutStage],
        reason: str,
        *,
        rules: Sequence[RolloutRule] = (),
        unit: str | None = None,
        salt: str = "",
        expected_revision: int | None = None,
    ) -> RolloutStarted:
        """Gives a version (None: the newest) growing shares of the traffic, and makes it live after the last stage.

        A stage passes when its time is over, its predictions were seen and every rule is known to hold; a broken rule
        gives all traffic back to the live version. unit, salt: as in `ModelsClient.set_traffic`.
        """
        command = StartRollout(
            command_id=new_id(),
            model=model,
            version=self.newest(model) if version is None else version,
            stages=tuple(stages),
            rules=tuple(rules),
            unit=unit,
            salt=salt,
            environment=self._environment,
            expected_revision=expected_revision,
            actor=self._actor,
            reason=reason,
            at_ms=self._clock_ms(),
        )
        match self.ask(command):
            case RolloutStarted() as started:
                return started
            case other:
                raise unexpected(command, other)

    def stop(
        self, model: str, reason: str, rollout_id: str | None = None, *, expected_revision: int | None = None
    ) -> RolloutEnded:
        """Ends a roll-out (None: the one under way) and gives all traffic back to the live version."""
        command = StopRollout(
            command_id=new_id(),
            model=model,
            rollout_id=rollout_id,
            environment=self._environment,
            expected_revision=expected_revision,
            actor=self._actor,
            reason=reason,
            at_ms=self._clock_ms(),
        )
        match self.ask(command):
            case RolloutEnded() as ended:
                return ended
            case other:
                raise unexpected(command, other)

    def follow(
        self, model: str, rollout_id: str, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[RolloutEvent]:
        """The events of a roll-out from its start on, as they come, until it has ended or `stop()`."""
        messages = follow(self._settings, [self._events], stop=stop)
        try:
            ours = (message for message in messages if message.key == model.encode())
            for _, event in self._codec.decoded(ours):
                if isinstance(event, RolloutEvent) and event.rollout_id == rollout_id:
                    yield event
                    if isinstance(event, RolloutEnded):
                        return
        finally:
            messages.close()
