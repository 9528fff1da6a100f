"""How errors leave the server: one table from the error tree to gRPC status and HTTP code.

A class without a row inherits the row of its nearest ancestor; a test demands that every class has one of its own.
"""

from typing import NamedTuple

import grpc

from bighead import errors


class Code(NamedTuple):
    """What a client sees of an error class."""

    status: grpc.StatusCode
    http: int


TABLE: dict[type[errors.BigheadError], Code] = {
    errors.BigheadError: Code(grpc.StatusCode.INTERNAL, 500),
    errors.ConfigError: Code(grpc.StatusCode.INTERNAL, 500),
    errors.PlatformError: Code(grpc.StatusCode.UNAVAILABLE, 503),
    errors.DefinitionError: Code(grpc.StatusCode.INVALID_ARGUMENT, 400),
    errors.EventError: Code(grpc.StatusCode.INVALID_ARGUMENT, 400),
    errors.UndecodableEvent: Code(grpc.StatusCode.INVALID_ARGUMENT, 400),
    errors.InvalidEvent: Code(grpc.StatusCode.INVALID_ARGUMENT, 400),
    errors.ModelError: Code(grpc.StatusCode.FAILED_PRECONDITION, 409),
    errors.UnknownModel: Code(grpc.StatusCode.NOT_FOUND, 404),
    errors.CommandRefused: Code(grpc.StatusCode.FAILED_PRECONDITION, 409),
    errors.ArtifactError: Code(grpc.StatusCode.FAILED_PRECONDITION, 409),
    errors.ParityError: Code(grpc.StatusCode.FAILED_PRECONDITION, 409),
    errors.InvalidInput: Code(grpc.StatusCode.INVALID_ARGUMENT, 400),
    errors.NotReady: Code(grpc.StatusCode.UNAVAILABLE, 503),
    errors.Overloaded: Code(grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
    errors.DeadlineExceeded: Code(grpc.StatusCode.DEADLINE_EXCEEDED, 504),
    errors.StoreError: Code(grpc.StatusCode.UNAVAILABLE, 503),
}


def code(error: errors.BigheadError) -> Code:
    """The row of the error's class, or of its nearest ancestor that has one."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return TABLE[errors.BigheadError]
