"""What our own tests use, for users' tests as well: waiting for a condition, dead letters in a list, a schema registry.

Everything here lives in the test's process and ends with it.
"""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import unquote

from bighead.events.message import Message

Value = TypeVar("Value")


def eventually(fn: Callable[[], Value], timeout_s: float = 10.0, interval_s: float = 0.02) -> Value:
    """The first truthy value that `fn` returns within the time; an AssertionError in it counts as not yet."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            value = fn()
            seen = f"last value: {value!r}"
            if value:
                return value
        except AssertionError as error:
            seen = f"last failure: {error}"
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {timeout_s} s; {seen}")
        time.sleep(interval_s)


class DeadLetterList:
    """Dead letters kept in memory, as (message, error, stage)."""

    def __init__(self) -> None:
        self.letters: list[tuple[Message, Exception, str]] = []

    def send(self, message: Message, error: Exception, stage: str) -> None:
        """Keeps a message that failed."""
        self.letters.append((message, error, stage))

    def flush(self) -> None:
        """Everything is kept already."""


class SchemaRegistryServer:
    """A schema registry in memory, on a free port of the loopback; it checks no compatibility.

    `failures` are HTTP statuses with which the next requests are answered; `requests` is what was asked so far.
    """

    def __init__(self) -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.versions: dict[str, list[int]] = {}
        self.failures: list[int] = []
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add(self, subject: str, schema: object, **more: object) -> int:
        """Registers a schema, under the id that it has if it is known; `more` is schemaType or references."""
        row = {"schema": json.dumps(schema)} | more
        known = [schema_id for schema_id, other in self.schemas.items() if other == row]
        schema_id = known[0] if known else len(self.schemas) + 1
        self.schemas[schema_id] = row
        if schema_id not in self.versions.setdefault(subject, []):
            self.versions[subject].append(schema_id)
        return schema_id

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, object]:
        """Status and JSON for a request."""
        self.requests.append(f"{method} {path}")
        if self.failures:
            return self.failures.pop(0), {"message": "made to fail"}
        match [method, *map(unquote, path.strip("/").split("/"))]:
            case ["GET", "schemas", "ids", number] if int(number) in self.schemas:
                return 200, self.schemas[int(number)]
            case ["GET", "subjects"]:
                return 200, list(self.versions)
            case ["GET", "subjects", subject, "versions", version] if subject in self.versions:
                newest = len(self.versions[subject]) if version == "latest" else int(version)
                found = self.versions[subject][newest - 1]
                return 200, self.schemas[found] | {"id": found, "subject": subject, "version": newest}
            case ["POST", "subjects", subject]:
                for schema_id in self.versions.get(subject, []):
                    if json.loads(self.schemas[schema_id]["schema"]) == json.loads(body["schema"]):
                        return 200, {"id": schema_id}
            case ["POST", "subjects", subject, "versions"]:
                return 200, {"id": self.add(subject, json.loads(body["schema"]))}
            case ["PUT", "config", _]:
                return 200, body
        return 404, {"message": "not found"}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            """Translates HTTP."""

            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                status, answer = registry.answer(self.command, self.path, body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_PUT = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Tests want no lines on stderr."""

        return Handler
