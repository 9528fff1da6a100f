"""Partitioned and hierarchical models: one call trains and proves a model for each segment."""

from bighead.pipeline.segments.ensemble import Average
from bighead.pipeline.segments.grid import Grid
from bighead.pipeline.segments.result import Segmented, SegmentModel
from bighead.pipeline.segments.training import train_segments

__all__ = ["Average", "Grid", "SegmentModel", "Segmented", "train_segments"]
