"""An estimator over a training set: what it becomes, and what is refused with the name of the step and the column."""

from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, IsolationForest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline as Steps
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from bighead.errors import ModelError
from bighead.pipeline import Pipeline, Task, TrainingSet, adversarial, at_random, feature, request

ROWS = 120
INPUTS = (request("carrier", "BYTES"), request("hour"), feature("delay"))


def training_set(**columns: Any) -> TrainingSet:
    random = np.random.default_rng(3)
    delay = random.normal(0, 10, ROWS)
    rows = {
        "carrier": random.choice(np.array(["AA", "UA", None], object), ROWS),
        "hour": random.integers(5, 23, ROWS).astype(float),
        "delay": delay,
        "late": (delay > 2).astype(int),
        "minutes": delay * 2,
        "kind": np.digitize(delay, [-5, 5]),
    }
    return TrainingSet(name="flights", rows=pd.DataFrame(rows | columns), inputs=INPUTS, label="late")


def encoded(model: Any) -> Steps:
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("categories", encode, ["carrier"])], remainder="passthrough")
    return Steps([("columns", columns), ("model", model)])


def labelled(label: str, **columns: Any) -> TrainingSet:
    made = training_set(**columns)
    return TrainingSet(name="flights", rows=made.rows, inputs=INPUTS, label=label)


def numbers(rows: TrainingSet) -> TrainingSet:
    return rows.with_inputs(INPUTS[1:])


def test_a_fitted_pipeline_answers_rows_as_its_estimator_does() -> None:
    rows, steps = training_set(), encoded(HistGradientBoostingClassifier(max_iter=3, random_state=0))
    fitted = Pipeline(steps).fit(rows)
    expected = steps.fit(rows.columns, rows.labels)
    assert (fitted.task, fitted.columns, fitted.classes) == (Task.BINARY, ("carrier", "hour", "delay"), (0, 1))
    assert (fitted.training_set, fitted.rows, fitted.label) == ("flights", ROWS, "late")
    assert np.array_equal(fitted.probability(rows), expected.predict_proba(rows.columns)[:, 1])
    assert np.array_equal(fitted.predict(rows.rows[:5]), expected.predict(rows.columns[:5]))


def test_the_estimator_that_was_given_is_not_fitted() -> None:
    steps = encoded(HistGradientBoostingClassifier(max_iter=2))
    pipeline = Pipeline(steps)
    first, second = pipeline.fit(training_set()), pipeline.fit(labelled("kind"))
    assert not hasattr(steps[-1], "classes_")
    assert (first.classes, second.classes) == ((0, 1), (0, 1, 2))


@pytest.mark.parametrize(
    ("model", "label", "task"),
    [
        (LogisticRegression(), "late", Task.BINARY),
        (LogisticRegression(), "kind", Task.MULTICLASS),
        (LinearRegression(), "minutes", Task.REGRESSION),
        (IsolationForest(n_estimators=3, random_state=0), "", Task.OUTLIERS),
        (KMeans(n_clusters=2, n_init=1, random_state=0), "", Task.CLUSTERS),
    ],
    ids=lambda value: str(value),
)
def test_the_task_is_told_by_estimator_and_label(model: Any, label: str, task: Task) -> None:
    rows = numbers(labelled(label))
    fitted = Pipeline(model).fit(rows)
    assert fitted.task is task
    assert len(fitted.predict(rows)) == ROWS
    assert fitted.estimator.steps[0][0] == "model"


def test_of_several_classes_each_has_a_column_of_probabilities_and_a_regression_has_none() -> None:
    rows = numbers(labelled("kind"))
    assert Pipeline(LogisticRegression()).fit(rows).probability(rows).shape == (ROWS, 3)
    with pytest.raises(ModelError, match="a pipeline for regression gives no probabilities"):
        Pipeline(LinearRegression()).fit(numbers(labelled("minutes"))).probability(rows)


class Mean:
    """Not of scikit-learn's kind: it has fit and predict, and says nothing of itself."""

    def fit(self, columns: pd.DataFrame, labels: Any) -> "Mean":
        self.mean = float(np.mean(labels))
        return self

    def predict(self, columns: pd.DataFrame) -> Any:
        return np.full(len(columns), self.mean)


def test_anything_that_fits_and_predicts_may_be_wrapped() -> None:
    rows, given = labelled("minutes"), Mean()
    fitted = Pipeline(given).fit(rows)
    assert fitted.task is Task.REGRESSION
    assert fitted.predict(rows)[0] == pytest.approx(rows.labels.mean())
    assert not hasattr(given, "mean")


def test_a_proven_model_is_one_call_away() -> None:
    rows = training_set()
    fitted = Pipeline(encoded(HistGradientBoostingClassifier(max_iter=3, random_state=0))).fit(rows)
    model = fitted.prove(rows.only(np.arange(ROWS) < 30))
    assert model.parity.max_abs_diff <= model.parity.tolerance
    assert [tensor.name for tensor in model.signature.inputs] == list(fitted.columns)


MIXED = np.array(["AA", 7] * (ROWS // 2), object)
INFINITE = np.where(np.arange(ROWS) == 4, np.inf, 1.0)
HOLES = np.where(np.arange(ROWS) == 4, np.nan, 1.0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (training_set(late=1), "the label 'late' of 'flights' is 1 in all 120 rows; a classifier needs two classes"),
        (
            training_set(carrier=MIXED),
            r"column 'carrier' of 'flights' holds values of several types: str .'AA'., i",
        ),
        (training_set(delay=INFINITE), "column 'delay' of 'flights' is infinite in 1 of 120 rows, first in the row 4"),
        (
            training_set(delay=INFINITE.astype(object)),
            "column 'delay' of 'flights' is infinite in 1 of 120 rows, first in the row 4",
        ),
        (training_set(late=np.array(["no", 1] * (ROWS // 2), object)), "label 'late' of 'flights' holds values of sev"),
        (labelled(""), "binary_classification needs labels|cannot be told without a label"),
    ],
    ids=["one class", "mixed", "infinite", "infinite object", "mixed label", "no label"],
)
def test_rows_that_cannot_teach_are_refused_by_name(rows: TrainingSet, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Pipeline(encoded(LogisticRegression())).fit(rows)


def test_a_regression_refuses_labels_that_are_no_numbers_or_infinite() -> None:
    with pytest.raises(ModelError, match=r"the label 'carrier' .*a regression predicts numbers"):
        Pipeline(LinearRegression()).fit(labelled("carrier", carrier="AA"))
    with pytest.raises(ModelError, match="label 'minutes' of 'flights' is infinite in 1 of 120 rows"):
        Pipeline(LinearRegression()).fit(numbers(labelled("minutes", minutes=INFINITE)))


def test_two_classes_are_not_three() -> None:
    with pytest.raises(ModelError, match=r"has 3 classes \(0, 1, 2\); binary_classification has two"):
        Pipeline(LogisticRegression(), task=Task.BINARY).fit(numbers(labelled("kind")))


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (StandardScaler(), "the last step 'model' .StandardScaler. has no `predict`"),
        (DBSCAN(), "the last step 'model' .DBSCAN. has no `predict`"),
        (
            Steps([("double", FunctionTransformer(lambda rows: rows * 2)), ("model", LinearRegression())]),
            r"the step 'double' holds a lambda \(double__func\)",
        ),
        (
            Steps(
                [
                    ("columns", ColumnTransformer([("x", FunctionTransformer(lambda rows: rows), ["hour"])])),
                    ("model", LinearRegression()),
                ]
            ),
            r"the step 'columns' holds a lambda \(columns__x__func\)",
        ),
        (LogisticRegression, r"the estimator is the class LogisticRegression itself; make one: LogisticRegression\(\)"),
        (Steps([]), "the pipeline has no steps"),
    ],
    ids=["transformer", "cannot answer new rows", "lambda", "lambda below", "a class", "no steps"],
)
def test_an_estimator_that_cannot_become_a_model_is_refused_before_it_is_fitted(estimator: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Pipeline(estimator)


@pytest.mark.parametrize(
    ("steps", "rows", "message"),
    [
        (
            Steps([("scale", StandardScaler()), ("model", LogisticRegression())]),
            training_set(),
            r"the step 'scale' \(StandardScaler\) fails on the column 'carrier': could not convert .*; encode text",
        ),
        (
            encoded(LogisticRegression()).set_params(columns__categories=StandardScaler()),
            training_set(),
            r"the step 'columns: categories' \(StandardScaler\) fails on the column 'carrier': could not convert",
        ),
        (
            Steps(
                [
                    ("columns", ColumnTransformer([("all", StandardScaler(), make_column_selector(pattern="."))])),
                    ("model", LogisticRegression()),
                ]
            ),
            training_set(),
            r"the step 'columns: all' \(StandardScaler\) fails on the column 'carrier'",
        ),
        (
            Steps([("model", LogisticRegression())]),
            numbers(training_set(delay=HOLES)),
            r"the step 'model' \(LogisticRegression\) fails on the column 'delay': Input X contains NaN; impute",
        ),
        (
            Steps([("scale", StandardScaler()), ("model", LogisticRegression())]),
            numbers(training_set(delay=HOLES)),
            r"the step 'model' \(LogisticRegression\) fails on the column 'delay': Input X contains NaN; impute",
        ),
        (
            Steps([("model", HistGradientBoostingClassifier())]),
            numbers(training_set(delay=np.nan)),
            r"the step 'model' \(HistGradientBoostingClassifier\) fails on the column 'delay': .*always missing",
        ),
        (
            Steps([("model", LogisticRegression())]),
            training_set(),
            r"the step 'model' \(LogisticRegression\) fails on the column 'carrier': could not convert",
        ),
        (
            Steps([("encode", OneHotEncoder(categories=[["AA"]])), ("model", LogisticRegression())]),
            training_set().with_inputs(INPUTS[:1]),
            r"the step 'encode' \(OneHotEncoder\) fails on the column 'carrier': Found unknown categories",
        ),
    ],
    ids=["step", "branch", "selector", "missing", "missing behind", "always missing", "text", "unknown category"],
)
def test_a_fit_that_fails_names_the_step_and_the_column(steps: Steps, rows: TrainingSet, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Pipeline(steps).fit(rows)


def test_what_is_no_training_set_is_refused_by_its_type() -> None:
    rows, pipeline = numbers(training_set()), Pipeline(LogisticRegression())
    with pytest.raises(ModelError, match=r"fit takes a TrainingSet and received Split; give it split.train"):
        pipeline.fit(at_random(rows, seed=1))  # type: ignore[arg-type]
    with pytest.raises(
        ModelError, match=r"the rows are ndarray; expected a DataFrame, .* with the columns hour, delay"
    ):
        pipeline.fit(rows).predict(rows.columns.to_numpy())


@pytest.mark.parametrize(
    "names",
    [("sepal length (cm)", "sepal_length__cm_"), ("variable", "label1"), ("größe", '0<x> "y"')],
    ids=["as in iris", "as the converter's own", "no identifiers"],
)
def test_columns_keep_their_names_in_onnx_whatever_they_are(names: tuple[str, str]) -> None:
    made = training_set().rows.rename(columns=dict(zip(("hour", "delay"), names, strict=True)))
    inputs = tuple(map(request, names))
    rows = TrainingSet(name="flights", rows=made, inputs=inputs, label="minutes")
    scaled = ColumnTransformer([("scaled", StandardScaler(), [names[0]])], remainder="passthrough")
    steps = Steps([("fill", scaled), ("model", HistGradientBoostingRegressor(max_iter=3, random_state=0))])
    model = Pipeline(steps).fit(rows).prove(rows.only(np.arange(ROWS) < 30))
    assert tuple(value.name for value in onnx.load_from_string(model.content).graph.input) == names
    assert model.parity.max_abs_diff <= model.parity.tolerance


def test_rows_made_to_hurt_of_many_columns_fit_into_memory() -> None:
    wide = pd.DataFrame(np.random.default_rng(1).normal(size=(210, 300)))
    wide.columns = [f"x{place}" for place in range(300)]
    hurtful, changes = adversarial.rows(LinearRegression(), tuple(map(request, wide.columns)), wide)
    assert len(changes) == len(hurtful) == 1 + 300 * (10 + 3 * 88)
    assert np.isnan(hurtful.x7[1 + 7 * 274])
    assert hurtful.x8[1 + 7 * 274] == wide.x8[7 * 274 % 210]
    assert {change.column for change in changes[1 + 7 * 274 : 1 + 8 * 274]} == {"x7"}
