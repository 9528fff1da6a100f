"""One method of the model server, called by blocking code or with asyncio; errors are our own. Knows gRPC statuses."""

from dataclasses import dataclass, field
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
    grpc.StatusCode.CANCELLED: Overloaded,  # by a server that is at its limit: what cancels a call here is no status
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
}


@dataclass(frozen=True)
class Security:
    """How a client proves who it is and knows the server. token: a bearer token. tls: whether to encrypt.

    root_certificate: of the server's authority, PEM, where the system does not know it. certificate, key: the client's
    own, PEM, for servers that demand one.
    """

    token: str | None = field(default=None, repr=False)
    tls: bool = False
    root_certificate: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What each call carries."""
        return (("authorization", f"Bearer {self.token}"),) if self.token is not None else ()

    @property
    def credentials(self) -> grpc.ChannelCredentials | None:
        """What a channel is opened with; None for one in the clear."""
        if not self.tls:
            return None
        return grpc.ssl_channel_credentials(self.root_certificate, self.key, self.certificate)


OPEN = Security()


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

    def __init__(self, address: str, method: Method[Request, Response], security: Security = OPEN) -> None:
        self._address = address
        self._metadata, credentials = security.metadata, security.credentials
        self._channel = (
            grpc.insecure_channel(address) if credentials is None else grpc.secure_channel(address, credentials)
        )
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
            answer: Response = self._method(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _error_of(self._address, error) from error
        return answer

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()


class AsyncClient(Generic[Request, Response]):
    """The same for asyncio."""

    def __init__(self, address: str, method: Method[Request, Response], security: Security = OPEN) -> None:
        self._address = address
        self._metadata, credentials = security.metadata, security.credentials
        self._channel = (
            grpc.aio.insecure_channel(address) if credentials is None else grpc.aio.secure_channel(address, credentials)
        )
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
            answer: Response = await self._method(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _error_of(self._address, error) from error
        return answer

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()


def _error_of(address: str, error: grpc.RpcError) -> BigheadError:
    status, details = error.code(), error.details()
    return _ERRORS.get(status, PlatformError)(f"{address} answered {status.name}: {details}")
