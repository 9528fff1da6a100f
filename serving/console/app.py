"""The console as a web application: wires the pages, their headers and their errors, and knows nothing else.

Scripts, styles and drawings come from here alone: the policy in the headers forbids the rest, and inline script.
"""

from collections.abc import Callable

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from bighead.charts import STYLESHEET
from bighead.errors import BigheadError, Unauthenticated
from serving.api.headers import SecureHeaders
from serving.api.security import Access
from serving.console.board import HealthBoard, Probe
from serving.console.desk import Desk
from serving.console.log_state import LogState
from serving.console.pages import (
    actions,
    alerts,
    audit,
    command,
    compare,
    dead_letters,
    events,
    feature,
    features,
    home,
    login,
    lookup,
    model,
    models,
    runs,
    version,
)
from serving.console.reach import Reach
from serving.console.site import HERE, Elsewhere, Site

# The order counts: /features/lookup is no feature.
PAGES = (
    home,
    login,
    features,
    lookup,
    feature,
    events,
    dead_letters,
    runs,
    alerts,
    audit,
    models,
    model,
    version,
    compare,
    actions,
    command,
)
STATIC = {
    "console.css": "text/css",
    "charts.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "vendor/htmx.min.js": "text/javascript",
}


def build(
    state: Callable[[], LogState],
    problem: Callable[[], str | None],
    probe: Probe,
    access: Access,
    desk: Desk,
    reach: Reach,
    *,
    tls: bool = False,
) -> FastAPI:
    """The application. `state` and `problem` give what the log says, and why it says nothing; tls: if it is used."""
    app = FastAPI(title="bighead console", docs_url=None, redoc_url=None, openapi_url=None)
    site = Site(state, problem, HealthBoard(probe), access, desk, reach)
    for page in PAGES:
        app.include_router(page.routes(site))
    _add_errors(app, site)
    _add_static(app)
    app.add_middleware(SecureHeaders, tls=tls)

    @app.get("/health")
    async def health() -> Response:
        return JSONResponse({"ok": True})

    return app


def _add_errors(app: FastAPI, site: Site) -> None:
    @app.exception_handler(Elsewhere)
    async def elsewhere(request: Request, found: Elsewhere) -> Response:
        return RedirectResponse(found.address, 303)

    @app.exception_handler(Unauthenticated)
    async def unknown(request: Request, error: Unauthenticated) -> Response:
        if request.method == "GET" and "hx-request" not in request.headers:
            return RedirectResponse(login.address(request), 303)
        return site.refusal(request, error)

    @app.exception_handler(BigheadError)
    async def refused(request: Request, error: BigheadError) -> Response:
        return site.refusal(request, error)

    @app.exception_handler(HTTPException)
    async def no_page(request: Request, error: HTTPException) -> Response:
        text = f"There is no page {request.url.path}." if error.status_code == 404 else str(error.detail)
        return site.error(site.plain(request), error.status_code, text)


def _add_static(app: FastAPI) -> None:
    @app.get("/static/{name:path}")
    async def static(name: str) -> Response:
        if name not in STATIC:
            raise HTTPException(404)
        # They change with a release only, but a release must be seen at once: the browser asks, and hears "the same".
        file = STYLESHEET if name == "charts.css" else HERE / "static" / name
        return FileResponse(file, media_type=STATIC[name], headers={"Cache-Control": "no-cache"})
