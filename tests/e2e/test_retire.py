"""A group that is retired gets no more tiles, what is left goes on, and applied again it begins anew."""

import redis

from bighead.client.features import retire
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op
from bighead.features.tiles import store_key
from bighead.features.types import ValueType
from bighead.local.platform import Platform
from tests.conformance.cases import MIDNIGHT_MS
from tests.e2e.kit import Source, catalog_of, check_tiles
from tests.lane_kit import avro_schema

COLUMNS = {"at_ms": ValueType.LONG, "carrier": ValueType.STRING, "delay": ValueType.LONG}
FLIGHTS = EventSource(topic="retire.departed.v1", table="retire/departed", time="at_ms")
KEPT = GroupBy("retire_kept", FLIGHTS, ["carrier"], [Aggregation("delay", Op.SUM, ["1h"])])
ENDED = GroupBy("retire_ended", FLIGHTS, ["carrier"], [Aggregation("delay", Op.MAX, ["1h"])])
JOIN = Join("retire_join", Keys("carrier"), [KEPT])


def stored(source: Source, group: GroupBy, epoch: int) -> dict[bytes, bytes]:
    with redis.Redis.from_url(source.settings.redis) as client:
        found: dict[bytes, bytes] = client.hgetall(store_key(source.settings.topic_prefix, group.name, epoch, '["UA"]'))
        return found


def test_a_retired_group_gets_no_more_tiles_and_the_others_go_on(applications: Platform) -> None:
    source = Source(applications.settings, FLIGHTS.topic, avro_schema("Departed", COLUMNS, ["at_ms"]), key="carrier")
    source.apply([KEPT, ENDED], JOIN)
    events = [{"at_ms": MIDNIGHT_MS + number, "carrier": "UA", "delay": number} for number in range(20)]
    source.await_visible(source.publish(events[:10]))
    before = stored(source, ENDED, 1)
    assert before

    source.await_visible(retire(source.settings, ENDED.name, actor="test", reason="a test").positions)
    source.await_visible(source.publish(events[10:]))
    assert stored(source, ENDED, 1) == before
    check_tiles(source, JOIN.name)

    source.apply([KEPT, ENDED], JOIN)
    assert catalog_of(source.settings).active[ENDED.name] == 2
    source.await_visible(source.publish([{"at_ms": MIDNIGHT_MS + 99, "carrier": "UA", "delay": 99}]))
    assert stored(source, ENDED, 2).keys() == before.keys()
    assert stored(source, ENDED, 1) == before
