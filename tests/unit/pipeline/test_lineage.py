"""Column lineage: from the topic of the events through each step to the model, as scikit-learn itself names columns."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.pipeline import Pipeline as Steps
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
)

from bighead.charts import graph_from_json
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op
from bighead.features.compiled import CompiledJoin, compile_group, compile_join
from bighead.features.types import ValueType
from bighead.pipeline import ColumnSource, FittedPipeline, Pipeline, TrainingSet, feature, request
from bighead.pipeline.lineage import sources_of
from bighead.pipeline.steps import graph_document
from bighead.pipeline.through import made_by

ROWS = 60
RANDOM = np.random.default_rng(5)
ROW = pd.DataFrame(
    {
        "carrier": RANDOM.choice(np.array(["AA", "UA", "B_6"], object), ROWS),
        "carrier_B": RANDOM.choice(np.array(["6", "7"], object), ROWS),
        "delay": np.where(np.arange(ROWS) % 5 == 0, np.nan, RANDOM.normal(0, 9, ROWS)),
        "hour": RANDOM.integers(0, 24, ROWS).astype(float),
        "empty": np.nan,
    }
)
LATE = (ROW.hour > 11).astype(int).to_numpy()
NUMBERS = ROW[["hour"]].assign(noise=RANDOM.normal(0, 1, ROWS))


def flight() -> CompiledJoin:
    source = EventSource(
        topic="flights.arrived.v1",
        table="flights/arrived",
        time="arrived_ms",
        select={"carrier": "carrier", "delay": "arr_delay_min"},
        where="diverted = FALSE",
    )
    group = GroupBy("arrivals", source, ["carrier"], [Aggregation("delay", Op.AVERAGE, ["1h", "1d"])])
    kinds = {
        "arrived_ms": ValueType.LONG,
        "carrier": ValueType.STRING,
        "arr_delay_min": ValueType.DOUBLE,
        "diverted": ValueType.BOOLEAN,
    }
    trend = "arrivals_delay_average_1h - arrivals_delay_average_1d"
    join = Join("flight", Keys("carrier"), [group], derivations={"trend": trend}, request={"hour": ValueType.LONG})
    return compile_join(join, {"arrivals": compile_group(group, kinds)})


def test_a_join_tells_where_each_of_its_columns_comes_from() -> None:
    found = sources_of(flight())
    assert found["arrivals_delay_average_1h"] == ColumnSource(
        kind="feature",
        topic="flights.arrived.v1",
        table="flights/arrived",
        columns=("arr_delay_min", "diverted"),
        group="arrivals",
        keys=("carrier",),
        operation="AVERAGE of delay",
        window="1h",
    )
    assert found["trend"] == ColumnSource(
        kind="derivation", of=("arrivals_delay_average_1d", "arrivals_delay_average_1h")
    )
    assert found["hour"].kind == "request"


@pytest.mark.parametrize(
    ("step", "columns", "made"),
    [
        (
            OneHotEncoder(),
            ["carrier", "carrier_B"],
            {
                "carrier_AA": ("carrier",),
                "carrier_B_6": ("carrier",),
                "carrier_UA": ("carrier",),
                "carrier_B_7": ("carrier_B",),
            },
        ),
        (OneHotEncoder(drop="first"), ["carrier_B"], {"carrier_B_7": ("carrier_B",)}),
        (StandardScaler(), ["delay", "hour"], {"delay": ("delay",), "hour": ("hour",)}),
        (MissingIndicator(), ["hour", "delay"], {"missingindicator_delay": ("delay",)}),
        (
            make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()),
            ["hour", "delay"],
            {"hour": ("hour",), "delay": ("delay",), "missingindicator_delay": ("delay",)},
        ),
        (FunctionTransformer(np.abs), ["hour"], {"hour": ("hour",)}),
    ],
    ids=["one hot", "first dropped", "one to one", "indicator", "steps in turn", "function"],
)
def test_each_column_is_told_by_those_it_is_made_of(
    step: Any, columns: list[str], made: dict[str, tuple[str, ...]]
) -> None:
    found = made_by(step.fit(ROW[columns]), columns)
    assert {one.name: one.of for one in found} == made or step.get_params().get("drop") is None
    assert set(made.items()) <= {(one.name, one.of) for one in found}


@pytest.mark.parametrize(
    ("step", "made"),
    [
        (PCA(1), [("hour", "noise")]),
        (PolynomialFeatures(2), [(), ("hour",), ("noise",), ("hour",), ("hour", "noise"), ("noise",)]),
        (SelectKBest(k=1), [("hour",)]),
        (KBinsDiscretizer(2, quantile_method="averaged_inverted_cdf"), [("hour",)] * 2 + [("noise",)] * 2),
        (SplineTransformer(2, degree=1), [("hour",)] * 2 + [("noise",)] * 2),
        (FeatureUnion([("a", StandardScaler()), ("b", PCA(1))]), [("hour",), ("noise",), ("hour", "noise")]),
    ],
    ids=["mixed", "products", "chosen", "bins", "splines", "union"],
)
def test_columns_that_are_mixed_chosen_or_multiplied_keep_their_origins(step: Any, made: list[tuple[str, ...]]) -> None:
    fitted = step.fit(NUMBERS, LATE)
    found = made_by(fitted, list(NUMBERS.columns))
    assert [one.of for one in found] == made
    assert len(found) == fitted.transform(NUMBERS).shape[1]


def fitted() -> FittedPipeline:
    inputs = (request("carrier", "BYTES"), request("hour"), feature("delay"), feature("trend"))
    sources = {
        "delay": sources_of(flight())["arrivals_delay_average_1h"],
        "trend": ColumnSource(kind="derivation", of=("delay",)),
    }
    rows = ROW.assign(late=LATE, trend=ROW.delay)
    made = TrainingSet(name="flights", rows=rows, inputs=inputs, label="late", join="flight", sources=sources)
    columns = ColumnTransformer(
        [
            ("text", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["hour", "delay"]),
        ]
    )
    return Pipeline(
        Steps([("columns", columns), ("model", RandomForestClassifier(5, max_depth=3, random_state=0))])
    ).fit(made)


def test_an_input_is_followed_to_the_models_columns_and_back() -> None:
    lineage = fitted().lineage()
    assert lineage.downstream("carrier") == ("text__carrier_AA", "text__carrier_B_6", "text__carrier_UA")
    assert lineage.upstream("numbers__delay") == ("delay",)
    assert lineage.downstream("trend") == ()
    rows = {row[0]: row[1:] for row in lineage.table().rows}
    assert rows["delay"][:2] == ("flights.arrived.v1", "arrivals: AVERAGE of delay over 1h by carrier")
    assert rows["trend"][:3] == ("flights.arrived.v1", "derived from delay", "(dropped)")


def test_the_models_own_importance_is_shared_among_the_inputs() -> None:
    made = fitted()
    importance = made.lineage().importance
    columns = made.model.feature_importances_
    assert importance["carrier"] == pytest.approx(columns[:3].sum())
    assert importance["hour"] == pytest.approx(columns[3])
    assert sum(importance.values()) == pytest.approx(1)
    assert next(iter(made.lineage().table().rows))[0] == "hour"
    assert made.lineage({"delay": 0.5}, "AUC lost").importance == {"delay": 0.5}


def test_the_graph_goes_from_topic_to_group_to_feature_to_step_to_model() -> None:
    graph = fitted().lineage().graph()
    assert graph_from_json(json.dumps(graph_document(graph))) == graph
    titles = {node.id: node.title for node in graph.nodes}
    assert [(titles[start], titles[end]) for start, end in graph.edges] == [
        ("flights.arrived.v1", "arrivals"),
        ("arrivals", "Join flight"),
        ("the request", "columns: text"),
        ("the request", "columns: numbers"),
        ("Join flight", "columns: numbers"),
        ("columns: text", "model"),
        ("columns: numbers", "model"),
        ("model", "the answer"),
    ]
    topic = next(node for node in graph.nodes if node.id == "topic flights.arrived.v1")
    assert (topic.detail, topic.items) == ("table flights/arrived", ("arr_delay_min", "diverted"))


def test_the_coefficients_of_a_linear_model_are_its_importance() -> None:
    rows = TrainingSet(
        name="hours", rows=NUMBERS.assign(late=LATE), inputs=(feature("hour"), feature("noise")), label="late"
    )
    found = Pipeline(make_pipeline(StandardScaler(), LogisticRegression())).fit(rows)
    sizes = np.abs(found.model.coef_[0])
    lineage = found.lineage()
    assert lineage.importance == pytest.approx(dict(zip(("hour", "noise"), sizes / sizes.sum(), strict=True)))
    assert lineage.measured == "size of the coefficients, as shares"


def test_rows_are_seen_before_and_behind_each_step() -> None:
    made = fitted()
    rows = ROW.assign(trend=0.0)[:4]
    states = made.states(rows)
    assert list(states.tables) == ["inputs", "columns", "model"]
    assert states.before("columns").equals(made.typed(rows))
    assert list(states.after("columns").columns) == [one.name for one in made.lineage().model_inputs]
    assert np.array_equal(states.after("columns"), made.estimator[0].transform(made.typed(rows)))
    assert states.after("model")["probability of 1"].tolist() == made.probability(rows).tolist()
    assert "text__carrier_AA" in str(states)
    assert "<td>AA</td>" in states._repr_html_()


def test_a_pipeline_is_shown_as_a_drawing_with_its_words_and_as_text() -> None:
    made = fitted()
    html, text = made._repr_html_(), str(made)
    assert "<svg" in html and "flights.arrived.v1 leads to arrivals" in html
    assert "http" not in html.replace("http://www.w3.org", "")
    assert text.startswith(
        "RandomForestClassifier for binary classification, fitted to 60 rows of flights with 4 inputs"
    )
    assert "arrivals: AVERAGE of delay over 1h by c" in text
