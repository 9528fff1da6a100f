"""Bounds of approximate percentiles: within which a sketch that met the same values in another order may answer.

Pure. A sketch is exact up to 200 values; beyond, two of them are each within a rank error of the truth.
"""

from dataclasses import replace
from typing import Any

from bighead.features.compiled import CompiledJoin, CompiledPart, compile_group
from bighead.features.definition import Aggregation
from bighead.features.operations import Op

BOUNDS = "bounds of "
"""What the columns with the bounds of a feature begin with."""
RANK_ERROR = 0.0266
"""Twice that of a KLL sketch with k = 200, since two of them are compared."""


def bounded_join(join: CompiledJoin) -> CompiledJoin:
    """The join with, for each feature that is an approximate percentile, the values a rank error below and above."""
    bounds = [found for part in join.parts if (found := _bounds_of(part)) is not None]
    kinds = {
        column: feature.kind
        for part in bounds
        for column, feature in zip(part.columns, part.group.features, strict=True)
    }
    return replace(join, parts=(*join.parts, *bounds), kinds={**join.kinds, **kinds})


def within(served: Any, bounds: Any) -> bool:
    """Whether served percentiles lie between those a rank error below and above."""
    if isinstance(served, dict) and isinstance(bounds, dict):
        return served.keys() == bounds.keys() and all(within(one, bounds[key]) for key, one in served.items())
    if not isinstance(served, list) or not isinstance(bounds, list) or len(bounds) != 2 * len(served):
        return False
    return all(low <= one <= high for low, one, high in zip(bounds[::2], served, bounds[1::2], strict=True))


def _bounds_of(part: CompiledPart) -> CompiledPart | None:
    group = part.group
    columns = [
        f"{BOUNDS}{column}"
        for column, feature in zip(part.columns, group.features, strict=True)
        if group.cells[feature.cell].op is Op.APPROX_PERCENTILE
    ]
    if not columns:
        return None
    aggregations = [_widened(one) for one in group.definition.aggregations if one.op is Op.APPROX_PERCENTILE]
    bounds = replace(group.definition, name=f"bounds_of_{group.name}", aggregations=aggregations)
    return CompiledPart(compile_group(bounds, group.columns), part.keys, tuple(columns))


def _widened(one: Aggregation) -> Aggregation:
    ranks = [bound for rank in one.args["p"] for bound in (max(0.0, rank - RANK_ERROR), min(1.0, rank + RANK_ERROR))]
    return replace(one, args={"p": ranks})
