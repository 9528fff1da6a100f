"""Two versions side by side: every difference, metrics with what they gained or lost, drawings beside each other."""

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from bighead.charts.evaluation import between
from bighead.charts.overlay import overlaid
from bighead.errors import InvalidInput
from bighead.registry.attachments import CHART, EVALUATION
from bighead.registry.diff import differences
from bighead.registry.state import ModelState, Version
from serving.console import words
from serving.console.pages import record
from serving.console.pages.figures import Drawn, Figure, Gallery, chart_figure
from serving.console.pages.version import version_of
from serving.console.site import Site

LOWER_IS_BETTER = ("loss", "error", "rmse", "mae", "mse", "brier", "latency", "mape")
_METRICS = "metrics."


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of both versions; better: None where that is not known or nothing changed; intervals: those that the
    evaluations of both give, empty where there is none."""

    name: str
    before: float | None
    after: float | None
    delta: float | None
    better: bool | None
    intervals: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Group:
    """Differences of one part of the record: (field, before, after, change)."""

    name: str
    rows: tuple[tuple[str, str, str, str], ...]


def routes(site: Site) -> APIRouter:
    """The page at `/models/{name}/compare?a=&b=`."""
    router, gallery = APIRouter(), Gallery(site.desk.attachment)

    @router.get("/models/{name}/compare")
    def compare(name: str, request: Request) -> Response:
        asked = site.asked(request)
        state = site.state().model(name, asked.as_of_ms).state
        given = request.query_params
        if not given.get("a") or not given.get("b"):
            a, b = usual(state)
            return RedirectResponse(asked.here(a=given.get("a") or a, b=given.get("b") or b), 303)
        shown = context(state, version_of(state, given["a"]), version_of(state, given["b"]), gallery)
        page: HTMLResponse = site.page(asked, "compare.html", **shown)
        return page

    return router


def usual(state: ModelState) -> tuple[int, int]:
    """What is compared where nothing is said: the live version with the newest, or the last two."""
    newest = len(state.versions)
    if newest < 2:
        raise InvalidInput(f"{state.name!r} has one version; there is nothing to compare it with")
    return (state.live if state.live and state.live != newest else newest - 1), newest


def context(state: ModelState, before: Version, after: Version, gallery: Gallery) -> dict[str, Any]:
    """What the page shows."""
    groups: dict[str, list[tuple[str, str, str, str]]] = {}
    for one in differences(before, after):
        if not one.field.startswith(_METRICS):
            part, _, field = one.field.partition(".")
            row = (field or part, _value(one.field, one.before), _value(one.field, one.after), one.change)
            groups.setdefault(part if field else "record", []).append(row)
    return {
        "model": state.name,
        "before": before,
        "after": after,
        "numbers": [(version.number, f"version {version.number}") for version in reversed(state.versions)],
        "metrics": metrics(before, after, gallery),
        "groups": [Group(name.replace("_", " "), tuple(rows)) for name, rows in groups.items()],
        "charts": charts(before, after, gallery),
    }


def _value(field: str, value: object) -> str:
    return words.utc(value) if field.endswith("_ms") and isinstance(value, int) else record.shown(value)


def metrics(before: Version, after: Version, gallery: Gallery) -> list[Metric]:
    """All metrics of both."""
    reach = [_intervals(version, gallery) for version in (before, after)]
    old, new = before.record.metrics, after.record.metrics
    found = []
    for name in sorted({*old, *new}):
        one, other = old.get(name), new.get(name)
        delta = other - one if one is not None and other is not None else None
        lower = any(word in name.lower() for word in LOWER_IS_BETTER)
        known = lower or any(word in name.lower() for word in ("auc", "accuracy", "f1", "precision", "recall", "r2"))
        better = (delta < 0) == lower if known and delta else None
        found.append(Metric(name, one, other, delta, better, (reach[0].get(name, ""), reach[1].get(name, ""))))
    return found


def _intervals(version: Version, gallery: Gallery) -> dict[str, str]:
    """The intervals of a version's metrics by name, as its evaluation has them."""
    found = gallery.of_kind(version.record.attachments, EVALUATION)
    measured = [one for drawn in found if drawn.evaluation for one in drawn.evaluation.measures]
    return {one.name: between(one) for one in measured if one.low is not None}


@dataclass(frozen=True, slots=True)
class Pair:
    """Charts of one name: both in one drawing, or one beside the other where that cannot be."""

    name: str
    both: Figure | None
    sides: tuple[Drawn | None, Drawn | None]


def charts(before: Version, after: Version, gallery: Gallery) -> list[Pair]:
    """Charts of the same name: lines over the same axes in one drawing, others beside each other."""
    old = {one.name: one for one in before.record.attachments if one.kind == CHART}
    new = {one.name: one for one in after.record.attachments if one.kind == CHART}
    found = []
    for name in dict.fromkeys((*new, *old)):
        left, right = (gallery.drawn(side[name]) if name in side else None for side in (old, new))
        drawn = {f"version {of.number}": one.chart for of, one in ((before, left), (after, right)) if one and one.chart}
        common = overlaid(drawn) if len(drawn) == 2 else None
        found.append(Pair(name, chart_figure(common) if common else None, (left, right)))
    return found
