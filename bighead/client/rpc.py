"""Errors of calls to the model server as our own. Knows gRPC statuses."""

import grpc

from bighead.errors import (
    BigheadError,
    DeadlineExceeded,
    InvalidInput,
    ModelError,
    NotReady,
    Overloaded,
    PlatformError,
    UnknownModel,
)

_ERRORS: dict[grpc.StatusCode, type[BigheadError]] = {
    grpc.StatusCode.NOT_FOUND: UnknownModel,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.FAILED_PRECONDITION: ModelError,
    grpc.StatusCode.UNAVAILABLE: NotReady,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def error_of(address: str, error: grpc.RpcError) -> BigheadError:
    """The error that a status stands for, with what the server at `address` said."""
    status, details = error.code(), error.details()
    return _ERRORS.get(status, PlatformError)(f"{address} answered {status.name}: {details}")
