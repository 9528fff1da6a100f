"""What the demo's trainings share: rows, split, estimator and space of a search. The files in `specs` are made of it.

Nothing is read here; `bighead train examples/flights/specs/by_hand.py` reads and trains.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline as Steps
from sklearn.preprocessing import OrdinalEncoder

from bighead.events.types import Tensor
from bighead.features.catalog import Catalog
from bighead.pipeline.lineage import sources_of
from bighead.pipeline.search import Real, Whole
from bighead.pipeline.splits import Split
from bighead.pipeline.tensors import feature, request
from bighead.pipeline.training_set import TrainingSet
from bighead.pipeline.wrapped import Pipeline
from bighead.training import ByTime, DeltaRows, Tuning
from examples.flights.data import REQUEST_COLUMNS

MODEL, JOIN, TRAINING_TABLE = "delay", "flight", "flights/training"
SEED = 7
AUC = "roc_auc"
"""As scikit-learn names it: what the airports of the partitioned model are compared by."""
PARAMETERS: Mapping[str, Any] = {
    "max_iter": 60,
    "learning_rate": 0.12,
    "max_leaf_nodes": 31,
    "min_samples_leaf": 200,
}
FLIGHTS = DeltaRows(
    join=JOIN,
    table=TRAINING_TABLE,
    label="late",
    time="asked_ms",
    known="arrived_ms",
    entities=("flight_id",),
    request=REQUEST_COLUMNS,
)
OCTOBER = ByTime(test_from="2013-10-01", test_to="2013-11-01")
"""January to September for training, October for the test; only flights whose outcome was known by then."""
SEARCH = Tuning(
    space={"max_iter": Whole(60, 140), "learning_rate": Real(0.05, 0.2, log=True), "max_leaf_nodes": Whole(15, 47)},
    metric="neg_log_loss",
    trials=4,
    folds=2,
    jobs=2,
)


def boosted(parameters: Mapping[str, Any], seed: int) -> Steps:
    """Boosted trees over the schedule and the features."""
    return trees_over([name for name, datatype in REQUEST_COLUMNS.items() if datatype == "BYTES"], parameters, seed)


def trees_over(categories: Sequence[str], parameters: Mapping[str, Any], seed: int) -> Steps:
    """Boosted trees over ordinal categories; missing values take the branch that training chose for them."""
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    trees = HistGradientBoostingClassifier(early_stopping=False, random_state=seed, **parameters)
    columns = ColumnTransformer([("categories", encode, list(categories))], remainder="passthrough")
    return Steps([("columns", columns), ("trees", trees)])


def schedule_inputs() -> list[Tensor]:
    """The columns that the request brings: what the schedule says."""
    return [request(name, datatype) for name, datatype in REQUEST_COLUMNS.items()]


def model_inputs(feature_names: Sequence[str]) -> list[Tensor]:
    """The schedule, and the features that the platform looks up."""
    return [*schedule_inputs(), *(feature(name) for name in feature_names)]


def training_set(
    rows: pd.DataFrame, feature_names: Sequence[str], origin: Mapping[str, Any], catalog: Catalog
) -> TrainingSet:
    """Rows that are at hand (inputs, asked_ms, arrived_ms, late, flight_id) as what the specifications read by name."""
    joined = catalog.joins[JOIN]
    return TrainingSet(
        name=FLIGHTS.table,
        rows=rows,
        inputs=tuple(model_inputs(feature_names)),
        label=FLIGHTS.label,
        time=FLIGHTS.time,
        known=FLIGHTS.known,
        entities=FLIGHTS.entities,
        join=JOIN,
        join_epoch=joined.epoch,
        join_hash=joined.hash,
        origin=origin,
        sources=sources_of(catalog.join(JOIN)),
    )


def schedule_auc(split: Split) -> float:
    """The AUC of the same trees without any feature, on the same split: what the features have to beat."""
    inputs = tuple(schedule_inputs())
    fitted = Pipeline(boosted(PARAMETERS, SEED)).fit(split.train.with_inputs(inputs))
    return float(roc_auc_score(split.test.labels, fitted.probability(split.test)))
