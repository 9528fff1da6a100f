"""The features that a prediction stood on, as PredictionServed carries them. Pure.

An Avro union cannot take in lists and maps once it is in use, so these travel as JSON text in a field of their own.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any

from bighead.events.types import PredictionServed

_COLLECTIONS = frozenset({list, dict})


def chosen(prediction_id: str, share: float) -> bool:
    """Whether a prediction belongs to a share of all, 0 to 1, by a hash of its identity: the same ones each time."""
    return share >= 1.0 or zlib.crc32(prediction_id.encode()) < share * 2**32


def split_features(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Single values and nulls, and lists and maps as JSON text: the fields `features` and `collections`."""
    if _COLLECTIONS.isdisjoint(map(type, values.values())):  # nearly always
        return dict(values), {}
    collections = {
        name: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        for name, value in values.items()
        if isinstance(value, list | dict)
    }
    return {name: value for name, value in values.items() if name not in collections}, collections


def served_features(event: PredictionServed) -> dict[str, Any]:
    """Every feature as it was served: single values, lists and maps."""
    return {**event.features, **{name: json.loads(text) for name, text in event.collections.items()}}
