"""Keeps one row per model in Redis for the console: the view as JSON, saved together with the positions it reflects.

Knows Faust, Redis and the pure views. A row is swapped only against the text that it was computed from.
"""

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Iterator
from itertools import islice
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
from bighead.registry.views import VIEWED_EVENTS, ModelView, ViewedEvent, from_json, project, to_json
from streams.committed import message_of, raw_topic
from streams.letters import LettersOnce

STAGE = "model-views"
INDEX_KEY = "bh:views:models"
_TIMEOUT_S = 10.0
_TRIES = 100
REPAIR_S = 1.0
_WHOLE = 10
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
    """The rows. A duplicate changes nothing, and a row that is missing, or of an earlier release, is folded from the
    whole log, never from the middle of it; so the store may be flushed at any time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.topics = tuple(topic_name(settings.topic_prefix, name) for name in (MODELS_EVENTS, SERVING_EVENTS))
        codec = Codec(settings.schema_registry)
        self.guard = Guard(codec, LettersOnce(settings, codec), STAGE, settings)
        self._redis = pipeline_of(settings.redis)
        self._rows: dict[str, bytes] = {}
        self._compared: Iterator[str] = iter(())
        self._handled: set[str] = set()

    async def rebuild(self) -> None:
        """Brings every row up to the end of the log."""
        self._handled.clear()
        for model, facts in (await asyncio.to_thread(self._facts_by_model)).items():
            await self._apply(model, facts, complete=True)

    async def handle(self, event: Event, message: Message) -> None:
        """Takes one event of the registry or of a server into the rows that it concerns."""
        if not isinstance(event, VIEWED_EVENTS):
            return
        models = await self.models() if isinstance(event, ServerStopped) else [event.model]
        for model in models:
            self._handled.add(model)
            await self._apply(model, [(event, message.position)])

    async def models(self) -> list[str]:
        """The models that have a row, by name."""
        (names,) = await self._execute([("ZRANGE", INDEX_KEY, 0, -1)])
        return [name.decode() for name in names]

    async def repair(self) -> None:
        """Rebuilds where a row is no longer what was written: the store was flushed, or is an older copy of itself.

        All rows are compared by their lengths, since histories only grow, and a few of them at a time as a whole.
        """
        known = list(self._rows)
        if not known:
            return
        lengths = await self._execute([("STRLEN", view_key(model)) for model in known])
        if any(length != len(self._rows[model]) for model, length in zip(known, lengths, strict=True)):
            await self.rebuild()
            return
        if not (few := list(islice(self._compared, _WHOLE))):
            self._compared = iter(known)
            few = list(islice(self._compared, _WHOLE))
        (found,) = await self._execute([("MGET", *map(view_key, few))])
        if any(row != self._rows[model] for model, row in zip(few, found, strict=True)):
            await self.rebuild()

    async def close(self) -> None:
        """Closes the connection."""
        await self._redis.close()

    async def _apply(self, model: str, facts: Iterable[Fact], *, complete: bool = False) -> None:
        """`complete`: they are all there were when the rebuild began, enough for a row that nobody touched since."""
        key = view_key(model)
        for _ in range(_TRIES):
            (before,) = await self._execute([("GET", key)])
            empty = ModelView(ModelState(model))
            view = empty if before is None else from_json(before.decode())
            if before is None or view.is_of_an_earlier_release:
                if not (complete and model not in self._handled and _reach(facts, view)):
                    facts = (await asyncio.to_thread(self._facts_by_model)).get(model, [])
                view = empty
            for event, position in facts:
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

    def _facts_by_model(self) -> dict[str, list[Fact]]:
        """What concerns each model, in the order of the log; a server that stops concerns all of them."""
        facts = self._facts()
        found: dict[str, list[Fact]] = {event.model: [] for event, _ in facts if not isinstance(event, ServerStopped)}
        for event, position in facts:
            for model in found if isinstance(event, ServerStopped) else (event.model,):
                found[model].append((event, position))
        return found

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


def _reach(facts: Iterable[Fact], view: ModelView) -> bool:
    """Whether the facts go as far as the view, which another worker may have written since they were read."""
    ends = {f"{position.topic}/{position.partition}": position.offset + 1 for _, position in facts}
    return all(ends.get(partition, 0) >= end for partition, end in view.positions.items())


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
