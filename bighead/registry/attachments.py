"""The large parts of a model's record: which kinds there are, how large each may be, what is refused. Pure.

They lie beside the artifact under their SHA-256 (`bighead.client.attachments`); the record lists them.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from bighead.errors import CommandRefused, InvalidInput
from bighead.events.types import Attachment

MODEL_CARD, CHART, FEATURE_REPORT = "model_card", "chart", "feature_report"
TREES, PIPELINE, ENVIRONMENT, EVALUATION = "trees", "pipeline", "environment", "evaluation"
MARKDOWN, JSON = "text/markdown", "application/json"
MOST = 64
"""Attachments of one version: all of them are in the event that registers it."""
_KIB = 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Kind:
    """What is accepted of a kind; `single`: a version has at most one."""

    media_type: str
    limit_bytes: int
    single: bool = True


KINDS: Mapping[str, Kind] = {
    MODEL_CARD: Kind(MARKDOWN, 256 * _KIB),
    CHART: Kind(JSON, 1024 * _KIB, single=False),
    FEATURE_REPORT: Kind(JSON, 4096 * _KIB),
    TREES: Kind(JSON, 8192 * _KIB),
    PIPELINE: Kind(JSON, 1024 * _KIB),
    ENVIRONMENT: Kind(JSON, 1024 * _KIB),
    EVALUATION: Kind(JSON, 1024 * _KIB),
}


@dataclass(frozen=True, slots=True)
class AttachmentFile:
    """An attachment that a record's file names: not stored yet."""

    name: str
    kind: str
    file: str


@dataclass(frozen=True, slots=True)
class Document:
    """An attachment's bytes: not stored yet."""

    name: str
    kind: str
    content: bytes


def check_attachments(attachments: Sequence[Attachment]) -> None:
    """Raises CommandRefused that names the first attachment which is not acceptable, and why."""
    if len(attachments) > MOST:
        raise CommandRefused(f"the record has {len(attachments)} attachments; at most {MOST} are kept")
    names = Counter(one.name for one in attachments)
    kinds = Counter(one.kind for one in attachments)
    for one in attachments:
        if not _NAME.fullmatch(one.name):
            raise CommandRefused(f"{one.name!r} cannot name an attachment; use up to 64 letters, digits, '.', '_', '-'")
        if names[one.name] > 1:
            raise CommandRefused(f"the record has {names[one.name]} attachments named {one.name!r}; name each once")
        kind = _kind(one)
        if kind.single and kinds[one.kind] > 1:
            raise CommandRefused(f"the record has {kinds[one.kind]} attachments of the kind {one.kind!r}; expected one")
        _check_bytes(one, kind)


def check_size(name: str, kind: str, size: int) -> None:
    """Raises InvalidInput unless so many bytes may be stored as an attachment of this kind."""
    if kind not in KINDS:
        raise InvalidInput(f"attachment {name!r}: {_unknown_kind(kind)}")
    limit = KINDS[kind].limit_bytes
    if not 0 < size <= limit:
        raise InvalidInput(f"attachment {name!r} has {size:,} bytes; {_allowed(kind, limit)}")


def check_content(name: str, kind: str, content: bytes) -> None:
    """Raises InvalidInput unless these bytes may be stored as an attachment of this kind."""
    check_size(name, kind, len(content))
    try:
        text = content.decode()
        if KINDS[kind].media_type == JSON:
            json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        expected = "JSON without NaN or infinity" if KINDS[kind].media_type == JSON else "UTF-8 text"
        raise InvalidInput(f"attachment {name!r} of the kind {kind!r} is not {expected}: {error}") from None


def _kind(one: Attachment) -> Kind:
    if one.kind not in KINDS:
        raise CommandRefused(f"attachment {one.name!r}: {_unknown_kind(one.kind)}")
    kind = KINDS[one.kind]
    if one.media_type != kind.media_type:
        raise CommandRefused(
            f"attachment {one.name!r} of the kind {one.kind!r} is {one.media_type!r}; expected {kind.media_type}: "
            "charts are kept as their data, and drawn when they are shown"
        )
    return kind


def _check_bytes(one: Attachment, kind: Kind) -> None:
    if not _SHA256.fullmatch(one.sha256):
        raise CommandRefused(
            f"attachment {one.name!r} has the sha256 {one.sha256!r}; expected 64 lower-case hex digits"
        )
    if not 0 < one.size <= kind.limit_bytes:
        raise CommandRefused(f"attachment {one.name!r} has {one.size:,} bytes; {_allowed(one.kind, kind.limit_bytes)}")
    if not one.uri:
        raise CommandRefused(f"attachment {one.name!r} has no uri; store it first")


def _unknown_kind(kind: str) -> str:
    return f"{kind!r} is no kind of attachment; expected one of {', '.join(KINDS)}"


def _allowed(kind: str, limit: int) -> str:
    return f"a {kind} has at least 1 and at most {limit:,}"


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number in JSON; write null")
