"""What somebody wrote into the form of an action, as the command that it means. Pure.

What the registry refuses is not checked here: the confirmation shows its own words.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bighead.errors import InvalidInput
from bighead.events.types import (
    Approve,
    DeployModel,
    PromoteLabel,
    RetireModel,
    RollBack,
    SetPolicy,
    SetTraffic,
    StartRollout,
    StopRollout,
    TrafficArm,
)
from bighead.registry import Command, policies
from bighead.registry.rollout_texts import duration_ms, rule_of, stages_of
from bighead.registry.state import PRODUCTION

MOST_REASON = 2_000
MOST_DIGITS = 9
"""Of a number that somebody writes: every such number can be kept."""
_SHARE = re.compile(r"(share|shadow)-([1-9][0-9]{0,8})")
Form = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Signature:
    """Who sends the form, when, about which model at which revision, and by which id it is known."""

    command_id: str
    model: str
    actor: str
    at_ms: int
    expected_revision: int | None


def command_of(action: str, form: Form, by: Signature) -> Command:
    """The command that an action's form means; raises InvalidInput that names the field."""
    reason = form.get("reason", "").strip()
    if not reason:
        raise InvalidInput("the reason is empty; say why: it is kept with the change for whoever asks later")
    if len(reason) > MOST_REASON:
        raise InvalidInput(f"the reason has {len(reason)} characters; at most {MOST_REASON} are kept")
    return _COMMANDS[action](form, by, reason)


def environment_of(form: Form) -> str:
    """The environment that is meant."""
    return form.get("environment", "").strip() or PRODUCTION


def _common(form: Form, by: Signature, reason: str) -> dict[str, object]:
    return {
        "command_id": by.command_id,
        "model": by.model,
        "actor": by.actor,
        "reason": reason,
        "at_ms": by.at_ms,
        "expected_revision": by.expected_revision,
        "environment": environment_of(form),
    }


def _deploy(form: Form, by: Signature, reason: str) -> Command:
    return DeployModel(**_common(form, by, reason), version=_version(form))  # type: ignore[arg-type]


def _traffic(form: Form, by: Signature, reason: str) -> Command:
    arms = []
    for name, text in form.items():
        match = _SHARE.fullmatch(name)
        if match is None or not text.strip():
            continue
        number = int(match[2])
        if match[1] == "shadow":
            arms.append(TrafficArm(arm=f"shadow-v{number}", version=number, percent=100.0, shadow=True))
        elif (percent := _percent(number, text)) > 0:
            arms.append(TrafficArm(arm=f"v{number}", version=number, percent=percent))
    if not arms:
        raise InvalidInput("no version has a share of the traffic; write percents that sum to 100")
    ordered = tuple(sorted(arms, key=lambda arm: (arm.shadow, -arm.percent, arm.version)))
    unit = form.get("unit", "").strip() or None
    return SetTraffic(**_common(form, by, reason), arms=ordered, unit=unit)  # type: ignore[arg-type]


def _rollout(form: Form, by: Signature, reason: str) -> Command:
    if form.get("stop"):
        return StopRollout(**_common(form, by, reason), rollout_id=form["stop"])  # type: ignore[arg-type]
    hold, predictions = form.get("hold", "").strip() or "10m", form.get("predictions", "").strip() or "0"
    if not predictions.isdecimal() or len(predictions) > MOST_DIGITS:
        raise InvalidInput(f"the predictions of a stage are {predictions[:40]!r}; expected a whole number")
    if len(hold) > MOST_DIGITS:
        raise InvalidInput(f"the time to hold a stage is {hold[:40]!r}; expected a length of time such as 10m or 2d")
    stages = stages_of(form.get("stages", "").replace(" ", ""), duration_ms(hold), int(predictions))
    rules = tuple(rule_of(line.replace(" ", "")) for line in form.get("rules", "").splitlines() if line.strip())
    return StartRollout(
        **_common(form, by, reason),  # type: ignore[arg-type]
        version=_version(form),
        stages=tuple(stages),
        rules=rules,
        unit=form.get("unit", "").strip() or None,
    )


def _rollback(form: Form, by: Signature, reason: str) -> Command:
    version = _version(form) if form.get("version", "").strip() else None
    return RollBack(**_common(form, by, reason), version=version)  # type: ignore[arg-type]


def _label(form: Form, by: Signature, reason: str) -> Command:
    version = _version(form) if form.get("version", "").strip() else None
    label = form.get("label", "").strip()
    if not label:
        raise InvalidInput("the label is empty; expected a word by which requests ask for the version, e.g. champion")
    return PromoteLabel(**_common(form, by, reason), label=label, version=version)  # type: ignore[arg-type]


def _approve(form: Form, by: Signature, reason: str) -> Command:
    return Approve(**_common(form, by, reason), version=_version(form))  # type: ignore[arg-type]


def _policy(form: Form, by: Signature, reason: str) -> Command:
    rules = tuple(policies.rule_of(line) for line in form.get("rules", "").splitlines() if line.strip())
    return SetPolicy(**_common(form, by, reason), rules=rules)  # type: ignore[arg-type]


def _retire(form: Form, by: Signature, reason: str) -> Command:
    version = _version(form) if form.get("version", "").strip() else None
    fields = {name: value for name, value in _common(form, by, reason).items() if name != "environment"}
    return RetireModel(**fields, version=version)  # type: ignore[arg-type]


_COMMANDS = {
    "deploy": _deploy,
    "traffic": _traffic,
    "rollout": _rollout,
    "rollback": _rollback,
    "label": _label,
    "approve": _approve,
    "policy": _policy,
    "retire": _retire,
}


def _version(form: Form) -> int:
    text = form.get("version", "").strip()
    if not text.isdecimal() or len(text) > MOST_DIGITS:
        raise InvalidInput(f"the version is {text[:40]!r}; expected its number")
    return int(text)


def _percent(number: int, text: str) -> float:
    try:
        return float(text.strip().rstrip("%").replace(",", "."))
    except ValueError:
        raise InvalidInput(f"the share of version {number} is {text[:40]!r}; expected a number of percent") from None
