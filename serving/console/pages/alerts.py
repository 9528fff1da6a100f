"""Alerts, open ones first, and the course of each metric by model, version and arm. Pure but for its route."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from serving.console.drawings import spark
from serving.console.monitoring_state import Course, MonitoringState, Series
from serving.console.paging import paged
from serving.console.site import Asked, Site
from serving.console.words import number, utc

ROWS = 25
BLOCKS = 10
"""How many models' versions with their metrics a page shows."""
TONES = {"critical": "bad", "warning": "warn", "info": "info"}


@dataclass(frozen=True, slots=True)
class Chart:
    """One metric as the page shows it."""

    name: str
    value: float
    at_ms: int
    count: int
    coverage: float | None
    svg: Markup
    said: str


@dataclass(frozen=True, slots=True)
class Block:
    """The metrics of one version and arm of a model."""

    model: str
    version: int
    arm: str
    segment: str
    series: tuple[Series, ...]


def routes(site: Site) -> APIRouter:
    """The page at `/alerts`."""
    router = APIRouter()

    @router.get("/alerts")
    def alerts(request: Request) -> HTMLResponse:
        asked = site.asked(request)
        return site.page(asked, "alerts.html", **context(site.state().monitoring, asked, request.query_params))

    return router


def context(state: MonitoringState, asked: Asked, query: Mapping[str, str]) -> dict[str, Any]:
    """What the page shows."""
    model = query.get("model", "").strip()
    every, measured = state.alerts(asked.as_of_ms), state.series(asked.as_of_ms)
    models = sorted({one.raised.model for one in every} | {one.model for one in measured})
    alerts = [one for one in every if not model or one.raised.model == model]
    chosen = [one for one in measured if not model or one.model == model]
    shown = paged(blocks(chosen), query.get("metrics"), BLOCKS)
    return {
        "model": model,
        "models": models,
        "open": sum(one.resolved_ms is None for one in every),
        "alerts": paged(alerts, query.get("page"), ROWS),
        "blocks": shown,
        "charts": [charts(state, block, asked.as_of_ms) for block in shown.items],
        "tones": TONES,
    }


def blocks(measured: Iterable[Series]) -> list[Block]:
    """Metrics together with others of the same version and arm, the newest versions first."""
    together = groupby(sorted(measured, key=_place), key=_place)
    return [Block(model, -version, arm, segment, tuple(some)) for (model, version, arm, segment), some in together]


def charts(state: MonitoringState, block: Block, as_of_ms: int | None) -> list[Chart]:
    """The drawings of a block; only those that are shown are drawn."""
    courses = (state.course(series, as_of_ms) for series in block.series)
    return [_chart(course) for course in courses if course is not None]


def _place(series: Series) -> tuple[str, int, str, str]:
    return series.model, -series.version, series.arm, series.segment


def _chart(course: Course) -> Chart:
    series = course.series
    name = series.metric if not series.feature else f"{series.metric} of {series.feature}"
    if series.window not in ("", "all"):
        name = f"{name}, {series.window}"
    at_ms, value = course.points[-1]
    low, high = min(one for _, one in course.points), max(one for _, one in course.points)
    said = (
        f"{name} from {number(low)} to {number(high)} between {utc(course.points[0][0])} and {utc(at_ms)}, "
        f"{number(value)} at last"
    )
    return Chart(name, value, at_ms, course.count, course.coverage, spark(course.points, said), said)
