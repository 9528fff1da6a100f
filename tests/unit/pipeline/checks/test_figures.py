"""What the checks compute in ways of their own, to be fast, is what the libraries compute."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from bighead.pipeline.checks.leakage import auc
from bighead.pipeline.checks.overlap import numbered
from bighead.pipeline.checks.windows import explained

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
