"""Labels and approvals, as a person or a program asks for them. Knows Kafka through the models' client."""

from bighead.client.models import ModelsClient, new_id
from bighead.events.types import Approve, PromoteLabel


class PromotionsClient(ModelsClient):
    """What a person or a program asks about the standing of versions; errors are those of ModelsClient."""

    def label(
        self, model: str, label: str, version: int | None, reason: str, *, expected_revision: int | None = None
    ) -> None:
        """Gives a label to a version, which keeps it until another has it; None: no version has it any more.

        Requests to the environment's servers may ask for a label instead of a version.
        """
        self.ask(
            PromoteLabel(
                command_id=new_id(),
                model=model,
                label=label,
                version=version,
                environment=self._environment,
                expected_revision=expected_revision,
                actor=self._actor,
                reason=reason,
                at_ms=self._clock_ms(),
            )
        )

    def approve(self, model: str, version: int, reason: str, *, expected_revision: int | None = None) -> None:
        """Vouches for a version in the environment: not by who registered it, and by each actor once."""
        self.ask(
            Approve(
                command_id=new_id(),
                model=model,
                version=version,
                environment=self._environment,
                expected_revision=expected_revision,
                actor=self._actor,
                reason=reason,
                at_ms=self._clock_ms(),
            )
        )
