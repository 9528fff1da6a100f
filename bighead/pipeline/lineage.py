"""Where each input of a fitted pipeline comes from, what each step makes of it, and how much the model looks at it.

From the topic of the events, through group, feature and Join, to the columns behind the last step before the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline as Steps

from bighead.charts.graph import Graph, graph_in_words
from bighead.charts.svg import number
from bighead.charts.words import Table
from bighead.events.types import Tensor
from bighead.features.compiled import CompiledJoin, CompiledPart
from bighead.notebook import display
from bighead.pipeline.steps import pipeline_graph
from bighead.pipeline.through import Made, after, made_by
from bighead.pipeline.training_set import ColumnSource


def sources_of(join: CompiledJoin) -> dict[str, ColumnSource]:
    """Where each column that a Join gives comes from, as a training set's `sources` has it."""
    found = {name: ColumnSource(kind="request") for name in join.request_kinds}
    for part in join.parts:
        found |= _features(part)
    for name, expression in join.derivations.items():
        found[name] = ColumnSource(kind="derivation", of=tuple(sorted(expression.columns)))
    return {name: found[name] for name in join.kinds}


def _features(part: CompiledPart) -> dict[str, ColumnSource]:
    group, found = part.group, {}
    source = group.definition.source
    conditions = [one for one in (group.where, group.reversal) if one is not None]
    for feature, column in zip(group.features, part.columns, strict=True):
        cell = group.cells[feature.cell]
        inputs = [group.inputs[name] for name in (cell.column, cell.bucket) if name is not None]
        found[column] = ColumnSource(
            kind="feature",
            topic=source.topic,
            table=source.table,
            columns=tuple(sorted(set().union(*(one.columns for one in (*inputs, *conditions))))),
            group=group.name,
            keys=part.keys,
            operation=f"{cell.op} of {cell.column}" + (f" by {cell.bucket}" if cell.bucket else ""),
            window=str(feature.window or ""),
        )
    return found


@dataclass(frozen=True, slots=True)
class StepColumns:
    """A step, and the columns behind it, each told by those that come into the step."""

    step: str
    transformer: str
    columns: tuple[Made, ...]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ColumnLineage(display.Displayed):
    """The way of each column through a fitted pipeline.

    sources: by input, in order. steps: the transformers, without the model. importance: of inputs, where it is known;
    measured: what it is, in words.
    """

    estimator: Steps
    inputs: tuple[Tensor, ...]
    join: str
    sources: Mapping[str, ColumnSource]
    steps: tuple[StepColumns, ...]
    importance: Mapping[str, float] = field(default_factory=dict)
    measured: str = ""

    @cached_property
    def model_inputs(self) -> tuple[Made, ...]:
        """The columns that reach the model, each told by the inputs that it is made of."""
        made = tuple(Made(tensor.name, (tensor.name,)) for tensor in self.inputs)
        for step in self.steps:
            made = after(made, step.columns)
        return made

    def upstream(self, column: str) -> tuple[str, ...]:
        """The inputs that a column of the model is made of."""
        return next(made.of for made in self.model_inputs if made.name == column)

    def downstream(self, name: str) -> tuple[str, ...]:
        """The columns of the model that an input goes into; none where a step drops it."""
        return tuple(made.name for made in self.model_inputs if name in made.of)

    def graph(self, outputs: Sequence[Tensor] = ()) -> Graph:
        """From topics to the answer, as the record's `pipeline` attachment has it; outputs: those of the signature."""
        return pipeline_graph(
            self.estimator, self.inputs, outputs, self.join or None, sources=self.sources, importance=self.importance
        )

    def table(self) -> Table:
        """A row for each input, the most important first."""
        ranked = sorted(self.inputs, key=lambda tensor: -self.importance.get(tensor.name, 0.0))
        columns = ("input", "topic", "made by", "reaches the model as", *(("importance",) * bool(self.importance)))
        return Table(columns, tuple(map(self._row, ranked)))

    def _repr_html_(self) -> str:
        told = display.paragraph(f"Importance: {self.measured}.") if self.measured else display.Html("")
        return display.shown("Lineage", told, display.graph(self.graph()), display.table(self.table(), "Inputs"))

    def __str__(self) -> str:
        told = f"\nimportance: {self.measured}" if self.measured else ""
        return f"{graph_in_words(self.graph())}\n\n{display.text_table(self.table())}{told}"

    def _row(self, tensor: Tensor) -> tuple[str, ...]:
        source, behind = self.sources.get(tensor.name, ColumnSource(kind=tensor.source)), self.downstream(tensor.name)
        shown = ", ".join(behind[:4]) + (f" and {len(behind) - 4} more" if len(behind) > 4 else "")
        told = (tensor.name, ", ".join(self._topics(tensor.name)), _made(source), shown or "(dropped)")
        if not self.importance:
            return told
        return *told, number(self.importance[tensor.name]) if tensor.name in self.importance else ""

    def _topics(self, name: str) -> tuple[str, ...]:
        source = self.sources.get(name)
        if source is None:
            return ()
        found = [source.topic] if source.topic else [topic for one in source.of for topic in self._topics(one)]
        return tuple(dict.fromkeys(found))


def lineage_of(
    estimator: Steps,
    inputs: tuple[Tensor, ...],
    sources: Mapping[str, ColumnSource],
    join: str = "",
    importance: Mapping[str, float] | None = None,
    measured: str = "",
) -> ColumnLineage:
    """The lineage of a fitted pipeline; without `importance`, that which the model itself has, if it has any."""
    steps, names = [], [tensor.name for tensor in inputs]
    for name, step in estimator.steps[:-1]:
        made = made_by(step, names)
        steps.append(StepColumns(name, type(step).__name__, made))
        names = [one.name for one in made]
    found = ColumnLineage(
        estimator=estimator, inputs=inputs, join=join, sources=sources, steps=tuple(steps), measured=measured
    )
    if importance is None:
        importance, measured = _own_importance(estimator[-1], found.model_inputs)
    return replace(found, importance=importance, measured=measured)


def _own_importance(model: Any, columns: Sequence[Made]) -> tuple[dict[str, float], str]:
    """What the model says of its columns, as shares that add up to one, shared among the inputs of each column."""
    if hasattr(model, "feature_importances_"):
        weights, what = np.asarray(model.feature_importances_, np.float64), "the model's own importance"
    elif hasattr(model, "coef_") and not hasattr(model.coef_, "todense"):
        # Columns of different spread have coefficients of different size: they say little where nothing was scaled.
        weights, what = np.abs(np.atleast_2d(model.coef_)).mean(axis=0), "size of the coefficients"
    else:
        return {}, ""
    if len(weights) != len(columns) or not weights.sum() > 0:
        return {}, ""
    shares: dict[str, float] = {}
    for made, weight in zip(columns, (weights / weights.sum()).tolist(), strict=True):
        for name in made.of:
            shares[name] = shares.get(name, 0.0) + weight / len(made.of)
    return shares, f"{what}, as shares"


def _made(source: ColumnSource) -> str:
    match source.kind:
        case "feature" if source.group:
            window = f" over {source.window}" if source.window else ""
            return f"{source.group}: {source.operation}{window} by {', '.join(source.keys)}"
        case "derivation":
            return f"derived from {', '.join(source.of)}"
        case kind:
            return f"the {kind}"
