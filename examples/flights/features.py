"""The features of a flight, one hour before its scheduled departure: apply them with `bighead features apply`."""

from bighead.features import Aggregation, EntitySource, EventSource, GroupBy, Join, Keys, Op

WINDOWS = ["1h", "3h", "1d", "7d"]

arrivals = EventSource(
    topic="flights.arrived.v1",
    table="flights/arrived",
    time="arrived_ms",
    select={
        "carrier": "carrier",
        "origin": "origin",
        "dest": "dest",
        "tailnum": "tailnum",
        "delay": "arr_delay_min",
        "late": "CASE WHEN arr_delay_min > 15 THEN 1.0 ELSE 0.0 END",
    },
)
# A departure is known hours before the arrival of the same flight.
departures = EventSource(
    topic="flights.departed.v1",
    table="flights/departed",
    time="departed_ms",
    select={
        "carrier": "carrier",
        "origin": "origin",
        "dest": "dest",
        "tailnum": "tailnum",
        "delay": "dep_delay_min",
        "late": "CASE WHEN dep_delay_min > 15 THEN 1.0 ELSE 0.0 END",
    },
)
weather = EventSource(topic="weather.observed.v1", table="weather/observed", time="observed_ms")
planes = EntitySource(topic="planes.changed.v1", table="planes/changed", time="changed_ms")

PUNCTUALITY = [Aggregation("late", Op.AVERAGE, WINDOWS), Aggregation("delay", Op.AVERAGE, WINDOWS)]

carrier_arrivals = GroupBy("carrier_arrivals", arrivals, ["carrier"], PUNCTUALITY)
origin_arrivals = GroupBy("origin_arrivals", arrivals, ["origin"], PUNCTUALITY)
dest_arrivals = GroupBy("dest_arrivals", arrivals, ["dest"], PUNCTUALITY)
plane_arrivals = GroupBy(
    "plane_arrivals", arrivals, ["tailnum"], [*PUNCTUALITY, Aggregation("delay", Op.LAST)], "How this plane has done"
)
carrier_departures = GroupBy(
    "carrier_departures",
    departures,
    ["carrier"],
    [*PUNCTUALITY, Aggregation("tailnum", Op.APPROX_UNIQUE_COUNT, ["1d"])],
)
origin_departures = GroupBy(
    "origin_departures",
    departures,
    ["origin"],
    [*PUNCTUALITY, Aggregation("delay", Op.AVERAGE, ["1d"], bucket="carrier")],
)
plane_departures = GroupBy(
    "plane_departures",
    departures,
    ["tailnum"],
    [Aggregation("delay", Op.LAST), Aggregation("dest", Op.LAST_K, args={"k": 3})],
    "How and where to this plane flew last",
)
origin_weather = GroupBy(
    "origin_weather",
    weather,
    ["origin"],
    [
        Aggregation(column, Op.LAST)
        for column in (
            "temperature_f",
            "humidity_pct",
            "wind_mph",
            "gust_mph",
            "rain_in",
            "pressure_mb",
            "visibility_mi",
        )
    ],
    "The newest observation at the airport of departure",
)
plane = GroupBy("plane", planes, ["tailnum"], [Aggregation("built_year", Op.LAST), Aggregation("seats", Op.LAST)])

flight = Join(
    "flight",
    left=Keys("carrier", "origin", "dest", "tailnum"),
    parts=[
        carrier_arrivals,
        origin_arrivals,
        dest_arrivals,
        plane_arrivals,
        carrier_departures,
        origin_departures,
        plane_departures,
        origin_weather,
        plane,
    ],
    derivations={
        "origin_trend": "origin_departures_delay_average_1h - origin_departures_delay_average_1d",
        "carrier_trend": "carrier_departures_delay_average_1h - carrier_departures_delay_average_1d",
    },
    description="Everything that is known of a flight's carrier, airports, plane and weather",
)
