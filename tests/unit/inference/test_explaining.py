"""Contributions add up to the answer, and are Shapley's: compared with the sum over all subsets, and with SHAP."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shap
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.pipeline import make_pipeline

from bighead.errors import InvalidInput, ModelError
from bighead.inference.datatypes import Array
from bighead.inference.explaining import Contributions, Numbers, Run, explained_numbers, model_rows, orders, worth
from bighead.inference.loading import open_file
from bighead.inference.signature import Column
from bighead.pipeline.export import export
from bighead.pipeline.tensors import feature
from bighead.pipeline.training_set import Task

OUTPUT = [Column("y", "FP64", (-1, 1), "request")]
SEED = 7


def columns(kinds: Sequence[str]) -> list[Column]:
    return [Column(f"x{place}", kind, (-1, 1), "request") for place, kind in enumerate(kinds)]


def explain(
    run: Run,
    inputs: Sequence[Column],
    row: Mapping[str, Array],
    background: Mapping[str, Array],
    permutations: int,
    size: int = 7,
    seed: int = SEED,
) -> tuple[Contributions, Numbers]:
    """The contributions to the one output, in runs of `size` coalitions, and the answer."""
    drawn = orders(len(inputs), permutations, seed)
    worths = [
        worth(run, inputs, OUTPUT, row, background, drawn.revealed(start, min(start + size, drawn.coalitions)))
        for start in range(0, drawn.coalitions, size)
    ]
    answer = explained_numbers(OUTPUT, run(row))["y"]
    assert sum(map(len, worths)) * len(background["x0"]) == model_rows(len(inputs), permutations, len(background["x0"]))
    return drawn.contributions(np.concatenate(worths), answer), answer


def by_all_subsets(
    run: Run, inputs: Sequence[Column], row: Mapping[str, Array], background: Mapping[str, Array]
) -> list[float]:
    """Shapley's formula as it is written, one model row after the other."""
    names = [column.name for column in inputs]

    @cache
    def value(known: frozenset[str]) -> float:
        answers = []
        for place in range(len(background["x0"])):
            mixed = {name: row[name] if name in known else background[name][place : place + 1] for name in names}
            answers.append(float(run(mixed)[0].item()))
        return math.fsum(answers) / len(answers)

    found = []
    for name in names:
        others = [other for other in names if other != name]
        total = 0.0
        for size in range(len(others) + 1):
            weight = math.factorial(size) * math.factorial(len(others) - size) / math.factorial(len(names))
            for known in map(frozenset, combinations(others, size)):
                total += weight * (value(known | {name}) - value(known))
        found.append(total)
    return found


class Interacting:
    """The sum of products of some inputs; a text counts by its length."""

    def __init__(self, terms: Sequence[tuple[float, Sequence[int]]]) -> None:
        self._terms = terms

    def __call__(self, tensors: Mapping[str, Array]) -> list[Array]:
        numbers = [_numbers(tensors[f"x{place}"]) for place in range(len(tensors))]
        total = np.zeros(len(numbers[0]))
        for factor, places in self._terms:
            total += factor * np.prod([numbers[place] for place in places], axis=0)
        return [total[:, None]]


def _numbers(array: Array) -> NDArray[np.float64]:
    flat = array.ravel()
    return np.array([len(str(text)) for text in flat] if flat.dtype == object else flat, np.float64)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "FP64": st.floats(-8, 8, width=16),
    "FP32": st.floats(-8, 8, width=16),
    "INT64": st.integers(-5, 5),
    "BOOL": st.booleans(),
    "BYTES": st.text("ab", max_size=4),
}


@st.composite
def cases(
    draw: st.DrawFn, least: int, most: int, together: int
) -> tuple[Interacting, list[Column], Mapping[str, Array], Mapping[str, Array]]:
    """A model of so many inputs, at most `together` of which interact; a row and background rows."""
    inputs = columns(draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=least, max_size=most)))
    rows = draw(st.integers(1, 3))
    places = st.lists(st.integers(0, len(inputs) - 1), min_size=1, max_size=together, unique=True)
    model = Interacting(draw(st.lists(st.tuples(st.floats(-3, 3, width=16), places), min_size=1, max_size=6)))

    def tensors(count: int) -> dict[str, Array]:
        return {
            column.name: np.array(
                draw(st.lists(VALUES[column.datatype], min_size=count, max_size=count)), column.dtype
            ).reshape(-1, 1)
            for column in inputs
        }

    return model, inputs, tensors(1), tensors(rows)


@settings(max_examples=50, deadline=None)
@given(cases(least=1, most=5, together=5))
def test_all_orders_give_the_sum_over_all_subsets(case: Any) -> None:
    model, inputs, row, background = case
    found, answer = explain(model, inputs, row, background, permutations=120)
    np.testing.assert_allclose(found.values[:, 0], by_all_subsets(model, inputs, row, background), atol=1e-9)
    np.testing.assert_allclose(found.base + found.values.sum(axis=0), answer, rtol=1e-12, atol=1e-9)
    assert not found.standard_errors.any()


@settings(max_examples=30, deadline=None)
@given(cases(least=6, most=7, together=2))
def test_two_pairs_of_orders_are_exact_where_inputs_interact_in_pairs(case: Any) -> None:
    model, inputs, row, background = case
    found, _ = explain(model, inputs, row, background, permutations=4)
    np.testing.assert_allclose(found.values[:, 0], by_all_subsets(model, inputs, row, background), atol=1e-8)
    assert found.standard_errors.max() < 1e-8


@settings(max_examples=50, deadline=None)
@given(cases(least=6, most=12, together=12), st.sampled_from([4, 6, 32]))
def test_base_and_contributions_add_up_to_the_answer_whatever_was_drawn(case: Any, permutations: int) -> None:
    model, inputs, row, background = case
    found, answer = explain(model, inputs, row, background, permutations)
    scale = 1e-12 * max(1.0, float(np.abs(found.values).sum() + np.abs(answer).max()))
    np.testing.assert_allclose(found.base + found.values.sum(axis=0), answer, rtol=0, atol=scale)
    np.testing.assert_allclose(found.base[0], np.mean(model(background)[0]), rtol=1e-12, atol=scale)


def test_what_is_drawn_is_off_by_as_much_as_it_says() -> None:
    generator = np.random.default_rng(1)
    inputs = columns(["FP64"] * 8)
    model = Interacting([(1.0, [0, 1, 2]), (2.0, [3, 4, 5, 6]), (-1.0, [7, 0, 3])])
    row, background = ({column.name: generator.normal(size=(count, 1)) for column in inputs} for count in (1, 4))
    wanted = np.array(by_all_subsets(model, inputs, row, background))
    seeds = [explain(model, inputs, row, background, 16, size=1000, seed=seed)[0] for seed in range(300)]
    spread = np.std([found.values[:, 0] for found in seeds], axis=0)
    said = np.sqrt(np.mean([found.standard_errors[:, 0] ** 2 for found in seeds], axis=0))
    np.testing.assert_allclose(said, spread, rtol=0.2)
    few, many = (explain(model, inputs, row, background, count)[0] for count in (32, 1000))
    off = np.abs(many.values[:, 0] - wanted)
    assert 0 < off.max() < 4 * many.standard_errors.max()
    assert many.standard_errors.max() < few.standard_errors.max() / 3
    again = explain(model, inputs, row, background, 32, size=1000)[0]
    np.testing.assert_array_equal(again.values, few.values)


def test_the_contributions_of_a_linear_model_are_its_weights_times_the_distance_from_the_mean() -> None:
    weights, inputs = np.linspace(-2, 3, 30), columns(["FP64"] * 30)
    model = Interacting([(weight, [place]) for place, weight in enumerate(weights)])
    generator = np.random.default_rng(2)
    row, background = ({column.name: generator.normal(size=(count, 1)) for column in inputs} for count in (1, 5))
    found, _ = explain(model, inputs, row, background, permutations=4)
    moved = [row[column.name][0, 0] - background[column.name].mean() for column in inputs]
    np.testing.assert_allclose(found.values[:, 0], weights * moved, atol=1e-12)


def test_trees_in_onnx_are_explained_as_shap_explains_them_by_the_same_background(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    rows = pd.DataFrame(generator.integers(0, 9, size=(300, 4)), columns=["a", "b", "c", "d"]).astype(float)
    label = rows["a"] * rows["b"] - 5 * (rows["c"] > 4) * rows["d"] + rows["a"]
    trees = GradientBoostingRegressor(n_estimators=30, random_state=0)
    path = tmp_path / "model.onnx"
    path.write_bytes(export(make_pipeline(trees).fit(rows, label), [feature(name) for name in rows], Task.REGRESSION))
    opened = open_file(path)
    drawn = orders(4, 32, SEED)
    assert (drawn.permutations, drawn.are_all) == (24, True)
    row, background = ({name: part[[name]].to_numpy() for name in rows} for part in (rows.iloc[:1], rows.iloc[1:11]))
    worths = worth(opened.run, opened.inputs, opened.outputs, row, background, drawn.revealed(0, drawn.coalitions))
    (answer,) = explained_numbers(opened.outputs, opened.run(row)).values()
    found = drawn.contributions(worths, answer)
    explainer = shap.TreeExplainer(trees, rows.iloc[1:11].to_numpy(), feature_perturbation="interventional")
    np.testing.assert_allclose(found.values[:, 0], explainer.shap_values(rows.iloc[:1].to_numpy())[0], atol=1e-4)
    np.testing.assert_allclose(found.base, explainer.expected_value, atol=1e-4)
    assert np.abs(found.values).max() > 1


def test_no_floating_output_and_no_number_are_refused_with_what_to_do() -> None:
    label = Column("label", "INT64", (-1, 1), "request")
    with pytest.raises(ModelError, match=r"the model answers label \(INT64\); floating-point outputs alone"):
        explained_numbers([label], [np.array([[1]])])
    with pytest.raises(InvalidInput, match=r"output 'y' is not a finite number .* ask for the prediction alone"):
        explained_numbers(OUTPUT, [np.array([[1.0], [math.nan]])])
    both = explained_numbers([label, Column("p", "FP32", (-1, 2), "request")], [np.array([[1]]), np.ones((1, 2), "f4")])
    assert list(both) == ["p[0]", "p[1]"]
