"""Training of the demo's model: from point-in-time rows to a proven ONNX model with its metrics.

Knows scikit-learn and bighead.pipeline; where the rows come from is not known here.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from bighead.events.types import Tensor
from bighead.pipeline import ProvenModel, export, feature, prove, request
from bighead.pipeline.tensors import frame
from examples.flights.data import CUT_MS, REQUEST_COLUMNS, TEST_FROM_MS

PARITY_ROWS = 2_000


@dataclass(frozen=True)
class Recipe:
    """What is chosen before training. Each version of the model has its own."""

    trees: int
    learning_rate: float
    leaves: int = 31
    rows_per_leaf: int = 200
    seed: int = 7


FIRST = Recipe(trees=60, learning_rate=0.12)
SECOND = Recipe(trees=100, learning_rate=0.08)


@dataclass(frozen=True)
class Trained:
    """A proven model, what it was made with and how good it is on the test month."""

    model: ProvenModel
    recipe: Recipe
    metrics: dict[str, float]
    trained_rows: int
    tested_rows: int

    @property
    def config(self) -> dict[str, float]:
        """The recipe as the registry records it."""
        return asdict(self.recipe)


def schedule_inputs() -> list[Tensor]:
    """The columns that the request brings: what the schedule says."""
    return [request(name, datatype) for name, datatype in REQUEST_COLUMNS.items()]


def model_inputs(feature_names: Sequence[str]) -> list[Tensor]:
    """The schedule, and the features that the platform looks up."""
    return [*schedule_inputs(), *(feature(name) for name in feature_names)]


def split(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """January to September for training, October for the test; only flights whose outcome was known by then."""
    trained = rows[(rows.asked_ms < TEST_FROM_MS) & (rows.arrived_ms < TEST_FROM_MS)]
    tested = rows[(rows.asked_ms >= TEST_FROM_MS) & (rows.asked_ms < CUT_MS) & (rows.arrived_ms < CUT_MS)]
    return trained, tested


def train(rows: pd.DataFrame, feature_names: Sequence[str], recipe: Recipe) -> Trained:
    """Fits on `rows` (inputs, asked_ms, arrived_ms, late), tests, converts and proves."""
    trained, tested = split(rows)
    inputs = model_inputs(feature_names)
    pipeline = fit(trained, inputs, recipe)
    sample = tested.iloc[:: max(1, len(tested) // PARITY_ROWS)]
    model = prove(pipeline, export(pipeline, inputs), inputs, sample)
    return Trained(model, recipe, evaluate(pipeline, tested, inputs), len(trained), len(tested))


def schedule_only(rows: pd.DataFrame, recipe: Recipe) -> dict[str, float]:
    """The metrics of the same recipe without any feature, on the same split: what the features have to beat."""
    trained, tested = split(rows)
    inputs = schedule_inputs()
    return evaluate(fit(trained, inputs, recipe), tested, inputs)


def fit(rows: pd.DataFrame, inputs: Sequence[Tensor], recipe: Recipe) -> Pipeline:
    """Boosted trees over ordinal categories; missing values take the branch that training chose for them."""
    categories = [tensor.name for tensor in inputs if tensor.type == "BYTES"]
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = HistGradientBoostingClassifier(
        max_iter=recipe.trees,
        learning_rate=recipe.learning_rate,
        max_leaf_nodes=recipe.leaves,
        min_samples_leaf=recipe.rows_per_leaf,
        early_stopping=False,
        random_state=recipe.seed,
    )
    columns = ColumnTransformer([("categories", encode, categories)], remainder="passthrough")
    pipeline = Pipeline([("columns", columns), ("trees", model)])
    pipeline.fit(frame(inputs, rows), rows.late.astype("int64"))
    return pipeline


def evaluate(pipeline: Pipeline, rows: pd.DataFrame, inputs: Sequence[Tensor]) -> dict[str, float]:
    """AUC, log loss and Brier score on labelled rows."""
    probability = pipeline.predict_proba(frame(inputs, rows))[:, 1]
    return {
        "auc": float(roc_auc_score(rows.late, probability)),
        "log_loss": float(log_loss(rows.late, probability)),
        "brier": float(brier_score_loss(rows.late, probability)),
    }
