"""The catalog of features: groups and Joins, searched by words, with freshness and epochs. Pure but for its route."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from bighead.errors import StoreError
from bighead.features.catalog import Catalog, GroupEpoch
from bighead.features.search import search
from serving.console.feature_state import FeatureState
from serving.console.paging import paged
from serving.console.site import Asked, Site

ROWS = 50
MOST_FOUND = 200


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group in the list. epoch None: none answers. waiting: a newer epoch that does not answer yet."""

    name: str
    epoch: int | None
    waiting: int | None
    retired: bool
    engine: str
    keys: tuple[str, ...]
    features: int
    topic: str
    joins: tuple[str, ...]
    cut_ms: int | None
    owner: str
    description: str


@dataclass(frozen=True, slots=True)
class JoinRow:
    """A Join in the list."""

    name: str
    epoch: int
    keys: tuple[str, ...]
    groups: tuple[str, ...]
    derivations: int
    owner: str
    description: str


def routes(site: Site) -> APIRouter:
    """The page at `/features`."""
    router = APIRouter()

    @router.get("/features")
    async def features(request: Request) -> HTMLResponse:
        asked = site.asked(request)
        query = request.query_params
        found = await asyncio.to_thread(context, site.state().features, asked, query)
        topics = sorted({row.topic for row in found["groups"].items})
        fresh, unknown = {}, ""
        if asked.live:
            try:
                fresh = await site.reach.newest_ms(topics)
            except StoreError as error:
                unknown = str(error)
        return site.page(asked, "features.html", **found, fresh=fresh, freshness_unknown=unknown)

    return router


def context(state: FeatureState, asked: Asked, query: Mapping[str, str]) -> dict[str, Any]:
    """What the page shows but freshness."""
    catalog = state.at(asked.as_of_ms)
    words = query.get("q", "").strip()
    every = query.get("retired") == "yes"
    groups = group_rows(catalog)
    found = search(catalog, words) if words else []
    return {
        "words": words,
        "every": every,
        "found": found[:MOST_FOUND],
        "found_total": len(found),
        "groups": paged([row for row in groups if every or not row.retired], query.get("page"), ROWS),
        "joins": join_rows(catalog),
        "retired": sum(row.retired for row in groups),
        "features_total": sum(row.features for row in groups if not row.retired),
        "waiting_total": sum(row.waiting is not None for row in groups),
    }


def group_rows(catalog: Catalog) -> list[GroupRow]:
    """One row a group, by name: the epoch that answers, or the newest where none does."""
    newest: dict[str, GroupEpoch] = {}
    for (name, _), one in sorted(catalog.groups.items()):
        newest[name] = one
    readers: dict[str, list[str]] = {}
    for join in sorted(catalog.joins):
        for group in dict.fromkeys(catalog.joins[join].group_names()):
            readers.setdefault(group, []).append(join)
    return [_group_row(catalog, name, one, tuple(readers.get(name, ()))) for name, one in sorted(newest.items())]


def _group_row(catalog: Catalog, name: str, newest: GroupEpoch, joins: tuple[str, ...]) -> GroupRow:
    active = catalog.active.get(name)
    shown = newest if active is None else catalog.groups[name, active]
    said = shown.group.definition
    return GroupRow(
        name=name,
        epoch=active,
        waiting=newest.epoch if active is not None and newest.epoch > active else None,
        retired=newest.retired,
        engine=shown.engine,
        keys=shown.group.keys,
        features=len(shown.group.features),
        topic=said.source.topic,
        joins=joins,
        cut_ms=shown.cut_ms,
        owner=said.owner,
        description=said.description,
    )


def join_rows(catalog: Catalog) -> list[JoinRow]:
    """One row a Join, by name."""
    rows = []
    for name, one in sorted(catalog.joins.items()):
        said = one.said
        rows.append(
            JoinRow(
                name=name,
                epoch=one.epoch,
                keys=tuple(said.left),
                groups=tuple(dict.fromkeys(part.group_name for part in said.as_parts())),
                derivations=len(said.derivations),
                owner=said.owner,
                description=said.description,
            )
        )
    return rows
