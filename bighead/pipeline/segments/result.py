"""A partitioned model that was trained: its models, who answers which rows, and its grid. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bighead.pipeline.parity import ProvenModel
from bighead.pipeline.segments.grid import Grid
from bighead.pipeline.segments.hierarchy import WHOLE, answering, check_levels


@dataclass(frozen=True, eq=False)
class SegmentModel:
    """The proven model of one segment, or (WHOLE) of all rows. seconds: to fit, convert and prove it."""

    segment: str
    rows: int
    seed: int
    estimator: Any = field(repr=False)
    proven: ProvenModel = field(repr=False)
    seconds: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Segmented:
    """Models by segment, and that of all rows for what is in none.

    levels: the finest first. left: segments without a model of their own, and why; the next level answers for them.
    """

    levels: tuple[str, ...]
    min_rows: int
    how: str
    whole: SegmentModel
    models: Mapping[str, SegmentModel]
    left: Mapping[str, str]
    grid: Grid

    @property
    def every(self) -> tuple[SegmentModel, ...]:
        """All models, that of all rows first."""
        return (self.whole, *self.models.values())

    def answered_by(self, rows: pd.DataFrame) -> npt.NDArray[np.object_]:
        """The segment that answers each row, WHOLE for that of all rows: as the model server chooses."""
        check_levels(self.levels, rows.columns)
        return answering(rows, self.levels, self.models)

    def with_versions(self, versions: Mapping[str, int]) -> "Segmented":
        """The same, with the registered versions in its grid."""
        return replace(self, grid=replace(self.grid, versions=versions))

    @property
    def text(self) -> str:
        """What was trained, in words."""
        counts = {level: sum(name.startswith(f"{level}=") for name in self.models) for level in self.levels}
        levels = ", ".join(f"{count} of {level}" for level, count in counts.items())
        own = f"{len(self.models)} segments have a model of their own"
        if len(self.models) == 1:
            own = "1 segment has a model of its own"
        said = f"{own} ({levels}), all rows have one; {self.how}."
        left = "1 segment is" if len(self.left) == 1 else f"{len(self.left)} segments are"
        return f"{said} {left} left to a higher level." if self.left else said

    def __str__(self) -> str:
        return f"{self.text}\n\n{self.grid}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.text)}</p>{self.grid._repr_html_()}"


def metrics_of(trained: Segmented, segment: str) -> dict[str, float]:
    """The metrics of a segment's model that could be computed, for its record; of WHOLE those on every test row."""
    row = next((row for row in trained.grid.rows if row.segment == segment), None)
    found = {} if row is None else (row.whole if segment == WHOLE else row.metrics)
    return {name: value for name, value in found.items() if np.isfinite(value)}
