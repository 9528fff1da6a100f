"""The registry over HTTP: every operation of its REST API, typed. For those who reach the console and not Kafka.

Answers are the classes of `bighead.client.registry_documents`; errors are those of `bighead.errors`, as if the registry
were here. Knows httpx.
"""

import json
import ssl
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from bighead import errors
from bighead.client.registry_documents import (
    EventDocument,
    EventPage,
    HistoryPage,
    Me,
    ModelDocument,
    ModelPage,
    ModelSummary,
    Outcome,
    ServerDocument,
    StoredArtifact,
    VersionDocument,
    VersionPage,
    parsed,
)
from bighead.errors import BigheadError, InvalidInput, PlatformError
from bighead.registry.blame import Blamed
from bighead.registry.diff import Difference

D = TypeVar("D")
_BASE = "/api/v1"
_SILENT_S = 60.0
"""A stream that says nothing for so long, not even that it lives, is cut off."""


class RegistryApi:
    """The API of one console. `url`: http://host:port or https://..; `token`: whoever commands is its actor.

    verify: an SSL context where the console's certificate is of an own authority. timeout_s: of each request; commands
    that wait for servers need longer than the console does (30 s). as_of: ISO 8601 or milliseconds; None: now.
    """

    def __init__(
        self, url: str, token: str | None = None, *, timeout_s: float = 60.0, verify: ssl.SSLContext | bool = True
    ) -> None:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url.rstrip("/") + _BASE, headers=headers, timeout=timeout_s, verify=verify)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    # What there is.

    def me(self) -> Me:
        """Who the token's owner is taken for."""
        return parsed(Me, self._get("/me"))

    def openapi(self) -> Mapping[str, Any]:
        """The description of the API."""
        found: Mapping[str, Any] = self._get("/openapi.json")
        return found

    def models(
        self,
        q: str | None = None,
        *,
        tag: str | None = None,
        live: bool | None = None,
        sort: str = "name",
        environment: str | None = None,
        as_of: str | int | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> ModelPage:
        """A page of the models; `ModelPage.next` is the cursor of the one after it."""
        query = {"q": q, "tag": tag, "live": live, "sort": sort, "environment": environment, "as_of": as_of}
        return parsed(ModelPage, self._get("/models", **query, limit=limit, cursor=cursor))

    def every_model(self, q: str | None = None, **filters: Any) -> Iterator[ModelSummary]:
        """All models that a search finds, page by page; filters as in `models`."""
        cursor = None
        while True:
            found = self.models(q, **filters, cursor=cursor)
            yield from found.items
            if (cursor := found.next) is None:
                return

    def model(self, name: str, *, environment: str | None = None, as_of: str | int | None = None) -> ModelDocument:
        """What was decided of a model; its `revision` is what commands take as `expected_revision`."""
        return parsed(ModelDocument, self._get(f"/models/{_in_path(name)}", environment=environment, as_of=as_of))

    def servers(self, name: str, *, as_of: str | int | None = None) -> tuple[ServerDocument, ...]:
        """What each model server makes of a model."""
        return _all(ServerDocument, self._get(f"/models/{_in_path(name)}/servers", as_of=as_of))

    def policies(self, name: str, *, as_of: str | int | None = None) -> Mapping[str, tuple[str, ...]]:
        """What must hold of a version before it answers, by environment."""
        found = self._get(f"/models/{_in_path(name)}/policies", as_of=as_of)
        return {environment: tuple(rules) for environment, rules in found.items()}

    def versions(
        self, name: str, *, as_of: str | int | None = None, limit: int = 50, cursor: str | None = None
    ) -> VersionPage:
        """A page of the versions, the newest first."""
        path = f"/models/{_in_path(name)}/versions"
        return parsed(VersionPage, self._get(path, as_of=as_of, limit=limit, cursor=cursor))

    def version(
        self, name: str, number: int, *, golden: bool = False, as_of: str | int | None = None
    ) -> VersionDocument:
        """One version with its record."""
        path = f"/models/{_in_path(name)}/versions/{number}"
        return parsed(VersionDocument, self._get(path, golden=golden, as_of=as_of))

    def attachment(self, sha256: str) -> bytes:
        """The bytes of an attachment of a version."""
        return self._sent("GET", f"/attachments/{_in_path(sha256)}").content

    def history(
        self, name: str, *, as_of: str | int | None = None, limit: int = 50, cursor: str | None = None
    ) -> HistoryPage:
        """A page of everything that was asked of a model, the oldest first."""
        path = f"/models/{_in_path(name)}/history"
        return parsed(HistoryPage, self._get(path, as_of=as_of, limit=limit, cursor=cursor))

    def blame(self, name: str, *, as_of: str | int | None = None) -> tuple[Blamed, ...]:
        """Of each thing that is so, the event that made it so."""
        return _all(Blamed, self._get(f"/models/{_in_path(name)}/blame", as_of=as_of))

    def diff(self, name: str, a: int, b: int, *, as_of: str | int | None = None) -> tuple[Difference, ...]:
        """Every field in which two versions differ."""
        return _all(Difference, self._get(f"/models/{_in_path(name)}/diff", a=a, b=b, as_of=as_of))

    # The log.

    def event_page(
        self,
        from_position: str = "beginning",
        *,
        topics: Collection[str] | None = None,
        model: str | None = None,
        as_of: str | int | None = None,
        limit: int = 100,
    ) -> EventPage:
        """A page of the log by time; `EventPage.next` goes on from there."""
        query = {"topics": _joined(topics), "model": model, "as_of": as_of, "limit": limit}
        return parsed(EventPage, self._get("/events", **query, **{"from": from_position}))

    def events(
        self, from_position: str = "end", *, topics: Collection[str] | None = None, model: str | None = None
    ) -> Iterator[EventDocument]:
        """Events as they come, from a position on (`beginning`, `end`, or `EventDocument.next` of one that was seen).

        A connection that is cut is made anew, and goes on where it was: nothing is missed or repeated. Raises
        PlatformError where the console cannot be reached again, or messages were deleted before they were read.
        """
        place, query = from_position, {"topics": _joined(topics), "model": model}
        while True:
            try:
                for kind, data, behind in self._stream({"from": place, **query}):
                    place = behind
                    if kind == "lost":
                        raise PlatformError(f"events before {place} were deleted by the log's retention")
                    if kind == "message" and data:
                        yield parsed(EventDocument, json.loads(data))
            except httpx.TransportError:
                self.me()  # is it there at all?

    # Commands.

    def store_artifact(self, file: Path | bytes) -> StoredArtifact:
        """Stores the bytes of a model or an attachment."""
        if isinstance(file, bytes):
            return parsed(StoredArtifact, self._sent("POST", "/artifacts", content=file).json())
        with file.open("rb") as content:
            return parsed(StoredArtifact, self._sent("POST", "/artifacts", content=content).json())

    def register(self, name: str, record: Mapping[str, Any], reason: str, **asked: Any) -> Outcome:
        """Registers a version; the record names stored bytes by artifact_sha256. `asked`: as in `command`."""
        return self.command(name, "versions", {"record": dict(record), "reason": reason}, **asked)

    def deploy(self, name: str, version: int | None, reason: str, **asked: Any) -> Outcome:
        """Makes a version (None: the newest) live. `asked`: as in `command`."""
        return self.command(name, "deploy", {"version": version, "reason": reason}, **asked)

    def rollback(self, name: str, reason: str, version: int | None = None, **asked: Any) -> Outcome:
        """Returns to the version that was live before, or to a named one that was."""
        return self.command(name, "rollback", {"version": version, "reason": reason}, **asked)

    def set_traffic(
        self,
        name: str,
        arms: Sequence[Mapping[str, Any]],
        reason: str,
        *,
        labels: Mapping[str, int] | None = None,
        unit: str | None = None,
        salt: str = "",
        **asked: Any,
    ) -> Outcome:
        """Divides the requests among arms {version, percent, shadow}."""
        body = {"arms": list(arms), "labels": dict(labels or {}), "unit": unit, "salt": salt, "reason": reason}
        return self.command(name, "traffic", body, **asked)

    def set_segments(
        self, name: str, versions: Mapping[str, int], keys: Sequence[str], reason: str, **asked: Any
    ) -> Outcome:
        """Lets versions of their own answer for segments."""
        return self.command(
            name, "segments", {"versions": dict(versions), "keys": list(keys), "reason": reason}, **asked
        )

    def start_rollout(
        self,
        name: str,
        version: int | None,
        stages: Sequence[Mapping[str, Any]],
        reason: str,
        *,
        rules: Sequence[Mapping[str, Any]] = (),
        unit: str | None = None,
        salt: str = "",
        **asked: Any,
    ) -> Outcome:
        """Gives a version (None: the newest) growing shares: stages {percent, hold_ms, predictions}."""
        plan = {"version": version, "stages": list(stages), "rules": list(rules), "unit": unit, "salt": salt}
        return self.command(name, "rollout", {**plan, "reason": reason}, **asked)

    def stop_rollout(self, name: str, reason: str, rollout_id: str | None = None, **asked: Any) -> Outcome:
        """Ends a roll-out: all traffic goes back to the live version."""
        return self.command(name, "rollout/stop", {"rollout_id": rollout_id, "reason": reason}, **asked)

    def retire(self, name: str, reason: str, version: int | None = None, **asked: Any) -> Outcome:
        """Takes a version (None: the whole model) out of use for good."""
        return self.command(name, "retire", {"version": version, "reason": reason}, **asked)

    def promote_label(self, name: str, label: str, version: int | None, reason: str, **asked: Any) -> Outcome:
        """Gives a label to a version, or (None) takes it away."""
        return self.command(name, "labels", {"label": label, "version": version, "reason": reason}, **asked)

    def approve(self, name: str, version: int, reason: str, **asked: Any) -> Outcome:
        """Vouches for a version."""
        return self.command(name, "approvals", {"version": version, "reason": reason}, **asked)

    def set_policy(self, name: str, rules: Sequence[str], reason: str, **asked: Any) -> Outcome:
        """Sets the rules of an environment, such as `approvals=2`; none: no policy."""
        return self.command(name, "policies", {"rules": list(rules), "reason": reason}, **asked)

    def command(
        self,
        name: str,
        path: str,
        body: Mapping[str, Any],
        *,
        environment: str | None = None,
        expected_revision: int | None = None,
        command_id: str | None = None,
        wait: bool = False,
    ) -> Outcome:
        """Any command. expected_revision: refused (StaleRevision) where the model has another one. command_id: sent
        again under the same it is done once. wait: until every live model server has answered.
        """
        headers = {}
        if expected_revision is not None:
            headers["if-match"] = f'"{expected_revision}"'
        if command_id is not None:
            headers["idempotency-key"] = command_id
        query = _given({"environment": environment, "wait": wait or None})
        answer = self._sent("POST", f"/models/{_in_path(name)}/{path}", json=dict(body), headers=headers, params=query)
        return parsed(Outcome, answer.json())

    def _get(self, path: str, **query: Any) -> Any:
        return self._sent("GET", path, params=_given(query)).json()

    def _sent(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **request)
        except httpx.TimeoutException as error:
            raise errors.DeadlineExceeded(f"{method} {path}: no answer from {self._http.base_url} in time") from error
        except httpx.TransportError as error:
            raise PlatformError(f"{self._http.base_url} cannot be reached: {error}") from error
        return _checked(answer)

    def _stream(self, query: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Kind, data and id of each event of one connection; an id without data comes as the kind `place`."""
        timeout = httpx.Timeout(self._http.timeout.connect, read=_SILENT_S)
        with self._http.stream("GET", "/stream", params=_given(query), timeout=timeout) as answer:
            if answer.is_error:
                answer.read()
            _checked(answer)
            kind, data, place = "", list[str](), ""
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                match name:
                    case "id":
                        place = value
                    case "event":
                        kind = value
                    case "data":
                        data.append(value)
                    case "" if not line and place:
                        yield kind or ("message" if data else "place"), "\n".join(data), place
                        kind, data = "", []


def _checked(answer: httpx.Response) -> httpx.Response:
    """The answer; raises the error that a problem names."""
    if not answer.is_error:
        return answer
    try:
        told = answer.json()
        kind, detail = getattr(errors, str(told["error"]), None), str(told["detail"])
    except (ValueError, KeyError, TypeError):
        raise BigheadError(f"{answer.request.url} answered {answer.status_code}: {answer.text[:200]}") from None
    if isinstance(kind, type) and issubclass(kind, BigheadError):
        raise kind(detail)
    raise (InvalidInput if answer.status_code < 500 else PlatformError)(detail)


def _all(kind: type[D], given: Any) -> tuple[D, ...]:
    return tuple(parsed(kind, one) for one in given)


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _joined(names: Collection[str] | None) -> str | None:
    return None if names is None else ",".join(names)


def _in_path(name: str) -> str:
    return quote(name, safe="")
