"""Bodies of HTTP requests and answers: how large and how packed they may be, and what is wrong with them in words.

Knows HTTP and JSON; knows nothing of what the bodies say.
"""

import json
import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bighead.errors import InvalidInput

MAX_BODY_BYTES = 64 * 1024 * 1024
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


class Json(JSONResponse):
    """JSON in which NaN and infinities, which JSON does not have, are null."""

    def render(self, content: object) -> bytes:
        return as_json(content)


class Bounded:
    """Refuses a body that is too large while it is read, with 413. limit: the bytes that a request may have."""

    def __init__(self, app: ASGIApp, limit: Callable[[Scope], int] = lambda scope: MAX_BODY_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = 0
        most = self._limit(scope) if scope["type"] == "http" else 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise HTTPException(413, f"received more than {most} bytes; send less at a time")
            return message

        await self._app(scope, bounded, send)


def as_json(content: object) -> bytes:
    """JSON, with null for what it cannot say."""
    try:
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:
        return json.dumps(_finite(content), separators=(",", ":")).encode()


def unpacked(content: bytes, encoding: str | None) -> bytes:
    """A body as it was before its Content-Encoding."""
    if encoding in (None, "", "identity"):
        return content
    if encoding not in ("gzip", "deflate"):
        raise InvalidInput(f"content-encoding: received {str(encoding)[:60]!r}; expected gzip or deflate")
    packed = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        plain = packed.decompress(content, MAX_BODY_BYTES)
    except zlib.error as error:
        raise InvalidInput(f"body: received {len(content)} bytes that are not {encoding} ({error})") from error
    if not packed.eof:
        raise InvalidInput(f"body: the {encoding} is cut off, or holds more than {MAX_BODY_BYTES} bytes")
    return plain


def problems(found: Iterable[Mapping[str, Any]], skip: int) -> str:
    """What pydantic found wrong, with the place of each; `skip` names at its start are not the caller's."""
    return "; ".join(_problem(one, skip) for one in list(found)[:3])


def _problem(found: Mapping[str, Any], skip: int) -> str:
    if isinstance(found.get("input"), bytes) and skip:
        return "body: received bytes of another type; expected JSON, sent with content-type: application/json"
    place = ".".join(str(part) for part in found["loc"][skip:]) or "body"
    received = found.get("input")
    shown = repr(received[:60] if isinstance(received, str | bytes | list) else received)
    return f"{place}: received {shown if len(shown) <= 60 else shown[:57] + '...'}; {found['msg']}"


def _finite(value: object) -> object:
    match value:
        case dict():
            return {name: _finite(item) for name, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case float() if not math.isfinite(value):
            return None
    return value
