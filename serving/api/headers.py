"""Headers that say to browsers what they may do with an answer of the console, and the middleware that sets them."""

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""For what is no page: nothing in it runs or loads, whatever a browser takes it for."""
COMMON = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
PAGE_HEADERS = {"Content-Security-Policy": PAGE_POLICY, **COMMON}
DATA_HEADERS = {"Content-Security-Policy": DATA_POLICY, **COMMON}
_ONLY_TLS = {"Strict-Transport-Security": "max-age=31536000"}


class SecureHeaders:
    """Sets headers on every answer that has not its own of that name, errors included.

    tls: whether the console is reached over TLS, so that browsers must never go back to the clear.
    """

    def __init__(self, app: ASGIApp, headers: Mapping[str, str] = PAGE_HEADERS, *, tls: bool = False) -> None:
        self._app = app
        self._headers = {**headers, **(_ONLY_TLS if tls else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands the request on."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)
