"""One method of the model server, called by blocking code or with asyncio; errors are our own. Knows gRPC statuses."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import grpc
from google.protobuf.message import Message

from bighead.errors import (
    BigheadError,
    DeadlineExceeded,
    InvalidInput,
    ModelError,
    NotReady,
    Overloaded,
    PermissionDenied,
    PlatformError,
    Unauthenticated,
    UnknownModel,
)

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
_ERRORS: dict[grpc.StatusCode, type[BigheadError]] = {
    grpc.StatusCode.NOT_FOUND: UnknownModel,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.FAILED_PRECONDITION: ModelError,
    grpc.StatusCode.UNAVAILABLE: NotReady,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
}


@dataclass(frozen=True)
class Method(Generic[Request, Response]):
    """A method by its path, e.g. /bighead.v1.Features/GetFeatures, and the messages of both directions."""

    path: str
    request: type[Request]
    response: type[Response]

    def on(self, channel: Any) -> Any:
        """What calls it on a channel, blocking or of asyncio."""
        return channel.unary_unary(
            self.path, request_serializer=self.request.SerializeToString, response_deserializer=self.response.FromString
        )


class Client(Generic[Request, Response]):
    """Calls one method, blocking. `address` is host:port of the server's gRPC listener."""

    def __init__(self, address: str, method: Method[Request, Response]) -> None:
        self._address = address
        self._channel = grpc.insecure_channel(address)
        self._method = method.on(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, request: Request, timeout_s: float) -> Response:
        """The answer; a status as the error that it stands for."""
        try:
            answer: Response = self._method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise _error_of(self._address, error) from error
        return answer

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()


class AsyncClient(Generic[Request, Response]):
    """The same for asyncio."""

    def __init__(self, address: str, method: Method[Request, Response]) -> None:
        self._address = address
        self._channel = grpc.aio.insecure_channel(address)
        self._method = method.on(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def call(self, request: Request, timeout_s: float) -> Response:
        """The answer; a status as the error that it stands for."""
        try:
            answer: Response = await self._method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise _error_of(self._address, error) from error
        return answer

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()


def _error_of(address: str, error: grpc.RpcError) -> BigheadError:
    status, details = error.code(), error.details()
    return _ERRORS.get(status, PlatformError)(f"{address} answered {status.name}: {details}")
