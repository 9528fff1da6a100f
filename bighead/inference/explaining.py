"""What each input adds to a model's answer for one row: Shapley values, over orders in which the inputs are revealed.

An input that is not revealed takes its values from background rows, and the answers are averaged. What an input adds
is the mean, over the orders, of how the answer moves when it is revealed (Štrumbelj and Kononenko, "Explaining
prediction models and individual predictions with feature contributions", 2014). Orders are drawn together with their
reverses (antithetic; Mitchell et al., "Sampling Permutations for Shapley Value Estimation", JMLR 23, 2022), which is
exact for models whose inputs interact in pairs at the most. Pure; knows a model by what it does.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations as all_orders

import numpy as np
from numpy.typing import NDArray

from bighead.errors import InvalidInput, ModelError
from bighead.inference.datatypes import Array
from bighead.inference.signature import Column

Numbers = NDArray[np.float64]
Revealed = NDArray[np.bool_]
Run = Callable[[Mapping[str, Array]], list[Array]]
_MANY = 20
"""Of so many inputs there are more orders than anybody draws."""


@dataclass(frozen=True, eq=False)
class Contributions:
    """base: [k], what the background is answered on average; values, standard_errors: [inputs, k]. k: output columns.

    Base and values add up to the answer. standard_errors: of the drawing of orders; 0 where all orders were taken.
    """

    base: Numbers
    values: Numbers
    standard_errors: Numbers


@dataclass(frozen=True, eq=False)
class Orders:
    """inputs: [permutations, inputs], the places of the inputs in the order in which they are revealed.

    are_all: whether there are no others; else the second half are the first half reversed.
    """

    inputs: NDArray[np.intp]
    are_all: bool

    @property
    def permutations(self) -> int:
        """How many orders."""
        return len(self.inputs)

    @property
    def coalitions(self) -> int:
        """How many sets of revealed inputs have to be answered: none of them, and those before all in each order."""
        return _coalitions(self.inputs.shape[1], self.permutations)

    @cached_property
    def _ranks(self) -> NDArray[np.intp]:
        return np.argsort(self.inputs, axis=1)

    def revealed(self, start: int, stop: int) -> Revealed:
        """[stop - start, inputs]: which inputs are revealed in these coalitions; in the first of all, none."""
        steps = self.inputs.shape[1] - 1
        place = np.arange(start, stop) - 1
        order, before = np.divmod(np.maximum(place, 0), max(1, steps))
        known = np.where(place < 0, 0, before + 1)
        return self._ranks[order] < known[:, None]

    def contributions(self, worths: Numbers, answer: Numbers) -> Contributions:
        """From what the coalitions are worth, [coalitions, k] (see `worth`), and the row's own answer, [k]."""
        permutations, inputs = self.inputs.shape
        path = np.empty((permutations, inputs + 1, len(answer)))
        path[:, 0], path[:, inputs] = worths[0], answer
        path[:, 1:inputs] = worths[1:].reshape(permutations, inputs - 1, len(answer))
        gains = np.empty((permutations, inputs, len(answer)))
        np.put_along_axis(gains, self.inputs[:, :, None], np.diff(path, axis=1), axis=1)
        return Contributions(worths[0], gains.mean(axis=0), self._standard_errors(gains))

    def _standard_errors(self, gains: Numbers) -> Numbers:
        """Of means over pairs of an order and its reverse, which were drawn independently of each other."""
        if self.are_all:
            return np.zeros(gains.shape[1:])
        pairs = self.permutations // 2
        means = (gains[:pairs] + gains[pairs:]) / 2
        return np.asarray(means.std(axis=0, ddof=1) / math.sqrt(pairs), np.float64)


def orders(inputs: int, permutations: int, seed: int) -> Orders:
    """So many orders (even, 4 or more), the same for the same seed and NumPy; all there are where these are no more."""
    if math.factorial(min(inputs, _MANY)) <= permutations:
        return Orders(np.array(list(all_orders(range(inputs))), np.intp), are_all=True)
    places = np.tile(np.arange(inputs), (permutations // 2, 1))
    drawn = np.random.default_rng(seed).permuted(places, axis=1)
    return Orders(np.concatenate([drawn, drawn[:, ::-1]]), are_all=False)


def model_rows(inputs: int, permutations: int, background: int) -> int:
    """The rows that a model computes for the contributions to one answer."""
    return _coalitions(inputs, _drawn(inputs, permutations)) * background


def worth(
    run: Run,
    inputs: Sequence[Column],
    outputs: Sequence[Column],
    row: Mapping[str, Array],
    background: Mapping[str, Array],
    revealed: Revealed,
) -> Numbers:
    """[coalitions, k]: the mean answers where the revealed inputs are the row's and the others the background's.

    All of it is one run, of as many rows as coalitions times background rows. Raises as `explained_numbers` does.
    """
    rows = len(background[inputs[0].name])
    tensors = {
        column.name: _mixed(row[column.name], background[column.name], revealed[:, place])
        for place, column in enumerate(inputs)
    }
    found = explained_numbers(outputs, run(tensors))
    numbers = np.stack(list(found.values()), axis=1)
    return np.asarray(numbers.reshape(len(revealed), rows, -1).mean(axis=1), np.float64)


def explained_numbers(outputs: Sequence[Column], arrays: Sequence[Array]) -> dict[str, Numbers]:
    """What is explained of the answers to some rows: the floating-point outputs, a column for each of their values.

    Raises ModelError where a model has none, and InvalidInput for answers that are no finite numbers.
    """
    found: dict[str, Numbers] = {}
    for column, array in zip(outputs, arrays, strict=True):
        if column.dtype.kind != "f":
            continue
        numbers = array.reshape(len(array), -1).astype(np.float64)
        if not np.isfinite(numbers).all():
            raise InvalidInput(
                f"output {column.name!r} is not a finite number for these values, or for a mix of them with golden "
                "rows: what adds up to it cannot be told; ask for the prediction alone"
            )
        found |= zip(column.names(numbers.shape[1]), numbers.T, strict=True)
    if not found:
        kinds = ", ".join(f"{column.name} ({column.datatype})" for column in outputs)
        raise ModelError(f"the model answers {kinds}; floating-point outputs alone are sums of contributions")
    return found


def _mixed(value: Array, background: Array, revealed: Revealed) -> Array:
    """[coalitions * background rows, ...] of one input."""
    chosen = revealed.reshape(-1, *[1] * background.ndim)
    return np.asarray(np.where(chosen, value, background).reshape(-1, *background.shape[1:]))


def _drawn(inputs: int, permutations: int) -> int:
    return min(permutations, math.factorial(min(inputs, _MANY)))


def _coalitions(inputs: int, permutations: int) -> int:
    return 1 + permutations * (inputs - 1)
