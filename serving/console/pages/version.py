"""One version: the whole record, with its drawings."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from bighead.errors import BigheadError, UnknownModel
from bighead.registry.attachments import CHART, ENVIRONMENT, EVALUATION, FEATURE_REPORT, MODEL_CARD, PIPELINE, TREES
from bighead.registry.state import ModelState, Version
from bighead.registry.views import ModelView
from serving.console.pages import model, record
from serving.console.pages.figures import Gallery, graph_figure
from serving.console.site import Site


def routes(site: Site) -> APIRouter:
    """The page at `/models/{name}/versions/{number}`."""
    router, gallery = APIRouter(), Gallery(site.desk.attachment)

    @router.get("/models/{name}/versions/{number}")
    def version(name: str, number: str, request: Request) -> HTMLResponse:
        asked = site.asked(request)
        view = site.state().model(name, asked.as_of_ms)
        shown = context(view, version_of(view.state, number), gallery, request.query_params)
        return site.page(asked, "version.html", **shown, environment=_environment(site, shown["version"]))

    return router


def version_of(state: ModelState, number: str) -> Version:
    """The version of that number; raises UnknownModel that says which there are."""
    found = state.version(int(number)) if number.isdecimal() and len(number) < 10 else None
    if found is None:
        last = len(state.versions)
        known = "version 1 alone" if last == 1 else f"versions 1 to {last}"
        raise UnknownModel(f"{state.name!r} has no version {number[:40]!r}; it has {known}")
    return found


def context(view: ModelView, version: Version, gallery: Gallery, query: Mapping[str, str]) -> dict[str, Any]:
    """What the page shows."""
    state, facts = view.state, version.record
    trees = gallery.of_kind(facts.attachments, TREES)
    at = int(query["tree"]) if query.get("tree", "").isdecimal() and len(query["tree"]) < 5 else 1
    drawn = trees[0].figures if trees else ()
    return {
        "model": state.name,
        "version": version,
        "record": facts,
        "standing": model.standing(state, version),
        "others": [one.number for one in reversed(state.versions) if one.number != version.number][:20],
        "live": state.live,
        "config": record.pairs(facts.config),
        "data": record.data(facts),
        "parity": record.pairs(facts.parity),
        "golden": record.golden(facts),
        "metrics": sorted(facts.metrics.items()),
        "lineage": graph_figure(record.lineage(state.name, version.number, facts)),
        "cards": gallery.of_kind(facts.attachments, MODEL_CARD),
        "evaluations": gallery.of_kind(facts.attachments, EVALUATION),
        "charts": gallery.of_kind(facts.attachments, CHART),
        "pipelines": gallery.of_kind(facts.attachments, PIPELINE),
        "reports": gallery.of_kind(facts.attachments, FEATURE_REPORT),
        "trees": trees,
        "tree": min(max(at, 1), len(drawn)) if drawn else 0,
    }


def _environment(site: Site, version: Version) -> list[tuple[str, str]]:
    """The packages that the version was trained with, where they are attached."""
    for attachment in version.record.attachments:
        if attachment.kind == ENVIRONMENT:
            try:
                return record.pairs(site.desk.attachment(attachment).decode("utf-8", "replace"))
            except BigheadError as error:
                return [(attachment.name, str(error))]
    return []
