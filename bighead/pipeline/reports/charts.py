"""Charts of a model on its test rows, as data: scikit-learn's own figures, thinned to what a drawing can show. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    mean_absolute_error,
    precision_recall_curve,
    r2_score,
    roc_auc_score,
    roc_curve,
)
from sklearn.model_selection import learning_curve as scores_by_size
from sklearn.pipeline import Pipeline

from bighead.charts.forms import Chart, HistogramChart, LineChart, MatrixChart, ScatterChart, Series
from bighead.errors import ModelError

_STEP = 1 / 200
"""Points of a curve that are nearer to the last one look the same."""
_BINS, _CALIBRATION_BINS, _SHOWN = 40, 10, 800
_UNIT = (0.0, 1.0)

Values = npt.NDArray[Any]


def binary_charts(
    actual: Values, probability: Values, threshold: float = 0.5, names: Sequence[str] = ("0", "1")
) -> dict[str, Chart]:
    """ROC, precision-recall, confusion at the threshold, calibration and lift, by name.

    actual: 0 or 1 for each row; probability: that of 1; names: what 0 and 1 are called.
    """
    _check_two(actual)
    return {
        "roc": _roc(actual, probability),
        "precision_recall": _precision_recall(actual, probability),
        "confusion": _confusion(actual, probability >= threshold, [0, 1], names, f"Positive from {threshold:g} on."),
        "calibration": _calibration(actual, probability),
        "lift": _lift(actual, probability),
    }


def multiclass_charts(actual: Values, predicted: Values, labels: Sequence[Any]) -> dict[str, Chart]:
    """The confusion of the classes."""
    return {"confusion": _confusion(actual, predicted, labels, [str(label) for label in labels], "")}


def regression_charts(actual: Values, predicted: Values) -> dict[str, Chart]:
    """Residuals, and predicted over actual, of evenly chosen rows."""
    residual = actual - predicted
    low, high = np.quantile(residual, [0.005, 0.995])
    counts, edges = np.histogram(np.clip(residual, low, high), bins=_BINS, range=(low, high if high > low else low + 1))
    chosen = np.linspace(0, len(actual) - 1, min(_SHOWN, len(actual))).astype(int)
    explained = f", R² {r2_score(actual, predicted):.4g}" if len(np.unique(actual)) > 1 else ""
    note = f"Mean absolute error {mean_absolute_error(actual, predicted):.4g}{explained}."
    return {
        "residuals": HistogramChart(
            title="Residuals",
            x_label="actual minus predicted",
            y_label="rows",
            edges=tuple(map(float, edges)),
            counts=tuple(map(float, counts)),
            note=f"{note} The outermost bars hold what lies beyond them.",
        ),
        "predicted": ScatterChart(
            title="Predicted over actual",
            x_label="actual",
            y_label="predicted",
            points=tuple(zip(actual[chosen].tolist(), predicted[chosen].tolist(), strict=True)),
            diagonal=True,
            note=note,
        ),
    }


def learning_curve(
    estimator: Any, rows: Any, actual: Values, scoring: str, sizes: int = 5, folds: int = 3
) -> LineChart:
    """Score over the number of training rows, by cross-validation: it fits the estimator sizes x folds times."""
    counts, trained, tested = scores_by_size(
        estimator, rows, actual, train_sizes=np.linspace(0.1, 1.0, sizes), cv=folds, scoring=scoring
    )
    lines = {"training": trained.mean(axis=1), "test": tested.mean(axis=1)}
    return LineChart(
        title="Learning curve",
        x_label="training rows",
        y_label=scoring,
        series=tuple(Series(name=name, points=_pairs(counts, scores)) for name, scores in lines.items()),
        note=f"Means of {folds} folds.",
    )


def boosting_curve(pipeline: Pipeline, sets: Mapping[str, tuple[Any, Values]]) -> LineChart:
    """Log loss after each tree of a boosted classifier, on each named set of (typed rows, labels)."""
    series = []
    for name, (rows, actual) in sets.items():
        columns = pipeline[:-1].transform(rows) if len(pipeline) > 1 else rows
        losses = [log_loss(actual, found) for found in pipeline[-1].staged_predict_proba(columns)]
        series.append(Series(name=name, points=tuple((float(place + 1), loss) for place, loss in enumerate(losses))))
    return LineChart(title="Learning curve", x_label="trees", y_label="log loss", series=tuple(series))


def _roc(actual: Values, probability: Values) -> LineChart:
    false_positive, true_positive, _ = roc_curve(actual, probability)
    return LineChart(
        title="ROC",
        x_label="false positive rate",
        y_label="true positive rate",
        series=(Series(name="model", points=thinned(false_positive, true_positive)),),
        baseline=Series(name="chance", points=((0.0, 0.0), (1.0, 1.0))),
        x_range=_UNIT,
        y_range=_UNIT,
        note=f"Area under the curve {roc_auc_score(actual, probability):.4f}.",
    )


def _precision_recall(actual: Values, probability: Values) -> LineChart:
    precision, recall, _ = precision_recall_curve(actual, probability)
    share = float(np.mean(actual))
    return LineChart(
        title="Precision and recall",
        x_label="recall",
        y_label="precision",
        series=(Series(name="model", points=thinned(recall[::-1], precision[::-1])),),
        baseline=Series(name="chance", points=((0.0, share), (1.0, share))),
        x_range=_UNIT,
        y_range=_UNIT,
        note=f"Average precision {average_precision_score(actual, probability):.4f}; {share:.1%} of all are positive.",
    )


def _confusion(
    actual: Values, predicted: Values, labels: Sequence[Any], names: Sequence[str], note: str
) -> MatrixChart:
    counts = confusion_matrix(actual, predicted, labels=list(labels))
    return MatrixChart(
        title="Confusion",
        row_label="actual",
        column_label="predicted",
        labels=tuple(names),
        counts=tuple(tuple(float(count) for count in row) for row in counts),
        note=note,
    )


def _calibration(actual: Values, probability: Values) -> LineChart:
    happened, predicted = calibration_curve(actual, probability, n_bins=_CALIBRATION_BINS, strategy="quantile")
    return LineChart(
        title="Calibration",
        x_label="predicted probability",
        y_label="share that happened",
        series=(Series(name="model", points=_pairs(predicted, happened)),),
        baseline=Series(name="perfect", points=((0.0, 0.0), (1.0, 1.0))),
        x_range=_UNIT,
        y_range=_UNIT,
        note=f"Each point is a tenth of the rows; Brier score {brier_score_loss(actual, probability):.4f}.",
    )


def _lift(actual: Values, probability: Values) -> LineChart:
    """From the ROC curve: of the rows above a threshold, how much more often it happened than in all."""
    false_positive, true_positive, _ = roc_curve(actual, probability)
    share = float(np.mean(actual))
    chosen = true_positive * share + false_positive * (1 - share)
    some = chosen > 0.005  # a handful of rows says nothing
    lift = true_positive[some] / chosen[some]
    return LineChart(
        title="Lift",
        x_label="share of the rows, the most probable first",
        y_label="lift",
        series=(Series(name="model", points=thinned(chosen[some], lift)),),
        baseline=Series(name="chance", points=((0.0, 1.0), (1.0, 1.0))),
        x_range=_UNIT,
        note=f"Of the first tenth {np.interp(0.1, chosen[some], lift):.2f} times as many are positive as of all.",
    )


def thinned(x: Values, y: Values) -> tuple[tuple[float, float], ...]:
    """The points of a curve over [0, 1] that can be told apart, the first and the last among them."""
    kept = [0]
    for place in range(1, len(x) - 1):
        last = kept[-1]
        if abs(x[place] - x[last]) >= _STEP or abs(y[place] - y[last]) >= _STEP:
            kept.append(place)
    return _pairs(x[[*kept, len(x) - 1]], y[[*kept, len(x) - 1]])


def _pairs(x: Values, y: Values) -> tuple[tuple[float, float], ...]:
    return tuple((float(a), float(b)) for a, b in zip(x, y, strict=True))


def _check_two(actual: Values) -> None:
    found = sorted(set(np.unique(actual).tolist()))
    if found != [0, 1]:
        raise ModelError(f"the test rows have the labels {found[:5]}; the charts of a binary classifier need 0 and 1")
