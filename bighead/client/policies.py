"""Policies, as a person or a program sets them, and the file of those that every model begins with.

Knows Kafka through the models' client, and files.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from bighead.client.models import ModelsClient, new_id
from bighead.errors import ConfigError, InvalidInput
from bighead.events.types import PolicyRule, SetPolicy
from bighead.registry.policies import NO_POLICIES, Policies, policies_from_toml


class PoliciesClient(ModelsClient):
    """What a person or a program asks about policies; errors are those of ModelsClient."""

    def set_policy(
        self,
        model: str,
        rules: Sequence[PolicyRule],
        reason: str,
        *,
        environment: str | None = None,
        expected_revision: int | None = None,
    ) -> None:
        """Says what must hold of a version before it answers in an environment (None: the client's).

        Replaces what was said before.
        """
        self.ask(
            SetPolicy(
                command_id=new_id(),
                model=model,
                rules=tuple(rules),
                environment=environment or self._environment,
                expected_revision=expected_revision,
                actor=self._actor,
                reason=reason,
                at_ms=self._clock_ms(),
            )
        )

    def apply(
        self, policies: Policies, models: Collection[str], reason: str, *, expected_revision: int | None = None
    ) -> list[tuple[str, str]]:
        """Sets the policy of each environment for the models (none named: all); which of them it changed, and where.

        expected_revision: of the one model that is named; what is set for a second environment expects the next.
        """
        if expected_revision is not None and len(models) != 1:
            raise InvalidInput(f"a revision is that of one model; received {len(models)} of them")
        views = {name: self.show(name) for name in models} if models else {view.state.name: view for view in self.ls()}
        changed: list[tuple[str, str]] = []
        for name, view in sorted(views.items()):
            for environment, rules in sorted(policies.items()):
                if view.state.slot(environment).policy != rules:
                    after = None if expected_revision is None else expected_revision + len(changed)
                    self.set_policy(name, rules, reason, environment=environment, expected_revision=after)
                    changed.append((name, environment))
        return changed


def read_policies(path: Path) -> Policies:
    """The policies that a file lists by environment. Raises InvalidInput naming the file and what is wrong in it."""
    try:
        return policies_from_toml(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from error


def default_policies(setting: str) -> Policies:
    """The policies of the file that BIGHEAD_POLICIES names; raises ConfigError. Empty: none."""
    try:
        return read_policies(Path(setting)) if setting else NO_POLICIES
    except InvalidInput as error:
        raise ConfigError(f"BIGHEAD_POLICIES is {setting}, which is no file of policies: {error}") from error
