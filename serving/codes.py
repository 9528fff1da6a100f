"""How errors leave the server: one table from the error tree to gRPC status, HTTP code and retry hint.

A class without a row inherits the row of its nearest ancestor; a test demands that every class has one of its own.
"""

from typing import NamedTuple

import grpc

from bighead import errors

MAX_MESSAGE_BYTES = 1000
"""Of an error's message. Trailers are limited to some kilobytes, and what is not ASCII takes three times as many."""


class Code(NamedTuple):
    """What a client sees of an error class. retry_after_ms: when to try again; None: it would be refused again."""

    status: grpc.StatusCode
    http: int
    retry_after_ms: int | None = None


_Status = grpc.StatusCode
TABLE: dict[type[errors.BigheadError], Code] = {
    errors.InvalidInput: Code(_Status.INVALID_ARGUMENT, 400),
    errors.DefinitionError: Code(_Status.INVALID_ARGUMENT, 400),
    errors.EventError: Code(_Status.INVALID_ARGUMENT, 400),
    errors.UndecodableEvent: Code(_Status.INVALID_ARGUMENT, 400),
    errors.InvalidEvent: Code(_Status.INVALID_ARGUMENT, 400),
    errors.Unauthenticated: Code(_Status.UNAUTHENTICATED, 401),
    errors.PermissionDenied: Code(_Status.PERMISSION_DENIED, 403),
    errors.UnknownModel: Code(_Status.NOT_FOUND, 404),
    errors.ModelError: Code(_Status.FAILED_PRECONDITION, 409),
    errors.CommandRefused: Code(_Status.FAILED_PRECONDITION, 409),
    errors.StaleRevision: Code(_Status.ABORTED, 412),
    errors.ArtifactError: Code(_Status.FAILED_PRECONDITION, 409),
    errors.ParityError: Code(_Status.FAILED_PRECONDITION, 409),
    errors.ChecksFailed: Code(_Status.FAILED_PRECONDITION, 409),
    errors.Conflict: Code(_Status.ABORTED, 409),
    errors.Overloaded: Code(_Status.RESOURCE_EXHAUSTED, 429, 100),
    errors.BigheadError: Code(_Status.INTERNAL, 500),
    errors.ConfigError: Code(_Status.INTERNAL, 500),
    errors.NotReady: Code(_Status.UNAVAILABLE, 503, 1000),
    errors.PlatformError: Code(_Status.UNAVAILABLE, 503, 1000),
    errors.StoreError: Code(_Status.UNAVAILABLE, 503, 1000),
    errors.DeadlineExceeded: Code(_Status.DEADLINE_EXCEEDED, 504),
}


def code(error: errors.BigheadError) -> Code:
    """The row of the error's class, or of its nearest ancestor that has one."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return TABLE[errors.BigheadError]


def details(message: str) -> str:
    """A message as a status carries it."""
    return message.encode("utf-8", "replace")[:MAX_MESSAGE_BYTES].decode("utf-8", "ignore")


def documented() -> str:
    """The table for the guide, as Markdown."""
    lines = ["| cause | error | gRPC status | HTTP | try again after |", "|---|---|---|---|---|"]
    for kind, row in TABLE.items():
        cause = (kind.__doc__ or "").splitlines()[0].rstrip(".")
        retry = "no" if row.retry_after_ms is None else f"{row.retry_after_ms} ms"
        lines.append(f"| {cause} | `{kind.__name__}` | {row.status.name} | {row.http} | {retry} |")
    return "\n".join(lines) + "\n"
