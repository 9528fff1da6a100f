"""How the answer depends on one input when all others stay as they are: scikit-learn's partial dependence. Pure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.inspection import partial_dependence

from bighead.charts.forms import Bar, BarChart, Chart, LineChart, Series
from bighead.pipeline.reports.answers import Numbers, Values
from bighead.pipeline.training_set import Task
from bighead.pipeline.wrapped import FittedPipeline

_POINTS, _VALUES, _INNER = 20, 8, (0.05, 0.95)


def dependence(model: FittedPipeline, rows: pd.DataFrame, name: str) -> Chart | None:
    """The mean answer over rows in which this input is set to one value after the other; None where it has one value.

    rows: typed; values are quantiles of a number's inner nine tenths, or the most frequent ones of a text.
    """
    grid = _grid(rows[name])
    if len(grid) < 2:
        return None
    # scikit-learn takes no whole numbers and truth values here, for a grid between them would be cut; ours is of values
    # that there are.
    columns = rows.astype(dict.fromkeys(rows.select_dtypes(["integer", "bool"]).columns, np.float64))
    found = partial_dependence(
        model.estimator,
        columns,
        [name],
        custom_values={name: grid},
        categorical_features=[name] if grid.dtype == np.object_ else None,
        kind="average",
        method="brute",
    )
    means: Numbers = np.asarray(found["average"], np.float64)
    title, told = f"Dependence on {name}", _answer(model)
    if grid.dtype == np.object_:
        bars = tuple(
            Bar(name=str(value)[:200] or "(empty)", value=float(mean))
            for value, mean in zip(grid, means[-1], strict=True)
        )
        return BarChart(title=title, x_label=told, bars=bars)
    names = ["model"] if len(means) == 1 else [str(one) for one in model.classes][: len(means)]
    series = tuple(
        Series(name=one, points=tuple(zip(grid.tolist(), line.tolist(), strict=True)))
        for one, line in zip(names[:12], means, strict=False)
    )
    return LineChart(title=title, x_label=name, y_label=told, series=series)


def _grid(values: pd.Series) -> Values:
    if values.dtype == np.object_:
        return np.asarray(values.value_counts().index[:_VALUES], np.object_)
    known: Sequence[float] = values.to_numpy(np.float64)[np.isfinite(values.to_numpy(np.float64))]
    if not len(known):
        return np.empty(0)
    return np.unique(np.quantile(known, np.linspace(*_INNER, _POINTS), method="nearest"))


def _answer(model: FittedPipeline) -> str:
    if model.task is Task.REGRESSION:
        return "mean prediction"
    if model.task is Task.BINARY:
        return f"mean probability of {model.classes[1]}"
    return "mean probability"
