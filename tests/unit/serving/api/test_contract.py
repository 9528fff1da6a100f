"""OpenAPI and the client say the same: every route has a method of `RegistryApi`, a description and its errors."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bighead import errors
from bighead.client.registry_api import RegistryApi
from bighead.client.registry_documents import ModelDocument, Outcome, parsed
from bighead.registry.state import Stamp
from tests.unit.serving.api.kit import Memory, api_of

GIVEN: dict[str, Any] = {
    "name": "a/b c",
    "number": 2,
    "version": 2,
    "a": 1,
    "b": 2,
    "sha256": "ab" * 32,
    "record": {},
    "reason": "r",
    "arms": [],
    "versions": {},
    "keys": [],
    "stages": [],
    "label": "champion",
    "file": b"onnx",
    "path": "deploy",
    "body": {},
    "rules": [],
    "from_position": "end",
}


class Heard(Exception):
    """A request was made; it has no answer."""


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return api_of(Memory(), tmp_path_factory.mktemp("home")).app.openapi()


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def requested(method: str) -> tuple[str, str]:
    """The method and path that a method of the client asks for."""
    heard: list[tuple[str, str]] = []

    def hear(request: httpx.Request) -> httpx.Response:
        heard.append((request.method, request.url.raw_path.decode().partition("?")[0].removeprefix("/api/v1")))
        raise Heard

    api = RegistryApi("http://console")
    api._http = httpx.Client(base_url="http://console/api/v1", transport=httpx.MockTransport(hear))
    call = getattr(api, method)
    needed = [
        name
        for name, parameter in inspect.signature(call).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    with pytest.raises(Heard):
        answer = call(**{name: GIVEN[name] for name in needed})
        next(iter(answer))
    return heard[0]


def test_every_route_has_a_method_of_the_client(described: dict[str, Any]) -> None:
    methods = [name for name, value in vars(RegistryApi).items() if callable(value) and not name.startswith("_")]
    called = {requested(name) for name in methods if name != "close"}
    for method, path, _ in operations(described):
        pattern = re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path))
        assert any(one == method and pattern.fullmatch(asked) for one, asked in called), f"{method} {path}"
    for method, asked in called - {("GET", "/openapi.json")}:
        paths = [path for one, path, _ in operations(described) if one == method]
        assert any(re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", path), asked) for path in paths), asked


def test_every_route_describes_itself_and_its_errors(described: dict[str, Any]) -> None:
    for method, path, operation in operations(described):
        assert operation.get("description"), f"{method} {path}"
        assert {"401", "403", "503"} <= set(operation["responses"]), f"{method} {path}"
        told = operation["responses"].get("401")["content"]
        assert list(told) == ["application/problem+json"]
        if method == "POST" and "requestBody" in operation and path != "/artifacts":
            reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert described["components"]["schemas"][reference]["examples"], path


def test_a_document_is_read_as_it_was_written_and_what_is_new_is_left_out() -> None:
    stamp = {"command_id": "c", "actor": "ada", "reason": "r", "at_ms": 1, "later": True}
    given = dict.fromkeys(ModelDocument.__dataclass_fields__) | {
        "name": "delay",
        "deployed": [1, 2],
        "deployment": stamp,
        "labels": {"champion": 2},
        "approvals": {"2": [stamp]},
        "of_tomorrow": 1,
    }
    document = parsed(ModelDocument, given)
    assert document.deployment == Stamp("c", "ada", "r", 1)
    assert document.deployed == (1, 2) and document.approvals["2"] == (Stamp("c", "ada", "r", 1),)
    assert parsed(Outcome, {"type": "t", "event": {}, "command_id": "c", "revision": 1}).servers == ()


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (412, {"error": "StaleRevision", "detail": "since ada changed it"}, errors.StaleRevision),
        (409, {"error": "CommandRefused", "detail": "no version 9"}, errors.CommandRefused),
        (413, {"error": "TooLarge", "detail": "too large"}, errors.InvalidInput),
        (502, {"error": "near", "detail": "of a proxy"}, errors.PlatformError),
        (500, ["no problem"], errors.BigheadError),
    ],
)
def test_a_problem_is_raised_as_the_error_that_it_names(status: int, told: Any, kind: type[Exception]) -> None:
    api = RegistryApi("http://console", "a-token-that-nobody-sees")
    transport = httpx.MockTransport(lambda request: httpx.Response(status, json=told))
    api._http = httpx.Client(base_url="http://console", transport=transport)
    with pytest.raises(errors.BigheadError) as raised:
        api.model("delay")
    assert type(raised.value) is kind


def test_a_console_that_is_not_there_is_named(tmp_path: Path) -> None:
    with RegistryApi("http://127.0.0.1:1") as api, pytest.raises(errors.PlatformError, match=r"127\.0\.0\.1:1"):
        api.me()
