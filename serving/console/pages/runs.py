"""Runs: what batch and pipelines did, each with its steps, outputs and checks. Pure but for its routes."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from bighead.client.run_state import MOST_RUNS, Attempt, Run, RunState
from serving.console.paging import paged
from serving.console.site import Asked, Site

ROWS = 50
TONES = {"succeeded": "good", "failed": "bad", "cancelled": "warn", "running": "info"}


def routes(site: Site) -> APIRouter:
    """The pages at `/runs` and `/runs/{id}`."""
    router = APIRouter()

    @router.get("/runs")
    def runs(request: Request) -> HTMLResponse:
        asked = site.asked(request)
        return site.page(asked, "runs.html", **context(site.state().runs, asked, request.query_params))

    @router.get("/runs/{run_id}")
    def run(run_id: str, request: Request) -> HTMLResponse:
        asked = site.asked(request)
        found = site.state().runs.run(run_id, asked.as_of_ms, asked.now_ms)
        if found is None:
            return site.error(
                asked, 404, f"No run {run_id[:100]!r} was heard of by then, or its log is not kept any more."
            )
        return site.page(asked, "run.html", **one_context(found))

    return router


def context(state: RunState, asked: Asked, query: Mapping[str, str]) -> dict[str, Any]:
    """What the list shows."""
    every = state.runs(asked.as_of_ms, asked.now_ms)
    kind, status, words = query.get("kind", ""), query.get("status", ""), query.get("q", "").strip().lower()
    found = [
        run
        for run in every
        if (not kind or kind_of(run) == kind)
        and (not status or run.status == status)
        and (not words or words in _said(run))
    ]
    return {
        "rows": paged(found, query.get("page"), ROWS),
        "kinds": sorted({kind_of(run) for run in every}),
        "statuses": sorted(Counter(run.status for run in every).items()),
        "kind": kind,
        "state": status,
        "words": query.get("q", "").strip(),
        **WORDS,
        "known": len(every),
        "dropped": max(0, state.count - MOST_RUNS),
    }


def one_context(run: Run) -> dict[str, Any]:
    """What the page of a run shows."""
    started = run.started
    return {
        "run": run,
        "started": started,
        "kind": kind_of(run),
        "spec": pretty(started.spec) if started else "",
        "pretty": pretty,
        "tones": TONES,
        "took": took,
    }


def kind_of(run: Run) -> str:
    """What the run does."""
    return run.started.kind if run.started else "health_check"


def took(attempt: Attempt) -> int | None:
    """How long an attempt took, milliseconds; None while no end was reported."""
    return None if attempt.finished_ms is None else max(0, attempt.finished_ms - attempt.started_ms)


def pretty(text: str) -> str:
    """JSON indented; anything else as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def _said(run: Run) -> str:
    started = run.started
    said = [run.run_id, *(check.subject for check in run.checks)]
    if started is not None:
        said += [started.name, started.actor, started.reason]
    return " ".join(said).lower()


WORDS: Mapping[str, Any] = {"tones": TONES, "kind_of": kind_of, "took": took}
"""What a table of runs says them in."""
