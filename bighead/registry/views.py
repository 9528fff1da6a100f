"""One model as people look at it: state, history, and what the servers made of it, with the positions it reflects.

Pure. A view is a JSON document: a projector saves it whole, together with its positions, so a duplicate is a no-op.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from bighead.events.message import Position
from bighead.events.types import (
    CommandRejected,
    ModelLoaded,
    ModelLoadFailed,
    ModelRecord,
    ModelSwapped,
    RolloutAdvanced,
    RolloutEnded,
    RolloutRule,
    RolloutStage,
    RolloutStarted,
    SegmentsChanged,
    ServerStopped,
    TrafficArm,
    TrafficChanged,
)
from bighead.registry.state import (
    REGISTRY_EVENTS,
    ModelState,
    RegistryEvent,
    Rollout,
    Segments,
    Stamp,
    Traffic,
    Version,
    evolve,
)

ServingEvent = ModelLoaded | ModelLoadFailed | ModelSwapped | ServerStopped
ViewedEvent = RegistryEvent | ServingEvent
VIEWED_EVENTS = (
    *REGISTRY_EVENTS,
    ModelLoaded,
    ModelLoadFailed,
    ModelSwapped,
    ServerStopped,
)


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a model's history; `live` is the version that answered from then on, `detail` what else to say."""

    at_ms: int
    what: str
    version: int | None
    live: int | None
    actor: str
    reason: str
    command_id: str
    refused: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What one server last reported of this model."""

    serving: int | None = None
    loaded: int | None = None
    error: str | None = None
    command_id: str = ""
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model's row. `positions` holds the next offset of each `topic/partition` that it reflects."""

    state: ModelState
    history: tuple[Change, ...] = ()
    servers: Mapping[str, ServerStatus] = field(default_factory=dict)
    positions: Mapping[str, int] = field(default_factory=dict)

    @property
    def answering(self) -> Mapping[str, ServerStatus]:
        """The servers, as long as something is deployed: they drop a model that was taken away without a word."""
        return {} if self.state.live is None else self.servers

    def live_as_of(self, at_ms: int) -> int | None:
        """The version that was live at a time (inclusive), or None."""
        past = [change.live for change in self.history if change.at_ms <= at_ms]
        return past[-1] if past else None


def project(view: ModelView, event: ViewedEvent, position: Position) -> ModelView:
    """The view after the event at `position`; the same view when it reflects that position already."""
    partition = f"{position.topic}/{position.partition}"
    if position.offset < view.positions.get(partition, 0):
        return view
    positions = {**view.positions, partition: position.offset + 1}
    if isinstance(event, ServingEvent):
        return replace(view, servers=_reported(view.servers, event), positions=positions)
    state = evolve(view.state, event)
    return replace(view, state=state, history=(*view.history, change(event, state)), positions=positions)


def change(event: RegistryEvent, after: ModelState) -> Change:
    """The line of history that an event leaves; `after` is the state it led to."""
    return Change(
        at_ms=event.at_ms,
        what=event.command_type if isinstance(event, CommandRejected) else type(event).__name__,
        version=None if isinstance(event, CommandRejected | TrafficChanged | SegmentsChanged) else event.version,
        live=after.live,
        actor=event.actor,
        reason=event.reason,
        command_id=event.command_id,
        refused=event.reason_rejected if isinstance(event, CommandRejected) else None,
        detail=_detail(event),
    )


def concerns(event: ViewedEvent, model: str) -> bool:
    """Whether the event has a place in the model's view; a server that stops answers for no model any more."""
    return isinstance(event, ServerStopped) or event.model == model


def _detail(event: RegistryEvent) -> str:
    match event:
        case RolloutStarted():
            return f"from {event.stages[0].percent:g}%"
        case RolloutAdvanced():
            return f"to {event.percent:g}%"
        case RolloutEnded():
            return f"{event.outcome}, {event.why}"
        case TrafficChanged():
            return ", ".join(f"{arm.arm} {'shadow' if arm.shadow else f'{arm.percent:g}%'}" for arm in event.arms)
        case SegmentsChanged():
            return ", ".join(f"{name} to version {number}" for name, number in event.versions.items()) or "none"
    return ""


def _reported(servers: Mapping[str, ServerStatus], event: ServingEvent) -> dict[str, ServerStatus]:
    others = {name: status for name, status in servers.items() if name != event.server}
    if isinstance(event, ServerStopped):
        return others
    known = servers.get(event.server, ServerStatus())
    status = replace(known, command_id=event.command_id, at_ms=event.at_ms, error=None)
    match event:
        case ModelSwapped():
            status = replace(status, serving=event.version)
        case ModelLoaded():
            status = replace(status, loaded=event.version)
        case ModelLoadFailed():
            status = replace(status, serving=event.kept_version, error=f"{event.step}: {event.error}")
    return {**others, event.server: status}


def to_json(view: ModelView) -> str:
    """The view as text, the same for equal views."""
    document = {
        "name": view.state.name,
        "live": view.state.live,
        "previous": view.state.previous,
        "deployed": view.state.deployed,
        "deployment": asdict(view.state.deployment) if view.state.deployment else None,
        "traffic": _traffic_to_dict(view.state.traffic),
        "segments": asdict(view.state.segments) if view.state.segments else None,
        "rollout": _rollout_to_dict(view.state.rollout),
        "versions": [_version_to_dict(version) for version in view.state.versions],
        "history": [asdict(line) for line in view.history],
        "servers": {name: asdict(status) for name, status in view.servers.items()},
        "positions": dict(view.positions),
        "at_ms": view.state.at_ms,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> ModelView:
    """The view that `to_json` wrote."""
    document = json.loads(text)
    history = tuple(Change(**line) for line in document["history"])
    state = ModelState(
        name=document["name"],
        versions=tuple(_version_from_dict(version) for version in document["versions"]),
        deployed=tuple(document["deployed"]),
        deployment=_stamp(document["deployment"]),
        traffic=_traffic_from_dict(document["traffic"]),
        # A row that an earlier release kept has no such fields, and knew of no segments and no roll-out.
        segments=_segments(document.get("segments")),
        rollout=_rollout_from_dict(document.get("rollout")),
        answered=frozenset(line.command_id for line in history),
        at_ms=document["at_ms"],
    )
    servers = {name: ServerStatus(**status) for name, status in document["servers"].items()}
    return ModelView(state, history, servers, document["positions"])


def _version_to_dict(version: Version) -> dict[str, Any]:
    return {
        "number": version.number,
        "record": version.record.to_record(),
        "registered": asdict(version.registered),
        "retired": asdict(version.retired) if version.retired else None,
    }


def _version_from_dict(document: Mapping[str, Any]) -> Version:
    return Version(
        number=document["number"],
        record=ModelRecord.from_record(document["record"]),
        registered=Stamp(**document["registered"]),
        retired=_stamp(document["retired"]),
    )


def _traffic_to_dict(traffic: Traffic | None) -> dict[str, Any] | None:
    if traffic is None:
        return None
    return {
        "arms": [arm.to_record() for arm in traffic.arms],
        "labels": dict(traffic.labels),
        "unit": traffic.unit,
        "salt": traffic.salt,
    }


def _traffic_from_dict(document: Mapping[str, Any] | None) -> Traffic | None:
    if document is None:
        return None
    arms = tuple(TrafficArm.from_record(arm) for arm in document["arms"])
    return Traffic(arms, document["labels"], document["unit"], document["salt"])


def _rollout_to_dict(rollout: Rollout | None) -> dict[str, Any] | None:
    if rollout is None:
        return None
    return {
        **{item.name: getattr(rollout, item.name) for item in fields(rollout)},
        "stages": [stage.to_record() for stage in rollout.stages],
        "rules": [rule.to_record() for rule in rollout.rules],
    }


def _rollout_from_dict(document: Mapping[str, Any] | None) -> Rollout | None:
    if document is None:
        return None
    stages = tuple(RolloutStage.from_record(stage) for stage in document["stages"])
    rules = tuple(RolloutRule.from_record(rule) for rule in document["rules"])
    return Rollout(**{**document, "stages": stages, "rules": rules})


def _segments(document: Mapping[str, Any] | None) -> Segments | None:
    return Segments(tuple(document["keys"]), document["versions"]) if document else None


def _stamp(document: Mapping[str, Any] | None) -> Stamp | None:
    return Stamp(**document) if document else None
