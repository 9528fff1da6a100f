"""One model as people look at it: state, history, and what the servers made of it, with the positions it reflects.

Pure. A view is a JSON document: a projector saves it whole, together with its positions, so a duplicate is a no-op.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, assert_never

from bighead.events.message import Position
from bighead.events.types import (
    CommandRejected,
    LabelPromoted,
    ModelLoaded,
    ModelLoadFailed,
    ModelRecord,
    ModelRegistered,
    ModelRetired,
    ModelSwapped,
    PolicyChanged,
    PolicyRule,
    RolloutAdvanced,
    RolloutEnded,
    RolloutRule,
    RolloutStage,
    RolloutStarted,
    SegmentsChanged,
    ServerStopped,
    TrafficArm,
    TrafficChanged,
    VersionApproved,
)
from bighead.registry.policies import told as rule_told
from bighead.registry.records import record_defaults
from bighead.registry.state import (
    NOWHERE,
    PRODUCTION,
    REGISTRY_EVENTS,
    ModelState,
    RegistryEvent,
    Rollout,
    Segments,
    Slot,
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
    """One line of a model's history; `live` is the version that answered from then on, `detail` what else to say.

    environment: the one that it was about, of which `live` tells; None: all of them, and `live` is that of production.
    `position` is where its event lies (topic/partition/offset), `revision` the model's from then on.
    """

    at_ms: int
    what: str
    version: int | None
    live: int | None
    actor: str
    reason: str
    command_id: str
    refused: str | None = None
    detail: str = ""
    environment: str | None = PRODUCTION
    position: str = ""
    revision: int = 0


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What one server, of one environment, last reported of this model."""

    serving: int | None = None
    loaded: int | None = None
    error: str | None = None
    command_id: str = ""
    at_ms: int = 0
    environment: str = PRODUCTION


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model's row. `positions` holds the next offset of each `topic/partition` that it reflects."""

    state: ModelState
    history: tuple[Change, ...] = ()
    servers: Mapping[str, ServerStatus] = field(default_factory=dict)
    positions: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_of_an_earlier_release(self) -> bool:
        """Whether its lines lack what is written of them now, so that it is not what the log gives: fold it anew."""
        return bool(self.history) and not self.history[0].position

    @property
    def answering(self) -> Mapping[str, ServerStatus]:
        """The servers where something is deployed: they drop a model that was taken away without a word."""
        slots = self.state.slots
        return {name: one for name, one in self.servers.items() if slots.get(one.environment, NOWHERE).live is not None}

    def answering_in(self, environment: str) -> Mapping[str, ServerStatus]:
        """Those of one environment."""
        return {name: one for name, one in self.answering.items() if one.environment == environment}

    def live_as_of(self, at_ms: int) -> int | None:
        """The version that was live in production at a time (inclusive), or None."""
        lines = (line for line in self.history if line.environment in (None, PRODUCTION))
        past = [line.live for line in lines if line.at_ms <= at_ms]
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
    return replace(view, state=state, history=(*view.history, change(event, state, position)), positions=positions)


def change(event: RegistryEvent, after: ModelState, position: Position) -> Change:
    """The line of history that an event at `position` leaves; `after` is the state it led to."""
    environment = None if isinstance(event, ModelRegistered | ModelRetired) else event.environment
    return Change(
        at_ms=event.at_ms,
        what=event.command_type if isinstance(event, CommandRejected) else type(event).__name__,
        version=None
        if isinstance(event, CommandRejected | TrafficChanged | SegmentsChanged | PolicyChanged)
        else event.version,
        live=after.slot(environment or PRODUCTION).live,
        actor=event.actor,
        reason=event.reason,
        command_id=event.command_id,
        refused=event.reason_rejected if isinstance(event, CommandRejected) else None,
        detail=_detail(event),
        environment=environment,
        position=str(position),
        revision=after.revision,
    )


def reported(before: ServerStatus | None, event: ServingEvent) -> ServerStatus | None:
    """A server's status after its report; None once it has stopped."""
    if isinstance(event, ServerStopped):
        return None
    status = replace(
        before or ServerStatus(),
        command_id=event.command_id,
        at_ms=event.at_ms,
        error=None,
        environment=event.environment,
    )
    match event:
        case ModelSwapped():
            return replace(status, serving=event.version)
        case ModelLoaded():
            return replace(status, loaded=event.version)
        case ModelLoadFailed():
            return replace(status, serving=event.kept_version, error=f"{event.step}: {event.error}")
        case _:
            assert_never(event)


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
        case LabelPromoted():
            return event.label if event.version is not None else f"{event.label} is taken away"
        case VersionApproved():
            return f"for {event.environment}"
        case PolicyChanged():
            return "; ".join(map(rule_told, event.rules)) or "no rules"
    return ""


def _reported(servers: Mapping[str, ServerStatus], event: ServingEvent) -> dict[str, ServerStatus]:
    others = {name: status for name, status in servers.items() if name != event.server}
    status = reported(servers.get(event.server), event)
    return others if status is None else {**others, event.server: status}


def to_json(view: ModelView) -> str:
    """The view as text, the same for equal views."""
    document = {
        "name": view.state.name,
        "live": view.state.live,
        "previous": view.state.previous,
        "environments": {name: _slot_to_dict(slot) for name, slot in view.state.slots.items()},
        "versions": [_version_to_dict(version) for version in view.state.versions],
        "history": [asdict(line) for line in view.history],
        "servers": {name: asdict(status) for name, status in view.servers.items()},
        "positions": dict(view.positions),
        "at_ms": view.state.at_ms,
        "revision": view.state.revision,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> ModelView:
    """The view that `to_json` wrote."""
    document = json.loads(text)
    history = tuple(Change(**line) for line in document["history"])
    changes = [line for line in history if line.refused is None]
    # A row that an earlier release kept knew of production alone.
    rows = document.get("environments", {PRODUCTION: document})
    slots = {name: _slot_from_dict(row, history) for name, row in rows.items()}
    if "environments" not in document and slots[PRODUCTION] == NOWHERE:
        slots = {}
    state = ModelState(
        name=document["name"],
        versions=tuple(_version_from_dict(version) for version in document["versions"]),
        slots=slots,
        answered=frozenset(line.command_id for line in history),
        at_ms=document["at_ms"],
        revision=len(changes),
        changed=_signed(changes[-1]) if changes else None,
    )
    servers = {name: ServerStatus(**status) for name, status in document["servers"].items()}
    return ModelView(state, history, servers, document["positions"])


def _slot_to_dict(slot: Slot) -> dict[str, Any]:
    return {
        "live": slot.live,
        "previous": slot.previous,
        "deployed": slot.deployed,
        "deployment": asdict(slot.deployment) if slot.deployment else None,
        "traffic": _traffic_to_dict(slot.traffic),
        "segments": asdict(slot.segments) if slot.segments else None,
        "rollout": _rollout_to_dict(slot.rollout),
        "labels": dict(slot.labels),
        "approvals": {str(number): [asdict(stamp) for stamp in given] for number, given in slot.approvals.items()},
        "lived": sorted(slot.lived),
        "policy": [rule.to_record() for rule in slot.policy],
    }


def _slot_from_dict(document: Mapping[str, Any], history: Sequence[Change]) -> Slot:
    approvals = document.get("approvals", {})
    return Slot(
        deployed=tuple(document["deployed"]),
        deployment=_stamp(document["deployment"]),
        traffic=_traffic_from_dict(document["traffic"]),
        # A row that an earlier release kept has no such fields, and knew of no segments and no roll-out.
        segments=_segments(document.get("segments")),
        rollout=_rollout_from_dict(document.get("rollout")),
        labels=document.get("labels", {}),
        approvals={int(number): tuple(Stamp(**stamp) for stamp in given) for number, given in approvals.items()},
        policy=tuple(PolicyRule.from_record(rule) for rule in document.get("policy", ())),
        lived=frozenset(document["lived"] if "lived" in document else _lived(history)),
    )


def _lived(history: Sequence[Change]) -> Iterator[int]:
    """Every version that was live, by the lines of a release that did not list them."""
    return (line.live for line in history if line.live is not None)


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
        # A row that an earlier release kept lacks the fields that were added since.
        record=ModelRecord.from_record(record_defaults() | document["record"]),
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


def _signed(line: Change) -> Stamp:
    return Stamp(line.command_id, line.actor, line.reason, line.at_ms)


def _segments(document: Mapping[str, Any] | None) -> Segments | None:
    return Segments(tuple(document["keys"]), document["versions"]) if document else None


def _stamp(document: Mapping[str, Any] | None) -> Stamp | None:
    return Stamp(**document) if document else None
