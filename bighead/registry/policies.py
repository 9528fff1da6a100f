"""The rules that an environment has for the versions which answer there: how people write them, and which make sense.

Pure. One way to write a rule, for the command line, the file of defaults and what is shown:
`approvals=2`, `parity`, `parity<=0.0001`, `auc>=live-0.005`, `log_loss<=live+0.01`,
`required=code_version,metrics.auc`, `lived_in=staging`.
"""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType

from bighead.errors import CommandRefused, InvalidInput
from bighead.events.types import ModelRecord, PolicyRule
from bighead.registry.checks import check_environment
from bighead.registry.suggestions import did_you_mean

APPROVALS, PARITY, NOT_WORSE = "approvals", "parity", "metric_not_worse"
REQUIRED, LIVED_IN = "required", "lived_in"
KINDS = (APPROVALS, PARITY, NOT_WORSE, REQUIRED, LIVED_IN)
EXAMPLES = (
    "approvals=2, parity<=0.0001, auc>=live-0.005, log_loss<=live, required=code_version,config, lived_in=staging"
)
Policies = Mapping[str, tuple[PolicyRule, ...]]
"""Rules by environment."""
NO_POLICIES: Policies = MappingProxyType({})
MOST_RULES = 50
_METRIC = re.compile(r"([^<>=\s]+)(<=|>=)live(?:([+-])([0-9.eE+-]+))?")
_FIELDS = frozenset(field.name for field in fields(ModelRecord))


def rule_of(text: str) -> PolicyRule:
    """The rule that a text such as `approvals=2` means; raises InvalidInput."""
    rule = _parsed("".join(text.split()))
    if rule is None:
        raise InvalidInput(f"{text!r} is no rule of a policy; expected one such as {EXAMPLES}")
    try:
        check_rule(rule)
    except CommandRefused as error:
        raise InvalidInput(str(error)) from None
    return rule


def told(rule: PolicyRule) -> str:
    """The text that `rule_of` reads."""
    match rule.kind:
        case "approvals":
            return f"{APPROVALS}={rule.count}"
        case "parity":
            return PARITY if rule.at_most is None else f"{PARITY}<={rule.at_most!r}"
        case "required":
            return f"{REQUIRED}={','.join(rule.fields)}"
        case "lived_in":
            return f"{LIVED_IN}={rule.environment}"
    sign, slack = (">=", "-") if rule.higher_is_better else ("<=", "+")
    return f"{rule.metric}{sign}live" + (f"{slack}{rule.tolerance!r}" if rule.tolerance else "")


def policies_from_toml(text: str) -> dict[str, tuple[PolicyRule, ...]]:
    """The rules of each environment that a file lists: `production = ["approvals=2", ...]`. Raises InvalidInput."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInput(f"it is not TOML: {error}") from None
    found = {}
    for environment, rules in document.items():
        if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
            raise InvalidInput(f'{environment} is {rules!r}; expected a list of rules, for example ["approvals=2"]')
        try:
            check_environment(environment)
            found[environment] = tuple(rule_of(rule) for rule in rules)
            check_rules(environment, found[environment])
        except (InvalidInput, CommandRefused) as error:
            raise InvalidInput(f"{environment}: {error}") from None
    return found


def check_rules(environment: str, rules: Sequence[PolicyRule]) -> None:
    """Raises CommandRefused that names the first rule which makes no sense in the environment, and why."""
    if len(rules) > MOST_RULES:
        raise CommandRefused(f"the policy has {len(rules)} rules; at most {MOST_RULES} are kept")
    for rule in rules:
        check_rule(rule)
        if rule.kind == LIVED_IN and rule.environment == environment:
            raise CommandRefused(
                f"the rule {told(rule)} is that of {environment} itself, so that nothing could ever answer there; "
                "name another environment"
            )


def check_rule(rule: PolicyRule) -> None:
    """Raises CommandRefused where the rule makes no sense."""
    match rule.kind:
        case "approvals":
            if rule.count < 1:
                raise CommandRefused(f"the rule {told(rule)} asks for {rule.count} approvals; expected 1 or more")
        case "parity":
            if rule.at_most is not None and not (math.isfinite(rule.at_most) and rule.at_most >= 0):
                raise CommandRefused(f"the rule {told(rule)} has no bound; expected a number that is not negative")
        case "metric_not_worse":
            if not rule.metric.strip() or not (math.isfinite(rule.tolerance) and rule.tolerance >= 0):
                raise CommandRefused(
                    f"the rule {told(rule)} compares {rule.metric!r} with a tolerance of {rule.tolerance!r}; expected "
                    "the name of a metric and a number that is not negative"
                )
        case "required":
            _check_fields(rule)
        case "lived_in":
            check_environment(rule.environment)
        case _:
            raise CommandRefused(
                f"{rule.kind!r} is no kind of rule{did_you_mean(rule.kind, KINDS)}; there are {', '.join(KINDS)}"
            )


def _check_fields(rule: PolicyRule) -> None:
    if not rule.fields:
        raise CommandRefused(f"the rule {REQUIRED} names no field of the record; expected for example config")
    for field in rule.fields:
        first = field.partition(".")[0]
        if first not in _FIELDS or not all(field.split(".")):
            raise CommandRefused(
                f"the rule {told(rule)} asks for {field!r}, which is no field of a record{did_you_mean(first, _FIELDS)}"
            )


def _parsed(text: str) -> PolicyRule | None:
    name, sign, value = text.partition("=")
    if text == PARITY:
        return PolicyRule(kind=PARITY)
    if text.startswith(f"{PARITY}<="):
        bound = _number(text.removeprefix(f"{PARITY}<="))
        return None if bound is None else PolicyRule(kind=PARITY, at_most=bound)
    if name == APPROVALS and value.isdecimal():
        return PolicyRule(kind=APPROVALS, count=int(value))
    if name == REQUIRED and sign:
        return PolicyRule(kind=REQUIRED, fields=tuple(filter(None, value.split(","))))
    if name == LIVED_IN and value:
        return PolicyRule(kind=LIVED_IN, environment=value)
    return _compared(text)


def _compared(text: str) -> PolicyRule | None:
    match = _METRIC.fullmatch(text)
    if match is None:
        return None
    metric, sign, slack, number = match.groups()
    tolerance = 0.0 if number is None else _number(number)
    if tolerance is None or (slack is not None and slack != ("-" if sign == ">=" else "+")):
        return None
    return PolicyRule(kind=NOT_WORSE, metric=metric, higher_is_better=sign == ">=", tolerance=tolerance)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
