"""The demo's events: complete, in UTC, stamped when they became known."""

import fastavro
import pandas as pd
import pyarrow as pa
import pytest

from examples.flights import data


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    return data.load_flights()


@pytest.fixture(scope="module")
def events(flights: pd.DataFrame) -> dict[data.Topic, pa.Table]:
    return data.load_events(flights)


def utc_ms(text: str) -> int:
    return int(pd.Timestamp(text, tz="UTC").value // 1_000_000)


def one(flights: pd.DataFrame, flight_id: str) -> pd.Series:
    [(_, row)] = flights[flights.flight_id == flight_id].iterrows()
    return row


def test_every_flight_of_the_year_is_there_once(flights: pd.DataFrame) -> None:
    assert len(flights) == 336_776
    assert flights.flight_id.is_unique
    assert int(flights.departed_ms.isna().sum()) == 8_255
    assert flights.late.notna().sum() == flights.arrived_ms.notna().sum() == 327_346


def test_times_are_utc_by_the_zone_of_each_airport(flights: pd.DataFrame) -> None:
    # 05:15 in Newark (UTC-5), two minutes late; due 08:19 in Houston (UTC-6), eleven minutes late
    first = one(flights, "UA1545-EWR-2013-01-01")
    assert first.scheduled_ms == utc_ms("2013-01-01 10:15")
    assert first.asked_ms == utc_ms("2013-01-01 09:15")
    assert first.departed_ms == utc_ms("2013-01-01 10:17")
    assert first.arrived_ms == utc_ms("2013-01-01 14:30")
    assert first.late == 0.0


def test_summer_time_is_observed_and_the_night_of_its_end_has_25_hours(flights: pd.DataFrame) -> None:
    summer = one(flights, "B6915-JFK-2013-07-01")  # 20:29 at JFK (UTC-4)
    assert summer.scheduled_ms == utc_ms("2013-07-02 00:29")
    # leaves at 20:58 on the 3rd of November, when winter time has come; due in Florida at 00:02 of the 4th, 4 min early
    night = one(flights, "UA371-EWR-2013-11-03")
    assert night.scheduled_ms == utc_ms("2013-11-04 01:58")
    assert night.arrived_ms == utc_ms("2013-11-04 04:58")


def test_a_flight_arrives_after_it_departed_and_was_in_the_air_in_between(flights: pd.DataFrame) -> None:
    landed = flights[flights.arrived_ms.notna()]
    assert ((landed.arrived_ms - landed.departed_ms) >= 30 * 60_000).all()
    assert ((landed.arrived_ms - landed.departed_ms) <= 13 * data.HOUR_MS).all()


def test_a_flight_without_a_plane_never_departs(flights: pd.DataFrame) -> None:
    assert flights[flights.tailnum == ""].departed_ms.isna().all()


def test_history_ends_at_the_cut_where_the_replay_begins(
    flights: pd.DataFrame, events: dict[data.Topic, pa.Table]
) -> None:
    history = data.history(events)
    replayed = data.replay_events(events, flights)
    assert {topic.name: len(table) for topic, table in history.items()} == {
        "flights.departed.v1": 274_296,
        "flights.arrived.v1": 273_104,
        "weather.observed.v1": 21_818,
        "planes.changed.v1": 3_322,
    }
    times = [event.time_ms for event in replayed]
    assert times == sorted(times)
    assert times[0] >= data.CUT_MS > max(history[data.ARRIVED]["arrived_ms"].to_pylist())
    asked = data.asked_between(flights, data.CUT_MS, data.REPLAY_UNTIL_MS)
    landings = {event.record["flight_id"] for event in replayed if event.topic is data.ARRIVED}
    assert set(asked[asked.late.notna()].flight_id) <= landings


@pytest.mark.parametrize("topic", data.TOPICS, ids=lambda topic: topic.name)
def test_events_have_the_form_of_their_avro_schema(topic: data.Topic, events: dict[data.Topic, pa.Table]) -> None:
    records = events[topic].slice(0, 100).to_pylist()
    assert all(fastavro.validation.validate(record, topic.schema, strict=True) for record in records)
    assert all(field["doc"] for field in topic.schema["fields"])
    assert all(record[topic.key] for record in records)
