"""One group or Join: definition, features with statistics, lineage as a drawing, epochs and history."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from bighead.errors import StoreError, near
from bighead.events.types import FeatureStatisticsComputed
from bighead.features.catalog import Catalog, GroupEpoch
from bighead.features.compiled import CompiledJoin, describe
from bighead.features.differences import Difference, differences
from bighead.features.lineage import Kind, ModelUse, Node, around, lineage_of
from bighead.registry.views import ModelView
from serving.console.drawings import Box, bars, graph
from serving.console.feature_state import FeatureChange, FeatureState, epochs_at
from serving.console.log_state import LogState
from serving.console.paging import paged
from serving.console.site import Asked, Site

COARSE = (Kind.TOPIC, Kind.GROUP, Kind.JOIN, Kind.MODEL)
MOST_BOXES = 12
"""How many boxes of a kind are drawn; the rest are counted."""
_BINS = 10


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One generation of a group. change: who applied it, None where the log of it is gone."""

    epoch: int
    state: str
    cut_ms: int | None
    engine: str
    change: FeatureChange | None
    differs: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Lineage:
    """What feeds what, as a drawing and in words; hidden: how many were not drawn."""

    svg: Markup
    edges: tuple[tuple[str, str], ...]
    hidden: int


def routes(site: Site) -> APIRouter:
    """The page at `/features/{name}`."""
    router = APIRouter()

    @router.get("/features/{name}")
    async def feature(name: str, request: Request) -> HTMLResponse:
        asked = site.asked(request)
        found = await asyncio.to_thread(_found, site.state(), name, asked, request.query_params)
        if isinstance(found, str):
            return site.error(asked, 404, f"Nothing named {name[:100]!r} is applied{found}.")
        fresh, unknown = None, ""
        if asked.live and found["topic"]:
            try:
                fresh = (await site.reach.newest_ms([found["topic"]]))[found["topic"]]
            except StoreError as error:
                unknown = str(error)
        return site.page(asked, "feature.html", **found, fresh=fresh, freshness_unknown=unknown)

    return router


def _found(log: LogState, name: str, asked: Asked, query: Mapping[str, str]) -> dict[str, Any] | str:
    """What the page shows, or what may be meant by a name that nothing has."""
    catalog = log.features.at(asked.as_of_ms)
    known = {*(group for group, _ in catalog.groups), *catalog.joins, *catalog.retired_joins}
    if name not in known:
        return near(name, sorted(known))
    return context(log.features, log.models(asked.as_of_ms), name, asked, query)


def context(
    state: FeatureState, models: Mapping[str, ModelView], name: str, asked: Asked, query: Mapping[str, str]
) -> dict[str, Any]:
    """What the page shows but freshness, of something that was applied by then."""
    catalog = state.at(asked.as_of_ms)
    changes, dropped = state.changes(name, asked.as_of_ms)
    statistics = state.statistics(name, asked.as_of_ms)
    shared = {
        "name": name,
        "changes": paged(changes, query.get("page"), 25),
        "dropped": dropped,
        "statistics": [(one, distribution(one)) for one in statistics],
    }
    if name in catalog.joins or (name in catalog.retired_joins and not _epochs(catalog, name)):
        return shared | _of_join(catalog, name, models, asked)
    epochs = _epochs(catalog, name)
    return shared | _of_group(catalog, name, epochs, models, asked, changes, state.forgotten[name])


def _epochs(catalog: Catalog, name: str) -> list[GroupEpoch]:
    return [one for (group, _), one in sorted(catalog.groups.items()) if group == name]


def _of_group(
    catalog: Catalog,
    name: str,
    epochs: Sequence[GroupEpoch],
    models: Mapping[str, ModelView],
    asked: Asked,
    changes: Iterable[FeatureChange],
    forgotten: int,
) -> dict[str, Any]:
    active = catalog.active.get(name)
    shown = epochs[-1] if active is None else catalog.groups[name, active]
    said = shown.group.definition
    return {
        "kind": "group",
        "title": said.description,
        "active": active,
        "retired": shown.retired,
        "topic": said.source.topic,
        "tags": tuple(said.tags),
        "facts": _group_facts(shown),
        "cut_ms": shown.cut_ms,
        "features": describe(shown.group),
        "derivations": (),
        "epochs": epoch_rows(epochs, active, epochs_at(changes)),
        "readers": catalog.readers(name),
        "forgotten": forgotten,
        "definition": json.dumps(json.loads(shown.group.to_json()), indent=2, ensure_ascii=False),
        "lineage": None if active is None else drawn(catalog, name, models, asked),
    }


def _group_facts(one: GroupEpoch) -> list[tuple[str, str]]:
    group, source = one.group, one.group.definition.source
    return [
        ("Keys", ", ".join(f"{key} {kind}" for key, kind in zip(group.keys, group.key_kinds, strict=True))),
        ("Source", f"topic {source.topic}, the same events in table {source.table}"),
        ("Time of an event", source.time),
        ("Only where", source.where or ""),
        ("Columns read", ", ".join(group.source_columns)),
        ("Answers as of", "the last midnight" if group.snapshot else "the time of the query"),
        ("Maintained by", one.engine),
        ("Owner", group.definition.owner),
        ("Definition", group.hash),
    ]


def _of_join(catalog: Catalog, name: str, models: Mapping[str, ModelView], asked: Asked) -> dict[str, Any]:
    retired = name not in catalog.joins
    one = catalog.retired_joins[name] if retired else catalog.joins[name]
    compiled = None if retired else catalog.join(name)
    return {
        "kind": "join",
        "title": one.said.description,
        "active": None if retired else one.epoch,
        "retired": retired,
        "topic": "",
        "tags": tuple(one.said.tags),
        "facts": [
            ("Keys", ", ".join(one.said.left)),
            ("Groups", ", ".join(dict.fromkeys(one.group_names()))),
            ("Request brings", ", ".join(f"{column} {kind}" for column, kind in one.said.request.items())),
            ("Owner", one.said.owner),
            ("Definition", one.hash),
        ],
        "cut_ms": None,
        "features": _columns(compiled) if compiled else [],
        "derivations": tuple(one.said.derivations.items()),
        "epochs": (),
        "readers": (),
        "forgotten": 0,
        "definition": json.dumps(json.loads(one.definition), indent=2, ensure_ascii=False),
        "lineage": None if retired else drawn(catalog, name, models, asked),
    }


def _columns(join: CompiledJoin) -> list[dict[str, Any]]:
    """What a Join gives: of each column where it comes from."""
    of = {
        column: (part.group.name, feature)
        for part in join.parts
        for column, feature in zip(part.columns, part.group.features, strict=True)
    }
    rows = []
    for column, kind in join.kinds.items():
        group, feature = of.get(column, ("", None))
        rows.append(
            {
                "feature": column,
                "type": str(kind),
                "group": group,
                "from": group or ("request" if column in join.request_kinds else "derived"),
                "window": str(feature.window) if feature is not None and feature.window else None,
            }
        )
    return rows


def epoch_rows(
    epochs: Sequence[GroupEpoch], active: int | None, applied: Mapping[int, FeatureChange]
) -> list[EpochRow]:
    """The generations of a group, the newest first, each with what differs from the one before it."""
    rows = []
    for before, one in zip([None, *epochs], epochs, strict=False):
        old = None if before is None else json.loads(before.group.to_json())
        state = "retired" if one.retired else "answers" if one.epoch == active else "does not answer"
        changed = () if old is None else tuple(differences(old, json.loads(one.group.to_json())))
        rows.append(EpochRow(one.epoch, state, one.cut_ms, one.engine, applied.get(one.epoch), changed))
    return rows[::-1]


def uses(models: Mapping[str, ModelView]) -> list[ModelUse]:
    """Of each model and Join the newest version that takes features of it."""
    found: dict[tuple[str, str], ModelUse] = {}
    for name, view in models.items():
        for version in view.state.versions:
            join = version.record.join
            if join is not None:
                inputs = tuple(one.name for one in version.record.signature.inputs if one.source == "feature")
                found[name, join] = ModelUse(name, version.number, join, inputs)
    return list(found.values())


def drawn(catalog: Catalog, name: str, models: Mapping[str, ModelView], asked: Asked) -> Lineage:
    """Source topics, groups, Joins and models around a group or Join."""
    part = around(catalog, name)
    edges = lineage_of(part, [use for use in uses(models) if use.join in part.joins]).between(COARSE)
    hidden = 0
    columns: list[list[Box]] = []
    for kind in COARSE:
        nodes = sorted({node for edge in edges for node in edge if node.kind is kind}, key=lambda one: one.name)
        # What the page is about is always drawn.
        nodes.sort(key=lambda one: one.name != name)
        columns.append([_box(node, name, asked) for node in nodes[:MOST_BOXES]])
        hidden += max(0, len(nodes) - MOST_BOXES)
    words = tuple((str(first), str(second)) for first, second in edges)
    return Lineage(graph(columns, words, f"What feeds {name}, and what it feeds"), words, hidden)


def _box(node: Node, name: str, asked: Asked) -> Box:
    main = node.name == name and node.kind in (Kind.GROUP, Kind.JOIN)
    match node.kind:
        case Kind.MODEL:
            model, _, version = node.name.rpartition("/")
            return Box(str(node), f"{model}, version {version}", "model", asked.href("/models", model))
        case Kind.TOPIC:
            return Box(str(node), node.name, "topic", asked.href("/events", topic=node.name))
        case _:
            return Box(str(node), node.name, node.kind.value, asked.href("/features", node.name), main)


def distribution(one: FeatureStatisticsComputed) -> Markup:
    """How the values lie: shares of equal ranges between the 1st and 99th percentile, or of the frequent values."""
    if one.quantiles:
        return bars(_binned(one.ranks, one.quantiles), f"distribution of {one.feature}")
    if one.frequent:
        most = sorted(one.frequent.items(), key=lambda pair: (-pair[1], pair[0]))[:_BINS]
        shares = [(f"{value}: {count}", count / max(1, one.count)) for value, count in most]
        return bars(shares, f"most frequent values of {one.feature}")
    return Markup("")


def _binned(ranks: Sequence[float], quantiles: Sequence[float]) -> list[tuple[str, float]]:
    """The share of values in equal ranges, as lines between known quantiles say; outermost hundredths are cut off."""
    known = [(rank, value) for rank, value in zip(ranks, quantiles, strict=True) if 0.01 <= rank <= 0.99]
    if len(known) < 2 or known[0][1] == known[-1][1]:
        return [(f"all {known[0][1]:g}", 1.0)] if known else []
    low, width = known[0][1], (known[-1][1] - known[0][1]) / _BINS
    edges = [low + index * width for index in range(_BINS + 1)]
    return [
        (f"{first:.4g} to {last:.4g}", max(0.0, _rank(known, last) - _rank(known, first)))
        for first, last in pairwise(edges)
    ]


def _rank(known: Sequence[tuple[float, float]], value: float) -> float:
    for (rank, low), (next_rank, high) in pairwise(known):
        if value <= high:
            return next_rank if high == low else rank + (next_rank - rank) * max(0.0, value - low) / (high - low)
    return known[-1][0]
