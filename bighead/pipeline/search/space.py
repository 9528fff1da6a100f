"""What a search may choose from: numbers within bounds, and choices. Pure; Optuna's distributions follow from it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bighead.errors import ModelError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Plain = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Real:
    """A real number from `low` to `high`; `log`: as likely between 0.001 and 0.01 as between 0.1 and 1."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log)


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`, both included; `log` as for Real."""

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values that have no order."""

    values: tuple[Plain, ...]

    def __post_init__(self) -> None:
        if not self.values or not all(isinstance(value, Plain) for value in self.values):
            raise ModelError(
                f"a choice among {self.values!r}; expected plain values: numbers, texts, true, false, None"
            )


Space = Mapping[str, Real | Whole | Choice]


def distributions(space: Space) -> "dict[str, BaseDistribution]":
    """The space as Optuna's distributions; raises ModelError for an empty one."""
    from optuna import distributions as optuna

    if not space:
        raise ModelError("the space of the search is empty; name at least one parameter with Real, Whole or Choice")
    found: dict[str, BaseDistribution] = {}
    for name, range_ in space.items():
        match range_:
            case Real(low, high, log):
                found[name] = optuna.FloatDistribution(low, high, log)
            case Whole(low, high, log):
                found[name] = optuna.IntDistribution(low, high, log)
            case Choice(values):
                found[name] = optuna.CategoricalDistribution(values)
            case other:
                raise ModelError(f"parameter {name!r} is {other!r}; expected Real, Whole or Choice")
    return found


def document(space: Space) -> dict[str, Any]:
    """The space as JSON can hold it."""
    return {name: {"kind": type(range_).__name__.lower(), **asdict(range_)} for name, range_ in space.items()}


def _check_bounds(low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ModelError(f"bounds from {low} to {high}; expected two finite numbers, the lower first")
    if log and low <= 0:
        raise ModelError(f"bounds from {low} on a logarithmic scale; expected a number above 0")
