"""What the commands about a version's standing lead to: labels, approvals, and the policies that ask for them. Pure."""

from collections.abc import Sequence

from bighead.errors import CommandRefused
from bighead.events.types import (
    Approve,
    LabelPromoted,
    PolicyChanged,
    PolicyRule,
    PromoteLabel,
    RegisterModel,
    SetPolicy,
    VersionApproved,
)
from bighead.registry.checks import usable_version, within
from bighead.registry.policies import check_rules
from bighead.registry.policy_checks import check_policy
from bighead.registry.state import ModelState, Slot, by
from bighead.registry.suggestions import did_you_mean

MOST_LABEL = 60


def check_label(label: str) -> None:
    """Raises CommandRefused for what cannot be a label: a request that names it would mean something else."""
    if not label.strip() or label.isdecimal():
        raise CommandRefused(f"{label!r} is no label: requests name versions by number; expected a word, e.g. champion")


def promote(state: ModelState, slot: Slot, command: PromoteLabel, at_ms: int) -> LabelPromoted:
    """The label names the version from now on, or (None) no version any more."""
    check_label(command.label)
    if len(command.label) > MOST_LABEL:
        raise CommandRefused(f"the label has {len(command.label)} characters; at most {MOST_LABEL} are allowed")
    before = slot.labels.get(command.label)
    if command.version is not None:
        check_policy(state, command.environment, usable_version(state, command.version, "labelled"))
    elif before is None:
        raise CommandRefused(
            f"no version of {command.model!r} carries the label {command.label!r}{within(command.environment)}"
            f"{did_you_mean(command.label, slot.labels)}; its labels are: {', '.join(sorted(slot.labels)) or 'none'}"
        )
    return LabelPromoted(
        model=command.model,
        label=command.label,
        version=command.version,
        previous_version=before,
        environment=command.environment,
        **by(command, at_ms),
    )


def approve(state: ModelState, slot: Slot, command: Approve, at_ms: int) -> VersionApproved:
    """Somebody vouches for the version: not who registered it, and nobody twice."""
    version = usable_version(state, command.version, "approved")
    if same_actor(command.actor, version.registered.actor):
        raise CommandRefused(
            f"version {version.number} of {command.model!r} was registered by {version.registered.actor}, who cannot "
            "approve it as well; somebody else has to"
        )
    for stamp in slot.approvals.get(version.number, ()):
        if same_actor(stamp.actor, command.actor):
            raise CommandRefused(
                f"{stamp.actor} has approved version {version.number} of {command.model!r} for {command.environment} "
                f"already ({stamp.reason}); an approval counts once"
            )
    return VersionApproved(
        model=command.model,
        version=version.number,
        environment=command.environment,
        **by(command, at_ms),
    )


def set_policy(command: SetPolicy, at_ms: int) -> PolicyChanged:
    """The rules hold from now on, for what is to answer; what answers already goes on."""
    check_rules(command.environment, command.rules)
    return PolicyChanged(
        model=command.model,
        rules=command.rules,
        environment=command.environment,
        **by(command, at_ms),
    )


def default_policy(command: RegisterModel, environment: str, rules: Sequence[PolicyRule], at_ms: int) -> PolicyChanged:
    """The policy that a model begins with, in one environment."""
    return PolicyChanged(
        model=command.model,
        rules=tuple(rules),
        environment=environment,
        command_id=command.command_id,
        actor=command.actor,
        reason=f"the default policy, with the first version ({command.reason})",
        at_ms=at_ms,
    )


def same_actor(one: str, other: str) -> bool:
    """Whether two names are one person's: neither a space nor a capital letter makes another."""
    return one.strip().casefold() == other.strip().casefold()
