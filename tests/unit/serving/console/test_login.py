"""Signing in: who has no token sees nothing, who has one is led where they wanted, forms of others are refused."""

import pytest
from fastapi import FastAPI

from serving.console.log_state import LogState
from serving.console.pages.login import local
from tests.unit.serving.console.kit import ask, check_inert, console, field_of, get, words_of

TOKEN = "a-token-of-enough-characters"


@pytest.fixture
def guarded() -> FastAPI:
    return console(LogState(), tokens=f"viewer:grace:{TOKEN}")


def test_who_is_not_known_is_led_to_the_form_and_back(guarded: FastAPI) -> None:
    refused = get(guarded, "/?q=late")
    assert refused.status_code == 303
    page = get(guarded, refused.headers["location"])
    check_inert(page)
    assert field_of(page, "to") == "/?q=late"
    assert "Models Features" not in words_of(page)
    sent = {"csrf": field_of(page, "csrf"), "token": TOKEN, "to": field_of(page, "to")}
    answer = ask(guarded, "POST", "/login", data=sent)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?q=late"
    assert TOKEN not in str(answer.headers)
    home = get(guarded, "/", headers={"cookie": answer.headers["set-cookie"].partition(";")[0]})
    assert "grace viewer Sign out" in words_of(home)


def test_a_wrong_token_is_told_and_not_repeated(guarded: FastAPI) -> None:
    sent = {"csrf": field_of(get(guarded, "/login"), "csrf"), "token": "not-a-known-token"}
    answer = ask(guarded, "POST", "/login", data=sent)
    assert answer.status_code == 401
    assert "No one has this token" in words_of(answer)
    assert "not-a-known-token" not in answer.text


@pytest.mark.parametrize("headers", [{}, {"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_a_form_that_is_not_the_consoles_own_is_refused(guarded: FastAPI, headers: dict[str, str]) -> None:
    token = field_of(get(guarded, "/login"), "csrf") if headers else "made-up"
    answer = ask(guarded, "POST", "/login", data={"csrf": token, "token": TOKEN}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_form_that_is_too_large_is_refused(guarded: FastAPI) -> None:
    assert ask(guarded, "POST", "/login", data={"token": "x" * 100_000}).status_code == 400


@pytest.mark.parametrize(
    ("to", "led"),
    [
        ("/models?q=a", "/models?q=a"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\nb", "/"),
    ],
)
def test_nobody_is_led_elsewhere(to: str, led: str) -> None:
    assert local(to) == led
