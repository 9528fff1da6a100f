"""All models: searched, filtered by tag, sorted, in pages."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from bighead.registry.state import PRODUCTION
from bighead.registry.views import ModelView
from serving.console.paging import paged
from serving.console.site import Site

ROWS = 50
MOST_TAGS = 20
"""How many tags are offered to filter by, the most frequent."""


@dataclass(frozen=True, slots=True)
class Row:
    """One model. `live`: version by environment, production first; `tags`: of its newest version, as key=value."""

    name: str
    live: tuple[tuple[str, int], ...]
    versions: int
    family: str
    model_type: str
    tags: tuple[str, ...]
    labels: tuple[str, ...]
    changed_ms: int
    actor: str
    reason: str
    rolling: bool
    divided: bool

    @property
    def words(self) -> str:
        """What a search looks through."""
        return " ".join((self.name, self.family, self.model_type, *self.tags, *self.labels, self.actor)).lower()


SORTS: Mapping[str, tuple[str, Callable[[Row], Any]]] = {
    "name": ("Model", lambda row: row.name),
    "live": ("Live", lambda row: (not row.live, row.live, row.name)),
    "versions": ("Versions", lambda row: (-row.versions, row.name)),
    "changed": ("Last change", lambda row: (-row.changed_ms, row.name)),
}


def routes(site: Site) -> APIRouter:
    """The page at `/models`."""
    router = APIRouter()

    @router.get("/models")
    def models(request: Request) -> HTMLResponse:
        asked = site.asked(request)
        views = site.state().models(asked.as_of_ms)
        return site.page(asked, "models.html", **context(views.values(), request.query_params))

    return router


def context(views: Iterable[ModelView], query: Mapping[str, str]) -> dict[str, Any]:
    """What the page shows; what is no way to sort means by name."""
    rows = [row_of(view) for view in views]
    words, tag = query.get("q", "").strip(), query.get("tag", "")
    sort = query.get("sort", "name") if query.get("sort") in SORTS else "name"
    tags = Counter(one for row in rows for one in row.tags).most_common(MOST_TAGS)
    found = [
        row for row in rows if (not tag or tag in row.tags) and all(word in row.words for word in words.lower().split())
    ]
    found.sort(key=SORTS[sort][1])
    return {
        "rows": paged(found, query.get("page"), ROWS),
        "total": len(rows),
        "words": words,
        "tag": tag,
        "tags": sorted(tags),
        "sort": sort,
        "sorts": [(name, title) for name, (title, _) in SORTS.items()],
        "production": PRODUCTION,
    }


def row_of(view: ModelView) -> Row:
    """The row of one model."""
    state, newest = view.state, view.state.versions[-1].record
    live = {name: slot.live for name, slot in state.slots.items() if slot.live is not None}
    last = state.changed
    return Row(
        name=state.name,
        live=tuple(sorted(live.items(), key=lambda item: (item[0] != PRODUCTION, item[0]))),
        versions=len(state.versions),
        family=newest.family,
        model_type=newest.model_type,
        tags=tuple(f"{key}={value}" for key, value in sorted(newest.tags.items())),
        labels=tuple(sorted({label for slot in state.slots.values() for label in slot.labels})),
        changed_ms=state.at_ms if last is None else last.at_ms,
        actor=last.actor if last else "",
        reason=last.reason if last else "",
        rolling=any(slot.rollout for slot in state.slots.values()),
        divided=any(slot.traffic and len(slot.traffic.arms) > 1 for slot in state.slots.values()),
    )
