"""What the checks compute in ways of their own, to be fast, is what the libraries compute."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from bighead.pipeline.checks.leakage import auc
from bighead.pipeline.checks.overlap import numbered
from bighead.pipeline.checks.timelines import OPERATIONS, Timeline
from bighead.pipeline.checks.windows import explained

NAIVE: dict[str, Callable[[Any], Any]] = {
    "COUNT": np.sum,
    "SUM": np.sum,
    "AVERAGE": np.mean,
    "VARIANCE": np.var,
    "STDDEV": np.std,
    "MIN": np.min,
    "MAX": np.max,
    "FIRST": lambda labels: labels[0],
    "LAST": lambda labels: labels[-1],
}
SEEDS = st.integers(0, 2**32 - 1)


@given(seed=SEEDS, bins=st.integers(1, 40), scores=st.integers(1, 10), count=st.integers(2, 200))
def test_the_auc_of_binned_rows_is_that_of_scikit_learn(seed: int, bins: int, scores: int, count: int) -> None:
    random = np.random.default_rng(seed)
    of_row, learned = random.integers(0, bins, count), random.integers(0, scores, bins) / 3
    hit = (random.random(count) < 0.4).astype(np.float64)
    hit[:2] = 0, 1
    assert auc(hit, of_row, learned) == pytest.approx(roc_auc_score(hit, learned[of_row]), abs=1e-12)


@given(seed=SEEDS, first=st.integers(1, 60), second=st.integers(1, 60), values=st.integers(1, 4))
def test_rows_are_numbered_alike_where_pandas_groups_them(seed: int, first: int, second: int, values: int) -> None:
    random = np.random.default_rng(seed)
    rows = pd.DataFrame(random.integers(0, values, (first + second, 3)), columns=["a", "b", "c"]).astype({"b": float})
    rows["b"] = rows.b.where(rows.b > 0)
    rows["c"] = rows.c.map(dict(enumerate(["x", "", None, "y"])))
    found = numbered((rows[:first], rows[first:]), ["a", "b", "c"])
    groups = rows.groupby(["a", "b", "c"], dropna=False).ngroup()
    assert (found < 0).tolist() == (~rows.duplicated(keep=False)).tolist()
    alike = pd.DataFrame({"found": found, "group": groups})[found >= 0]
    assert (alike.groupby("found").group.nunique() == 1).all()
    assert (alike.groupby("group").found.nunique() == 1).all()


@given(seed=SEEDS, count=st.integers(2, 200), offset=st.sampled_from([0.0, 1e6]))
def test_what_is_explained_is_the_squared_correlation(seed: int, count: int, offset: float) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=count) + offset
    made = random.choice([0.0, 0.5]) * values + random.normal(size=count)
    assert explained(values, made) == pytest.approx(np.corrcoef(values, made)[0, 1] ** 2, abs=1e-9)
    assert explained(values, np.zeros(count)) == 0


@pytest.mark.parametrize("operation", OPERATIONS)
@given(seed=SEEDS, count=st.integers(1, 60), entities=st.integers(1, 5), with_own=st.booleans())
def test_an_operation_over_windows_is_that_over_their_labels(
    operation: str, seed: int, count: int, entities: int, with_own: bool
) -> None:
    random = np.random.default_rng(seed)
    whose, stamps = random.integers(0, entities, count), random.permutation(5 * count)[:count] - 2 * count
    labels, own = random.normal(size=count) + 100, random.normal(size=count) + 100
    line = Timeline.of(whose, stamps, labels)
    from_ms, until_ms = stamps - random.integers(0, 3 * count, count), stamps + random.integers(0, 3, count)
    start, end = line.place(whose, from_ms), line.place(whose, until_ms)
    made = line.made(operation, start, np.maximum(start, end), own if with_own else None)
    order = np.argsort(stamps)
    for place in range(count):
        held = (whose == whose[place]) & (stamps >= from_ms[place]) & (stamps < until_ms[place])
        inside = [*labels[order[held[order]]], *own[[place] * with_own]]
        nothing = 0.0 if operation == "COUNT" else np.nan
        expected = NAIVE[operation](np.array(inside)) if inside else nothing
        assert made[place] == pytest.approx(expected, abs=1e-6, nan_ok=True)
