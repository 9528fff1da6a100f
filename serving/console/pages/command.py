"""What came of a command: the registry's answer, and what each server made of it, as it happens."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from bighead.events.types import (
    CommandRejected,
    DeploymentChanged,
    ModelLoaded,
    ModelLoadFailed,
    ModelSwapped,
    RolledBack,
)
from bighead.registry import RegistryEvent
from bighead.registry.timeline import Recorded
from bighead.registry.views import Change, ModelView, ServingEvent
from serving.console.log_state import LogState
from serving.console.pages import slots, wording
from serving.console.site import Asked, Site

Swap = DeploymentChanged | RolledBack
FOLLOWED_MS = 60_000
"""How long after its answer a command's page still waits for servers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one server made of a deployment; tone: good once it answers with the version."""

    server: str
    text: str
    tone: str
    at_ms: int | None


def routes(site: Site) -> APIRouter:
    """The page at `/models/{name}/commands/{id}`."""
    router = APIRouter()

    @router.get("/models/{name}/commands/{command_id}")
    def command(name: str, command_id: str, request: Request) -> HTMLResponse:
        asked, log = site.asked(request), site.state()
        return site.page(asked, "command.html", **context(log, name, command_id, asked, site.servers(asked)))

    return router


def context(
    log: LogState, name: str, command_id: str, asked: Asked, alive: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What the page shows; alive: the servers that are there, with the environment of each. Raises UnknownModel."""
    view = log.model(name, asked.as_of_ms)
    changes = [change for change in view.history if change.command_id == command_id]
    events = [one.event for one in log.events_of(name, asked.as_of_ms) if one.event.command_id == command_id]
    swaps = next((event for event in events if isinstance(event, Swap)), None)
    answers = answers_of(view, log.reports_of(name), swaps, alive) if swaps else []
    return {
        "model": name,
        "command_id": command_id,
        "changes": [(wording.said(change), wording.tone(change), change) for change in changes],
        "first": changes[0] if changes else None,
        "refused": next((one.reason_rejected for one in events if isinstance(one, CommandRejected)), None),
        "stale": _is_stale(events),
        "swaps": swaps,
        "answers": answers,
        "done": bool(changes) and (swaps is None or (bool(answers) and all(one.tone == "good" for one in answers))),
        "settled": is_settled(changes, swaps, answers, asked.now_ms),
        "card": slots.card(swaps.environment, view.state.slot(swaps.environment)) if swaps else None,
    }


def answers_of(
    view: ModelView, reports: Iterable[Recorded[ServingEvent]], swaps: Swap, alive: Mapping[str, str] | None
) -> list[Answer]:
    """What each server of the environment made of the deployment: those that live have to, those that are gone did."""
    waited = _waited(view, swaps, alive)
    found = {name: Answer(name, "has not reported yet", "neutral", None) for name in waited}
    for recorded in reports:
        event = recorded.event
        if getattr(event, "command_id", None) != swaps.command_id:
            continue
        match event:
            case ModelLoaded():
                found[event.server] = Answer(event.server, "loaded it", "info", event.at_ms)
            case ModelSwapped() if event.version == swaps.version:
                found[event.server] = Answer(event.server, f"answers with version {swaps.version}", "good", event.at_ms)
            case ModelLoadFailed():
                kept = f"version {event.kept_version} still answers" if event.kept_version else "no version answers"
                text = f"could not load it ({event.step}: {event.error}); {kept}"
                found[event.server] = Answer(event.server, text, "bad", event.at_ms)
    return [found[name] for name in sorted(found) if name in waited or found[name].tone != "info"]


def _waited(view: ModelView, swaps: Swap, alive: Mapping[str, str] | None) -> list[str]:
    """The servers that have to answer: none of another environment, and none once a later deployment took its place."""
    deployment = view.state.slot(swaps.environment).deployment
    if deployment is None or deployment.command_id != swaps.command_id:
        return []
    known = view.answering_in(swaps.environment)
    return list(known) if alive is None else [name for name, place in alive.items() if place == swaps.environment]


def is_settled(changes: Sequence[Change], swaps: RegistryEvent | None, answers: Sequence[Answer], now_ms: int) -> bool:
    """Whether nothing more is expected: the page stops to read itself again."""
    if not changes:
        return False
    if swaps is None:
        return True
    reported = bool(answers) and all(answer.tone in ("good", "bad") for answer in answers)
    return reported or now_ms > changes[0].at_ms + FOLLOWED_MS


def _is_stale(events: Sequence[RegistryEvent]) -> bool:
    return any(isinstance(one, CommandRejected) and "was meant for revision" in one.reason_rejected for one in events)
