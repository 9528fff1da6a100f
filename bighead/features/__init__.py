"""The feature layer: definitions, their meaning, tiles, read plans. Pure.

What definitions need is here; the rest is imported from its module.
"""

from bighead.features.definition import Accuracy, Aggregation, EntitySource, EventSource, GroupBy, Join, Keys, Part
from bighead.features.labels import Immature, Label
from bighead.features.operations import Op

__all__ = [
    "Accuracy",
    "Aggregation",
    "EntitySource",
    "EventSource",
    "GroupBy",
    "Immature",
    "Join",
    "Keys",
    "Label",
    "Op",
    "Part",
]
