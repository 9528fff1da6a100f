"""Who did what, when and why, refused commands among it: a list with filters, and the same as CSV and JSON."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from bighead.times import time_ms
from serving.console.audit_state import MOST_ENTRIES, OUTCOMES, AuditState, Entry
from serving.console.paging import paged
from serving.console.site import Asked, Site
from serving.console.words import iso

ROWS = 50
COLUMNS = (
    "time", "actor", "type", "subject", "version", "outcome", "reason", "refused", "asked", "decided", "id", "position",
)  # fmt: skip
TONES = {"accepted": "good", "refused": "bad", "waiting": "info"}
# What a spreadsheet would take for a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Filters:
    """What is looked for; empty fields pass everything. from_ms and to_ms: inclusive."""

    actor: str = ""
    subject: str = ""
    type: str = ""
    outcome: str = ""
    words: str = ""
    from_ms: int | None = None
    to_ms: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Filters":
        """Those of a request; raises InvalidInput for what is no time."""
        text = {name: query.get(name, "").strip() for name in ("actor", "subject", "type", "outcome", "words")}
        times = {f"{name}_ms": time_ms(query[name], name) for name in ("from", "to") if query.get(name, "").strip()}
        return cls(**text, **times)  # type: ignore[arg-type]

    def passes(self, entry: Entry) -> bool:
        """Whether an entry is looked for: actor, type and outcome as a whole, subject and words as parts."""
        return (
            (not self.actor or entry.actor == self.actor)
            and (not self.type or entry.type == self.type)
            and (not self.outcome or entry.outcome == self.outcome)
            and (not self.subject or self.subject.lower() in entry.subject.lower())
            and (not self.words or self._says(entry))
            and (self.from_ms is None or entry.at_ms >= self.from_ms)
            and (self.to_ms is None or entry.at_ms <= self.to_ms)
        )

    def _says(self, entry: Entry) -> bool:
        words = self.words.lower()
        return words in entry.reason.lower() or words in entry.refused.lower() or words in entry.id.lower()


def routes(site: Site) -> APIRouter:
    """The pages at `/audit`, `/audit.csv` and `/audit.json`."""
    router = APIRouter()

    @router.get("/audit")
    def audit(request: Request) -> HTMLResponse:
        asked = site.asked(request)
        return site.page(asked, "audit.html", **context(site.state().audit, asked, request.query_params))

    @router.get("/audit.csv")
    def as_csv(request: Request) -> Response:
        text = csv_of(_found(site, request))
        return Response(
            text, media_type="text/csv", headers={"Content-Disposition": 'attachment; filename="audit.csv"'}
        )

    @router.get("/audit.json")
    def as_json(request: Request) -> Response:
        text = json.dumps([record(entry) for entry in _found(site, request)], ensure_ascii=False)
        return Response(
            text, media_type="application/json", headers={"Content-Disposition": 'attachment; filename="audit.json"'}
        )

    return router


def _found(site: Site, request: Request) -> list[Entry]:
    asked, filters = site.asked(request), Filters.of(request.query_params)
    return [entry for entry in site.state().audit.entries(asked.as_of_ms) if filters.passes(entry)]


def context(state: AuditState, asked: Asked, query: Mapping[str, str]) -> dict[str, Any]:
    """What the page shows."""
    filters = Filters.of(query)
    every = state.entries(asked.as_of_ms)
    found = every if filters == Filters() else [entry for entry in every if filters.passes(entry)]
    given = {name: query.get(name, "") for name in ("actor", "subject", "type", "outcome", "words", "from", "to")}
    return {
        "rows": paged(found, query.get("page"), ROWS),
        "given": given,
        "actors": sorted({entry.actor for entry in every}),
        "types": sorted({entry.type for entry in every}),
        "outcomes": OUTCOMES,
        "known": len(every),
        "refused": sum(entry.outcome == "refused" for entry in found),
        "dropped": max(0, state.count - MOST_ENTRIES),
        "tones": TONES,
        "download": {kind: asked.href(f"/audit.{kind}", **given) for kind in ("csv", "json")},
    }


def record(entry: Entry) -> dict[str, Any]:
    """An entry as the downloads have it; times are ISO 8601, UTC."""
    values = (
        iso(entry.at_ms),
        entry.actor,
        entry.type,
        entry.subject,
        entry.version,
        entry.outcome,
        entry.reason,
        entry.refused or None,
        None if entry.asked_ms is None else iso(entry.asked_ms),
        None if entry.decided_ms is None else iso(entry.decided_ms),
        entry.id,
        str(entry.position),
    )
    return dict(zip(COLUMNS, values, strict=True))


def csv_of(entries: Iterable[Entry]) -> str:
    """Entries as CSV; what a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for entry in entries:
        writer.writerow([_cell(value) for value in record(entry).values()])
    return text.getvalue()


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULAS) else text
