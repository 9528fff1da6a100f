"""Erases an entity from the lane, on a request that does not name it: its hash is compared with all that is there.

Knows the local state and the state topic. After it, an entity is new: later events begin its tiles again.
"""

import asyncio
import logging

from bighead.events.types import KeyForgotten
from bighead.features.tiles import entity_hash, place_of_log_key
from streams.catalog import CatalogService
from streams.commits import CATALOG, Commits
from streams.tile_log import TileLog
from streams.tile_store import Changes, TileStore

_log = logging.getLogger(__name__)


class Forgetter:
    """Carries out the catalog's requests, each once: how far it is lies on the disk with what was erased.

    known: where the disk does not say, everything below this offset of the catalog was carried out.
    """

    def __init__(self, catalog: CatalogService, store: TileStore, log: TileLog, commits: Commits, known: int) -> None:
        self._catalog = catalog
        self._store = store
        self._log = log
        self._commits = commits
        self._done = max(known, (store.offsets(CATALOG) or {}).get(0, 0))

    async def catch_up(self, offset: int) -> None:
        """Carries out what was asked for below `offset`; to be called while no step is taken."""
        todo = [(at, event) for at, event in self._catalog.forgotten if self._done <= at < offset]
        for at, event in todo:
            await self._commits.settle()
            changes = await asyncio.to_thread(erased, self._store, event)
            for key in changes:
                self._log.erase(key)
            await self._commits.add(changes, (), at + 1)
            self._done = at + 1
            _log.info("an entity of group %s was forgotten: %d tiles", event.group, len(changes))


def erased(store: TileStore, event: KeyForgotten) -> Changes:
    """The tiles on the disk that are the entity's, as changes that erase them."""
    known: dict[str, bool] = {}
    found: list[str] = []
    for key in store.keys(event.group):
        place = place_of_log_key(key)
        if place is not None:
            entity = place[2].entity
            if entity not in known:
                known[entity] = entity_hash(event.salt, entity) == event.entity
            if known[entity]:
                found.append(key)
    return dict.fromkeys(found, (None, None))
