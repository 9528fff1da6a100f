"""What the API says of models and events: pure functions from views to documents."""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from bighead.client.registry_documents import (
    EventDocument,
    ModelDocument,
    ModelSummary,
    ServerDocument,
    VersionDocument,
    VersionSummary,
)
from bighead.events.base import Event
from bighead.events.message import Message
from bighead.registry.state import ModelState, Rollout, Traffic, Version
from bighead.registry.views import ModelView

TEXTS = ("golden", "parity", "config", "training_data")
"""Fields of a record that hold JSON as text."""
MOST_BYTES = 4096
"""Of a field of bytes that an event shows; of a longer one it says how long it is."""


def summary(view: ModelView, environment: str) -> ModelSummary:
    """A model in a list."""
    state, slot = view.state, view.state.slot(environment)
    shown = state.version(slot.live) if slot.live else state.versions[-1]
    return ModelSummary(
        name=state.name,
        environment=environment,
        revision=state.revision,
        live=slot.live,
        previous=slot.previous,
        versions=len(state.versions),
        tags={} if shown is None else dict(shown.record.tags),
        deployment=slot.deployment,
        servers={name: status.serving for name, status in sorted(view.answering_in(environment).items())},
    )


def model(view: ModelView, environment: str) -> ModelDocument:
    """What was decided of a model."""
    state, slot = view.state, view.state.slot(environment)
    return ModelDocument(
        name=state.name,
        environment=environment,
        environments=tuple(sorted({environment, *state.slots})),
        revision=state.revision,
        changed=state.changed,
        live=slot.live,
        previous=slot.previous,
        deployed=slot.deployed,
        deployment=slot.deployment,
        versions=len(state.versions),
        traffic=_traffic(slot.traffic),
        segments=asdict(slot.segments) if slot.segments else None,
        rollout=_rollout(slot.rollout),
        labels=dict(slot.labels),
        approvals={str(number): stamps for number, stamps in sorted(slot.approvals.items())},
    )


def servers(view: ModelView) -> list[ServerDocument]:
    """What servers last reported."""
    return [
        ServerDocument(name, one.serving, one.loaded, one.error, one.command_id, one.at_ms, one.environment)
        for name, one in sorted(view.answering.items())
    ]


def version_summary(version: Version) -> VersionSummary:
    """A version in a list."""
    record = version.record
    return VersionSummary(version.number, version.registered, version.retired, dict(record.metrics), dict(record.tags))


def version(name: str, found: Version, *, golden: bool) -> VersionDocument:
    """A version with its record; golden rows, which may be large, only where they are wanted."""
    record = opened(found.record.to_record())
    attachments = tuple(record.pop("attachments", ()))
    if not golden:
        del record["golden"]
    return VersionDocument(name, found.number, found.registered, found.retired, record, attachments)


def opened(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with JSON in the place of its texts of JSON."""
    return {name: _json(value) if name in TEXTS else value for name, value in record.items()}


def event(message: Message, found: Event, topic: str, after: str = "") -> EventDocument:
    """An event of the log; golden rows and long bytes are left out."""
    return EventDocument(
        type=type(found).__name__,
        topic=topic,
        position=str(message.position),
        at_ms=found.time_ms,
        key=None if message.key is None else message.key.decode("utf-8", "replace"),
        event=fields_of(found),
        next=after,
    )


def fields_of(found: Event) -> dict[str, Any]:
    """What an event says, without what is too long to be said in passing."""
    said = {name: _said(value) for name, value in found.to_record().items()}
    if isinstance(record := said.get("record"), dict) and "golden" in record:
        said["record"] = opened({name: value for name, value in record.items() if name != "golden"})
    return said


class SearchTexts:
    """What searches look through, kept by model for as long as its state is the same one."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[ModelState, tuple[str, ...]]] = {}

    def has(self, view: ModelView, text: str) -> bool:
        """Whether the name, a tag, a label, or who and why of the deployment holds the text, in whatever case."""
        state, wanted = view.state, text.casefold()
        kept = self._kept.get(state.name)
        if kept is None or kept[0] is not state:
            kept = self._kept[state.name] = (state, tuple(one.casefold() for one in _texts(state)))
        return any(wanted in one for one in kept[1])


def has_tag(view: ModelView, tag: str) -> bool:
    """Whether a version that is not retired has the tag NAME, or NAME=VALUE."""
    name, _, value = tag.partition("=")
    tags = (version.record.tags for version in view.state.versions if version.retired is None)
    return any(name in one and value in ("", one[name]) for one in tags)


def _texts(state: ModelState) -> Iterable[str]:
    yield state.name
    for slot in state.slots.values():
        yield from slot.labels
        if slot.deployment is not None:
            yield from (slot.deployment.actor, slot.deployment.reason)
    # Versions have most of their tags in common, and a search looks at those of every model.
    tags = {tag: None for found in state.versions if found.retired is None for tag in found.record.tags.items()}
    yield from (f"{name}={value}" for name, value in tags)


def _traffic(traffic: Traffic | None) -> dict[str, Any] | None:
    if traffic is None:
        return None
    arms = [arm.to_record() for arm in traffic.arms]
    return {"arms": arms, "labels": dict(traffic.labels), "unit": traffic.unit, "salt": traffic.salt}


def _rollout(rollout: Rollout | None) -> dict[str, Any] | None:
    if rollout is None:
        return None
    return {**asdict(rollout), "percent": rollout.percent}


def _json(value: Any) -> Any:
    if not isinstance(value, str) or not value:
        return None if value == "" else value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _said(value: Any) -> Any:
    match value:
        case bytes() if len(value) > MOST_BYTES:
            return {"bytes": len(value)}
        case bytes():
            return {"base64": base64.b64encode(value).decode()}
        case dict():
            return {str(name): _said(item) for name, item in value.items()}
        case list() | tuple():
            return [_said(item) for item in value]
    return value
