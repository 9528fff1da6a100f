"""HTTP requests as an observer sees them. In the application only where requests are observed."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.observing import Observer, ended

_FAULT = 500


class ObservedRequests:
    """Names each request by its route, never by its path: callers choose paths."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        status = _FAULT  # what a request that is answered by nobody ends with

        async def sending(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        with self._observer.request(scope["method"], carrier) as seen:
            try:
                await self._app(scope, receive, sending)
            finally:
                ended(str(status), status)
                route = getattr(scope.get("route"), "path", "")
                seen.name = f"{scope['method']} {route}".rstrip()
                seen.attributes = {
                    "http.request.method": scope["method"],
                    "http.route": route,
                    "http.response.status_code": status,
                }
