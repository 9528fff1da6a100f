"""Signing in with a token, and out. The token itself is kept nowhere."""

from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from bighead.errors import Unauthenticated
from serving.api.security import CSRF_FIELD
from serving.console.site import Site, form_of


def routes(site: Site) -> APIRouter:
    """The pages `/login` and `/logout`."""
    router = APIRouter()

    @router.get("/login")
    def form(request: Request) -> Response:
        to = local(request.query_params.get("to", "/"))
        if not site.access.demands_tokens:
            return RedirectResponse("/", 303)
        return site.page(site.plain(request), "login.html", to=to, wrong="")

    @router.post("/login")
    async def sign_in(request: Request) -> Response:
        sent = await form_of(request)
        site.access.check_form(request, sent.get(CSRF_FIELD))
        to = local(sent.get("to", "/"))
        answer = RedirectResponse(to, 303)
        try:
            site.access.sign_in(request, sent.get("token", "").strip(), answer)
        except Unauthenticated:
            wrong = "No one has this token. It is one of BIGHEAD_CONSOLE_TOKENS; whoever runs the console knows them."
            return site.page(site.plain(request), "login.html", status=401, to=to, wrong=wrong)
        return answer

    @router.post("/logout")
    async def sign_out(request: Request) -> Response:
        site.access.check_form(request, (await form_of(request)).get(CSRF_FIELD))
        answer = RedirectResponse("/login", 303)
        site.access.sign_out(request, answer)
        return answer

    return router


def address(request: Request) -> str:
    """The page to sign in, which leads back to what was asked for."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return "/login" if asked == "/" else f"/login?{urlencode({'to': asked})}"


def local(to: str) -> str:
    """The address where it lies in this console, else the first page: nobody is led elsewhere after signing in."""
    parts = urlsplit(to)
    inside = to.startswith("/") and not to.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return to if inside and to.isprintable() else "/"
