"""What the registry's REST API answers with: the same classes describe it in OpenAPI, write it, and read it here.

Times are milliseconds since the epoch, UTC. Knows nothing of HTTP.
"""

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeVar

from bighead.client.fleet import ServerAnswer
from bighead.registry.state import PRODUCTION, Stamp
from bighead.registry.views import Change

D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One model in a list; tags: those of the live version, or of the newest where none is live.

    servers: the version that answers, by server of the environment.
    """

    name: str
    environment: str
    revision: int
    live: int | None
    previous: int | None
    versions: int
    tags: Mapping[str, str]
    deployment: Stamp | None
    servers: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class ModelPage:
    """A page of models; `next` is the cursor of the one after it."""

    items: tuple[ModelSummary, ...]
    next: str | None
    total: int


@dataclass(frozen=True, slots=True)
class ModelDocument:
    """What was decided of a model in an environment; its ETag is the revision. deployed: the path of roll-backs."""

    name: str
    environment: str
    environments: tuple[str, ...]
    revision: int
    changed: Stamp | None
    live: int | None
    previous: int | None
    deployed: tuple[int, ...]
    deployment: Stamp | None
    versions: int
    traffic: Mapping[str, Any] | None
    segments: Mapping[str, Any] | None
    rollout: Mapping[str, Any] | None
    labels: Mapping[str, int]
    approvals: Mapping[str, tuple[Stamp, ...]]


@dataclass(frozen=True, slots=True)
class ServerDocument:
    """What a model server last reported of a model: the version that answers there, or why one could not be loaded.

    environment: the one whose deployments it follows.
    """

    server: str
    serving: int | None
    loaded: int | None
    error: str | None
    command_id: str
    at_ms: int
    environment: str = PRODUCTION


@dataclass(frozen=True, slots=True)
class VersionSummary:
    """One version in a list."""

    number: int
    registered: Stamp
    retired: Stamp | None
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class VersionPage:
    """A page of versions, the newest first."""

    items: tuple[VersionSummary, ...]
    next: str | None
    total: int


@dataclass(frozen=True, slots=True)
class VersionDocument:
    """One version with its record, in which texts of JSON are JSON; golden rows only where they were asked for."""

    model: str
    number: int
    registered: Stamp
    retired: Stamp | None
    record: Mapping[str, Any]
    attachments: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A page of everything that was asked of a model, the oldest first, refused commands included."""

    items: tuple[Change, ...]
    next: str | None
    total: int


@dataclass(frozen=True, slots=True)
class EventDocument:
    """One event of the log. position: topic/partition/offset; `next`: where to go on behind it, for `from`."""

    type: str
    topic: str
    position: str
    at_ms: int
    key: str | None
    event: Mapping[str, Any]
    next: str = ""


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of the log, by time; `next`: where to go on, also where there is nothing more yet. `lost`: whether
    messages between `from` and the first one were deleted by retention.
    """

    items: tuple[EventDocument, ...]
    next: str
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command led to: the event that answers it, the model's revision then, and what its servers made of it.

    replayed: it was answered before, under the same Idempotency-Key. complete: every server that lives answers with
    the version; None where nobody waited for servers.
    """

    type: str
    event: Mapping[str, Any]
    command_id: str
    revision: int
    servers: tuple[ServerAnswer, ...] = ()
    complete: bool | None = None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """Bytes that were stored under their SHA-256: those of a model, or of an attachment."""

    uri: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Me:
    """Who the caller is taken for, and what it may do."""

    actor: str
    role: str
    environment: str = field(default="")


def parsed(kind: type[D], given: Any) -> D:
    """The document of a class in what JSON gave; fields that this release does not know are left out."""
    value: D = _parsed(kind, given)
    return value


def _parsed(kind: Any, given: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if given is None:
        return None
    if origin in (typing.Union, types.UnionType):
        return _parsed(next(one for one in arguments if one is not type(None)), given)
    if origin is tuple:
        return tuple(_parsed(arguments[0], item) for item in given)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {name: _parsed(arguments[1], item) for name, item in given.items()}
    if isinstance(kind, type) and is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        known = {item.name for item in fields(kind)}
        return kind(**{name: _parsed(hints[name], item) for name, item in given.items() if name in known})
    return given
