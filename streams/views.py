"""Keeps one row per model in Redis for the console: the view as JSON, saved together with the positions it reflects.

Knows Faust, Redis and the pure views. A row is swapped only against the text that it was computed from.
"""

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from typing import Any

from faust import App
from faust.types import StreamT

from bighead.client.redis import Command
from bighead.client.store import pipeline_of
from bighead.config import Settings
from bighead.errors import DeadlineExceeded, StoreError
from bighead.events.base import Event
from bighead.events.codec import Codec
from bighead.events.guard import Guard
from bighead.events.log import read_log
from bighead.events.message import Message, Position
from bighead.events.topics import MODELS_EVENTS, SERVING_EVENTS, topic_name
from bighead.events.types import ServerStopped
from bighead.registry import ModelState
from bighead.registry.views import VIEWED_EVENTS, ModelView, ViewedEvent, concerns, from_json, project, to_json
from streams.committed import message_of, raw_topic
from streams.letters import LettersOnce

STAGE = "model-views"
INDEX_KEY = "bh:views:models"
_TIMEOUT_S = 10.0
_TRIES = 100
REPAIR_S = 1.0
RETRY_S = 0.5
_SWAP = """
local now = redis.call('GET', KEYS[1])
local digest = now and redis.sha1hex(now) or ''
if digest ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""

_log = logging.getLogger(__name__)
Fact = tuple[ViewedEvent, Position]


def view_key(model: str) -> str:
    """Where a model's row lies."""
    return f"bh:view:model:{model}"


class ModelViews:
    """The rows. A duplicate changes nothing, and a row that is missing is folded from the whole log, never from the
    middle of it; so the store may be flushed at any time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.topics = tuple(topic_name(settings.topic_prefix, name) for name in (MODELS_EVENTS, SERVING_EVENTS))
        codec = Codec(settings.schema_registry)
        self.guard = Guard(codec, LettersOnce(settings, codec), STAGE, settings)
        self._redis = pipeline_of(settings.redis)
        self._rows: dict[str, bytes] = {}

    async def rebuild(self) -> None:
        """Brings every row up to the end of the log."""
        facts = await asyncio.to_thread(self._facts)
        for model in {event.model for event, _ in facts if not isinstance(event, ServerStopped)}:
            await self._apply(model, facts)

    async def handle(self, event: Event, message: Message) -> None:
        """Takes one event of the registry or of a server into the rows that it concerns."""
        if not isinstance(event, VIEWED_EVENTS):
            return
        models = await self.models() if isinstance(event, ServerStopped) else [event.model]
        for model in models:
            await self._apply(model, [(event, message.position)])

    async def models(self) -> list[str]:
        """The models that have a row, by name."""
        (names,) = await self._execute([("ZRANGE", INDEX_KEY, 0, -1)])
        return [name.decode() for name in names]

    async def repair(self) -> None:
        """Rebuilds where a row is no longer what was written: the store was flushed, or is an older copy of itself."""
        known = dict(self._rows)
        if known:
            (found,) = await self._execute([("MGET", *map(view_key, known))])
            if any(row != self._rows[model] for model, row in zip(known, found, strict=True)):
                await self.rebuild()

    async def close(self) -> None:
        """Closes the connection."""
        await self._redis.close()

    async def _apply(self, model: str, facts: Iterable[Fact]) -> None:
        key = view_key(model)
        for _ in range(_TRIES):
            (before,) = await self._execute([("GET", key)])
            if before is None:
                facts = await asyncio.to_thread(self._facts)
            view = ModelView(ModelState(model)) if before is None else from_json(before.decode())
            for event, position in facts:
                if concerns(event, model):
                    view = project(view, event, position)
            after = to_json(view).encode()
            digest = "" if before is None else hashlib.sha1(before, usedforsecurity=False).hexdigest()
            swap: Command = ("EVAL", _SWAP, 1, key, digest, after)
            if after == before or (await self._execute([swap]))[0]:
                # All scores are equal: the index is in the order of the names.
                await self._execute([("ZADD", INDEX_KEY, 0, model)])
                self._rows[model] = after
                return
        raise StoreError(
            f"{key} was changed by others {_TRIES} times in a row; are many workers keeping the same rows?"
        )

    def _facts(self) -> list[Fact]:
        found = ((self.guard.accept(message), message) for topic in self.topics for message in self._log(topic))
        facts = [(event, message.position) for event, message in found if isinstance(event, VIEWED_EVENTS)]
        self.guard.flush()
        return facts

    def _log(self, topic: str) -> Iterable[Message]:
        return read_log(self._settings, topic)

    async def _execute(self, commands: list[Command]) -> list[Any]:
        """Asks the store until it answers: the worker's other parts go on without it."""
        while True:
            try:
                return await self._redis.execute(commands, _TIMEOUT_S)
            except (StoreError, DeadlineExceeded) as error:
                _log.warning("waiting for the online store: %s", error)
                await asyncio.sleep(RETRY_S)


def register(app: App, settings: Settings) -> ModelViews:
    """Adds to a worker what keeps the rows: a rebuild when it starts, then an agent on both topics."""
    views = ModelViews(settings)

    async def keep_views(stream: StreamT[bytes]) -> None:
        async for event in stream.events():
            try:
                await views.guard.run_async(message_of(event), views.handle)
            except Exception as error:
                # Faust would count the event as done. A new start rebuilds from the log, so nothing is lost.
                await app.crash(error)
                raise

    app.agent(raw_topic(app, *views.topics), name="model-views")(keep_views)
    app.task(views.rebuild)
    app.timer(interval=REPAIR_S, name="model-views-repair")(views.repair)
    return views
