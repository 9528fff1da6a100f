"""Errors as problem+json (RFC 9457), from the one table that says which error has which code. Knows HTTP."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from bighead.errors import BigheadError, InvalidInput, Unauthenticated
from serving.codes import code, details
from serving.http_body import as_json, problems

_log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
_EXAMPLE = {
    "type": "urn:bighead:error:StaleRevision",
    "title": "Somebody has changed the model since the sender of the command looked",
    "status": 412,
    "detail": "the command was meant for revision 6 of 'delay', which is at revision 7 since ada changed it at "
    "2026-11-01 12:00:00.000Z (better AUC); look at it again, then command what you still want",
    "error": "StaleRevision",
    "instance": "/api/v1/models/delay/deploy",
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong, and what to do: RFC 9457, with the name of the error of bighead.errors.",
    "required": ["type", "title", "status", "detail", "error", "instance"],
    "properties": {
        "type": {"type": "string", "description": "urn:bighead:error: and the name of the error."},
        "title": {"type": "string", "description": "What every error of this name is about."},
        "status": {"type": "integer", "description": "The HTTP code."},
        "detail": {"type": "string", "description": "What was received, what was expected, and what to do."},
        "error": {"type": "string", "description": "The name of the error; bighead.client raises it."},
        "instance": {"type": "string", "description": "The path that was asked for."},
    },
    "example": _EXAMPLE,
}


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of the errors of a route."""
    told = {
        304: "Not changed: the caller has this one.",
        400: "The request is malformed; the detail names the field.",
        401: "No token or session, or one that nobody knows.",
        403: "The caller's role is not enough, or another site's page asks.",
        404: "There is no such model, version or attachment.",
        409: "The registry refused the command; the detail names the rule. The refusal is on the log.",
        412: "The model has another revision than If-Match says.",
        413: "The body is too large.",
        429: "Too many at once; try again.",
        503: "The log cannot be read, or a part of the platform does not answer.",
        504: "Not decided in time; the command stays on the log. Send it again with the same Idempotency-Key.",
    }
    content = {MEDIA_TYPE: {"schema": SCHEMA}}
    return {
        status: {"description": told[status]} | ({"content": content} if status >= 400 else {})
        for status in sorted({*statuses, 400, 401, 403, 503} if 304 not in statuses else {*statuses, 401, 403, 503})
    }


def add(app: FastAPI) -> None:
    """Makes every error of the application a problem."""
    app.add_exception_handler(BigheadError, _known)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _failed)


def problem(request: Request, error: BigheadError) -> Response:
    """The answer for an error that was raised on purpose."""
    row, kind = code(error), type(error)
    headers = {} if row.retry_after_ms is None else {"retry-after": str(-(-row.retry_after_ms // 1000))}
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    title = (kind.__doc__ or kind.__name__).splitlines()[0].rstrip(".")
    return _answer(request, row.http, kind.__name__, title, details(str(error)), headers)


async def _known(request: Request, error: Exception) -> Response:
    return problem(request, error if isinstance(error, BigheadError) else BigheadError(str(error)))


async def _malformed(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else ()
    return problem(request, InvalidInput(problems(found, skip=1)))


async def _http(request: Request, error: Exception) -> Response:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    name = {404: "NotFound", 405: "MethodNotAllowed", 413: "TooLarge"}.get(status, "HttpError")
    allowed = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    return _answer(request, status, name, str(detail), f"{request.method} {request.url.path}: {detail}", allowed)


async def _failed(request: Request, error: Exception) -> Response:
    """The last resort: a bug. Its text may hold anything, so only its name is told."""
    _log.error("%s %s failed: %s", request.method, request.url.path, type(error).__name__)
    detail = f"{request.method} {request.url.path} failed: {type(error).__name__}; see the console's log"
    return _answer(request, 500, "BigheadError", "A failure of the console itself", detail, {})


def _answer(request: Request, status: int, name: str, title: str, detail: str, headers: dict[str, str]) -> Response:
    body = {
        "type": f"urn:bighead:error:{name}",
        "title": title,
        "status": status,
        "detail": detail,
        "error": name,
        "instance": request.url.path,
    }
    return Response(as_json(body), status, headers, MEDIA_TYPE)
