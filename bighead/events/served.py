"""The features that a prediction stood on, as PredictionServed carries them. Pure.

An Avro union cannot take in lists and maps once it is in use, so these travel as JSON text in a field of their own.
"""

import json
from collections.abc import Mapping
from typing import Any

from bighead.events.types import PredictionServed


def split_features(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Single values and nulls, and lists and maps as JSON text: the fields `features` and `collections`."""
    collections = {
        name: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        for name, value in values.items()
        if isinstance(value, list | dict)
    }
    return {name: value for name, value in values.items() if name not in collections}, collections


def served_features(event: PredictionServed) -> dict[str, Any]:
    """Every feature as it was served: single values, lists and maps."""
    return {**event.features, **{name: json.loads(text) for name, text in event.collections.items()}}
