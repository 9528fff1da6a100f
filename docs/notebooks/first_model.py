# %% [markdown]
# # A first model
#
# From rows in a frame to a model that is proven to serve as it was trained: ordinary scikit-learn, and a handful of
# objects around it. Nothing here needs a running platform.

# %%
# %load_ext bighead
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline as Steps
from sklearn.preprocessing import OrdinalEncoder

from bighead.pipeline import Pipeline, TrainingSet, at_random, by_time, feature, request

# %% [markdown]
# ## Rows
#
# Each row is a question that was once asked: what was known then, when it was asked (`asked_ms`), and what came of it,
# which was known later (`landed_ms`). Times are milliseconds since the epoch, UTC.

# %%
DAY_MS = 86_400_000
FIRST_MS = 1_356_998_400_000  # 2013-01-01
random = np.random.default_rng(7)
count = 3_000
asked_ms = FIRST_MS + np.sort(random.integers(0, 30 * DAY_MS, count))
delay = np.where(random.random(count) < 0.1, np.nan, random.normal(5, 12, count))
flights = pd.DataFrame(
    {
        "carrier": random.choice(["AA", "B6", "UA"], count),
        "hour": (asked_ms // 3_600_000 % 24).astype(float),
        "mean_delay": delay,
        "asked_ms": asked_ms,
        "landed_ms": asked_ms + 3 * 3_600_000,
        "late": np.nan_to_num(delay) + random.normal(0, 8, count) > 10,
    }
)

# %% [markdown]
# A `TrainingSet` names the columns: what the request will bring, what the platform will look up, what is to be
# predicted. A label that is null, a column that is not there or a set without rows is refused here, by its name.

# %%
rows = TrainingSet(
    name="flights",
    rows=flights,
    inputs=(request("carrier", "BYTES"), request("hour"), feature("mean_delay")),
    label="late",
    time="asked_ms",
    known="landed_ms",
)
rows

# %% [markdown]
# ## Train and test
#
# Over rows that have a time the split is at a time: the model is tested on what was asked after everything that it has
# learned from was known. Flights in the air at that moment are in neither part.

# %%
split = by_time(rows, FIRST_MS + 24 * DAY_MS)
split

# %% [markdown]
# A random split of such rows is possible, and says what is wrong with it.

# %%
import warnings

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    at_random(rows, seed=1)
str(said[0].message)

# %% [markdown]
# ## Fit
#
# `Pipeline` wraps any estimator that has `fit` and `predict`. It fits a copy; what it was given stays as it was.

# %%
encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
pipeline = Pipeline(
    Steps(
        [
            ("columns", ColumnTransformer([("categories", encode, ["carrier"])], remainder="passthrough")),
            ("trees", HistGradientBoostingClassifier(max_iter=20, random_state=7)),
        ]
    )
)
fitted = pipeline.fit(split.train)
fitted

# %%
fitted.task, fitted.classes, fitted.probability(split.test)[:4].round(3).tolist()

# %% [markdown]
# ## Proof
#
# What is served is not this object but an ONNX model made from it. `prove` converts it and compares the two, on rows
# that occurred and on rows made to hurt: missing values, unseen categories, numbers beside each threshold.

# %%
model = fitted.prove(split.test)
f"within {model.parity.tolerance:g}: {model.parity.max_abs_diff <= model.parity.tolerance}"

# %% [markdown]
# ## What is refused
#
# An error names the step and the column, and what to do.

# %% raises
from sklearn.linear_model import LogisticRegression

Pipeline(LogisticRegression()).fit(split.train)

# %% raises
from dataclasses import replace

mixed = flights.assign(hour=["seven", *flights.hour[1:]])
pipeline.fit(replace(rows, rows=mixed))
