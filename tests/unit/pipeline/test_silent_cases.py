"""Conversions that are known to differ without a word: each is equal here, or refused by the step that causes it."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from bighead.errors import ModelError, ParityError
from bighead.events.types import Tensor
from bighead.pipeline import ProvenModel, Task, export, prove, request
from bighead.pipeline.tensors import frame
from tests.unit.pipeline.matrix import PIPELINES as MATRIX
from tests.unit.pipeline.matrix import labels_of, pipeline_of, rows_of

NUMBERS = (request("a"), request("b"))
ROWS = rows_of("numeric")[1]
LABELS = labels_of(Task.BINARY, "numeric")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def fitted(*steps: Any, inputs: tuple[Tensor, ...] = NUMBERS, rows: pd.DataFrame = ROWS) -> Pipeline:
    named = [(f"step{place}", step) for place, step in enumerate(steps)]
    return Pipeline(named).fit(frame(inputs, rows), LABELS)


def proven(
    pipeline: Pipeline, inputs: tuple[Tensor, ...] = NUMBERS, rows: pd.DataFrame = ROWS, **given: Any
) -> ProvenModel:
    return prove(pipeline, export(pipeline, inputs), inputs, rows, **given)


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=5, random_state=0)


def test_xgboost_after_sparse_columns_is_refused_and_exact_after_dense_ones() -> None:
    [xgboost] = [row for row in MATRIX if row.name == "XGBoost" and row.task is Task.BINARY]
    inputs, rows = rows_of("sparse")
    sparse = pipeline_of(xgboost, "sparse").fit(frame(inputs, rows), LABELS)
    with pytest.raises(ParityError, match=r"step 'model' \(XGBClassifier\): in sparse rows it takes zero for missing"):
        proven(sparse, inputs, rows)
    inputs, rows = rows_of("categorical")
    dense = pipeline_of(xgboost, "categorical").fit(frame(inputs, rows), LABELS)
    assert proven(dense, inputs, rows).parity.max_abs_diff < 1e-6


def test_isotonic_calibration_is_refused_and_the_worst_row_shown() -> None:
    pipeline = fitted(SimpleImputer(), CalibratedClassifierCV(LogisticRegression(), method="isotonic", cv=2))
    with pytest.raises(ParityError, match=r"worst row \(.*'b': .*'step1' \(CalibratedClassifierCV\): method='sigmoid'"):
        proven(pipeline)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_forest_after_a_scaler_is_exact_in_double_precision_only(seed: int) -> None:
    steps = (SimpleImputer(), StandardScaler(), RandomForestClassifier(n_estimators=5, random_state=seed))
    assert proven(fitted(*steps)).parity.max_abs_diff < 1e-12
    single = (request("a", "FP32"), request("b", "FP32"))
    with pytest.raises(ParityError, match=r"cause is step 'step1' \(StandardScaler\).*FP64|threshold of step"):
        proven(fitted(*steps, inputs=single), single)


def test_a_lambda_is_refused_by_the_branch_that_has_it() -> None:
    columns = ColumnTransformer([("log", FunctionTransformer(lambda rows: rows + 1), ["a"])], remainder="passthrough")
    with pytest.raises(ModelError, match=r"step 'step0: log' \(FunctionTransformer\).*a derivation of the Join"):
        proven(fitted(columns, HistGradientBoostingClassifier(max_iter=2)))


def test_bins_are_refused_sparse_or_beyond_float32() -> None:
    bins = {"n_bins": 4, "quantile_method": "averaged_inverted_cdf"}
    with pytest.raises(ModelError, match=r"step 'step1' \(KBinsDiscretizer\).*encode='onehot-dense'"):
        proven(fitted(SimpleImputer(), KBinsDiscretizer(**bins), LogisticRegression()))
    dense = fitted(SimpleImputer(), KBinsDiscretizer(encode="onehot-dense", **bins), LogisticRegression())
    with pytest.raises(ParityError, match=r"worst row \(huge\)"):  # it is rounded to float32, where it is infinite
        proven(dense)


def test_voting_that_flattens_is_refused() -> None:
    voting = VotingClassifier([("linear", LogisticRegression()), ("forest", forest())], voting="soft")
    with pytest.raises(ModelError, match=r"'step1' \(VotingClassifier\).*flatten_transform=False"):
        proven(fitted(SimpleImputer(), voting))


def test_words_beyond_ascii_are_refused_and_no_locale_is_needed() -> None:
    inputs, rows = rows_of("text")
    columns = ColumnTransformer([("text", TfidfVectorizer(), "text")])
    with pytest.raises(ParityError, match=r"cause is step 'step0: text' \(TfidfVectorizer\): .*a-zA-Z0-9_"):
        proven(fitted(columns, LogisticRegression(), inputs=inputs, rows=rows), inputs, rows)


def test_an_unseen_category_and_a_null_are_refused_by_step_and_column() -> None:
    inputs, rows = rows_of("categorical")
    columns = ColumnTransformer([("city", OneHotEncoder(), ["city"])])
    said = r"unseen category in column 'city'\): step 'step0: city' \(OneHotEncoder\).*handle_unknown"
    with pytest.raises(ParityError, match=said):
        proven(fitted(columns, LogisticRegression(), inputs=inputs, rows=rows), inputs, rows)


def test_infinity_in_the_rows_is_recorded_as_unanswered_or_refused_where_it_occurred() -> None:
    pipeline = fitted(SimpleImputer(), LogisticRegression())
    model = proven(pipeline)
    assert set(model.parity.unanswered) >= {"infinity", "minus infinity"}
    with pytest.raises(ParityError, match=r"\(occurred\): step 'step0' \(SimpleImputer\).*infinit.*clip"):
        proven(pipeline, rows=ROWS.assign(a=np.where(np.arange(len(ROWS)) == 7, np.inf, ROWS.a)))


@pytest.mark.parametrize(
    ("estimator", "task", "labels", "message"),
    [
        (LinearSVC(), Task.BINARY, LABELS, "LinearSVC has no predict_proba"),
        (HistGradientBoostingClassifier(max_iter=2), Task.BINARY, LABELS.astype(float), "whole number or a string"),
        (HistGradientBoostingClassifier(max_iter=2), Task.BINARY, LABELS + (ROWS.a > 0), "two classes"),
    ],
)
def test_an_estimator_that_cannot_do_the_task_is_refused(estimator: Any, task: Task, labels: Any, message: str) -> None:
    pipeline = Pipeline([("model", estimator)]).fit(frame(NUMBERS, ROWS), labels)
    with pytest.raises(ModelError, match=re.escape(message)):
        export(pipeline, NUMBERS, task)


def test_classes_with_names_are_the_labels_that_are_served() -> None:
    pipeline = Pipeline([("model", HistGradientBoostingClassifier(max_iter=2))])
    pipeline.fit(frame(NUMBERS, ROWS), np.array(["on time", "late"])[LABELS])
    model = proven(pipeline)
    assert [(one.name, one.type) for one in model.signature.outputs] == [("probability", "FP64"), ("label", "BYTES")]
    assert {row["outputs"]["label"] for row in model.golden} == {"on time", "late"}


def test_a_tolerance_of_the_models_own_is_recorded() -> None:
    assert proven(fitted(SimpleImputer(), LogisticRegression()), tolerance=1e-9).parity.tolerance == 1e-9


def test_whoever_calls_skl2onnx_after_an_export_gets_its_own_conversions() -> None:
    model = HistGradientBoostingClassifier(max_iter=2, early_stopping=False).fit(frame(NUMBERS, ROWS), LABELS)
    assert export(model, NUMBERS)
    plain = convert_sklearn(model, initial_types=[("x", FloatTensorType([None, 2]))], target_opset=18)
    assert {node.op_type for node in plain.graph.node} >= {"TreeEnsembleClassifier"}
