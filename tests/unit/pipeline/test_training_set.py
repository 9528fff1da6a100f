"""A training set says what is wrong with its rows by name; a split at a time does not see the future."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bighead.errors import ModelError
from bighead.pipeline import RandomSplitWarning, TrainingSet, at_random, by_time, feature, request
from bighead.pipeline.checks import check
from bighead.pipeline.data_report import data_report
from bighead.pipeline.reports.evaluation import evaluate
from bighead.pipeline.reports.explain import explain
from bighead.pipeline.search import search
from bighead.pipeline.segments import train_segments

ROWS = 10
INPUTS = (request("carrier", "BYTES"), feature("delay"))


def training_set(**options: Any) -> TrainingSet:
    """Asked at 0, 10 and so on; known 15 later."""
    rows = pd.DataFrame(
        {
            "carrier": ["AA", None] * 5,
            "delay": [1.5, np.nan] * 5,
            "late": [True, False] * 5,
            "asked_ms": np.arange(ROWS) * 10,
            "known_ms": np.arange(ROWS) * 10 + 15,
            "day": pd.date_range("2026-01-01", periods=ROWS, tz="UTC"),
            "tags": [None, ["a", "b"]] * 5,
            "beyond": np.full(ROWS, 4_000_000_000_000_000_000),
        }
    )
    given = {"name": "flights", "rows": rows, "inputs": INPUTS, "label": "late"} | options
    return TrainingSet(**given)


TWICE = pd.DataFrame([["AA", 1.0, 2.0, 1]], columns=["carrier", "delay", "delay", "late"])


def asked(part: TrainingSet) -> list[int]:
    return list(part.rows.asked_ms)


def test_the_columns_are_typed_and_in_order_and_truth_is_one() -> None:
    made = training_set()
    assert list(made.columns.columns) == ["carrier", "delay"]
    assert made.columns.carrier.tolist()[:2] == ["AA", ""]
    assert np.isnan(made.columns.delay[1])
    assert made.labels.tolist()[:2] == [1, 0]
    assert len(made.only(np.arange(ROWS) < 3, "few")) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": pd.DataFrame({"late": []})}, "'flights' has no rows; check its time range and filters"),
        ({"label": "delayed"}, "'flights' lacks its label 'delayed'; it has carrier, delay"),
        ({"time": "at", "entities": ("tail",)}, "lacks its time 'at', entities 'tail'"),
        ({"label": "delay"}, "the label 'delay' of 'flights' is null in 5 of 10 rows; leave out those"),
        ({"inputs": ()}, "a model has no input"),
        ({"inputs": (feature("delay"), feature("delay"))}, r"inputs \['delay'\] are named twice"),
        ({"inputs": ("delay",)}, r"'delay' is no input; expected request\(...\)"),
        ({"inputs": (feature("gone"),)}, "'flights' lacks its input 'gone'; it has carrier, delay"),
        ({"rows": np.zeros((2, 2))}, "the rows of 'flights' are ndarray; expected a pandas DataFrame"),
        ({"rows": TWICE}, "the rows of 'flights' have several columns called 'delay'; rename or drop"),
        (
            {"time": "day"},
            r"the time 'day' of 'flights' is datetime64.*dt.as_unit\('ms'\).astype\('int64'\) makes them",
        ),
        ({"known": "delay"}, "the known 'delay' of 'flights' is null in 5 of 10 rows"),
        ({"inputs": (request("tags", "BYTES"),)}, "the column 'tags' of 'flights' holds a list in each row"),
        ({"label": "day"}, "the label 'day' of 'flights' is datetime64.*; expected classes or numbers"),
        ({"time": "beyond"}, "the time 'beyond' of 'flights' is 4000000000000000000 in the row 0; expected milli"),
    ],
    ids=[
        "no rows",
        "no label",
        "no time",
        "null label",
        "no inputs",
        "named twice",
        "a name as input",
        "no such input",
        "no frame",
        "columns of one name",
        "dates as times",
        "null time",
        "lists",
        "dates as labels",
        "nanoseconds as time",
    ],
)
def test_what_is_wrong_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        training_set(**options)


@pytest.mark.parametrize(
    ("datatype", "values", "received"),
    [
        ("INT64", [1.0, 5.5], "5.5 in the row 1, as one of 1 of 2 rows"),
        ("INT64", np.array([1, 5.5], object), "5.5 in the row 1"),
        ("INT64", np.array([1, 2**63 + 5], np.uint64), f"{2**63 + 5} in the row 1"),
        ("INT64", np.array([1, 2**70], object), "too large"),
        ("BOOL", ["True", "False"], "'True' in the row 0"),
        ("BOOL", [1, 2], "2 in the row 1"),
    ],
    ids=["fractions", "fractions as objects", "beyond 64 bits", "far beyond", "words of truth", "counts"],
)
def test_a_type_that_would_change_the_values_is_refused(datatype: str, values: Any, received: str) -> None:
    rows = pd.DataFrame({"x": values, "y": [0, 1]})
    made = TrainingSet(name="r", rows=rows, inputs=(request("x", datatype),), label="y")
    with pytest.raises(ModelError, match=f"column 'x' does not hold {datatype}: .*{received}"):
        _ = made.columns


@pytest.mark.parametrize(("datatype", "values"), [("INT64", [2.0**53, -3.0]), ("BOOL", [1.0, 0.0]), ("INT64", [2, 3])])
def test_a_type_that_keeps_the_values_is_taken(datatype: str, values: list[float]) -> None:
    rows = pd.DataFrame({"x": values, "y": [0, 1]})
    made = TrainingSet(name="r", rows=rows, inputs=(request("x", datatype),), label="y")
    assert made.columns.x.tolist() == values


@pytest.mark.parametrize("datatype", ["FP64", "INT64", "BOOL"])
def test_dates_are_no_numbers_of_an_unknown_unit(datatype: str) -> None:
    with pytest.raises(ModelError, match=f"column 'day' is {datatype} and holds datetime64"):
        _ = training_set(inputs=(request("day", datatype),)).columns


def test_a_column_has_a_name_of_letters() -> None:
    with pytest.raises(ModelError, match="an input is called 0; expected a text"):
        request(0)  # type: ignore[arg-type]  # what a frame of an array has for names


def test_whole_numbers_are_shown_as_they_are_and_rare_classes_as_rows() -> None:
    rows = pd.DataFrame({"id": 2**53 + 1 + np.arange(4_000), "y": np.arange(4_000) == 0})
    made = TrainingSet(name="r", rows=rows, inputs=(request("id", "INT64"),), label="y")
    assert "9007199254740993" in str(made)
    assert "label y (0: 3,999 of 4,000, 1: 1 of 4,000)" in made.describe()


def test_a_split_is_at_a_number_of_milliseconds() -> None:
    with pytest.raises(ModelError, match=r"test_from_ms is '2026-01-01'; expected milliseconds .*time_ms"):
        by_time(training_set(time="asked_ms"), "2026-01-01")  # type: ignore[arg-type]


def test_a_set_without_a_label_has_no_labels() -> None:
    with pytest.raises(ModelError, match="'flights' has no label"):
        _ = training_set(label="").labels


def test_a_set_tells_its_rows_labels_and_times() -> None:
    made = training_set(time="asked_ms")
    assert made.describe() == "10 rows, 2 inputs, label late (0: 50.0%, 1: 50.0%), asked from 1970-01-01 to 1970-01-01"
    assert "carrier  BYTES  request  AA" in str(made)
    hostile = training_set(rows=training_set().rows.assign(carrier="<script>alert(1)</script>"))
    assert "<script>" not in hostile._repr_html_()
    assert "mean 4.5" in training_set(label="number", rows=made.rows.assign(number=range(ROWS))).describe()


def test_a_split_at_a_time_trains_on_what_was_known_by_then() -> None:
    split = by_time(training_set(time="asked_ms", known="known_ms"), 50)
    assert (asked(split.train), asked(split.test)) == ([0, 10, 20, 30], [50, 60, 70, 80, 90])
    assert split.how == "trained on what was known before 1970-01-01 00:00:00Z, tested on what was asked from then on"


def test_a_test_ends_where_the_outcome_would_not_be_known() -> None:
    split = by_time(training_set(time="asked_ms", known="known_ms"), 50, 90)
    assert asked(split.test) == [50, 60, 70]
    assert split.how.endswith(" and before 1970-01-01 00:00:00Z")


def test_without_the_time_at_which_outcomes_are_known_the_question_decides() -> None:
    assert asked(by_time(training_set(time="asked_ms"), 50).train) == [0, 10, 20, 30, 40]


@pytest.mark.parametrize(("at_ms", "what"), [(0, "train on"), (1000, "test on")])
def test_a_part_without_rows_is_refused(at_ms: int, what: str) -> None:
    with pytest.raises(ModelError, match=f"nothing of 'flights' is left to {what}: its times go from 0 to 90"):
        by_time(training_set(time="asked_ms"), at_ms)


def test_rows_without_a_time_cannot_be_split_at_one() -> None:
    with pytest.raises(ModelError, match="'flights' names no time; give its column, or split at random"):
        by_time(training_set(), 50)


def test_a_random_split_of_rows_with_a_time_warns_and_says_why() -> None:
    with pytest.warns(RandomSplitWarning, match=r"the time 'asked_ms': neighbours in time share what happened"):
        split = at_random(training_set(time="asked_ms"), seed=1)
    assert sorted(asked(split.train) + asked(split.test)) == list(range(0, 100, 10))


def test_a_random_split_is_the_same_for_the_same_seed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second, other = (at_random(training_set(), 0.3, seed=seed) for seed in (1, 1, 2))
    assert asked(first.test) == asked(second.test) != asked(other.test)
    assert (len(first.train), len(first.test), first.how) == (7, 3, "30% at random, seed 1")
    assert str(first).splitlines()[0] == "split: 30% at random, seed 1"


UNUSED: Any = None


@pytest.mark.parametrize(
    "use",
    [
        check,
        data_report,
        partial(evaluate, UNUSED),
        partial(explain, UNUSED),
        partial(search, UNUSED, {}, metric="roc_auc", trials=1, seed=7),
        partial(train_segments, make=UNUSED, levels=["carrier"], min_rows=1, metrics=["roc_auc"], seed=7),
    ],
)
def test_rows_without_a_test_are_no_split(use: Callable[[Any], Any]) -> None:
    with pytest.raises(ModelError, match=r"expected a Split, and it is a TrainingSet; part the training set first"):
        use(training_set())


def test_columns_are_given_as_a_list() -> None:
    split = by_time(training_set(time="asked_ms"), 50)
    with pytest.raises(ModelError, match=r"slices is 'carrier'; expected a list of columns, such as \['carrier'\]"):
        evaluate(UNUSED, split, slices="carrier")
    with pytest.raises(ModelError, match=r"levels is 'carrier'; expected a list of columns, the finest first"):
        train_segments(split, UNUSED, levels="carrier", min_rows=1, metrics=["roc_auc"], seed=7)


def test_a_share_that_leaves_a_part_empty_is_refused() -> None:
    with pytest.raises(ModelError, match="the share of the test is 1"):
        at_random(training_set(), 1, seed=1)
    with pytest.raises(ModelError, match="'flights' has one row; a split needs two"):
        at_random(training_set().only(np.arange(ROWS) < 1), seed=1)
