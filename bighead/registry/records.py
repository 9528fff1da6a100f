"""Model records as JSON files: what a person or a training job writes beside a model. Pure."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from bighead.errors import InvalidInput
from bighead.events.types import Attachment, ModelRecord
from bighead.registry.attachments import AttachmentFile

# Known once the artifact is stored.
_FROM_ARTIFACT: Mapping[str, Any] = {"artifact_uri": "", "artifact_sha256": "", "artifact_size": 0}
# JSON inside of JSON: a file may hold the value itself instead of its text.
_TEXTS = ("golden", "parity", "config", "training_data")
_STORED = {field.name for field in fields(Attachment)}
_FILE = {field.name for field in fields(AttachmentFile)}


def record_from_json(text: str) -> ModelRecord:
    """The record in `text`; what it says of the artifact may be left out. Raises InvalidInput naming the field."""
    record, files = record_with_files(text)
    if files:
        raise InvalidInput(f"the record's attachment {files[0].name!r} is a file that was not stored: {files[0].file}")
    return record


def record_with_files(text: str) -> tuple[ModelRecord, tuple[AttachmentFile, ...]]:
    """The record in `text`, and the attachments that it names as files `{name, kind, file}`: the record lacks them."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the record is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise InvalidInput(f"the record is a JSON {type(given).__name__}; expected an object")
    known = {field.name: field for field in fields(ModelRecord)}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InvalidInput(f"the record has unknown fields: {', '.join(unknown)}; known are {', '.join(known)}")
    values = dict(_FROM_ARTIFACT) | record_defaults() | given
    missing = sorted(set(known) - set(values))
    if missing:
        raise InvalidInput(f"the record lacks {', '.join(missing)}")
    for name in _TEXTS:
        if not isinstance(values[name], str):
            values[name] = json.dumps(values[name])
    values["signature"] = _signature(values["signature"])
    _check_tags(values["tags"])
    values["attachments"], files = _attachments(values["attachments"])
    return ModelRecord.from_record(values), files


def record_defaults() -> dict[str, Any]:
    """The fields that a record may leave out, with the values that they then have."""
    defaults = {}
    for field in fields(ModelRecord):
        if field.default is not MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not MISSING:
            defaults[field.name] = field.default_factory()
    return defaults


def _attachments(given: object) -> tuple[list[Any], tuple[AttachmentFile, ...]]:
    """Those that are stored, and those that are files."""
    stored: list[Any] = []
    files: list[AttachmentFile] = []
    listed: list[Any] = list(given) if isinstance(given, list | tuple) else [given]
    for one in listed:
        names = set(one) if isinstance(one, dict) else set()
        if names == _FILE and all(isinstance(value, str) for value in one.values()):
            files.append(AttachmentFile(**one))
        elif names == _STORED:
            stored.append(one)
        else:
            raise InvalidInput(
                f'the record\'s attachment is {one!r}; expected {{"name": .., "kind": .., "file": ..}} with a path '
                "relative to the record's file"
            )
    return stored, tuple(files)


def _check_tags(given: object) -> None:
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise InvalidInput(f"the record's tags are {given!r}; expected an object of names and texts")


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
