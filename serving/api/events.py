"""The log over HTTP: page by page, and as a stream of server-sent events from any place."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from bighead.client.registry_documents import EventPage
from bighead.events.log import Places, bounds, follow, read_page
from bighead.events.message import Message
from serving.api import cursors, documents
from serving.api.conditional import answer, links
from serving.api.context import AsOf, Context, Limit
from serving.api.log_pages import concerns, merged, readable, taken
from serving.api.problems import answers
from serving.api.security import Caller, Role
from serving.api.streams import Sent, Stream, Streams
from serving.http_body import as_json

Topics = Annotated[
    str | None,
    Query(
        max_length=200, description=f"Some of {', '.join(cursors.TOPICS)}; all by default.", examples=["models,serving"]
    ),
]
From = Annotated[
    str, Query(alias="from", max_length=4000, description="`beginning`, `end`, or a position that this API gave.")
]
Model = Annotated[str | None, Query(max_length=500, description="Only events about this model, or about none.")]
_MOVED = 1000
"""After how many messages that are not shown the client is told the place behind them."""


def routes(context: Context, streams: Streams) -> APIRouter:
    """Everything that a viewer may read of the log."""
    router = APIRouter(dependencies=[Depends(context.requires(Role.VIEWER))], tags=["events"])
    _add_pages(router, context)
    _add_stream(router, context, streams)
    return router


def _add_pages(router: APIRouter, context: Context) -> None:
    prefix = context.settings.topic_prefix

    @router.get("/events", response_model=EventPage, responses=answers(304, 400))
    async def list_events(
        request: Request,
        as_of: AsOf,
        topics: Topics = None,
        start: From = "beginning",
        model: Model = None,
        limit: Limit = 100,
    ) -> Response:
        """A page of the log, by time, from a position on. `next` goes on from there, also when there is more later."""
        names = cursors.names(prefix, cursors.chosen(topics))
        ends = await asyncio.to_thread(bounds, context.settings, names)
        places, lost = cursors.start_of(prefix, start, ends)
        open_ends = {place: offset for place, offset in places.items() if offset < ends[place][1]}
        read = await asyncio.to_thread(read_page, context.settings, open_ends, limit)
        found, behind = await asyncio.to_thread(taken, context.codec, merged(read), places, limit, as_of, model)
        items = tuple(
            documents.event(message, event, _topic(prefix, message), cursors.written(prefix, place))
            for message, event, place in found
        )
        after = cursors.written(prefix, behind)
        return answer(request, EventPage(items, after, lost), headers=links(request, **{"from": after}))


def _add_stream(router: APIRouter, context: Context, streams: Streams) -> None:
    prefix = context.settings.topic_prefix

    @router.get(
        "/stream",
        response_class=Response,
        responses=answers(400, 429)
        | {
            200: {
                "description": "Server-sent events: `id` is the position behind each.",
                "content": {"text/event-stream": {}},
            }
        },
    )
    async def stream(
        caller: Annotated[Caller, Depends(context.requires(Role.VIEWER))],
        topics: Topics = None,
        start: From = "end",
        model: Model = None,
        last_event_id: Annotated[str | None, Header(max_length=4000, description="Where a client was cut off.")] = None,
    ) -> Response:
        """Follows the log. Each event's id is the place behind it: sent back as Last-Event-ID nothing is missed or
        repeated. A comment every ten seconds says that the connection lives. An event `lost` says that messages
        before it were deleted; `end` tells a slow reader, or everybody when the console stops, where to go on.
        """
        names = cursors.names(prefix, cursors.chosen(topics))
        ends = await asyncio.to_thread(bounds, context.settings, names)
        places, lost = cursors.start_of(prefix, last_event_id or start, ends)
        source = _followed(context, names, places, model, lost)
        return _Following(streams.open(source, cursors.written(prefix, places), caller.actor))


class _Following(Response):
    """A stream in the form in which FastAPI takes answers."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._stream(scope, receive, send)


def _followed(
    context: Context, names: list[str], start: Places, model: str | None, lost: bool
) -> Callable[[Callable[[], bool]], Iterator[Sent]]:
    prefix = context.settings.topic_prefix

    def source(stop: Callable[[], bool]) -> Iterator[Sent]:
        places, passed = dict(start), 0
        if lost:
            yield Sent(
                cursors.written(prefix, places), as_json({"from": cursors.written(prefix, places)}).decode(), "lost"
            )
        messages = follow(context.settings, names, start=start, stop=stop)
        try:
            for message in messages:
                places[message.topic, message.partition] = message.offset + 1
                event = readable(context.codec, message)
                if event is not None and concerns(event, model):
                    place, passed = cursors.written(prefix, places), 0
                    document = documents.event(message, event, _topic(prefix, message), place)
                    yield Sent(place, as_json(asdict(document)).decode())
                elif (passed := passed + 1) % _MOVED == 0:
                    yield Sent(cursors.written(prefix, places), None)
        finally:
            messages.close()

    return source


def _topic(prefix: str, message: Message) -> str:
    name = message.topic.removeprefix(f"{prefix}.")
    return next(short for short, long in cursors.TOPICS.items() if long == name)
