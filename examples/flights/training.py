"""The demo's models, by the library alone: two trained by their specifications, and one model for each airport.

Knows bighead.training and bighead.pipeline; where rows come from is said by the specifications.
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bighead.client.attachments import store_documents
from bighead.client.models import ModelsClient
from bighead.client.predict import PredictionClient
from bighead.client.run_sinks import TopicSink
from bighead.client.segments import SegmentsClient
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import ModelError
from bighead.events.types import Tensor
from bighead.pipeline.documents import Description
from bighead.pipeline.origin import Code, code_of
from bighead.pipeline.record import About, Origin
from bighead.pipeline.segments import train_segments
from bighead.pipeline.segments.publish import Published, publish_segments
from bighead.pipeline.training_set import Task, TrainingSet
from bighead.training.running import Wanted, train
from bighead.training.specification import Specification
from bighead.training.steps import Progress
from examples.flights.data import CUT_MS, KEYS, REQUEST_COLUMNS
from examples.flights.recipes import MODEL, OCTOBER, PARAMETERS, SEED, by_hand

BY_ORIGIN = f"{MODEL}_by_origin"
LEAST_ROWS, AUC = 1_000, "roc_auc"
SPECS = Path(__file__).parent / "specs"
FIRST, SECOND = SPECS / "by_hand.py", SPECS / "searched.py"


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
    sink = TopicSink(settings, "bighead/train")
    try:
        done = train(specification, settings, sink, Wanted(reason=reason, register=True), say)
    finally:
        sink.close()
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


def train_by_origin(settings: Settings, rows: TrainingSet, reason: str, say: Progress) -> Published:
    """One model for each airport of departure and one of all flights, registered and deployed under one name."""
    began_ms, split = wall_clock_ms(), OCTOBER.split(rows, SEED)
    trained = train_segments(
        split,
        by_hand,
        levels=("origin",),
        min_rows=LEAST_ROWS,
        metrics=(AUC, "neg_log_loss"),
        seed=SEED,
        jobs=2,
        tell=lambda segment: say(segment or "all flights"),
    )
    code, table = _code(), {"table": rows.name, "version": rows.origin["version"], "sources": rows.origin["sources"]}
    origin = Origin(
        join=rows.join,
        join_epoch=rows.join_epoch,
        join_hash=rows.join_hash,
        training_data={"train": table | {"rows": len(split.train)}, "test": table | {"rows": len(split.test)}},
        config=dict(PARAMETERS),
        code_version=code.version,
        code_dirty_sha256=code.dirty_sha256,
        environment=f"Python {platform.python_version()}, scikit-learn {package_version('scikit-learn')}",
        started_ms=began_ms,
        finished_ms=wall_clock_ms(),
        trained_by=settings.actor,
    )
    documents = Description(charts={"segments": trained.grid.chart}).documents
    about = About(
        model_type=str(Task.BINARY),
        positive_label="1",
        decision_threshold=0.5,
        tags={"demo": "flights"},
        attachments=store_documents(settings, documents),
    )
    return publish_segments(SegmentsClient(settings), BY_ORIGIN, trained, origin, reason, about)


def ask_by_origin(settings: Settings, published: Published, flights: pd.DataFrame) -> ByOrigin:
    """Asks the server about some flights as of the end of history: each is to be answered by its airport's version."""
    keys, inputs = (flights[list(names)].to_dict("records") for names in (KEYS, REQUEST_COLUMNS))
    with PredictionClient(settings.grpc) as client:
        answers = client.predict(BY_ORIGIN, keys, inputs, as_of_ms=CUT_MS).predictions
    expected = [published.versions.get(f"origin={one}", published.live) for one in flights.origin]
    astray = [
        f"{flight} was answered by version {answer.version} instead of {version}"
        for flight, answer, version in zip(flights.flight_id, answers, expected, strict=True)
        if answer.version != version
    ]
    grid = {row.segment: row for row in published.trained.grid.rows}
    airports = {
        segment.partition("=")[2]: Airport(version, grid[segment].metrics[AUC], grid[segment].whole[AUC])
        for segment, version in published.versions.items()
    }
    return ByOrigin(airports, len(flights), tuple(astray))


def _code() -> Code:
    """The commit of this code; from a package, which has none, its version."""
    try:
        return code_of(Path(__file__).parent)
    except ModelError:
        return Code(f"bighead {package_version('bighead')}")
