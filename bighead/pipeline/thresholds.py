"""Where the answer of trees changes, in terms of the columns that the pipeline takes: found through the pipeline.

A threshold is one of the columns that reach the trees. Where a column reaches them as it was given, it is the
threshold; where it is scaled on its way, the place is searched between two values that fall on different sides.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.pipeline import Pipeline

from bighead.errors import ModelError
from bighead.events.types import Tensor
from bighead.pipeline.conversion.ensemble import LESS, Ensemble
from bighead.pipeline.conversion.operators import ensemble_of, is_trees
from bighead.pipeline.tensors import DATATYPES, FLOATS

MOST, MOST_SEARCHED = 20_000, 500
_NEAR = 1e-6  # of a value: no rounding to float32 is as large
_POINTS, _ROUNDS = 129, 6  # 128 parts, 6 times over: from there to the next number in double precision

Floats = npt.NDArray[Any]


def beside_thresholds(estimator: Any, inputs: Sequence[Tensor], occurred: pd.DataFrame) -> dict[str, Floats]:
    """Values of the floating columns at which a comparison of the last step's trees turns, as near as numbers are."""
    model = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not is_trees(model):
        return {}
    try:
        ensemble = ensemble_of(model)
    except ModelError:
        return {}  # its conversion is refused with a reason
    search = _Search(estimator, ensemble, occurred)
    names = search.names()
    columns = {tensor.name: names.index(tensor.name) for tensor in inputs if tensor.name in names}
    dtypes = {tensor.name: DATATYPES[tensor.type].dtype for tensor in inputs if tensor.type in FLOATS}
    return search.turns({name: columns[name] for name in dtypes if name in columns}, dtypes)


class _Search:
    """Looks for the values at which comparisons turn, by sending rows through the steps before the trees."""

    def __init__(self, estimator: Any, ensemble: Ensemble, occurred: pd.DataFrame) -> None:
        self._before = estimator[:-1] if isinstance(estimator, Pipeline) and len(estimator) > 1 else None
        self._ensemble, self._occurred = ensemble, occurred

    def names(self) -> list[str]:
        """The input that each column is named after which reaches the trees."""
        if self._before is None:
            return [str(name) for name in self._occurred.columns]
        try:
            return [str(name).rpartition("__")[2] for name in self._before.get_feature_names_out()]
        except (AttributeError, ValueError):  # a step that does not name what it makes
            return []

    def turns(self, features: dict[str, int], dtypes: dict[str, Any]) -> dict[str, Floats]:
        """For each column that is one of the trees' features, the values below which and from which rows differ."""
        thresholds = [one for one in self._ensemble.thresholds() if np.isfinite(one[1])]
        thresholds = thresholds[:: max(1, -(-len(thresholds) // MOST))]
        at = np.array([feature for feature, _ in thresholds])
        values = np.array([value for _, value in thresholds])
        ends = {name: _ends(self._occurred[name].to_numpy()) for name in features}
        which = np.repeat(np.array(list(features), object), 2)
        made = self._made(which, features, np.concatenate([*ends.values(), np.array([])]))
        found: dict[str, Floats] = {}
        searched: list[tuple[str, Floats, Floats]] = []
        for place, (name, feature) in enumerate(features.items()):
            wanted, got = values[at == feature], made[2 * place : 2 * place + 2]
            if not len(wanted) or got[0] == got[1] or not np.isfinite(got).all():
                continue
            if np.array_equal(got, ends[name]):
                found[name] = _as_given(wanted) if self._ensemble.single else wanted
                continue
            wanted = wanted[:: max(1, -(-len(wanted) // (MOST_SEARCHED // len(features) + 1)))]
            slope = (got[1] - got[0]) / (ends[name][1] - ends[name][0])
            searched.append((name, wanted, ends[name][0] + (wanted - got[0]) / slope))
        if searched:
            found |= self._between(searched, features, dtypes)
        return {name: numbers.astype(dtypes[name]) for name, numbers in found.items()}

    def _between(
        self, searched: list[tuple[str, Floats, Floats]], features: dict[str, int], dtypes: dict[str, Any]
    ) -> dict[str, Floats]:
        """The last value on the one side of each threshold, for those whose place is where a straight line has it."""
        which = np.concatenate([np.full(len(wanted), name, object) for name, wanted, _ in searched])
        thresholds = np.concatenate([wanted for _, wanted, _ in searched])
        about = np.concatenate([about for _, _, about in searched])
        margin = _NEAR * np.maximum(np.abs(about), np.abs(about).max() * _NEAR)
        compare: Callable[[Floats, Floats], Floats] = np.less if self._ensemble.mode == LESS else np.less_equal

        def is_left(points: Floats) -> Floats:
            many = len(points) // len(which)
            made = self._made(np.tile(which, many), features, points)
            made = made.astype(np.float32).astype(np.float64) if self._ensemble.single else made
            return np.asarray(compare(made, np.tile(thresholds, many)))

        low, high = about - margin, about + margin
        first, last = np.split(is_left(np.concatenate([low, high])), 2)
        for _ in range(_ROUNDS):
            points = np.linspace(low, high, _POINTS)  # [points, thresholds]
            turned = np.array(np.split(is_left(points.ravel()), _POINTS)) != first
            at = np.maximum(1, np.argmax(turned, axis=0))
            low, high = (np.take_along_axis(points, (at - back)[None], 0)[0] for back in (1, 0))
        return {name: low[(which == name) & (first != last)] for name, _, _ in searched}

    def _made(self, which: Floats, features: dict[str, int], values: Floats) -> Floats:
        """What reaches the trees for each value of the column that `which` names, the rest as in the first row."""
        if self._before is None or not len(values):
            return values
        rows = self._occurred.iloc[np.zeros(len(values), int)].reset_index(drop=True)
        for name in features:
            mine, column = which == name, rows[name].to_numpy(copy=True)
            column[mine] = values[mine]
            rows[name] = column
        made = self._before.transform(rows)
        made = np.asarray(made.toarray() if hasattr(made, "toarray") else made)
        taken = np.array([features[name] for name in which])
        return np.asarray(made[np.arange(len(values)), taken], np.float64)


def _ends(values: Floats) -> Floats:
    """Two different numbers that occurred, or are near to what did."""
    seen = values[np.isfinite(values)]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 1.0)
    return np.array([low, high if high > low else low + 1.0])


def _as_given(thresholds: Floats) -> Floats:
    """The thresholds, and where a number in double precision is rounded to float32 across one."""
    near = thresholds.astype(np.float32)
    near = np.where(near.astype(np.float64) > thresholds, np.nextafter(near, np.float32(-np.inf)), near)
    steps = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    below, at, above = (one.astype(np.float64) for one in steps)
    return np.unique(np.concatenate([thresholds, (below + at) / 2, (at + above) / 2]))
