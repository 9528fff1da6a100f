"""Who is let in to the console and its API, and which requests of browsers are refused as those of other sites."""

import pytest
from starlette.requests import Request
from starlette.responses import Response

from bighead.errors import ConfigError, PermissionDenied, Unauthenticated
from serving.api.headers import SecureHeaders
from serving.api.security import (
    MAX_SESSIONS,
    SESSION_S,
    Access,
    Caller,
    ConsoleTokens,
    Role,
    check_listening,
    check_local,
    check_same_site,
)

ADA, BOB = "ada-has-a-token-of-many-characters", "bob-has-a-token-of-many-characters"
TOKENS = ConsoleTokens(f"deployer:ada:{ADA}, viewer:bob@example.org:{BOB}")


def request(method: str = "GET", **headers: str) -> Request:
    """A request as a server sees it; names of headers are written with `_`."""
    given = {"host": "127.0.0.1:18502"} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in given.items()]
    return Request({"type": "http", "method": method, "path": "/", "query_string": b"", "headers": raw})


def cookie_of(response: Response) -> str:
    return response.headers["set-cookie"].split(";")[0]


def test_a_bearer_token_says_who_it_is_and_what_it_may() -> None:
    access = Access(TOKENS, "nobody")

    assert access.caller(request(authorization=f"Bearer {ADA}")) == Caller("ada", Role.DEPLOYER)
    with pytest.raises(PermissionDenied, match=r"bob@example.org has the role viewer; expected deployer"):
        access.require(request(authorization=f"bearer {BOB}"), Role.DEPLOYER)
    with pytest.raises(Unauthenticated, match="a token that this console does not know"):
        access.caller(request(authorization=f"Bearer {ADA}5"))
    with pytest.raises(Unauthenticated, match="sign in at /login"):
        access.caller(request())


def test_without_tokens_the_own_machine_may_everything_and_other_names_for_it_nothing() -> None:
    access = Access(ConsoleTokens(""), "ada")

    assert access.caller(request()) == Caller("ada", Role.ADMIN)
    with pytest.raises(PermissionDenied, match=r"localhost and loopback addresses alone, not 'evil.example'"):
        access.caller(request(host="evil.example:18502"))


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "127.8.8.8:9", "[::1]:18502", "console.localhost"])
def test_names_of_the_own_machine(host: str) -> None:
    check_local(request(host=host))


@pytest.mark.parametrize("host", ["", "10.0.0.1", "localhost.evil.example", "127.0.0.1.evil.example", "[::2]:1"])
def test_names_that_are_not_the_own_machine(host: str) -> None:
    with pytest.raises(PermissionDenied):
        check_local(request(host=host))


def test_a_session_is_a_cookie_that_scripts_and_other_sites_do_not_get() -> None:
    access, response = Access(TOKENS, "nobody", secure=True), Response()
    access.sign_in(request("POST"), ADA, response)

    cookie = response.headers["set-cookie"]
    assert cookie.startswith("__Host-bighead=") and ADA not in cookie
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Secure", "Path=/"))
    assert access.caller(request(cookie=cookie_of(response))) == Caller("ada", Role.DEPLOYER)


def test_a_session_ends_by_time_and_by_signing_out() -> None:
    now_s = [0.0]
    access, response = Access(TOKENS, "nobody", clock_s=lambda: now_s[0]), Response()
    access.sign_in(request("POST"), ADA, response)
    first = cookie_of(response)
    access.sign_in(request("POST"), ADA, response := Response())
    second = cookie_of(response)

    access.sign_out(request("POST", cookie=first), Response())
    with pytest.raises(Unauthenticated):
        access.caller(request(cookie=first))
    access.caller(request(cookie=second))
    now_s[0] = SESSION_S + 1
    with pytest.raises(Unauthenticated):
        access.caller(request(cookie=second))


def test_sessions_are_bounded_and_the_oldest_make_room() -> None:
    access = Access(TOKENS, "nobody")
    sessions = []
    for _ in range(MAX_SESSIONS + 1):
        access.sign_in(request("POST"), BOB, response := Response())
        sessions.append(cookie_of(response))

    with pytest.raises(Unauthenticated):
        access.caller(request(cookie=sessions[0]))
    access.caller(request(cookie=sessions[1]))


def test_a_form_belongs_to_the_session_of_the_page_that_held_it() -> None:
    access = Access(TOKENS, "nobody")
    access.sign_in(request("POST"), ADA, response := Response())
    mine = cookie_of(response)
    token = access.form_token(request(cookie=mine))

    access.check_form(request("POST", cookie=mine), token)
    for wrong in (None, "", "ü", token[:-1], access.form_token(request())):
        with pytest.raises(PermissionDenied, match="read the page again"):
            access.check_form(request("POST", cookie=mine), wrong)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        {"origin": "http://127.0.0.1:18502"},
        {"origin": "https://127.0.0.1:18502"},
    ],
)
def test_own_pages_and_programs_may_write(headers: dict[str, str]) -> None:
    check_same_site(request("POST", **headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "origin": "http://127.0.0.1:18502"},
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ],
)
def test_pages_of_other_sites_may_not_write_whoever_shows_them(headers: dict[str, str]) -> None:
    for access in (Access(TOKENS, "nobody"), Access(ConsoleTokens(""), "ada")):
        with pytest.raises(PermissionDenied, match="a page of another site"):
            access.caller(request("POST", **headers))
        with pytest.raises(PermissionDenied, match="a page of another site"):
            access.sign_in(request("POST", **headers), ADA, Response())


@pytest.mark.parametrize(
    "text", ["admin", "king:ada:0123456789abcdef", "admin:ada:short", "admin::0123456789abcdef", f"admin:a:{ADA},:"]
)
def test_tokens_that_cannot_be_meant_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(ConfigError, match=r"entry \d of BIGHEAD_CONSOLE_TOKENS is no ROLE:ACTOR:TOKEN") as refused:
        ConsoleTokens(text)
    assert ADA not in str(refused.value)
    assert "0123456789abcdef" not in str(refused.value)


def test_two_people_cannot_have_the_same_token() -> None:
    with pytest.raises(ConfigError, match="entry 2 of BIGHEAD_CONSOLE_TOKENS repeats a token"):
        ConsoleTokens(f"admin:ada:{ADA},viewer:bob:{ADA}")


def test_other_machines_are_listened_for_only_with_tokens() -> None:
    check_listening("127.0.0.1:18502", ConsoleTokens(""))
    check_listening("localhost:18502", ConsoleTokens(""))
    check_listening("0.0.0.0:18502", TOKENS)
    for address in ("0.0.0.0:18502", "10.0.0.1:18502", "[::]:18502", "console:18502"):
        with pytest.raises(ConfigError, match="set BIGHEAD_CONSOLE_TOKENS=ROLE:ACTOR:TOKEN"):
            check_listening(address, ConsoleTokens(""))


async def test_every_answer_has_the_headers_and_its_own_come_first() -> None:
    sent: list[dict[str, object]] = []

    async def send(message: object) -> None:
        sent.append(dict(message))  # type: ignore[call-overload]

    own = Response("", headers={"cache-control": "max-age=60"})
    await SecureHeaders(own, tls=True)(request().scope, None, send)  # type: ignore[arg-type]

    headers = dict(sent[0]["headers"])  # type: ignore[call-overload]
    assert headers[b"cache-control"] == b"max-age=60"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert b"unsafe" not in headers[b"content-security-policy"]
    assert b"max-age" in headers[b"strict-transport-security"]
