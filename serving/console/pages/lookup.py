"""One entity's features now, or as of a time as far as the online store can tell exactly. Pure but for its route.

The store holds tiles. As of a time in the past they answer exactly on an edge of five minutes, from the cut on, and for
features that look back over a window, or whose past lies below a cut; what else there is, batch answers.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from bighead.errors import BigheadError, InvalidInput
from bighead.features.catalog import Catalog
from bighead.features.compiled import CompiledJoin
from bighead.features.plan import FeatureRow, GroupPlan, Status
from bighead.features.types import value_of
from bighead.features.windows import FIVE_MINUTES_MS, floor_to
from serving.codes import code
from serving.console.site import Asked, Site
from serving.console.words import iso

KEY = "k."
"""What the fields of keys begin with, so that a key may be named like a field of the page."""


@dataclass(frozen=True, slots=True)
class Value:
    """One feature. unknown: why the store cannot tell it as of that time; empty where it can."""

    name: str
    group: str
    value: Any
    status: str
    unknown: str


def routes(site: Site) -> APIRouter:
    """The page at `/features/lookup`."""
    router = APIRouter()

    @router.get("/features/lookup")
    async def lookup(request: Request) -> HTMLResponse:
        asked = site.asked(request)
        features, query = site.state().features, request.query_params
        # What answers now is asked: tiles of epochs that do not answer any more are not kept for ever.
        catalog = features.catalog
        found = context(catalog, query)
        row, values, error, status = None, [], "", 200
        if found["complete"]:
            at_ms = asked.now_ms if asked.as_of_ms is None else floor_to(asked.as_of_ms, FIVE_MINUTES_MS)
            try:
                join = catalog.join(found["join"])
                row = await site.reach.features(catalog, join.name, entity(join, found["given"]), at_ms)
                unknown = {} if asked.live else unknowns(join, catalog, at_ms)
                values = valued(join, row, unknown)
            except BigheadError as problem:
                error, status = str(problem), code(problem).http
        return site.page(
            asked,
            "lookup.html",
            status=status,
            **found,
            row=row,
            values=values,
            error=error,
            differs=() if asked.live else changed_epochs(catalog, features.at(asked.as_of_ms), found["join"]),
            commands=commands(found["join"], found["given"], asked),
        )

    return router


def context(catalog: Catalog, query: Mapping[str, str]) -> dict[str, Any]:
    """The form: which Joins there are, and what the chosen one takes."""
    joins = sorted(catalog.joins)
    chosen = query.get("join", "") or (joins[0] if len(joins) == 1 else "")
    kinds = {name: str(kind) for name, kind in catalog.join(chosen).left_kinds.items()} if chosen in joins else {}
    given = {name: query.get(f"{KEY}{name}", "") for name in kinds}
    return {
        "joins": joins,
        "join": chosen if chosen in joins else "",
        "unheard": chosen if chosen not in joins else "",
        "kinds": kinds,
        "given": given,
        "complete": bool(given) and any(given.values()),
    }


def entity(join: CompiledJoin, given: Mapping[str, str]) -> dict[str, Any]:
    """The typed keys; an empty field is a null, which has no events. Raises InvalidInput for another type."""
    try:
        return {
            name: value_of(name, given[name].strip(), kind) if given[name].strip() else None
            for name, kind in join.left_kinds.items()
        }
    except KeyError as error:
        raise InvalidInput(f"join {join.name!r} takes {error.args[0]!r} too") from None


def unknowns(join: CompiledJoin, catalog: Catalog, at_ms: int) -> dict[str, str]:
    """By column why the store cannot tell it as of a time in the past; columns that it can tell are left out."""
    found: dict[str, str] = {}
    for part, plan in zip(join.parts, catalog.plans(join), strict=True):
        for column, feature in zip(part.columns, part.group.features, strict=True):
            reason = _unknown(plan, feature.window is None, at_ms)
            if reason:
                found[column] = reason
    for name, expression in join.derivations.items():
        read = sorted(expression.columns & found.keys())
        if read:
            found[name] = f"it is derived from {', '.join(read)}"
    return found


def _unknown(plan: GroupPlan, whole_past: bool, at_ms: int) -> str:
    if not plan.answers(at_ms):
        if plan.cut_ms is None:
            return "before a first backfill everything is known up to now only"
        return f"the store keeps what is needed from {iso(plan.cut_ms)} on: batch owns what lies before it"
    if whole_past and plan.cut_ms is None:
        return "it looks back over everything, and before a first backfill that is kept up to now only"
    return ""


def valued(join: CompiledJoin, row: FeatureRow, unknown: Mapping[str, str]) -> list[Value]:
    """The features in the order of the Join."""
    groups = {column: part.group.name for part in join.parts for column in part.columns}
    return [
        Value(
            name,
            groups.get(name, "request" if name in join.request_kinds else "derived"),
            None if name in unknown else value,
            "UNKNOWN" if name in unknown else str(Status(row.statuses[name])),
            unknown.get(name, ""),
        )
        for name, value in row.values.items()
    ]


def changed_epochs(now: Catalog, then: Catalog, join: str) -> list[str]:
    """Where another epoch answered then than now, in words."""
    if join not in now.joins:
        return []
    said = []
    for name in dict.fromkeys(now.joins[join].group_names()):
        before = then.active.get(name)
        if before is None:
            said.append(f"{name} did not answer then")
        elif before != now.active.get(name):
            said.append(f"epoch {before} of {name} answered then")
    return said


def commands(join: str, given: Mapping[str, str], asked: Asked) -> dict[str, str]:
    """The same question from a terminal, and the one that batch answers to the millisecond."""
    keys = " ".join(shlex.quote(f"{name}={value}") for name, value in given.items() if value)
    as_of = "" if asked.as_of_ms is None else f" --as-of {asked.as_of_text}"
    return {
        "now": f"bighead features get {shlex.quote(join)} {keys}{as_of}",
        "batch": f"bighead features training-set {shlex.quote(join)} --left asked --time as_of_ms --output answered",
    }
