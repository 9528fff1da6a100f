"""One model: everything that happened to it, its versions, and what is made of them in each environment."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from bighead.client.run_state import Run
from bighead.registry.state import ModelState, Stamp, Version
from bighead.registry.views import Change, ModelView
from serving.api.security import Role
from serving.console.pages import runs, slots, story, wording
from serving.console.paging import paged
from serving.console.site import Asked, Site

VERSIONS, CHANGES, RUNS, METRICS = 20, 20, 10, 4
ACTIONS = (
    ("deploy", "Deploy", Role.DEPLOYER),
    ("traffic", "Traffic", Role.DEPLOYER),
    ("rollout", "Roll out", Role.DEPLOYER),
    ("rollback", "Roll back", Role.DEPLOYER),
    ("label", "Label", Role.DEPLOYER),
    ("approve", "Approve", Role.DEPLOYER),
    ("policy", "Policy", Role.ADMIN),
    ("retire", "Retire", Role.DEPLOYER),
)


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version; standing: (words, tone) of what it is used for; metrics: values in the order of the columns."""

    number: int
    registered: Stamp
    standing: tuple[tuple[str, str], ...]
    metrics: tuple[float | None, ...]
    size: int
    retired: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One change in words."""

    said: str
    tone: str
    change: Change


def routes(site: Site) -> APIRouter:
    """The page at `/models/{name}`."""
    router = APIRouter()

    @router.get("/models/{name}")
    def model(name: str, request: Request) -> HTMLResponse:
        asked = site.asked(request)
        state = site.state()
        view, its_runs = state.model(name, asked.as_of_ms), state.runs.runs_of(name, asked.as_of_ms, asked.now_ms)
        return site.page(
            asked, "model.html", **context(view, its_runs, asked, request.query_params, site.servers(asked))
        )

    return router


def context(
    view: ModelView,
    its_runs: Sequence[Run],
    asked: Asked,
    query: Mapping[str, str],
    alive: Container[str] | None = None,
) -> dict[str, Any]:
    """What the page shows; its_runs: trainings of the model, and looks back on it; alive: the model servers that are
    there, None where that is not known."""
    state = view.state
    metrics = common_metrics(state)
    rows = [version_row(state, version, metrics) for version in reversed(state.versions)]
    history = [Line(wording.said(change), wording.tone(change), change) for change in reversed(view.history)]
    return {
        "model": state.name,
        "state": state,
        "newest": state.versions[-1],
        "cards": slots.cards(state),
        "servers": slots.there(view.answering, alive).items(),
        "drawing": story.draw(view.history, asked.until_ms),
        "columns": [
            *("Version", "Standing"),
            *((name, "num") for name in metrics),
            *(("Artifact", "num"), "Registered by, and why", ("Compare", "shrink")),
        ],
        "versions": paged(rows, query.get("page"), VERSIONS),
        "history": paged(history, query.get("changes"), CHANGES),
        "runs": paged(its_runs, query.get("runs"), RUNS),
        **runs.WORDS,
        "actions": [(name, title) for name, title, role in ACTIONS if asked.may(role)],
    }


def common_metrics(state: ModelState) -> list[str]:
    """The metrics that the table of versions shows: those that most versions have, by name."""
    counts: dict[str, int] = {}
    for version in state.versions[-VERSIONS:]:
        for name in version.record.metrics:
            counts[name] = counts.get(name, 0) + 1
    return sorted(sorted(counts, key=lambda name: (-counts[name], name))[:METRICS])


def version_row(state: ModelState, version: Version, metrics: list[str]) -> VersionRow:
    """The row of one version."""
    return VersionRow(
        number=version.number,
        registered=version.registered,
        standing=tuple(standing(state, version)),
        metrics=tuple(version.record.metrics.get(name) for name in metrics),
        size=version.record.artifact_size,
        retired=version.retired is not None,
    )


def standing(state: ModelState, version: Version) -> list[tuple[str, str]]:
    """What a version is used for now, with tones."""
    found = [("retired", "neutral")] if version.retired else []
    for name in slots.environments(state):
        slot = state.slot(name)
        if slot.live == version.number:
            found.append((f"live in {name}", "good"))
        elif slot.rollout is not None and slot.rollout.version == version.number:
            found.append((f"rolling out in {name}, {slot.rollout.percent:g}%", "warn"))
        elif slot.traffic and any(arm.version == version.number for arm in slot.traffic.arms):
            found.append((f"answers in {name}", "warn"))
        found += [(label, "info") for label, number in sorted(slot.labelled.items()) if number == version.number]
    return found
