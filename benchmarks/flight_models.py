"""What the prediction benchmark asks: the demo's features, filled with made-up flights, and two models of its kind.

`delay` looks up every feature of the demo by the flight's keys; `schedule` gets all of its columns with the request.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.trained import deploy, train
from bighead.client import features as feature_client
from bighead.client.catalog import read_catalog
from bighead.client.features import load_definitions
from bighead.client.publish import Publisher
from bighead.client.visibility import Visibility
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events import admin
from bighead.events.codec import Codec
from bighead.events.types import Tensor
from examples.flights import data, features
from examples.flights.recipes import PARAMETERS, model_inputs, schedule_inputs

JOIN, WITH, WITHOUT = "flight", "delay", "schedule"
EVENTS = 20_000
TRAINED_ROWS = 5_000
CARRIERS, ORIGINS, DESTS = ("UA", "AA", "B6", "DL"), ("EWR", "JFK", "LGA"), ("LAX", "ORD", "MIA", "BOS", "SFO")
PLANES = [f"N{number}" for number in range(200)]
_REASON = "a measurement"
Row = dict[str, str | float]


def flights(seed: int = 7) -> Iterator[tuple[Row, Row]]:
    """Keys and inputs of flights without end, the same ones each time."""
    chosen = random.Random(seed)
    while True:
        keys: Row = {
            "carrier": chosen.choice(CARRIERS),
            "origin": chosen.choice(ORIGINS),
            "dest": chosen.choice(DESTS),
            "tailnum": chosen.choice(PLANES),
        }
        inputs: Row = {
            "hour": float(chosen.randrange(24)),
            "weekday": float(chosen.randrange(7)),
            "distance_mi": float(chosen.randrange(200, 2_500)),
            "scheduled_min": float(chosen.randrange(40, 400)),
        }
        yield keys, inputs | {name: keys[name] for name in ("carrier", "origin", "dest")}


def fill(settings: Settings, events: int = EVENTS) -> None:
    """Applies the demo's definitions and publishes a week of departures and arrivals, until they can be read."""
    for topic in data.TOPICS:
        admin.create_topic(settings, topic.name, settings.partitions)
        admin.register_schema(settings, topic.name, topic.schema)
    definitions = load_definitions(Path(features.__file__))
    feature_client.apply(settings, definitions, actor="benchmarks", reason=_REASON)
    publisher, visibility = Publisher(settings, "benchmarks"), Visibility(settings)
    now_ms = wall_clock_ms()
    names = {topic: topic.full_name for topic in data.TOPICS}
    for topic, time_ms, record in _events(now_ms - 7 * data.DAY_MS, now_ms, events):
        publisher.publish_record(topic.name, names[topic], record, key=str(record[topic.key]), time_ms=time_ms)
    visibility.wait(publisher.flush(), 120)
    visibility.close()


def _events(first_ms: int, end_ms: int, events: int) -> Iterator[tuple[data.Topic, int, dict[str, object]]]:
    chosen = random.Random(7)
    for origin in ORIGINS:
        yield data.WEATHER, first_ms, {"origin": origin, "observed_ms": first_ms, "temperature_f": 50.0}
    for plane in PLANES:
        yield data.PLANES, first_ms, {"tailnum": plane, "changed_ms": first_ms, "built_year": 2001, "seats": 180}
    for number, (keys, _) in zip(range(events), flights(), strict=False):
        at_ms = first_ms + number * (end_ms - first_ms) // events
        delay = float(chosen.randrange(-20, 90))
        common: dict[str, object] = {
            **keys,
            "flight_id": str(number),
            "flight": number,
            "scheduled_ms": at_ms,
            "dep_delay_min": delay,
        }
        yield data.DEPARTED, at_ms, common | {"departed_ms": at_ms}
        yield data.ARRIVED, at_ms, common | {"arrived_ms": at_ms, "arr_delay_min": delay}


def serve(settings: Settings) -> dict[str, int]:
    """Trains, proves, registers and deploys both models; how many inputs each has."""
    codec = Codec(settings.schema_registry)
    join = read_catalog(settings, codec).join(JOIN)
    codec.close()
    names = [name for name, kind in join.kinds.items() if kind in ("double", "long")]
    inputs = {WITH: model_inputs(names), WITHOUT: schedule_inputs()}
    for model, columns in inputs.items():
        path = settings.home / f"{model}.onnx"
        looked_up = join if model == WITH else None
        deploy(settings, model, train(settings, path, columns, _rows(columns), PARAMETERS, looked_up))
    return {model: len(columns) for model, columns in inputs.items()}


def _rows(inputs: Sequence[Tensor]) -> pd.DataFrame:
    """Made-up training rows: the schedule as it is asked, features at random, labels that depend on both."""
    drawn = np.random.default_rng(7)
    asked = pd.DataFrame([row for _, row in itertools.islice(flights(11), TRAINED_ROWS)])
    columns = {one.name: drawn.normal(10, 20, TRAINED_ROWS) for one in inputs if one.name not in asked}
    rows = pd.concat([asked, pd.DataFrame(columns, index=asked.index)], axis=1)
    signal = rows.hour / 12 + drawn.normal(0, 1, TRAINED_ROWS) + sum(columns.values(), np.zeros(TRAINED_ROWS)) / 200
    return rows.assign(late=signal > signal.median())
