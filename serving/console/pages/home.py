"""The first page: whether the parts work, what is live, what changed last."""

import asyncio
import heapq
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from bighead.health import Health
from bighead.registry.state import Slot
from bighead.registry.views import Change, ModelView
from serving.console import drawings
from serving.console.log_state import LogState
from serving.console.pages import slots, wording
from serving.console.site import Asked, Site

LIVE_ROWS = 10
NEWS_ROWS = 10
ALERT_ROWS = 5


@dataclass(frozen=True, slots=True)
class Live:
    """One model that answers requests in an environment; serving: how many of its servers do with that version."""

    model: str
    environment: str
    version: int
    shares: tuple[tuple[str, float], ...]
    actor: str
    reason: str
    at_ms: int
    serving: int
    servers: int


@dataclass(frozen=True, slots=True)
class News:
    """One change of one model."""

    model: str
    said: str
    tone: str
    change: Change


def routes(site: Site) -> APIRouter:
    """The page at `/`."""
    router = APIRouter()

    @router.get("/")
    async def home(request: Request) -> HTMLResponse:
        asked = site.asked(request)
        parts = await site.board.newest() if asked.live else ()
        return await asyncio.to_thread(_page, site, asked, parts)

    return router


def _page(site: Site, asked: Asked, parts: Sequence[Health]) -> HTMLResponse:
    return site.page(asked, "home.html", **context(site.state(), parts, asked, site.servers(asked)))


def context(
    log: LogState, parts: Sequence[Health], asked: Asked, alive: Container[str] | None = None
) -> dict[str, Any]:
    """What the page shows; alive: the model servers that are there, None where that is not known."""
    models = log.models(asked.as_of_ms)
    alerts = [alert for alert in log.monitoring.alerts(asked.as_of_ms) if alert.resolved_ms is None]
    rate = log.rate.until(asked.until_ms)
    total = round(sum(count for _, count in rate))
    letters = log.letters.counts(asked.as_of_ms)
    live = sorted(live_rows(models.values(), alive), key=lambda row: -row.at_ms)
    return {
        "parts": parts,
        "broken": sum(not part.ok for part in parts),
        "models": len(models),
        "versions": sum(len(view.state.versions) for view in models.values()),
        "live": live[:LIVE_ROWS],
        "live_total": len(live),
        "news": newest(models, NEWS_ROWS),
        "alerts": alerts[:ALERT_ROWS],
        "alerts_total": len(alerts),
        "rate": drawings.spark(
            rate, f"{total} events in the last hour, at most {max(n for _, n in rate):g} in a minute"
        ),
        "rate_total": total,
        "rate_known": log.rate.knows(asked.until_ms),
        "dead_letters": letters,
        "waiting": sum(row.waiting for row in letters),
    }


def live_rows(views: Iterable[ModelView], alive: Container[str] | None) -> list[Live]:
    """The models that answer requests, by environment."""
    return [
        _live(view, environment, slot, slot.live, alive)
        for view in views
        for environment, slot in view.state.slots.items()
        if slot.live is not None
    ]


def _live(view: ModelView, environment: str, slot: Slot, version: int, alive: Container[str] | None) -> Live:
    stamp, reported = slot.deployment, slots.there(view.answering_in(environment), alive).values()
    return Live(
        model=view.state.name,
        environment=environment,
        version=version,
        shares=slots.shares(slot),
        actor=stamp.actor if stamp else "",
        reason=stamp.reason if stamp else "",
        at_ms=stamp.at_ms if stamp else 0,
        serving=sum(status.serving == version and status.error is None for status in reported),
        servers=len(reported),
    )


def newest(models: Mapping[str, ModelView], count: int) -> list[News]:
    """The newest changes of all models, the newest first."""
    tails = ((change.at_ms, name, change) for name, view in models.items() for change in view.history[-count:])
    chosen = heapq.nlargest(count, tails, key=lambda item: item[0])
    return [News(name, wording.said(change), wording.tone(change), change) for _, name, change in chosen]
