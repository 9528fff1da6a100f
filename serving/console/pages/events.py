"""The tail of a topic: its newest messages, decoded, filtered by type, key and text. Pure but for its route."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from bighead.commands.text import json_line
from bighead.events.topics import MODELS_EVENTS, TOPICS, topic_name
from bighead.features.catalog import Catalog
from serving.console.paging import paged
from serving.console.reach import MOST_MESSAGES, Tail
from serving.console.site import Site

ROWS = 50
_CELL_CHARACTERS = 400
_SAID_FIELDS = 5
_SAID_CHARACTERS = 48
_OWN = "bighead.v1."


@dataclass(frozen=True, slots=True)
class Row:
    """One message. at_ms: Kafka's time, None where there is none. said: some of its fields in a line."""

    position: str
    at_ms: int | None
    type: str
    key: str
    said: str
    fields: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    raw: str
    error: str


@dataclass(frozen=True, slots=True)
class Filters:
    """What is looked for; empty fields pass everything."""

    type: str = ""
    key: str = ""
    text: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Filters":
        """Those of a request."""
        return cls(query.get("type", "").strip(), query.get("key", "").strip(), query.get("text", "").strip())


def routes(site: Site) -> APIRouter:
    """The page at `/events`."""
    router = APIRouter()

    @router.get("/events")
    async def events(request: Request) -> HTMLResponse:
        asked, query = site.asked(request), request.query_params
        catalog = site.state().features.catalog
        topics = ordered(shown_topics(await site.reach.topics(), site.reach.prefix, catalog), site.reach.prefix)
        default = topic_name(site.reach.prefix, MODELS_EVENTS)
        topic = query.get("topic", "") or (default if default in topics else "")
        known = topic in topics
        tail: Tail = await site.reach.tail(topic, asked.as_of_ms) if known else ()
        found = await asyncio.to_thread(context, tail, Filters.of(query), query.get("page"))
        return site.page(
            asked,
            "events.html",
            status=200 if known or not topic else 404,
            topics=topics,
            topic=topic,
            known=known,
            paused=query.get("paused") == "yes",
            most=MOST_MESSAGES,
            **found,
        )

    return router


def shown_topics(topics: Iterable[str], prefix: str, catalog: Catalog) -> list[str]:
    """The platform's own topics and those that groups read: a broker may hold others, which are nobody's business."""
    sources = {one.group.definition.source.topic for one in catalog.groups.values()}
    return [name for name in topics if name in sources or name.startswith(f"{prefix}.")]


def ordered(topics: Sequence[str], prefix: str) -> list[str]:
    """The platform's topics in the order of their table, then the users' own by name."""
    ours = [topic_name(prefix, spec.name) for spec in TOPICS]
    return [name for name in ours if name in topics] + sorted(set(topics) - set(ours))


def context(tail: Tail, filters: Filters, page: str | None) -> dict[str, Any]:
    """What the page shows of a tail."""
    types = Counter(_type(message) for message in tail)
    shown = paged(chosen(tail, filters), page, ROWS)
    return {
        "filters": filters,
        "types": sorted(types.items()),
        "rows": shown.of(row),
        "read": len(tail),
        "oldest_ms": min((one["timestamp_ms"] for one in tail if one["timestamp_ms"] >= 0), default=None),
    }


def chosen(tail: Tail, filters: Filters) -> list[Mapping[str, Any]]:
    """The messages that pass: type as a whole, key and text as parts, whatever the case."""
    key, text = filters.key.lower(), filters.text.lower()
    return [
        one
        for one in tail
        if (not filters.type or _type(one) == filters.type)
        and (not key or key in _plain(one["key"]).lower())
        and (not text or text in json_line(one["value"]).lower() or text in str(one.get("error", "")).lower())
    ]


def row(message: Mapping[str, Any]) -> Row:
    """A message as the page shows it."""
    value, error = message["value"], str(message.get("error", ""))
    fields = value.items() if isinstance(value, Mapping) else ()
    shown = tuple((name, _plain(one)) for name, one in fields)
    return Row(
        position=f"{message['topic']}/{message['partition']}/{message['offset']}",
        at_ms=message["timestamp_ms"] if message["timestamp_ms"] >= 0 else None,
        type=_type(message),
        key=_plain(message["key"]),
        said=" · ".join(f"{name} {_cut(one, _SAID_CHARACTERS)}" for name, one in shown[:_SAID_FIELDS]),
        fields=tuple((name, _cut(one, _CELL_CHARACTERS)) for name, one in shown),
        headers=tuple((name, _plain(one)) for name, one in message["headers"].items()),
        raw=json.dumps(json.loads(json_line(value)), indent=2, ensure_ascii=False),
        error=error,
    )


def _type(message: Mapping[str, Any]) -> str:
    return str(message["type"] or "not decoded").removeprefix(_OWN)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json_line(value)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
