# %% [markdown]
# # Where columns come from, and what is in them
#
# Features come from a Join. What the Join's definition says of each of them, the topic of its events, the group, the
# operation, the window, goes with the training set, through each step of the pipeline, into the model's record.

# %%
# %load_ext bighead
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline as Steps
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op
from bighead.features.compiled import compile_group, compile_join
from bighead.features.types import ValueType
from bighead.pipeline import Pipeline, TrainingSet, by_time, feature, request
from bighead.pipeline.data_report import data_report
from bighead.pipeline.lineage import sources_of

# %% [markdown]
# ## The Join
#
# On a running platform `bighead.client.catalog.read_catalog(...).join("flight")` has it as it was applied. Here it is
# compiled by hand.

# %%
arrivals = EventSource(
    topic="flights.arrived.v1",
    table="flights/arrived",
    time="arrived_ms",
    select={"carrier": "carrier", "delay": "arr_delay_min"},
    where="NOT diverted",
)
carrier = GroupBy("carrier", arrivals, ["carrier"], [Aggregation("delay", Op.AVERAGE, ["1h", "1d"])])
columns = {
    "arrived_ms": ValueType.LONG,
    "carrier": ValueType.STRING,
    "arr_delay_min": ValueType.DOUBLE,
    "diverted": ValueType.BOOLEAN,
}
flight = Join(
    "flight",
    left=Keys("carrier"),
    parts=[carrier],
    derivations={"trend": "carrier_delay_average_1h - carrier_delay_average_1d"},
)
join = compile_join(flight, {"carrier": compile_group(carrier, columns)})
sources_of(join)["carrier_delay_average_1h"]

# %% [markdown]
# ## A fitted pipeline

# %%
DAY_MS = 86_400_000
FIRST_MS = 1_356_998_400_000  # 2013-01-01
random = np.random.default_rng(7)
count = 2_000
asked_ms = FIRST_MS + np.sort(random.integers(0, 30 * DAY_MS, count))
weeks = (asked_ms - FIRST_MS) / (7 * DAY_MS)
hour_mean = np.where(random.random(count) < 0.2, np.nan, random.normal(5, 12, count))
day_mean = random.normal(5, 4, count) + 2 * weeks
rows = TrainingSet(
    name="flights",
    rows=pd.DataFrame(
        {
            "dest": random.choice(["BOS", "LAX", "ORD", "SFO"], count, p=[0.4, 0.3, 0.2, 0.1]),
            "carrier_delay_average_1h": hour_mean,
            "carrier_delay_average_1d": day_mean,
            "trend": hour_mean - day_mean,
            "asked_ms": asked_ms,
            "late": np.nan_to_num(hour_mean) + day_mean + random.normal(0, 8, count) > 15,
        }
    ),
    inputs=(
        request("dest", "BYTES"),
        feature("carrier_delay_average_1h"),
        feature("carrier_delay_average_1d"),
        feature("trend"),
    ),
    label="late",
    time="asked_ms",
    join="flight",
    sources=sources_of(join),
)
split = by_time(rows, FIRST_MS + 22 * DAY_MS)
numbers = ["carrier_delay_average_1h", "carrier_delay_average_1d", "trend"]
steps = Steps(
    [
        (
            "columns",
            ColumnTransformer(
                [
                    ("text", OneHotEncoder(handle_unknown="ignore"), ["dest"]),
                    ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
                ]
            ),
        ),
        ("model", LogisticRegression()),
    ]
)
fitted = Pipeline(steps).fit(split.train)

# %% [markdown]
# ## Lineage
#
# From the topic to the answer, and what the model looks at: here the size of its coefficients; a report's permutation
# importance can be given instead. The same drawing is on the version's page in the console.

# %%
lineage = fitted.lineage()
lineage

# %%
lineage.downstream("dest"), lineage.upstream("numbers__trend")

# %% [markdown]
# ## What is in the columns, and what changed from training to test
#
# The mean of the last day grows from week to week in these rows: the test lies beyond what the model has seen.

# %%
report = data_report(split)
report

# %%
report.drifted

# %% [markdown]
# ## Some rows on their way through the steps

# %%
fitted.states(split.test.rows[:3])
