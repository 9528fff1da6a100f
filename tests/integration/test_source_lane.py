"""The order in which a step says what it did: one who dies after any part of it loses nothing."""

import asyncio
from collections.abc import Iterable

import pytest

from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.log import read_log
from bighead.events.message import Message
from bighead.events.types import FeatureTile, PositionReached, SourcePosition
from bighead.features import Aggregation, EventSource, GroupBy, Op
from bighead.features.compiled import compile_group
from bighead.features.types import ValueType
from streams.commits import Commits
from streams.evaluate import connect
from streams.member import Member
from streams.source import Parts, SourceLane
from streams.statistics import LaneStatistics
from streams.tile_log import TileLog
from streams.tile_store import TileStore
from tests.conformance.cases import MIDNIGHT_MS
from tests.e2e.kit import Source
from tests.lane_kit import avro_schema

COLUMNS = {"at_ms": ValueType.LONG, "carrier": ValueType.STRING}
TOPIC = "ordered.flights.v1"
AFTERWARDS = "afterwards.v1"
GROUP = GroupBy("ordered", EventSource(TOPIC, TOPIC, "at_ms"), ["carrier"], [Aggregation("carrier", Op.COUNT)])


class Died(Exception):
    """Instead of what a step would have done next."""


class DeadlyLetters:
    """Dead letters that nobody lives to see written."""

    def send(self, message: Message, error: Exception, stage: str) -> None:
        """Takes it, for nothing."""

    def flush(self) -> None:
        """As a SIGKILL does it, but where the test wants it."""
        raise Died


def test_nothing_says_that_an_event_is_included_before_its_dead_letter_is_safe(ready_settings: Settings) -> None:
    source = Source(ready_settings, TOPIC, avro_schema("Seen", COLUMNS, ["at_ms"]), "carrier", partitions=1)
    source.publish([{"at_ms": MIDNIGHT_MS, "carrier": "C"}, {"at_ms": MIDNIGHT_MS, "carrier": None}])
    codec = Codec(ready_settings.schema_registry)

    async def run() -> list[object]:
        log = TileLog(ready_settings, codec)
        store = TileStore(ready_settings.state / "lane", codec, log.topic, 1_000_000)
        commits = Commits(store, log)
        parts = Parts(
            ready_settings, codec, store, log, commits, LaneStatistics(), DeadlyLetters(), connect(), asyncio.Lock()
        )
        lane = SourceLane(parts, TOPIC, lambda _: True)
        lane.add(Member(compile_group(GROUP, COLUMNS), 1, None, {}))
        committing = asyncio.create_task(commits.run())
        with pytest.raises(ExceptionGroup) as died:
            await lane.run()
        assert died.group_contains(Died)
        # Behind everything that the step may have queued, in each partition of the state topic.
        log.mark(AFTERWARDS, [SourcePosition(partition=0, offset=1, event_ms=0)])
        await log.send_off().landed()
        committing.cancel()
        log.close()
        store.close()
        return list(said(ready_settings, codec, log.topic))

    found = asyncio.run(run())
    codec.close()
    assert {event.topic for event in found if isinstance(event, PositionReached)} == {TOPIC, AFTERWARDS}
    assert {event.offset for event in found if isinstance(event, PositionReached) and event.topic == TOPIC} == {0}
    assert not any(isinstance(event, FeatureTile) for event in found)


def said(settings: Settings, codec: Codec, topic: str) -> Iterable[object]:
    return (codec.decode(message.value) for message in read_log(settings, topic))
