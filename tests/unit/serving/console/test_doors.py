"""Every address of the console and of its API: nobody comes in who is not known, and a viewer changes nothing."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from serving.api.app import Api
from serving.console.log_state import LogState
from tests.unit.serving.api.kit import EVE, Client, Memory, api_of
from tests.unit.serving.console.kit import ask, console, state_of
from tests.unit.serving.console.past import past

TOKEN = "a-token-of-enough-characters"
OPEN = {"/health", "/static/{name:path}", "/login", "/logout"}
"""What has to be there before anybody has signed in, and gives nothing away."""


def addresses(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every route, with 1 for what is a part of the path."""
    routes = [route for route in walked(app.routes) if route.path not in OPEN]
    return [(method, re.sub(r"{[^}]+}", "1", one.path)) for one in routes for method in sorted(one.methods or ())]


def walked(routes: Iterable[BaseRoute]) -> Iterator[APIRoute]:
    """The routes, those of routers that were included among them."""
    for route in routes:
        if isinstance(router := getattr(route, "original_router", None), APIRouter):
            yield from walked(router.routes)
        elif isinstance(route, APIRoute):
            yield route


def test_no_page_is_open_to_who_is_not_known() -> None:
    app = console(LogState(), tokens=f"viewer:vera:{TOKEN}")
    found = addresses(app)
    assert {method for method, _ in found} == {"GET", "POST"}
    for method, path in found:
        answer = ask(app, method, path)
        assert answer.status_code == (303 if method == "GET" else 401), (method, path)
        assert method == "POST" or answer.headers["location"].startswith("/login"), path


def test_a_viewer_posts_nothing_to_any_page() -> None:
    app = console(LogState(), tokens=f"viewer:vera:{TOKEN}")
    posts = [path for method, path in addresses(app) if method == "POST"]
    assert len(posts) > 5
    for path in posts:
        answer = ask(app, "POST", path, headers={"authorization": f"Bearer {TOKEN}"}, data={"reason": "r"})
        assert answer.status_code == 403, path


def test_a_console_without_tokens_answers_by_no_other_name() -> None:
    app = console(LogState())
    for method, path in addresses(app):
        assert ask(app, method, path, headers={"host": "evil.example"}).status_code == 403, (method, path)


async def test_no_route_of_the_api_is_open_and_a_viewer_commands_nothing(tmp_path: Path) -> None:
    api: Api = api_of(Memory(), tmp_path)
    nobody, viewer = Client(api, token=None), Client(api, EVE)
    found = addresses(api.app)
    assert len(found) > 20
    for method, path in found:
        answer = await (nobody.get(path) if method == "GET" else nobody.post(path, {}))
        assert answer.status_code == 401, (method, path)
        if method != "GET":
            assert (await viewer.post(path, {})).status_code == 403, (method, path)


def test_a_host_or_an_origin_that_is_none_is_refused() -> None:
    app = console(LogState())
    assert ask(app, "GET", "/", headers={"host": "["}).status_code == 403
    assert ask(app, "POST", "/logout", headers={"origin": "http://["}).status_code == 403


def test_policies_are_for_admins() -> None:
    app = console(state_of(*past()), tokens=f"deployer:dora:{TOKEN}")
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert "/models/late/deploy" in ask(app, "GET", "/models/late", headers=headers).text
    assert "/models/late/policy" not in ask(app, "GET", "/models/late", headers=headers).text
    for method in ("GET", "POST"):
        assert ask(app, method, "/models/late/policy", headers=headers, data={"reason": "r"}).status_code == 403
