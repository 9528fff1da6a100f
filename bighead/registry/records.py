"""Model records as JSON files: what a person or a training job writes beside a model. Pure."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from bighead.errors import InvalidInput
from bighead.events.types import ModelRecord

# Known once the artifact is stored.
_FROM_ARTIFACT: Mapping[str, Any] = {"artifact_uri": "", "artifact_sha256": "", "artifact_size": 0}
# JSON inside of JSON: a file may hold the value itself instead of its text.
_TEXTS = ("golden", "parity", "config", "training_data")


def record_from_json(text: str) -> ModelRecord:
    """The record in `text`; what it says of the artifact may be left out. Raises InvalidInput naming the field."""
    try:
        given = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"the record is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise InvalidInput(f"the record is a JSON {type(given).__name__}; expected an object")
    known = {field.name: field for field in fields(ModelRecord)}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InvalidInput(f"the record has unknown fields: {', '.join(unknown)}; known are {', '.join(known)}")
    values = dict(_FROM_ARTIFACT) | _defaults() | given
    missing = sorted(set(known) - set(values))
    if missing:
        raise InvalidInput(f"the record lacks {', '.join(missing)}")
    for name in _TEXTS:
        if not isinstance(values[name], str):
            values[name] = json.dumps(values[name])
    values["signature"] = _signature(values["signature"])
    return ModelRecord.from_record(values)


def _defaults() -> dict[str, Any]:
    defaults = {}
    for field in fields(ModelRecord):
        if field.default is not MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not MISSING:
            defaults[field.name] = field.default_factory()
    return defaults


def _signature(given: object) -> dict[str, Any]:
    sides = {}
    for side in ("inputs", "outputs"):
        tensors = given.get(side) if isinstance(given, dict) else None
        if not isinstance(tensors, list) or not all(_is_tensor(tensor) for tensor in tensors):
            raise InvalidInput(
                f'the record\'s signature.{side} is {tensors!r}; expected a list of {{"name": .., "type": ..}}'
            )
        sides[side] = [{"source": "feature", "shape": []} | tensor for tensor in tensors]
    return sides


def _is_tensor(value: object) -> bool:
    return isinstance(value, dict) and {"name", "type"} <= set(value) <= {"name", "type", "source", "shape"}
