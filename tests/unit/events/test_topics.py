"""The topic table, headers and positions."""

from collections import Counter

import pytest

from bighead import config
from bighead.errors import InvalidEvent
from bighead.events.headers import cloud_event
from bighead.events.message import Message, Position
from bighead.events.schemas import platform_schemas
from bighead.events.topics import (
    FEATURES_EVENTS,
    FEATURES_STATE,
    FOREVER,
    MODELS_EVENTS,
    OUTCOMES,
    TOPICS,
    check_belongs,
    partitions_of,
    spec_of,
    topic_name,
)
from bighead.events.types import EVENT_TYPES


def test_every_event_type_is_on_exactly_one_topic() -> None:
    carried = Counter(event.FULL_NAME for spec in TOPICS for event in spec.types)
    assert carried == dict.fromkeys(EVENT_TYPES, 1)
    assert set(platform_schemas()) == set(EVENT_TYPES)


def test_names_carry_the_prefix_and_lead_back_to_the_row() -> None:
    assert topic_name("bighead", MODELS_EVENTS) == "bighead.models.events.v1"
    assert len({spec.name for spec in TOPICS}) == len(TOPICS)
    for spec in TOPICS:
        assert spec_of("my.prefix", topic_name("my.prefix", spec.name)) is spec
    assert spec_of("bighead", "orders.v1") is None
    assert spec_of("bighead", "bighead2.models.events.v1") is None


def test_state_is_compacted_and_truth_is_kept() -> None:
    by_name = {spec.name: spec for spec in TOPICS}
    assert by_name[FEATURES_STATE].broker_settings()["cleanup.policy"] == "compact"
    assert by_name[FEATURES_EVENTS].broker_settings()["retention.ms"] == str(FOREVER)
    assert by_name[MODELS_EVENTS].broker_settings()["retention.ms"] == str(FOREVER)
    assert int(by_name[OUTCOMES].broker_settings()["retention.ms"]) > 0


def test_partitions_follow_the_settings_but_where_order_counts() -> None:
    settings = config.load({"BIGHEAD_PARTITIONS": "7"})
    counts = {spec.name: partitions_of(spec, settings) for spec in TOPICS}
    assert counts.pop(FEATURES_EVENTS) == 1
    assert set(counts.values()) == {7}


def test_an_event_on_the_wrong_topic_is_refused_with_the_right_one() -> None:
    check_belongs("p", "p.outcomes.v1", "bighead.v1.OutcomeObserved")
    check_belongs("p", "orders.v1", "shop.OrderPlaced")
    with pytest.raises(InvalidEvent, match=r"RollBack was sent to p\.outcomes\.v1, which carries bighead\.v1\.Outcome"):
        check_belongs("p", "p.outcomes.v1", "bighead.v1.RollBack")
    with pytest.raises(InvalidEvent, match=r"belongs on p\.models\.commands\.v1"):
        check_belongs("p", "orders.v1", "bighead.v1.RollBack")


def test_headers_are_cloud_events_in_binary_mode() -> None:
    headers = dict(
        cloud_event(event_type="shop.OrderPlaced", source="till/3", subject="ann", time_ms=1_383_264_000_007)
    )
    assert len(headers.pop("ce_id")) == 32
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_source": b"till/3",
        "ce_type": b"shop.OrderPlaced",
        "ce_time": b"2013-11-01T00:00:00.007Z",
        "ce_subject": b"ann",
        "content-type": b"application/avro",
    }
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    more = dict(cloud_event(event_type="t", source="s", subject=None, time_ms=0, traceparent=trace))
    assert more["traceparent"] == trace.encode()
    assert "ce_subject" not in more


def test_two_events_have_two_ids() -> None:
    ids = {dict(cloud_event(event_type="t", source="s", subject=None, time_ms=0))["ce_id"] for _ in range(100)}
    assert len(ids) == 100


def test_positions_are_written_and_read() -> None:
    position = Position("orders.v1", 3, 42)
    assert str(position) == "orders.v1/3/42"
    assert Position.parse("orders.v1/3/42") == position
    for text in ("", "orders.v1", "orders.v1/3", "orders.v1/a/42", "orders.v1/-3/42", "/3/42", "a/1/2/3"):
        with pytest.raises(ValueError, match="expected topic/partition/offset"):
            Position.parse(text)


def test_the_last_header_of_a_name_counts() -> None:
    message = Message("t", 0, 1, None, b"", (("a", b"1"), ("b", None), ("a", b"2")))
    assert message.header("a") == "2"
    assert message.header("b") is None
    assert message.header("c") is None
