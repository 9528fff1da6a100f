"""The console's pages as a web application over a log state and a function that probes the parts.

No script, nothing from other hosts: the policy in the headers forbids both, and what is shown is escaped.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bighead.health import Health
from bighead.registry.views import ModelView
from serving.console.log_state import LogState

_HERE = Path(__file__).parent
REFRESH_S = 5
_HEALTH_AGE_S = 3.0
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Probe = Callable[[], Sequence[Health]]


@dataclass(frozen=True, slots=True)
class ServerRow:
    """What one server makes of a model."""

    name: str
    serving: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model on the page."""

    name: str
    versions: int
    live: int | None
    previous: int | None
    since: str
    actor: str
    reason: str
    servers: tuple[ServerRow, ...]


class HealthBoard:
    """The newest probes. Asked for often, it probes once in a while and only while somebody looks."""

    def __init__(self, probe: Probe, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._probe = probe
        self._clock_s = clock_s
        self._probing = asyncio.Lock()
        self._newest: Sequence[Health] = ()
        self._at_s: float | None = None

    async def newest(self) -> Sequence[Health]:
        """Probes that are at most some seconds old."""
        async with self._probing:
            if self._at_s is None or self._clock_s() - self._at_s > _HEALTH_AGE_S:
                self._newest = await asyncio.to_thread(self._probe)
                self._at_s = self._clock_s()
            return self._newest


def build(state: Callable[[], LogState], problem: Callable[[], str | None], probe: Probe) -> FastAPI:
    """The application. `state` and `problem` give what the log says, and why it says nothing."""
    app = FastAPI(title="bighead console", docs_url=None, redoc_url=None, openapi_url=None)
    pages = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    pages.filters["utc"] = utc
    board = HealthBoard(probe)

    @app.get("/")
    async def overview() -> Response:
        parts, log = await board.newest(), state()
        text = pages.get_template("overview.html").render(
            refresh_s=REFRESH_S,
            now=utc(time.time_ns() // 1_000_000),
            parts=parts,
            broken=sum(not part.ok for part in parts),
            models=model_rows(log.known_models),
            dead_letters=log.dead_letters,
            problem=problem(),
        )
        return HTMLResponse(text, headers=HEADERS)

    @app.get("/health")
    async def health() -> Response:
        return JSONResponse({"ok": True}, headers=HEADERS)

    @app.get("/static/console.css")
    async def style() -> Response:
        return FileResponse(_HERE / "static" / "console.css", media_type="text/css", headers=HEADERS)

    return app


def model_rows(models: Mapping[str, ModelView]) -> list[ModelRow]:
    """The rows of the table of models."""
    return [
        ModelRow(
            name=name,
            versions=len(view.state.versions),
            live=view.state.live,
            previous=view.state.previous,
            since=utc(view.state.deployment.at_ms) if view.state.deployment else "",
            actor=view.state.deployment.actor if view.state.deployment else "",
            reason=view.state.deployment.reason if view.state.deployment else "",
            servers=tuple(
                ServerRow(server, status.serving, status.error) for server, status in sorted(view.answering.items())
            ),
        )
        for name, view in models.items()
    ]


def utc(at_ms: int) -> str:
    """A time as people read it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
