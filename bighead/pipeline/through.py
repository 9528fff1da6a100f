"""Of which columns each column behind a fitted transformer is made: scikit-learn's own facts of each. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion
from sklearn.pipeline import Pipeline as Steps
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, PolynomialFeatures, SplineTransformer

from bighead.pipeline.branches import branches_of


@dataclass(frozen=True, slots=True)
class Made:
    """A column behind a step, and the names of those before it that it is made of."""

    name: str
    of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A transformer within a step, the columns that it takes, and those that it makes."""

    name: str
    transformer: Any
    taken: tuple[str, ...]
    made: tuple[Made, ...]


def made_by(step: Any, columns: Sequence[str]) -> tuple[Made, ...]:
    """The columns behind a fitted step.

    Where nothing is known of a transformer, each is made of all; where it does not even name them, one stands for all.
    """
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return tuple(Made(name, (name,)) for name in columns)
    if isinstance(step, Steps):
        return _in_turn(step, columns)
    if isinstance(step, ColumnTransformer):
        return tuple(made for part in parts_of("", step, columns) for made in part.made)
    if isinstance(step, FeatureUnion):
        parts = [(name, made_by(one, columns)) for name, one, _ in step._iter()]
        return tuple(Made(f"{name}__{one.name}", one.of) for name, made in parts for one in made)
    names = names_behind(step, columns)
    for kind, origins in _ORIGINS.items():
        if isinstance(step, kind):
            return tuple(
                Made(name, tuple(columns[place] for place in places))
                for name, places in zip(names, origins(step, len(columns)), strict=True)
            )
    if isinstance(step, OneToOneFeatureMixin) or tuple(names) == tuple(columns):
        return tuple(Made(name, (column,)) for name, column in zip(names, columns, strict=True))
    return tuple(Made(name, tuple(columns)) for name in names or [type(step).__name__])


def names_behind(step: Any, columns: Sequence[str]) -> list[str]:
    """The names of the columns behind a step; numbered where the transformer gives none."""
    if hasattr(step, "get_feature_names_out"):
        try:
            return [str(name) for name in step.get_feature_names_out(list(columns))]
        except (ValueError, AttributeError):  # a step within it names no columns, or others than it was fitted to
            pass
    if getattr(step, "n_features_in_", None) == len(columns) and type(step).__name__ == "FunctionTransformer":
        return list(columns)
    return []


def _in_turn(steps: Steps, columns: Sequence[str]) -> tuple[Made, ...]:
    made = tuple(Made(name, (name,)) for name in columns)
    for _, step in steps.steps:
        made = after(made, made_by(step, [one.name for one in made]))
    return made


def after(first: Sequence[Made], second: Sequence[Made]) -> tuple[Made, ...]:
    """What `second` makes of the columns that `first` made, told by what `first` made them of."""
    origins = {one.name: one.of for one in first}
    return tuple(
        Made(one.name, tuple(dict.fromkeys(origin for name in one.of for origin in origins[name]))) for one in second
    )


def parts_of(name: str, step: Any, columns: Sequence[str]) -> tuple[Part, ...]:
    """A step as what works on its columns side by side: the transformers of a ColumnTransformer, else itself."""
    if not isinstance(step, ColumnTransformer):
        return (Part(name, step, tuple(columns), made_by(step, columns)),)
    found = [(branch, one, taken, made_by(one, taken)) for branch, one, taken in branches_of(step, columns)]
    names = names_behind(step, columns)
    if len(names) != sum(len(made) for *_, made in found):
        names = [f"{branch}__{one.name}" for branch, *_, made in found for one in made]
    place, parts = 0, []
    for branch, one, taken, made in found:
        named = tuple(Made(names[place + at], column.of) for at, column in enumerate(made))
        place += len(made)
        parts.append(Part(f"{name}: {branch}", one, taken, named))
    return tuple(parts)


Origins = Callable[[Any, int], list[tuple[int, ...]]]


def _one_hot(step: OneHotEncoder, _: int) -> list[tuple[int, ...]]:
    return [(place,) for place, count in enumerate(step._n_features_outs) for _ in range(count)]


def _bins(step: KBinsDiscretizer, count: int) -> list[tuple[int, ...]]:
    if step.encode == "ordinal":
        return [(place,) for place in range(count)]
    return [(place,) for place, bins in enumerate(step.n_bins_) for _ in range(int(bins))]


def _imputed(step: SimpleImputer, count: int) -> list[tuple[int, ...]]:
    """A column without any value is left out unless it is kept; with an indicator, one more for each that had holes."""
    places = [place for place in range(count) if step.keep_empty_features or not _is_nan(step.statistics_[place])]
    marked = [int(place) for place in step.indicator_.features_] if step.add_indicator else []
    return [(place,) for place in places + marked]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and bool(np.isnan(value))


_ORIGINS: Mapping[type[Any], Origins] = {
    OneHotEncoder: _one_hot,
    KBinsDiscretizer: _bins,
    SimpleImputer: _imputed,
    MissingIndicator: lambda step, _: [(int(place),) for place in step.features_],
    SelectorMixin: lambda step, _: [(int(place),) for place in step.get_support(indices=True)],
    PolynomialFeatures: lambda step, _: [tuple(np.flatnonzero(row).tolist()) for row in step.powers_],
    SplineTransformer: lambda step, count: [
        (place,) for place in range(count) for _ in range(step.n_features_out_ // count)
    ],
}
