"""Who may use the console and its API: tokens with roles, the sessions of browsers, and what keeps other sites out.

Knows requests and nothing of what is asked. Without tokens whoever reaches the loopback address is the machine's own
user with every right; other web sites that this user's browser shows are nobody all the same.
"""

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from urllib.parse import SplitResult, urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response

from bighead.config import split_address
from bighead.errors import ConfigError, PermissionDenied, Unauthenticated
from serving.security import bearer_of, digest_of

SESSION_S = 12 * 3600
MAX_SESSIONS = 1000
READING = ("GET", "HEAD", "OPTIONS")
CSRF_FIELD = "csrf"
"""The hidden field of every form: what `Access.form_token` gave the page that holds it."""
_MIN_TOKEN = 16


class Role(IntEnum):
    """What somebody may do; each may do all that those before it may.

    A viewer reads; a deployer commands the registry; an admin also changes what others are bound by: policies.
    """

    VIEWER = 1
    DEPLOYER = 2
    ADMIN = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who is known: `actor` is who commands are attributed to."""

    actor: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether this caller has the role or a higher one."""
        return self.role >= role

    def require(self, role: Role) -> "Caller":
        """Itself; raises PermissionDenied where its role is not enough."""
        if not self.may(role):
            raise PermissionDenied(f"{self.actor} has the role {self.role}; expected {role}")
        return self


class ConsoleTokens:
    """Whose each token is; holds digests, so that no dump of the process shows one.

    `text` is ROLE:ACTOR:TOKEN[,ROLE:ACTOR:TOKEN], as in BIGHEAD_CONSOLE_TOKENS; several tokens may have one actor.
    """

    def __init__(self, text: str) -> None:
        self._callers: dict[bytes, Caller] = {}
        roles = {str(role): role for role in Role}
        for number, part in enumerate(filter(None, map(str.strip, text.split(","))), 1):
            role, _, rest = part.partition(":")
            actor, _, token = rest.partition(":")
            if role not in roles or not actor.strip() or len(token) < _MIN_TOKEN:
                raise ConfigError(
                    f"entry {number} of BIGHEAD_CONSOLE_TOKENS is no ROLE:ACTOR:TOKEN; expected one of "
                    f"{', '.join(roles)}, who it is, and at least {_MIN_TOKEN} characters, with colons between"
                )
            digest = digest_of(token)
            if digest in self._callers:
                raise ConfigError(f"entry {number} of BIGHEAD_CONSOLE_TOKENS repeats a token; give each entry its own")
            self._callers[digest] = Caller(actor.strip(), roles[role])

    def __bool__(self) -> bool:
        return bool(self._callers)

    def caller(self, token: str) -> Caller:
        """Whose the token is; raises Unauthenticated."""
        given = digest_of(token)
        found = next((who for known, who in self._callers.items() if hmac.compare_digest(known, given)), None)
        if found is None:
            raise Unauthenticated("received a token that this console does not know")
        return found


@dataclass(frozen=True, slots=True)
class _Session:
    caller: Caller
    ends_s: float


class Access:
    """Says who asks. Sessions are kept in memory, by the digest of their id: a console that starts knows none.

    actor: who everybody is where there are no tokens. secure: whether the console speaks TLS. clock_s: monotonic.
    """

    def __init__(
        self,
        tokens: ConsoleTokens,
        actor: str,
        *,
        secure: bool = False,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._own = Caller(actor, Role.ADMIN)
        self._secure = secure
        self._clock_s = clock_s
        self._sessions: dict[bytes, _Session] = {}
        self._key = secrets.token_bytes(32)
        # A cookie with this prefix is taken by browsers only over TLS, for this very host and the whole of it.
        self.cookie = "__Host-bighead" if secure else "bighead"

    @property
    def demands_tokens(self) -> bool:
        """Whether anybody has to sign in."""
        return bool(self._tokens)

    def caller(self, request: HTTPConnection) -> Caller:
        """Who asks, by bearer token, else by session; raises Unauthenticated, and PermissionDenied for other sites."""
        if request.scope["method"] not in READING:
            check_same_site(request)
        authorization = request.headers.get("authorization")
        if not self._tokens:
            check_local(request)
            return self._own
        if authorization is not None:
            return self._tokens.caller(bearer_of(authorization))
        session = self._session(request)
        if session is None:
            raise Unauthenticated(
                "received neither a session nor a bearer token; sign in at /login, or send the header "
                "authorization: Bearer TOKEN"
            )
        return session.caller

    def require(self, request: HTTPConnection, role: Role) -> Caller:
        """Who asks, with at least this role; raises Unauthenticated or PermissionDenied."""
        return self.caller(request).require(role)

    def sign_in(self, request: HTTPConnection, token: str, response: Response) -> Caller:
        """Begins a session for whoever has the token, by a cookie on the response; raises Unauthenticated."""
        check_same_site(request)
        caller, now_s = self._tokens.caller(token), self._clock_s()
        self._sessions.pop(digest_of(self._id(request)), None)
        live = {key: one for key, one in self._sessions.items() if one.ends_s > now_s}
        for key in list(live)[: max(0, len(live) - MAX_SESSIONS + 1)]:  # the oldest make room
            del live[key]
        session_id = secrets.token_urlsafe(32)
        self._sessions = {**live, digest_of(session_id): _Session(caller, now_s + SESSION_S)}
        response.set_cookie(
            self.cookie, session_id, max_age=SESSION_S, path="/", secure=self._secure, httponly=True, samesite="strict"
        )
        return caller

    def sign_out(self, request: HTTPConnection, response: Response) -> None:
        """Ends the session that the request belongs to."""
        check_same_site(request)
        self._sessions.pop(digest_of(self._id(request)), None)
        response.delete_cookie(self.cookie, path="/", secure=self._secure, httponly=True, samesite="strict")

    def form_token(self, request: HTTPConnection) -> str:
        """What a form on a page for this session holds in its CSRF_FIELD."""
        return hmac.new(self._key, self._id(request).encode(), hashlib.sha256).hexdigest()

    def check_form(self, request: HTTPConnection, given: str | None) -> None:
        """Raises PermissionDenied where a form was not made for the session that sends it, or another site sends it."""
        check_same_site(request)
        if not hmac.compare_digest(self.form_token(request).encode(), (given or "").encode()):
            raise PermissionDenied(
                "the form does not belong to this session, or the console was started again since; go back, read the "
                "page again and send it once more"
            )

    def _id(self, request: HTTPConnection) -> str:
        return request.cookies.get(self.cookie, "")

    def _session(self, request: HTTPConnection) -> _Session | None:
        found = self._sessions.get(digest_of(self._id(request)))
        return found if found is not None and found.ends_s > self._clock_s() else None


def check_same_site(request: HTTPConnection) -> None:
    """Raises PermissionDenied where a browser says that the page of another site asks.

    Every browser of today sends one of the two headers with a request that writes; a program sends neither.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        own = site in ("same-origin", "none")
    else:
        own = origin is None or _place(origin).netloc == request.headers.get("host")
    if not own:
        raise PermissionDenied("a page of another site asked for this; only the console's own pages may")


def check_local(request: HTTPConnection) -> None:
    """Raises PermissionDenied where the host that was asked for is another name than this machine's loopback.

    A web site may give its own name the address 127.0.0.1 and read what answers there as its own.
    """
    host = _place(f"//{request.headers.get('host', '')}").hostname or ""
    if not is_loopback(host):
        raise PermissionDenied(
            f"this console has no tokens and answers for localhost and loopback addresses alone, not {host[:80]!r}; "
            "give it BIGHEAD_CONSOLE_TOKENS to reach it by another name"
        )


def _place(address: str) -> SplitResult:
    """What a header says of a host; of what is no address, such as `[`, nothing."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def check_listening(address: str, tokens: ConsoleTokens) -> None:
    """Raises ConfigError where a console without tokens would listen for other machines."""
    host, _ = split_address(address, "BIGHEAD_CONSOLE")
    if not tokens and not is_loopback(host):
        raise ConfigError(
            f"BIGHEAD_CONSOLE is {address}, which other machines reach, and nobody would have to sign in; set "
            "BIGHEAD_CONSOLE_TOKENS=ROLE:ACTOR:TOKEN[,...] (roles: viewer, deployer, admin) or listen on 127.0.0.1"
        )
