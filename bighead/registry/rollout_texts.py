"""How people write the stages and rules of a roll-out, for the command line and the console. Pure."""

import re

from bighead.errors import InvalidInput
from bighead.events.types import RolloutRule, RolloutStage

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_RULE = re.compile(r"\s*([^<>=\s]+)\s*(<=|>=)\s*(\S+)\s*")


def stages_of(text: str, hold_ms: int, predictions: int) -> list[RolloutStage]:
    """The stages that a text such as 1,10,50,100 names; raises InvalidInput."""
    try:
        percents = [float(percent) for percent in text.split(",")]
    except ValueError:
        raise InvalidInput(f"the stages are {text!r}; expected percents such as 1,10,50,100") from None
    return [RolloutStage(percent=percent, hold_ms=hold_ms, predictions=predictions) for percent in percents]


def rule_of(text: str) -> RolloutRule:
    """The rule of a text such as auc>=0.7; raises InvalidInput."""
    match = _RULE.fullmatch(text)
    try:
        metric, sign, bound = match.groups() if match else ("", "", "")
        number = float(bound)
    except ValueError:
        raise InvalidInput(f"{text!r} is no rule; expected METRIC<=NUMBER or METRIC>=NUMBER, e.g. auc>=0.7") from None
    return RolloutRule(metric=metric, at_most=number) if sign == "<=" else RolloutRule(metric=metric, at_least=number)


def duration_ms(text: str) -> int:
    """The milliseconds of a text such as 10m; raises InvalidInput."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidInput(f"{text!r} is no length of time; expected a number and ms, s, m, h or d, for example 10m")
    return int(match[1]) * _UNITS_MS[match[2]]
