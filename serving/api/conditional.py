"""Answers that a client may have already: ETags, If-None-Match, If-Match; and pages by a cursor.

A model's ETag is its revision: its document holds what was decided and nothing else (servers and refused commands have
their own), so it is the same bytes for the same revision, whatever the time it is asked as of; each environment is
another address. It is strong, for If-Match compares it. Every other answer has the hash of its bytes.
"""

import base64
import hashlib
import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import Response

from bighead.errors import InvalidInput
from serving.http_body import as_json

T = TypeVar("T")
_REVISION = re.compile(r'"(\d{1,18})"')


def answer(
    request: Request, document: Any, *, etag: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """A document (a dataclass, or what JSON has) as JSON; 304 where the caller says that it has this one."""
    content = as_json(_plain(document))
    tag = etag or f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    told = {"etag": tag, "cache-control": "private, no-cache", "vary": "authorization, cookie"} | (headers or {})
    if request.method == "GET" and _has(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=told)
    return Response(content, headers=told, media_type="application/json")


def revision_tag(revision: int) -> str:
    """The ETag of a model."""
    return f'"{revision}"'


def expected_revision(if_match: str | None) -> int | None:
    """The revision that If-Match asks for; None for any (no header, or *). Raises InvalidInput."""
    if if_match is None or if_match.strip() == "*":
        return None
    match = _REVISION.fullmatch(if_match.strip())
    if match is None:
        raise InvalidInput(f'If-Match: received {if_match[:60]!r}; expected the ETag of the model, such as "7"')
    return int(match[1])


def page(
    rows: Sequence[T], keys: Sequence[tuple[Any, ...]], limit: int, cursor: str | None
) -> tuple[tuple[T, ...], str | None]:
    """The rows after the cursor, at most `limit`, and the cursor of those after them; keys: sorted, one a row."""
    try:
        start = 0 if cursor is None else bisect_right(keys, _decoded(cursor))
    except (TypeError, RecursionError):
        raise _no_cursor(cursor) from None
    end = start + limit
    return tuple(rows[start:end]), (_encoded(keys[end - 1]) if end < len(rows) else None)


def links(request: Request, **changes: str | None) -> dict[str, str]:
    """The header that leads to the next page; none after the last."""
    if all(value is None for value in changes.values()):
        return {}
    query = [(name, value) for name, value in request.query_params.multi_items() if name not in changes]
    query += [(name, value) for name, value in changes.items() if value is not None]
    return {"link": f'<{request.url.path}?{urlencode(query)}>; rel="next"'}


def _has(if_none_match: str | None, tag: str) -> bool:
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in if_none_match.split(",")]


def _encoded(key: tuple[Any, ...]) -> str:
    return base64.urlsafe_b64encode(as_json(key)).decode().rstrip("=")


def _decoded(cursor: str) -> tuple[Any, ...]:
    try:
        return tuple(json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))))
    except (ValueError, TypeError, RecursionError):
        raise _no_cursor(cursor) from None


def _no_cursor(cursor: str | None) -> InvalidInput:
    return InvalidInput(f"cursor: received {str(cursor)[:60]!r}; expected the one that the page before gave")


def _plain(document: Any) -> Any:
    if isinstance(document, list | tuple):
        return [_plain(one) for one in document]
    return asdict(document) if is_dataclass(document) and not isinstance(document, type) else document
