"""States: stable moments, sketches within their error and with canonical bytes, what is deleted, what overflows."""

import math
import random
import statistics
from collections import Counter
from functools import reduce
from typing import Any

import datasketches
import pytest

from bighead.errors import DefinitionError
from bighead.features.kept import bucketed
from bighead.features.operations import OPERATIONS, Op, checked_args
from bighead.features.state import Operation, State, packed, unpacked
from bighead.features.types import ValueType

EXAMPLES: dict[str, Any] = {"k": 3, "p": (0.25, 0.5, 0.99)}


def built(op: Op, kind: ValueType = ValueType.DOUBLE) -> Operation:
    row = OPERATIONS[op]
    return row.build(kind, {name: EXAMPLES[name] for name in row.args})


def folded(operation: Operation, values: list[Any]) -> State:
    return operation.extend(operation.empty, values, [(at, 0, at, 0) for at in range(len(values))])


def in_parts(operation: Operation, values: list[Any], parts: int) -> State:
    """Folded in parts that are merged, each through its bytes."""
    states = [folded(operation, values[part::parts]) for part in range(parts)]
    read = [unpacked(operation.columns, packed(operation.columns, state)) for state in states]
    return reduce(operation.merge, read, operation.empty)


def test_a_great_mean_does_not_cancel_a_small_variance() -> None:
    noise = [random.Random(7).gauss(0, 1e-3) for _ in range(2_000)]
    values = [1e9 + one for one in noise]
    exact = statistics.pvariance([float(value) - 1e9 for value in values])
    for state in (folded(built(Op.VARIANCE), values), in_parts(built(Op.VARIANCE), values, 40)):
        assert math.isclose(built(Op.VARIANCE).answer(state), exact, rel_tol=1e-6)


@pytest.mark.parametrize("count", [5, 30, 383, 384, 500, 3_000, 50_000])
def test_hll_bytes_depend_on_the_set_alone_and_the_estimate_is_within_its_error(count: int) -> None:
    operation = built(Op.APPROX_UNIQUE_COUNT, ValueType.STRING)
    values = [f"user-{index}" for index in range(count)]
    again = random.Random(1).sample(values * 2, 2 * count)
    state, other = folded(operation, values), in_parts(operation, again, 7)
    assert other[0] == 2 * state[0]
    assert state[1] == other[1]
    assert abs(operation.answer(state) - count) <= max(1, 3 * 0.0163 * count)


def test_percentiles_are_exact_up_to_200_values_and_within_their_rank_error_beyond() -> None:
    operation = built(Op.APPROX_PERCENTILE)
    values = [float(value) for value in random.Random(2).sample(range(100_000), 200)]
    assert folded(operation, values)[1] == in_parts(operation, values[::-1], 9)[1]
    assert operation.answer(folded(operation, values)) == [sorted(values)[index] for index in (49, 99, 197)]
    many = [float(value) for value in range(50_000)]
    for found, rank in zip(operation.answer(in_parts(operation, many, 11)), EXAMPLES["p"], strict=True):
        assert abs(found / 50_000 - rank) <= 2 * 0.0133


def test_frequent_items_are_exact_while_they_fit_and_never_miss_a_heavy_one() -> None:
    operation = built(Op.APPROX_HISTOGRAM_K, ValueType.STRING)
    few = ["a"] * 5 + ["b"] * 3 + ["c"] * 3 + ["d"]
    assert operation.answer(in_parts(operation, few, 3)) == {"a": 5, "b": 3, "c": 3}
    assert folded(operation, few)[1] == folded(operation, few[::-1])[1]
    many = [f"rare-{index}" for index in range(5_000)] + ["heavy"] * 2_000
    random.Random(3).shuffle(many)
    assert "heavy" in operation.answer(in_parts(operation, many, 5))


@pytest.mark.parametrize("size", [1, 5, 25, 1_000])
def test_bounds_of_frequent_items_hold_the_true_counts_through_every_purge(size: int) -> None:
    operation = built(Op.APPROX_HISTOGRAM_K, ValueType.STRING)
    chosen = random.Random(4)
    rare = [f"rare-{index}" for index in range(25)]  # the last of so many makes a purge take all away
    values = [*rare, *rare, *(f"t{chosen.randrange(chosen.randrange(1, 3_000))}" for _ in range(3_000)), *rare]
    steps = [values[start : start + size] for start in range(0, len(values), size)]
    stepped = reduce(
        lambda state, step: operation.extend(state, step, [(0, 0, 0, 0)] * len(step)), steps, operation.empty
    )
    emptied, one = folded(operation, rare), folded(operation, ["a", "a"])
    for state, met in [
        (stepped, values),
        (in_parts(operation, values, size), values),
        (emptied, rare),
        (operation.merge(emptied, emptied), rare * 2),
        (operation.merge(emptied, one), [*rare, "a", "a"]),
        (operation.merge(one, emptied), [*rare, "a", "a"]),
    ]:
        sketch = datasketches.frequent_strings_sketch.deserialize(state[1])
        assert sketch.total_weight == state[0] == len(met)
        for text, count in Counter(met).items():
            assert sketch.get_lower_bound(text) <= count <= sketch.get_upper_bound(text)


@pytest.mark.parametrize("op", [Op.COUNT, Op.SUM, Op.AVERAGE, Op.HISTOGRAM])
@pytest.mark.parametrize("by_bucket", [False, True])
def test_what_is_deleted_is_as_if_it_had_never_been(op: Op, by_bucket: bool) -> None:
    inner = built(op, ValueType.LONG)
    operation = bucketed(inner) if by_bucket else inner
    assert operation.delete is not None
    given = [("x", 5), ("y", 7), ("x", 9)] if by_bucket else [5, 7, 9]
    state = folded(operation, given)
    for value in given[1:]:
        state = operation.delete(state, value, (9, 0, 9, 0))
    assert operation.answer(state) == operation.answer(folded(operation, given[:1]))
    nothing = operation.delete(state, given[0], (9, 0, 10, 0))
    assert operation.answer(nothing) == operation.answer(operation.empty)


def test_a_sum_that_leaves_64_bits_is_refused() -> None:
    operation = built(Op.SUM, ValueType.LONG)
    with pytest.raises(OverflowError, match="does not fit in 64 bits"):
        operation.extend(operation.empty, [2**62, 2**62], [(1, 0, 1, 0), (2, 0, 2, 0)])


@pytest.mark.parametrize("op", [Op.SUM, Op.AVERAGE, Op.VARIANCE, Op.KURTOSIS])
def test_an_answer_that_does_not_fit_in_a_double_is_null(op: Op) -> None:
    operation = built(op)
    assert operation.answer(folded(operation, [1.7e308, 1.7e308, -1.7e308, 1.7e308])) is None


@pytest.mark.parametrize(
    ("op", "args", "message"),
    [
        (Op.LAST_K, {}, r"LAST_K needs k, for example args={'k': 3}"),
        (Op.LAST_K, {"k": 0}, "k is 0; expected a whole number from 1 to 1000"),
        (Op.SUM, {"k": 3}, "SUM takes no arguments; received k"),
        (Op.APPROX_PERCENTILE, {"p": [1.5]}, r"p is \[1.5\]; expected a list of ranks from 0 to 1"),
    ],
)
def test_wrong_arguments_are_named(op: Op, args: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        checked_args(op, args)


def test_every_operation_has_a_row_that_builds_for_each_of_its_inputs() -> None:
    assert set(OPERATIONS) == set(Op)
    for op, row in OPERATIONS.items():
        for kind in row.inputs:
            operation = built(op, kind)
            assert operation.columns[0].name == "n"
            assert operation.answer(operation.empty) == (0 if op is Op.COUNT else None)
            assert bucketed(operation).answer(bucketed(operation).empty) is None
