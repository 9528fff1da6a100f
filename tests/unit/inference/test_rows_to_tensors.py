"""Rows become tensors column by column or many at once: the same values, and the same words for what does not fit."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bighead.errors import ArtifactError, InvalidInput
from bighead.inference.signature import Column, Signature, tensor_of

COLUMNS = (
    Column("delay", "FP32", (-1, 1), "feature"),
    Column("speed", "FP64", (-1, 1), "feature"),
    Column("flights", "INT64", (-1, 1), "feature"),
    Column("hour", "FP64", (-1,), "request"),
    Column("weight", "FP32", (-1, 1), "request"),
    Column("carrier", "BYTES", (-1, 1), "request"),
)
SIGNATURE = Signature(COLUMNS, ())
NUMBERS = st.none() | st.floats(allow_nan=False) | st.integers(-(1 << 40), 1 << 40)
FEATURES = st.fixed_dictionaries(
    {"delay": NUMBERS, "speed": NUMBERS, "flights": st.none() | st.integers(-(1 << 62), 1 << 62)}
)
INPUTS = st.fixed_dictionaries(
    {
        "hour": NUMBERS,
        "weight": st.none() | st.floats(-1e6, 1e6),
        "carrier": st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    }
)


@given(st.lists(st.tuples(FEATURES, INPUTS), min_size=1, max_size=12))
def test_columns_that_share_an_array_hold_what_they_would_hold_alone(rows: list[tuple[Any, Any]]) -> None:
    features, inputs = [one for one, _ in rows], [one for _, one in rows]
    found = SIGNATURE.tensors(features, inputs)
    assert found.keys() == {column.name for column in COLUMNS}
    for column in COLUMNS:
        given_rows = features if column.source == "feature" else inputs
        alone = tensor_of(column, [row[column.name] for row in given_rows])
        assert (found[column.name].dtype, found[column.name].shape) == (alone.dtype, alone.shape)
        np.testing.assert_array_equal(found[column.name], alone)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"delay": [1.0], "speed": 1.0, "flights": 1}, "feature 'delay' is a list in the join as it is now"),
        ({"delay": 1.0, "speed": {"a": 1.0}, "flights": 1}, "feature 'speed' is a dict in the join as it is now"),
        ({"delay": "late", "speed": 1.0, "flights": 1}, "feature 'delay' of the model is not FP32 in the join"),
        ({"delay": 1.0, "flights": 1}, "feature 'speed' of the model is not FP64 in the join"),
        ({"delay": 1.0, "speed": 1.0, "flights": 1.5}, "feature 'flights' of the model is not INT64 in the join"),
    ],
)
def test_a_feature_that_does_not_fit_is_named(features: dict[str, Any], expected: str) -> None:
    with pytest.raises(ArtifactError, match="^" + expected):
        SIGNATURE.tensors([features], [{"hour": 1.0, "weight": 1.0, "carrier": "UA"}])


@pytest.mark.parametrize("value", [True, "7", 1 << 2000])
def test_a_number_of_the_request_is_checked_whatever_its_kind(value: Any) -> None:
    SIGNATURE.check_inputs([{"hour": math.inf, "weight": 1.0, "carrier": None}])
    with pytest.raises(InvalidInput, match="column 'hour': received"):
        SIGNATURE.check_inputs([{"hour": value, "weight": 1.0, "carrier": None}])
