"""Pipelines x data through the gate, small enough to try them all; `python -m` of it writes docs/matrix.md."""

import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from bighead.errors import ModelError
from bighead.events.types import Tensor
from bighead.pipeline import ProvenModel, Task, export, prove, request
from bighead.pipeline.tensors import frame

ROWS = 200
DOCS = Path(__file__).resolve().parents[3] / "docs" / "matrix.md"
CITIES = ("Oslo", "Zürich", "", "Köln", "Rio de Janeiro", "São Paulo", "Łódź", "東京")
WORDS = ("late", "early", "bags", "gate", "crew", "storm", "delayed", "missing", "fuel", "ok")
HEADER = """# What goes through the gate

`export` converts a fitted estimator to ONNX and `prove` compares the two, on rows that occurred and on rows made from
the pipeline itself: nothing known, unseen and odd strings, zero, tiny, large, huge and infinite numbers, values that
occurred and the thresholds of trees, each one ulp up and down. Numbers have to be equal within the tolerance (1e-6, or
1e-5 for XGBoost, which adds up in float32; relative to answers beyond 1, and for small values by as much less), labels
wherever the tolerance does not decide them. The tolerance, the largest difference and its row go into the record. What
scikit-learn itself refuses (infinity, mostly) is recorded as unanswered: what ONNX says there was not compared.

A refusal names the step that cannot be converted, differs or fails, and what to use instead. Trees of scikit-learn,
XGBoost (`gbtree`) and LightGBM are converted in double precision by the library itself; all else by skl2onnx. Not
converted at all: CatBoost and PyTorch, which are not part of this library; `dart` and `gblinear` of XGBoost; splits on
sets of categories; Python functions.

CatBoost 1.2.10 was measured with its own ONNX export (float32, numeric columns) on rows that occurred, borders one
ulp up and down, NaN and infinity: probabilities agree within 1.4e-7, a regression's values are off by up to 5.6e-5
(relative beyond 1), more than the tolerance, because they are added up in float32. It also brings 360 MB in nine
packages (268 MB are its own, most of the rest draws plots), so it is no part of this library.

Each cell below is a pipeline that was fitted on that data, converted, compared, stored as an artifact with the record
that the registry checks, loaded as a server loads it (its golden rows are answered again) and asked over gRPC, where
it answered like the pipeline. *equal* says that all of it went well, with the tolerance; a number says why it did not.
There is no third outcome. Nothing is unpickled: a fitted pipeline is saved as its ONNX artifact and manifest, and
loaded from them.

Written by `python -m tests.unit.pipeline.matrix`; `tests/integration/test_matrix.py` compares it with its own run.
"""


@dataclass(frozen=True)
class Row:
    """A pipeline: what it predicts, how its numbers are prepared, and how its last step is made."""

    name: str
    task: Task
    scaled: bool
    make: Callable[[], Any]
    sparse: bool = True


def _logistic() -> Any:
    return LogisticRegression(max_iter=300)


def _forest() -> Any:
    return RandomForestClassifier(n_estimators=3, random_state=0)


def _xgboost() -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=4, n_jobs=1)


def _xgboost_regressor() -> Any:
    from xgboost import XGBRegressor

    return XGBRegressor(n_estimators=4, n_jobs=1)


def _lightgbm() -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1)


def _lightgbm_regressor() -> Any:
    from lightgbm import LGBMRegressor

    return LGBMRegressor(n_estimators=4, n_jobs=1, verbose=-1)


PIPELINES = (
    Row("LogisticRegression", Task.BINARY, True, _logistic),
    Row("LogisticRegression, named classes", Task.MULTICLASS, True, _logistic),
    Row("Ridge", Task.REGRESSION, True, Ridge),
    Row("DecisionTree", Task.BINARY, True, lambda: DecisionTreeClassifier(max_depth=5, random_state=0)),
    Row(
        "HistGradientBoosting",
        Task.BINARY,
        False,
        lambda: HistGradientBoostingClassifier(max_iter=4, random_state=0),
        sparse=False,
    ),
    Row(
        "HistGradientBoosting",
        Task.REGRESSION,
        False,
        lambda: HistGradientBoostingRegressor(max_iter=4, random_state=0),
        sparse=False,
    ),
    Row(
        "GradientBoosting, named classes",
        Task.MULTICLASS,
        True,
        lambda: GradientBoostingClassifier(n_estimators=3, random_state=0),
    ),
    Row("RandomForest", Task.BINARY, True, _forest),
    Row("ExtraTrees", Task.REGRESSION, True, lambda: ExtraTreesRegressor(n_estimators=3, max_depth=6, random_state=0)),
    Row("Calibrated, sigmoid", Task.BINARY, True, lambda: CalibratedClassifierCV(_logistic(), method="sigmoid", cv=2)),
    Row(
        "Calibrated, isotonic", Task.BINARY, True, lambda: CalibratedClassifierCV(_logistic(), method="isotonic", cv=2)
    ),
    Row(
        "Voting, soft",
        Task.BINARY,
        True,
        lambda: VotingClassifier(
            [("linear", _logistic()), ("forest", _forest())], voting="soft", flatten_transform=False
        ),
    ),
    Row(
        "Stacking",
        Task.BINARY,
        True,
        lambda: StackingClassifier([("linear", _logistic()), ("forest", _forest())], _logistic(), cv=2),
    ),
    Row("KNeighbors", Task.BINARY, True, lambda: KNeighborsClassifier(5)),
    Row("IsolationForest", Task.OUTLIERS, True, lambda: IsolationForest(n_estimators=4, random_state=0)),
    Row("KMeans", Task.CLUSTERS, True, lambda: KMeans(3, n_init=1, random_state=0)),
    Row("XGBoost", Task.BINARY, False, _xgboost),
    Row("XGBoost", Task.REGRESSION, True, _xgboost_regressor),
    Row("LightGBM, named classes", Task.MULTICLASS, False, _lightgbm),
    Row("LightGBM", Task.REGRESSION, True, _lightgbm_regressor),
)
DATA = ("numeric", "categorical", "text", "missing", "sparse", "dates", "imbalanced")


@dataclass(frozen=True)
class Cell:
    """A pipeline on data, as the gate found it: proven, or why not."""

    row: int
    data: str
    pipeline: Pipeline
    model: ProvenModel | None
    refusal: str

    @property
    def name(self) -> str:
        return f"cell-{self.row}-{self.data}"


@cache
def rows_of(data: str) -> tuple[tuple[Tensor, ...], pd.DataFrame]:
    """The inputs and rows of one kind of data; `score` is what there is to learn."""
    random = np.random.default_rng(5)
    numbers = random.normal(size=(ROWS, 2)) * [3, 50] + [0, 200]
    city = random.choice(np.array(CITIES, object), ROWS)
    text = np.array([" ".join(random.choice(WORDS, random.integers(1, 6))) for _ in range(ROWS)], object)
    when = random.integers(1_600_000_000_000, 1_610_000_000_000, ROWS)
    storm = np.array(["storm" in one for one in text])
    score = numbers[:, 0] + 0.02 * numbers[:, 1] + 2 * (city == "Oslo") + 3 * storm + (when - 1.605e12) / 1e9
    rows = pd.DataFrame({"a": numbers[:, 0], "b": numbers[:, 1], "city": city, "text": text, "when": when})
    rows["score"] = score + random.normal(size=ROWS)
    if data == "missing":
        rows.loc[random.random(ROWS) < 0.2, "a"] = np.nan
        rows.loc[random.random(ROWS) < 0.2, "b"] = np.nan
    a, b = request("a"), request("b")
    city_input, text_input = request("city", "BYTES"), request("text", "BYTES")
    inputs = {
        "categorical": (city_input, a),
        "text": (text_input, a),
        "sparse": (city_input, text_input, a),
        "dates": (request("when", "INT64"), a),
    }
    return inputs.get(data, (a, b)), rows


def labels_of(task: Task, data: str) -> Any:
    """What is to be predicted; of the imbalanced data 4% are of the second class."""
    score = rows_of(data)[1].score.to_numpy()
    if task is Task.BINARY:
        return (score > np.quantile(score, 0.96 if data == "imbalanced" else 0.6)).astype(int)
    if task is Task.MULTICLASS:
        return np.array(["low", "middle", "high"])[np.digitize(score, np.quantile(score, [0.3, 0.7]))]
    return score if task is Task.REGRESSION else None


def pipeline_of(row: Row, data: str) -> Pipeline:
    """The columns prepared as their kinds need it, then the model; without preparation where it needs none."""
    inputs, _ = rows_of(data)
    parts: list[tuple[str, Any, Any]] = []
    for tensor in inputs:
        if tensor.name == "text":
            words = TfidfVectorizer(max_features=8, lowercase=False, token_pattern="[a-zA-Z0-9_]+")
            parts.append(("text", words, "text"))
        elif tensor.name == "city":
            one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=data == "sparse" and row.sparse)
            parts.append(("city", one_hot, ["city"]))
    numbers = [tensor.name for tensor in inputs if tensor.type != "BYTES"]
    if not parts and not row.scaled:
        return Pipeline([("model", row.make())])
    prepare = make_pipeline(SimpleImputer(), StandardScaler()) if row.scaled else "passthrough"
    threshold = 0.9 if data == "sparse" and row.sparse else 0.0
    columns = ColumnTransformer([*parts, ("numbers", prepare, numbers)], sparse_threshold=threshold)
    return Pipeline([("columns", columns), ("model", row.make())])


def cell_of(place: int, data: str) -> Cell:
    """Fits, converts and proves one cell."""
    row = PIPELINES[place]
    inputs, rows = rows_of(data)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        pipeline = pipeline_of(row, data).fit(frame(inputs, rows), labels_of(row.task, data))
        try:
            content = export(pipeline, inputs, row.task)
            return Cell(place, data, pipeline, prove(pipeline, content, inputs, rows, task=row.task), "")
        except ModelError as error:
            return Cell(place, data, pipeline, None, str(error))


def cells() -> Iterator[Cell]:
    """All of them, row by row."""
    for place in range(len(PIPELINES)):
        for data in DATA:
            yield cell_of(place, data)


def page(found: list[Cell]) -> str:
    """The text of docs/matrix.md."""
    reasons = list(dict.fromkeys(_reason(cell) for cell in found if cell.model is None))
    by_row = {place: [_told(cell, reasons) for cell in found if cell.row == place] for place in range(len(PIPELINES))}
    lines = [f"| pipeline | predicts | {' | '.join(DATA)} |", "|---" * (len(DATA) + 2) + "|"]
    for place, row in enumerate(PIPELINES):
        lines.append(f"| {row.name} | {row.task.replace('_', ' ')} | {' | '.join(by_row[place])} |")
    notes = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([HEADER, *lines, "", "Refused, because:", "", *notes, ""])


def _told(cell: Cell, reasons: list[str]) -> str:
    if cell.model is None:
        return f"refused ({reasons.index(_reason(cell)) + 1})"
    return f"equal (1e{round(float(np.log10(cell.model.parity.tolerance)))})"


def _reason(cell: Cell) -> str:
    """A refusal without its figures, which are another machine's."""
    cause = cell.refusal.partition("the cause is ")[2] or cell.refusal
    return re.sub(r"<class '([\w.]+)'>", r"\1", cause)


def main() -> None:
    DOCS.write_text(page(list(cells())))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
