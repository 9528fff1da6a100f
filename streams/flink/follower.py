"""How far Flink's jobs are: the offsets that they commit when a checkpoint is complete.

Everything below such an offset was acknowledged by the state topic before, so a mark may be written for it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient

from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.codec import Codec
from bighead.events.kafka import LOGGER
from bighead.features.catalog import GroupEpoch
from streams.flink.names import Place, places_of
from streams.flink.newest import NewestTimes

_POLL_S = 0.1
_LOOK_S = 0.5
_ANSWER_S = 10.0
_log = logging.getLogger(__name__)


class FlinkProgress:
    """The next offset of each source partition, by group and epoch. `poll` blocks: call it from a thread."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.topic_prefix
        self._admin = AdminClient({"bootstrap.servers": settings.kafka}, logger=LOGGER)
        self._jobs: dict[Place, str] = {}
        self._offsets: dict[str, dict[int, int]] = {}
        self._looked_s = 0.0

    def offsets(self, place: Place) -> Mapping[int, int]:
        """How far a group's epoch is as of the last poll; empty before its first checkpoint."""
        return self._offsets.get(self._jobs.get(place, ""), {})

    def poll(self, places: Collection[Place]) -> bool:
        """Asks Kafka, and says whether anything moved; raises PlatformError where it does not answer."""
        try:
            self._find(places)
            before = dict(self._offsets)
            for name in {self._jobs[place] for place in places if place in self._jobs}:
                self._offsets[name] = self._committed(name)
        except KafkaException as error:
            raise PlatformError(f"the progress of Flink's jobs is not known: {error.args[0].str()}") from error
        return before != self._offsets

    def _find(self, places: Collection[Place]) -> None:
        if all(place in self._jobs for place in places) or time.monotonic() < self._looked_s + _LOOK_S:
            return
        self._looked_s = time.monotonic()
        listed = self._admin.list_consumer_groups(request_timeout=_ANSWER_S).result()
        for group in listed.valid:
            for place in places_of(self._prefix, group.group_id):
                self._jobs[place] = group.group_id

    def _committed(self, name: str) -> dict[int, int]:
        asked = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)], request_timeout=_ANSWER_S)
        found = asked[name].result().topic_partitions or []
        return {part.partition: part.offset for part in found if part.offset >= 0}


@dataclass
class Followed:
    """A group's epoch that a Flink job computes, as the lane counts it when it says what is visible.

    newest_ms: by partition the time of the newest event of what is visible, milliseconds since the epoch, UTC.
    """

    place: Place
    topic: str
    time: str
    offsets: dict[int, int] = field(default_factory=dict)
    newest_ms: dict[int, int] = field(default_factory=dict)


class FlinkFollower:
    """The groups' epochs that Flink computes, kept current. What it tells of is moved in place."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._progress = FlinkProgress(settings)
        self._newest = NewestTimes(settings, codec)
        self._followed: dict[Place, Followed] = {}

    async def take(self, epochs: Iterable[GroupEpoch]) -> list[Followed]:
        """Follows groups; those that were not followed before, with their progress."""
        sources = {(one.group.name, one.epoch): one.group.definition.source for one in epochs}
        new = [Followed(at, one.topic, one.time) for at, one in sources.items() if at not in self._followed]
        self._followed |= {one.place: one for one in new}
        if new:
            await self._move()
        return new

    async def run(self, moved: Callable[[], Awaitable[None]]) -> None:
        """Awaits `moved` whenever a job has come further, until cancelled."""
        while True:
            await asyncio.sleep(_POLL_S)
            if self._followed and await self._move():
                await moved()

    async def _move(self) -> bool:
        try:
            changed = await asyncio.to_thread(self._progress.poll, list(self._followed))
        except PlatformError as error:
            _log.warning("asked again: %s", error)
            return False
        if changed:
            await self._learn_times()
        for place, one in self._followed.items():
            one.offsets.update(self._progress.offsets(place))
        return changed

    async def _learn_times(self) -> None:
        """The newest event of what came. Groups of one job have come equally far, and are asked for once."""
        known: dict[tuple[object, ...], dict[int, int]] = {}
        for place, one in self._followed.items():
            before, reached = one.offsets, self._progress.offsets(place)
            spans = {part: (before.get(part, 0), end) for part, end in reached.items() if end > before.get(part, 0)}
            asked = (one.topic, one.time, tuple(spans.items()))
            try:
                if spans and asked not in known:
                    known[asked] = await asyncio.to_thread(self._newest.of, one.topic, one.time, spans)
            except PlatformError as error:
                _log.warning("how new the events of %s are is not known: %s", one.topic, error)
                return
            for part, time_ms in known.get(asked, {}).items():
                one.newest_ms[part] = max(one.newest_ms.get(part, 0), time_ms)
