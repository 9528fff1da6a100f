"""Mean and central moments that are merged without cancellation: VARIANCE, STDDEV, SKEW, KURTOSIS.

Pure. Updates and merges are those of Welford, Chan and Pébay (Formulas for robust, one-pass parallel computation of
covariances and arbitrary-order statistical moments, 2008). All are of the population; kurtosis is the excess over 3.
"""

import math
from collections.abc import Callable

from bighead.features.state import COUNTED, Operation, Order, State, one_by_one, primitive
from bighead.features.types import ValueType


def moments(order: int, answer: Callable[[State], float]) -> Operation:
    """An operation on the first `order` moments: n, the mean, and the sums of powers of the distances from it."""
    names = ["mean", *(f"m{power}" for power in range(2, order + 1))]

    def update(state: State, value: float, place: Order) -> State:
        return merged(state, (1, float(value), *([0.0] * (order - 1))))

    return Operation(
        columns=(COUNTED, *(primitive(name, ValueType.DOUBLE) for name in names)),
        result=ValueType.DOUBLE,
        update=update,
        merge=merged,
        answer=lambda state: _finite(answer, state),
        extend=one_by_one(update),
    )


def merged(left: State, right: State) -> State:
    """The moments of both; as many as the states have."""
    if not left[0]:
        return right
    if not right[0]:
        return left
    n_left, n_right = left[0], right[0]
    n = n_left + n_right
    delta = right[1] - left[1]
    step = delta / n
    state: State = (n, left[1] + step * n_right)
    product = delta * step * n_left * n_right
    state += (left[2] + right[2] + product,)
    if len(left) > 3:
        cross = 3.0 * step * (n_left * right[2] - n_right * left[2])
        state += (left[3] + right[3] + product * step * (n_left - n_right) + cross,)
    if len(left) > 4:
        squares = 6.0 * step * step * (n_left * n_left * right[2] + n_right * n_right * left[2])
        cross = 4.0 * step * (n_left * right[3] - n_right * left[3])
        own = product * step * step * (n_left * n_left - n_left * n_right + n_right * n_right)
        state += (left[4] + right[4] + own + squares + cross,)
    return state


def _finite(answer: Callable[[State], float], state: State) -> float | None:
    if not state[0] or not all(map(math.isfinite, state[1:])):
        return None
    try:
        value = answer(state)
    except (ZeroDivisionError, OverflowError):  # skew and kurtosis of equal values
        return None
    return value if math.isfinite(value) else None


def variance(state: State) -> float:
    """Of the population."""
    return float(state[2] / state[0])


def skew(state: State) -> float:
    """Of the population: sqrt(n) m3 / m2^(3/2)."""
    return float(math.sqrt(state[0]) * state[3] / math.sqrt(state[2]) ** 3)


def kurtosis(state: State) -> float:
    """The excess kurtosis of the population: n m4 / m2^2 - 3."""
    return float(state[0] * state[4] / (state[2] * state[2]) - 3.0)
