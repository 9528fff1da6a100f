"""Whether a version may answer in an environment, by the rules that it has: all that is missing, at once. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bighead.errors import CommandRefused
from bighead.events.types import ModelRecord, PolicyRule
from bighead.registry.policies import REQUIRED, Policies, told
from bighead.registry.state import ModelState, Version


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule as people write it, and all that a version lacks to keep it; nothing: it does."""

    rule: str
    missing: tuple[str, ...]


def verdicts(state: ModelState, environment: str, version: Version) -> tuple[Verdict, ...]:
    """What each rule of the environment says of the version, in their order."""
    rules = state.slot(environment).policy
    return tuple(Verdict(told(rule), tuple(_broken(state, environment, version, rule))) for rule in rules)


def check_policy(state: ModelState, environment: str, version: Version) -> None:
    """Raises CommandRefused that names each rule which the version does not keep, and what is missing.

    The version that is live there is not asked again: a rule that is set later does not take anything out of use.
    """
    if version.number == state.slot(environment).live:
        return
    found = verdicts(state, environment, version)
    broken = [f"{verdict.rule}: {why}" for verdict in found for why in verdict.missing]
    if broken:
        raise CommandRefused(
            f"the policy of {environment} keeps version {version.number} of {state.name!r} from answering there: "
            f"{'; '.join(broken)}"
        )


def check_required(policies: Policies, record: ModelRecord) -> None:
    """Raises CommandRefused that lists the fields which the policy of any environment requires and the record lacks."""
    lacking: dict[str, list[str]] = {}
    for environment, rules in sorted(policies.items()):
        for field in dict.fromkeys(field for rule in rules if rule.kind == REQUIRED for field in rule.fields):
            if not is_filled(record, field):
                lacking.setdefault(field, []).append(environment)
    if lacking:
        named = ", ".join(f"{field} (required in {' and '.join(places)})" for field, places in lacking.items())
        raise CommandRefused(f"the record lacks what the model's policy requires: {named}; fill it, then register it")


def is_filled(record: ModelRecord, field: str) -> bool:
    """Whether a record says something in a field, or within one: `metrics.auc`, `attachments.model_card`."""
    name, *path = field.split(".")
    value = _plain(getattr(record, name, None))  # of a later release: what nobody here can fill is not filled
    for part in path:
        value = _plain(_within(value, part))
    if path or not name.endswith("_ms"):
        return value is not None and value not in ("", (), [], {})
    return bool(value)  # nothing was trained in 1970


def _broken(state: ModelState, environment: str, version: Version, rule: PolicyRule) -> Iterator[str]:
    match rule.kind:
        case "approvals":
            given = [stamp.actor for stamp in state.slot(environment).approvals.get(version.number, ())]
            if len(given) < rule.count:
                by = f" ({', '.join(given)})" if given else ""
                yield f"it has {len(given)} of {rule.count} approvals{by}, {rule.count - len(given)} missing"
        case "parity":
            yield from _differing(version.record, rule)
        case "metric_not_worse":
            yield from _worse(state, environment, version, rule)
        case "required":
            missing = [field for field in rule.fields if not is_filled(version.record, field)]
            if missing:
                yield f"its record lacks {', '.join(missing)}"
        case "lived_in":
            if version.number not in state.slot(rule.environment).lived:
                yield f"it was never live in {rule.environment}; deploy it there first"
        case _:  # of a later release: what nobody here can check is not kept
            yield "this release does not know the rule"


def _differing(record: ModelRecord, rule: PolicyRule) -> Iterator[str]:
    measured = _plain(record.parity)
    difference, tolerance = (_within(measured, name) for name in ("max_abs_diff", "tolerance"))
    bound = tolerance if rule.at_most is None else rule.at_most
    if not isinstance(difference, int | float) or not isinstance(bound, int | float) or not difference <= bound:
        yield f"the model differs from the trained pipeline by {difference}"


def _worse(state: ModelState, environment: str, version: Version, rule: PolicyRule) -> Iterator[str]:
    """Compared with the live version, where both say that they were tested on the same data."""
    live = None if (number := state.slot(environment).live) is None else state.version(number)
    if live is None:
        return
    mine, its = version.record.metrics.get(rule.metric), live.record.metrics.get(rule.metric)
    for who, value in ((version, mine), (live, its)):
        if value is None:
            known = ", ".join(sorted(who.record.metrics)) or "none"
            yield f"version {who.number} has no metric {rule.metric!r}; its metrics are: {known}"
    data = _tested_on(version.record)
    if not data or data != _tested_on(live.record):
        yield (
            f"it is not known to be tested on the same data as version {live.number}, which is live "
            f"(training_data.test is {_shown(data)} and {_shown(_tested_on(live.record))})"
        )
    if mine is None or its is None:
        return
    loss = its - mine if rule.higher_is_better else mine - its
    if not loss <= rule.tolerance:  # NaN is worse than anything
        yield f"{rule.metric} is {mine:g}, and that of version {live.number}, which is live, {its:g}"


def _tested_on(record: ModelRecord) -> Any:
    return _within(_plain(record.training_data), "test")


def _shown(data: Any) -> str:
    return json.dumps(data, sort_keys=True) if data else "empty"


def _within(value: Any, part: str) -> Any:
    """An entry of an object by its name, or of a list of objects the first with that name or kind."""
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return next((one for one in value if part in (getattr(one, "kind", ""), getattr(one, "name", ""))), None)
    return None


def _plain(value: Any) -> Any:
    """What a text of JSON says; anything else as it is."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value.strip() if isinstance(value, str) else value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
