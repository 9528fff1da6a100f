"""Who may call: bearer tokens with roles, and TLS. Health and reflection answer everybody, for probes and tools.

Without tokens everybody may do everything; without a certificate nothing is encrypted: both are for loopback.
"""

import hashlib
import hmac
import json
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from bighead.errors import BigheadError, ConfigError, PermissionDenied, Unauthenticated
from serving.codes import code, details

PREDICT, ADMIN = "predict", "admin"
ROLES = (PREDICT, ADMIN)
OPEN_SERVICES = ("grpc.health.", "grpc.reflection.")
OPEN_PATHS = ("/health", "/v2/health/")
_BEARER = "bearer "
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


class Tokens:
    """Which token has which role; holds digests, so that no dump of the process shows a token.

    `text` is ROLE:TOKEN[,ROLE:TOKEN]; the role admin may do all that predict may.
    """

    def __init__(self, text: str) -> None:
        self._roles: dict[bytes, str] = {}
        for number, part in enumerate(filter(None, map(str.strip, text.split(","))), 1):
            role, _, token = part.partition(":")
            if role not in ROLES or len(token) < 16:
                raise ConfigError(
                    f"entry {number} of BIGHEAD_TOKENS is no ROLE:TOKEN; expected one of {', '.join(ROLES)}, a colon "
                    "and at least 16 characters"
                )
            self._roles[digest_of(token)] = role

    def __bool__(self) -> bool:
        return bool(self._roles)

    def require(self, authorization: str | None, role: str) -> None:
        """Raises Unauthenticated without a known token, PermissionDenied where its role is not enough."""
        given = digest_of(bearer_of(authorization))
        found = next((name for known, name in self._roles.items() if hmac.compare_digest(known, given)), None)
        if found is None:
            raise Unauthenticated("received a bearer token that this server does not know")
        if ROLES.index(found) < ROLES.index(role):
            raise PermissionDenied(f"the token has the role {found}; expected {role}")


def bearer_of(authorization: str | None) -> str:
    """The token of an authorization header; raises Unauthenticated where it has none."""
    if authorization is None or not authorization.lower().startswith(_BEARER):
        raise Unauthenticated("received no bearer token; expected metadata or header authorization: Bearer TOKEN")
    return authorization[len(_BEARER) :].strip()


def digest_of(token: str) -> bytes:
    """By which a token is kept and compared."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Refuses gRPC calls without a token before their bytes are read."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The call's own handler, or one that says why it is refused."""
        if handler_call_details.method.lstrip("/").startswith(OPEN_SERVICES):
            return await continuation(handler_call_details)
        metadata: Iterable[tuple[str, str | bytes]] = handler_call_details.invocation_metadata or ()
        try:
            self._tokens.require(_authorization(metadata), PREDICT)
        except BigheadError as error:
            return _refusing(error, await continuation(handler_call_details))
        return await continuation(handler_call_details)


def _authorization(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    for name, value in metadata:
        if name == "authorization":
            return value.decode("latin-1") if isinstance(value, bytes) else value
    return None


def _refusing(refusal: BigheadError, handler: Handler) -> Handler:
    """In the form of the handler that it stands for: gRPC demands the same kind of streams."""

    async def refuse(_: Any, context: Any) -> None:
        await context.abort(code(refusal).status, details(str(refusal)))

    if handler is not None and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(refuse)
    return grpc.unary_unary_rpc_method_handler(refuse)


class TokenMiddleware:
    """Refuses HTTP requests without a token before their body is read."""

    def __init__(self, app: App, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answers 401 or 403 itself, else hands the request on."""
        if scope["type"] != "http" or scope["path"].startswith(OPEN_PATHS):
            await self._app(scope, receive, send)
            return
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"authorization")
        try:
            self._tokens.require(given.decode("latin-1") if given is not None else None, PREDICT)
        except BigheadError as error:
            await _answer(send, error)
            return
        await self._app(scope, receive, send)


async def _answer(send: Callable[[Any], Awaitable[None]], error: BigheadError) -> None:
    body = json.dumps({"error": str(error)}).encode()
    kinds = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if isinstance(error, Unauthenticated):
        kinds.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": code(error).http, "headers": kinds})
    await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True)
class Tls:
    """The server's certificate and key, and the authority of its clients' certificates (mTLS), as PEM files."""

    certificate: Path
    key: Path
    client_authority: Path | None

    def credentials(self) -> grpc.ServerCredentials:
        """For gRPC. Raises ConfigError for what cannot be read."""
        authority = None if self.client_authority is None else _content(self.client_authority)
        return grpc.ssl_server_credentials(
            [(_content(self.key), _content(self.certificate))],
            root_certificates=authority,
            require_client_auth=authority is not None,
        )

    def http_options(self) -> dict[str, Any]:
        """For uvicorn."""
        options: dict[str, Any] = {"ssl_certfile": str(self.certificate), "ssl_keyfile": str(self.key)}
        if self.client_authority is not None:
            options |= {"ssl_ca_certs": str(self.client_authority), "ssl_cert_reqs": ssl.CERT_REQUIRED}
        return options


def tls_of(certificate: str, key: str, client_authority: str = "", variables: str = "BIGHEAD_TLS") -> Tls | None:
    """From the settings; None where there are none. Raises ConfigError where only a part is given.

    variables: how the names of the settings begin.
    """
    if not (certificate or key or client_authority):
        return None
    if not (certificate and key):
        raise ConfigError(f"TLS needs both {variables}_CERTIFICATE and {variables}_KEY, as files in PEM format")
    return Tls(Path(certificate), Path(key), Path(client_authority) if client_authority else None)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read for TLS: {error.strerror}") from error
