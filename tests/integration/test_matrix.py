"""Every pipeline on every kind of data is equal within its tolerance or refused with a reason, as the docs print it."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bighead.artifacts import put
from bighead.client.models import ModelsClient, new_id
from bighead.client.predict import PredictionClient
from bighead.client.publish import Publisher
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.events.log import follow
from bighead.events.topics import MODELS_COMMANDS, SERVING_EVENTS, topic_name
from bighead.events.types import DeployModel, ModelLoadFailed, ModelSwapped
from bighead.pipeline import model_record, save
from bighead.pipeline.outputs import answers_of
from bighead.pipeline.record import Origin
from bighead.pipeline.tensors import frame, json_values
from tests.integration.hosted_registry import hosted
from tests.integration.serving_process import serving
from tests.unit.pipeline.matrix import DATA, DOCS, PIPELINES, Cell, cells, page, rows_of

ORIGIN = Origin(None, None, None, {"table": "training/matrix"}, {}, "abc", "test", 1, 2)
ASKED = 10
LOADED_S = 240.0


@pytest.fixture(scope="module")
def found() -> list[Cell]:
    return list(cells())


def test_every_cell_is_equal_or_refused_as_the_docs_say(found: list[Cell]) -> None:
    assert DOCS.read_text() == page(found), "run `python -m tests.unit.pipeline.matrix`"
    equal = {(cell.row, cell.data) for cell in found if cell.model is not None}
    assert len(equal) > 0.85 * len(PIPELINES) * len(DATA)


def test_what_is_equal_is_registered_deployed_and_served_over_grpc(
    found: list[Cell], ready_settings: Settings, tmp_path: Path
) -> None:
    proven = [cell for cell in found if cell.model is not None]
    with hosted(ready_settings), serving(ready_settings) as server:
        publish(ready_settings, proven, tmp_path)
        assert loaded(ready_settings, len(proven)) == {cell.name for cell in proven}
        with PredictionClient(server.settings.grpc) as client:
            for cell in proven:
                check_served(client, cell)


def test_a_refusal_names_the_step_and_what_to_use_instead(found: list[Cell]) -> None:
    refused = [cell for cell in found if cell.model is None]
    assert refused
    for cell in refused:
        assert "step '" in cell.refusal
        assert len(cell.refusal.rpartition(": ")[2]) > 10


def publish(settings: Settings, proven: list[Cell], folder: Path) -> None:
    """Asks the registry to register and to deploy each, as the commands do; nothing waits for the one before it."""
    client, publisher = ModelsClient(settings), Publisher(settings, "test")
    topic = topic_name(settings.topic_prefix, MODELS_COMMANDS)
    for cell in proven:
        assert cell.model is not None
        artifact = put(settings.artifacts, save(cell.model, folder / f"{cell.name}.onnx"))
        record = model_record(cell.model, artifact, {}, ORIGIN)
        parity = json.loads(record.parity)
        assert parity["task"] == PIPELINES[cell.row].task
        assert parity["max_abs_diff"] <= parity["tolerance"] <= 1e-5
        deploy = DeployModel(
            command_id=new_id(), model=cell.name, version=1, environment=settings.environment,
            actor="test", reason="the matrix", at_ms=wall_clock_ms(),
        )  # fmt: skip
        for command in (client.registration(cell.name, record, artifact, "the matrix", None), deploy):
            publisher.publish(command, key=cell.name, topic=topic)
    publisher.flush()


def loaded(settings: Settings, most: int) -> set[str]:
    """The models that the server answers with, once it has so many; what it could not load is an error."""
    deadline_s, names, codec = time.monotonic() + LOADED_S, set[str](), Codec(settings.schema_registry)
    topic = topic_name(settings.topic_prefix, SERVING_EVENTS)
    messages = follow(settings, [topic], stop=lambda: len(names) == most or time.monotonic() > deadline_s)
    for _, event in codec.decoded(messages):
        assert not isinstance(event, ModelLoadFailed), event
        if isinstance(event, ModelSwapped):
            names.add(event.model)
    return names


def check_served(client: PredictionClient, cell: Cell) -> None:
    assert cell.model is not None
    inputs, rows = rows_of(cell.data)
    asked = frame(inputs, rows.iloc[:ASKED])
    given = [json_values(asked, place) for place in range(ASKED)]
    received = client.predict(cell.name, [{"id": place} for place in range(ASKED)], given).predictions
    for name, expected in answers_of(cell.pipeline, PIPELINES[cell.row].task, asked).items():
        names = [name] if expected.ndim == 1 else [f"{name}[{place}]" for place in range(expected.shape[1])]
        values: Any = np.array([[one.outputs[part] for part in names] for one in received]).reshape(expected.shape)
        if expected.dtype.kind == "f":
            tolerance = cell.model.parity.tolerance * np.maximum(1.0, np.abs(expected))
            assert np.all(np.abs(values - expected) <= tolerance), cell.name
        else:
            assert values.tolist() == expected.tolist(), cell.name
