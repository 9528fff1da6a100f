"""Conversion and proof of a model of 100 trees on 100,000 rows, beside skl2onnx's conversion and one prediction."""

from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from threadpoolctl import threadpool_limits

from benchmarks.report import Report
from bighead.pipeline import export, feature, prove
from bighead.pipeline.tensors import frame

ROWS, COLUMNS, TREES = 100_000, 20, 100
GOAL_S = 10.0


def run(rows: int = ROWS) -> Report:
    """Boosted trees and a forest, each converted, proven on all rows and on rows made to hurt."""
    random = np.random.default_rng(7)
    inputs = [feature(f"x{place}") for place in range(COLUMNS)]
    given = pd.DataFrame(random.normal(size=(rows, COLUMNS)), columns=[tensor.name for tensor in inputs])
    labels = (given.x0 + given.x1 * given.x2 + random.normal(size=rows) > 0).astype(int)
    models = (
        HistGradientBoostingClassifier(max_iter=TREES, random_state=7),
        RandomForestClassifier(n_estimators=TREES, max_depth=8, random_state=7),
    )
    table: list[dict[str, Any]] = []
    ratios, goals = {}, {}
    with threadpool_limits(1):
        typed = frame(inputs, given)
        floors = [_floor(model.fit(typed, labels), typed) for model in models]
        for model, floor_s in zip(models, floors, strict=True):
            name = type(model).__name__
            begun = perf_counter()
            content = export(model, inputs)
            converted_s = perf_counter() - begun
            proven = prove(model, content, inputs, given)
            ours_s = perf_counter() - begun
            table.append(
                {
                    "what": f"{name}, {TREES} trees, {rows:,} x {COLUMNS}",
                    "gate_s": ours_s,
                    "of_which_conversion_s": converted_s,
                    "floor_s": floor_s,
                    "rows_compared": proven.parity.rows,
                    "max_abs_diff": proven.parity.max_abs_diff,
                }
            )
            ratios[f"gate to bare conversion and prediction, {name}"] = ours_s / floor_s
            goals[f"{name} through the gate under {GOAL_S:g} s"] = ours_s < GOAL_S
    notes = ["floor: skl2onnx's own conversion in float32 and predict_proba of the same rows, which proves nothing"]
    return Report("gate", "", table, ratios, goals, notes)


def _floor(model: Any, typed: pd.DataFrame) -> float:
    """To be measured before anything is exported: from then on skl2onnx uses the library's conversions."""
    begun = perf_counter()
    convert_sklearn(model, initial_types=[("x", FloatTensorType([None, typed.shape[1]]))], options={"zipmap": False})
    model.predict_proba(typed)
    return perf_counter() - begun
