"""What a model record must prove before it becomes a version: checksum, signature, golden rows, parity. Pure."""

import json
import re
import sys
from collections.abc import Iterable

from bighead.errors import CommandRefused
from bighead.events.types import ModelRecord, Signature
from bighead.registry.attachments import check_attachments
from bighead.registry.training_data import check_training_data

# The Open Inference Protocol's.
DATATYPES = frozenset(
    {"BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"}
)
SOURCES = frozenset({"feature", "request"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MOST_LEVELS = 32
_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_name(model: str) -> None:
    """Names are topic keys, file names and parts of URLs."""
    if not _NAME.fullmatch(model):
        raise CommandRefused(
            f"{model!r} cannot name a model; use up to 128 letters, digits, '.', '_' and '-', a letter or digit first"
        )


def check_record(record: ModelRecord) -> None:
    """Raises CommandRefused that names the first missing or failed proof."""
    _check_artifact(record)
    _check_levels(record)
    _check_signature(record)
    _check_golden(record.golden, record.signature)
    _check_parity(record.parity)
    _check_description(record)
    check_training_data(record.training_data)
    check_attachments(record.attachments)


def _check_artifact(record: ModelRecord) -> None:
    if not record.artifact_uri:
        raise CommandRefused("the record has no artifact_uri; store the artifact first")
    if not _SHA256.fullmatch(record.artifact_sha256):
        raise CommandRefused(f"artifact_sha256 is {record.artifact_sha256!r}; expected 64 lower-case hex digits")
    if record.artifact_size <= 0:
        raise CommandRefused(f"artifact_size is {record.artifact_size}; an artifact has at least one byte")


def _check_signature(record: ModelRecord) -> None:
    for side, tensors in (("inputs", record.signature.inputs), ("outputs", record.signature.outputs)):
        names = [tensor.name for tensor in tensors]
        if not names:
            raise CommandRefused(f"the signature has no {side}; a model needs at least one")
        if len(set(names)) != len(names):
            raise CommandRefused(f"the signature's {side} name a tensor twice: {sorted(names)}")
        for tensor in tensors:
            if tensor.type not in DATATYPES:
                expected = ", ".join(sorted(DATATYPES))
                raise CommandRefused(f"tensor {tensor.name!r} has the type {tensor.type!r}; expected one of {expected}")
    for tensor in record.signature.inputs:
        if tensor.source not in SOURCES:
            raise CommandRefused(f"input {tensor.name!r} comes from {tensor.source!r}; expected 'feature' or 'request'")
        if tensor.source == "feature" and record.join is None:
            raise CommandRefused(f"input {tensor.name!r} is a feature, but the record names no join")


def _check_levels(record: ModelRecord) -> None:
    """What is nested without end is shown by no page and compared by nobody: each of them would run out of stack."""
    for name in ("golden", "parity", "config", "training_data"):
        if _is_deep(getattr(record, name)):
            raise CommandRefused(f"the record's {name} is nested more than {MOST_LEVELS} levels deep")


def _is_deep(text: str) -> bool:
    try:
        level = [json.loads(text)]
    except (ValueError, RecursionError):
        return False  # no JSON: where that is needed it is told
    for _ in range(MOST_LEVELS):
        level = [part for one in level for part in _parts(one)]
    return bool(level)


def _parts(value: object) -> Iterable[object]:
    """The objects and lists within an object or list."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (one for one in inner if isinstance(one, dict | list))


def _check_golden(golden: str, signature: Signature) -> None:
    rows = _parsed("golden", golden)
    if not isinstance(rows, list) or not rows:
        raise CommandRefused("the record has no golden rows; expected a JSON list of at least one")
    inputs = {tensor.name for tensor in signature.inputs}
    outputs = {tensor.name for tensor in signature.outputs}
    for index, row in enumerate(rows):
        given = [row.get(side) if isinstance(row, dict) else None for side in ("inputs", "outputs")]
        if not all(isinstance(side, dict) and side for side in given):
            raise CommandRefused(f'golden row {index} is not {{"inputs": {{..}}, "outputs": {{..}}}}')
        given_inputs, given_outputs = (set(side or ()) for side in given)
        if given_inputs != inputs:
            differing = ", ".join(sorted(given_inputs ^ inputs))
            raise CommandRefused(f"golden row {index} and the signature's inputs differ in: {differing}")
        if given_outputs - outputs:
            unknown = ", ".join(sorted(given_outputs - outputs))
            raise CommandRefused(f"golden row {index} has outputs that the signature lacks: {unknown}")


def _check_parity(parity: str) -> None:
    """Not-a-number compares false with everything, so it is refused by name."""
    measured = _parsed("parity", parity)
    if not isinstance(measured, dict):
        raise CommandRefused("the record has no parity; expected JSON with max_abs_diff, tolerance and rows")
    difference, tolerance = _number(measured, "max_abs_diff"), _number(measured, "tolerance")
    if _number(measured, "rows") < 1:
        raise CommandRefused("the parity was measured on no row; expected at least one")
    if not difference <= tolerance:
        raise CommandRefused(
            f"the converted model differs from the trained pipeline by {difference:g}, more than its tolerance "
            f"{tolerance:g}; find the step that differs before registering it"
        )


def _check_description(record: ModelRecord) -> None:
    threshold, parent, dirty = record.decision_threshold, record.parent_version, record.code_dirty_sha256
    if threshold is not None and not 0.0 <= threshold <= 1.0:
        raise CommandRefused(f"decision_threshold is {threshold:g}; expected a probability, 0 to 1")
    if parent is not None and parent < 1:
        raise CommandRefused(f"parent_version is {parent}; the first version of a model is 1")
    if dirty and not _SHA256.fullmatch(dirty):
        raise CommandRefused(f"code_dirty_sha256 is {dirty!r}; expected 64 lower-case hex digits")


def _number(measured: dict[str, object], name: str) -> float:
    value = measured.get(name)
    # Compared and not converted: a whole number may be larger than any float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        raise CommandRefused(f"the parity's {name} is {value!r}; expected a finite number that is not negative")
    return float(value)


def _parsed(name: str, text: str) -> object:
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandRefused(f"the record's {name} is not JSON ({error})") from None
    return parsed
