"""What all pages share: the request as they see it, the frame, the page for errors. Knows Jinja and Starlette.

A page is a function of what the log says and of the request; `Site` is handed to it and holds nothing that changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bighead.clock import wall_clock_ms
from bighead.errors import BigheadError, InvalidInput
from bighead.times import time_ms
from serving.api.security import Access, Caller, Role
from serving.codes import code
from serving.console import words
from serving.console.board import HealthBoard
from serving.console.desk import Desk
from serving.console.log_state import LogState
from serving.console.reach import Reach

HERE = Path(__file__).parent
NAVIGATION = (
    ("Home", "/"),
    ("Models", "/models"),
    ("Features", "/features"),
    ("Events", "/events"),
    ("Runs", "/runs"),
    ("Alerts", "/alerts"),
    ("Audit", "/audit"),
)
CLOCK_FIELDS = ("as_of", "at", "was", "end")
_STEP_MS = 1000
_MAX_FORM_BYTES = 65_536
_MAX_FIELDS = 200
_TIME_DIGITS = 14
"""Of milliseconds since 1970, up to the year 5138: more are no time."""
_TITLES = {400: "This cannot be read", 401: "Sign in first", 403: "Not allowed", 404: "Not found", 409: "Refused"}


class Elsewhere(Exception):
    """The page that was asked for is at another address."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `as_of_ms` is None for now; `kept` are its other fields, which a change of time leaves alone."""

    path: str
    kept: tuple[tuple[str, str], ...]
    now_ms: int
    as_of_ms: int | None
    caller: Caller | None = None
    """Who looks; None on pages for those who did not sign in."""
    csrf: str = ""
    """What every form of the page holds in its hidden field."""

    @property
    def past(self) -> bool:
        """Whether a time of before is shown: nothing is live, and nothing can be commanded."""
        return self.as_of_ms is not None

    @property
    def live(self) -> bool:
        """Whether parts of the page may read themselves again."""
        return self.as_of_ms is None

    @property
    def until_ms(self) -> int:
        """The time that is shown."""
        return self.now_ms if self.as_of_ms is None else self.as_of_ms

    @property
    def as_of_text(self) -> str:
        """The time as the field in the header says it; empty for now."""
        return "" if self.as_of_ms is None else words.iso(self.as_of_ms)

    @property
    def actor(self) -> str:
        """Who looks, as commands are attributed."""
        return self.caller.actor if self.caller else ""

    @property
    def role(self) -> str:
        """What they may do, as a word."""
        return str(self.caller.role) if self.caller else ""

    @property
    def may_command(self) -> bool:
        """Whether actions are offered: to those who may deploy, and never in the past."""
        return self.may(Role.DEPLOYER)

    def may(self, role: Role) -> bool:
        """Whether actions for those with a role are offered: never in the past."""
        return self.live and self.caller is not None and self.caller.may(role)

    def is_under(self, path: str) -> bool:
        """Whether the page belongs to that entry of the navigation."""
        own = "/events" if self.path.startswith("/dead-letters") else self.path
        return own == path or (path != "/" and own.startswith(f"{path}/"))

    def href(self, *parts: object, **query: object) -> str:
        """An address within the console at the time that is shown; parts after the first are quoted, None left out."""
        names = [quote(str(part), safe="") for part in parts[1:]]
        path = "/".join([quote(str(parts[0])).rstrip("/"), *names]) or "/"
        fields = {"as_of": self.as_of_text, **query}
        given = {name: value for name, value in fields.items() if value not in (None, "")}
        return f"{path}?{urlencode(given)}" if given else path

    def here(self, **changes: object) -> str:
        """This page with some fields changed; None takes a field away."""
        return self.href(self.path, **{**dict(self.kept), **changes})

    def turn(self, field: str) -> Callable[[int], str]:
        """For a pager: the address of this page with another number in that field."""
        return lambda number: self.here(**{field: number})


@cache
def _templates() -> Environment:
    """Once for the process: templates are compiled when they are first used."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= words.FILTERS
    templates.globals["ui"] = templates.get_template("_macros.html").module
    return templates


class Site:
    """The frame around every page. `state` and `problem` give what the log says, and why it says nothing."""

    def __init__(
        self,
        state: Callable[[], LogState],
        problem: Callable[[], str | None],
        board: HealthBoard,
        access: Access,
        desk: Desk,
        reach: Reach,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.state = state
        self.problem = problem
        self.board = board
        self.access = access
        self.desk = desk
        self.reach = reach
        self._clock_ms = clock_ms
        self._templates = _templates()

    def asked(self, request: Request) -> Asked:
        """The request of somebody who is known; raises Unauthenticated, Elsewhere, and InvalidInput for no time."""
        given = request.query_params
        caller = self.access.caller(request)
        if "was" in given:  # sent by the form in the header: the address should say one time alone
            sent = Asked(_path(request), tuple(given.multi_items()), 0, None)
            raise Elsewhere(sent.here(at=None, was=None, end=None, as_of=chosen_time(given)))
        as_of_ms = time_ms(given["as_of"], "as_of") if given.get("as_of", "").strip() else None
        kept = tuple((name, value) for name, value in given.multi_items() if name not in CLOCK_FIELDS)
        return Asked(_path(request), kept, self._clock_ms(), as_of_ms, caller, self.access.form_token(request))

    def servers(self, asked: Asked) -> Mapping[str, str] | None:
        """The model servers that live with the environment of each; None in the past, and where nobody says. Blocks."""
        return self.reach.servers() if asked.live else None

    def page(self, asked: Asked, template: str, /, *, status: int = 200, **context: Any) -> HTMLResponse:
        """A page in its frame. Templates see `asked`, `href` and `ui` beside their context."""
        text = self._templates.get_template(template).render(
            asked=asked,
            href=asked.href,
            navigation=NAVIGATION if asked.caller else (),
            signs_in=self.access.demands_tokens,
            clock=self._clock(asked),
            now_href=asked.here(as_of=None),
            problem=self.problem(),
            **context,
        )
        # Half a character (\ud800) may come in any JSON that a record keeps, and has no place in UTF-8.
        return HTMLResponse(text.encode("utf-8", "replace"), status)

    def refusal(self, request: Request, error: BigheadError) -> HTMLResponse:
        """The page that says an error in plain words."""
        return self.error(self.plain(request), code(error).http, str(error))

    def plain(self, request: Request) -> Asked:
        """The request without its fields, one of which may be what is wrong, of anybody."""
        try:
            caller = self.access.caller(request)
        except BigheadError:
            caller = None
        return Asked(_path(request), (), self._clock_ms(), None, caller, self.access.form_token(request))

    def error(self, asked: Asked, status: int, text: str) -> HTMLResponse:
        """A page that says why there is no other."""
        return self.page(
            asked, "error.html", status=status, title=_TITLES.get(status, "Something failed"), code=status, text=text
        )

    def _clock(self, asked: Asked) -> Mapping[str, int]:
        """The slider: from the first event to now, in whole seconds."""
        first = self.state().first_ms
        last_ms = asked.now_ms // _STEP_MS * _STEP_MS
        first_ms = min(last_ms - _STEP_MS, last_ms if first is None else first // _STEP_MS * _STEP_MS)
        at_ms = min(max(asked.until_ms // _STEP_MS * _STEP_MS, first_ms), last_ms)
        return {"first_ms": first_ms, "last_ms": last_ms, "at_ms": at_ms, "step_ms": _STEP_MS}


def _path(request: Request) -> str:
    """The path of the address, which on a page begins with one slash: two would lead to another host."""
    return "/" + request.url.path.lstrip("/")


def chosen_time(query: Mapping[str, str]) -> str:
    """The `as_of` that the form in the header means: the slider's place where it was moved, else the text."""
    at, was, text = query.get("at", ""), query.get("was", ""), query.get("as_of", "").strip()
    if at == was or not at.isdecimal() or len(at) > _TIME_DIGITS:
        return text
    # A slider that is moved to its end means now, however long ago the page was made.
    return "" if at == query.get("end") else words.iso(int(at))


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, the last of each name; raises InvalidInput where it is too large or none."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MAX_FORM_BYTES:
            raise InvalidInput(f"the form has more than {_MAX_FORM_BYTES} bytes; shorten what was written into it")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError as error:
        raise InvalidInput(f"this is no form of the console: {error}") from None
