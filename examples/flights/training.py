"""The demo's models, by their specifications alone: two versions of one, and one model with a part for each airport.

Knows bighead.training; where rows come from is said by the specifications.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bighead.client.models import ModelsClient
from bighead.client.predict import PredictionClient
from bighead.client.run_sinks import TopicSink
from bighead.config import Settings
from bighead.events.types import Tensor
from bighead.training.running import SEGMENTS, Trained, Wanted, train
from bighead.training.specification import Specification, load_specification
from bighead.training.steps import Progress
from examples.flights.data import CUT_MS, KEYS, REQUEST_COLUMNS
from examples.flights.recipes import AUC

SPECS = Path(__file__).parent / "specs"
FIRST, SECOND, BY_ORIGIN = SPECS / "by_hand.py", SPECS / "searched.py", SPECS / "by_origin.py"


@dataclass(frozen=True)
class Version:
    """A registered version: the AUC on the test month, its ONNX bytes and inputs, how far it is from scikit-learn."""

    number: int
    run_id: str
    auc: float
    content: bytes
    inputs: tuple[Tensor, ...]
    difference: float


def train_version(settings: Settings, specification: Specification, reason: str, say: Progress) -> Version:
    """Trains as `bighead train --register` does: a run with its steps as events, a record with all its documents."""
    done = _train(settings, specification, Wanted(reason=reason, register=True), say)
    client = ModelsClient(settings)
    found = next(one for one in client.show(done.model).state.versions if one.number == done.version)
    parity: Mapping[str, float] = json.loads(found.record.parity)
    return Version(
        number=found.number,
        run_id=done.run_id,
        auc=done.metrics["auc"],
        content=(Path(done.folder) / "model.onnx").read_bytes(),
        inputs=found.record.signature.inputs,
        difference=parity["max_abs_diff"],
    )


class Airport(NamedTuple):
    """One airport's version, and the AUC on its flights of the test month: its own, and that of the model of all."""

    version: int
    own: float
    whole: float


@dataclass(frozen=True)
class ByOrigin:
    """The partitioned model by airport, how many flights were asked, and those that another version answered."""

    airports: Mapping[str, Airport]
    asked: int
    astray: tuple[str, ...]


def train_by_origin(settings: Settings, reason: str, say: Progress) -> Trained:
    """As `bighead train --deploy`: one model for each airport of departure and one of all flights, under one name."""
    return _train(settings, load_specification(BY_ORIGIN), Wanted(reason=reason, register=True, deploy=True), say)


def ask_by_origin(settings: Settings, trained: Trained, flights: pd.DataFrame) -> ByOrigin:
    """Asks the server about some flights as of the end of history: each is to be answered by its airport's version."""
    keys, inputs = (flights[list(names)].to_dict("records") for names in (KEYS, REQUEST_COLUMNS))
    with PredictionClient(settings.grpc) as client:
        answers = client.predict(trained.model, keys, inputs, as_of_ms=CUT_MS).predictions
    expected = [trained.segments.get(f"origin={one}", trained.version) for one in flights.origin]
    astray = [
        f"{flight} was answered by version {answer.version} instead of {version}"
        for flight, answer, version in zip(flights.flight_id, answers, expected, strict=True)
        if answer.version != version
    ]
    told = json.loads((Path(trained.folder) / SEGMENTS).read_text())["grid"]["segments"]
    grid = {row["segment"]: row for row in told}
    airports = {
        segment.partition("=")[2]: Airport(version, grid[segment]["metrics"][AUC], grid[segment]["all_rows"][AUC])
        for segment, version in trained.segments.items()
    }
    return ByOrigin(airports, len(flights), tuple(astray))


def _train(settings: Settings, specification: Specification, wanted: Wanted, say: Progress) -> Trained:
    sink = TopicSink(settings, "bighead/train")
    try:
        return train(specification, settings, sink, wanted, say)
    finally:
        sink.close()
