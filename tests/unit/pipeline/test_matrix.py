"""Every pipeline on every kind of data is equal within its tolerance or refused with a reason, as the docs print it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bighead.artifacts import put
from bighead.client.predict import PredictionClient
from bighead.inference.loading import load
from bighead.inference.model import LoadedModel
from bighead.pipeline import model_record, save
from bighead.pipeline.outputs import answers_of
from bighead.pipeline.record import Origin
from bighead.pipeline.tensors import frame, json_values
from bighead.registry.proof import check_record
from tests.unit.pipeline.matrix import DATA, DOCS, PIPELINES, Cell, cells, page, rows_of
from tests.unit.serving.fakes import predictor_of
from tests.unit.serving.running import running

ORIGIN = Origin(None, None, None, {"table": "training/matrix"}, {}, "abc", "test", 1, 2)
ASKED = 10


@pytest.fixture(scope="module")
def found() -> list[Cell]:
    return list(cells())


def test_every_cell_is_equal_or_refused_as_the_docs_say(found: list[Cell]) -> None:
    assert DOCS.read_text() == page(found), "run `python -m tests.unit.pipeline.matrix`"
    equal = {(cell.row, cell.data) for cell in found if cell.model is not None}
    assert len(equal) > 0.85 * len(PIPELINES) * len(DATA)


def test_what_is_equal_is_stored_registered_loaded_and_served_over_grpc(found: list[Cell], tmp_path: Path) -> None:
    proven = [cell for cell in found if cell.model is not None]
    served = [loaded(cell, tmp_path) for cell in proven]
    with running(predictor_of(*served)) as addresses, PredictionClient(addresses.grpc) as client:
        for cell in proven:
            check_served(client, cell)


def test_a_refusal_names_the_step_and_what_to_use_instead(found: list[Cell]) -> None:
    refused = [cell for cell in found if cell.model is None]
    assert refused
    for cell in refused:
        assert "step '" in cell.refusal
        assert len(cell.refusal.rpartition(": ")[2]) > 10


def loaded(cell: Cell, folder: Path) -> LoadedModel:
    """The model as a server has it, from its record and its file alone."""
    assert cell.model is not None
    artifact = put(str(folder / "artifacts"), save(cell.model, folder / f"{cell.name}.onnx"))
    record = model_record(cell.model, artifact, {}, ORIGIN)
    check_record(record)
    parity = json.loads(record.parity)
    assert parity["task"] == PIPELINES[cell.row].task
    assert parity["max_abs_diff"] <= parity["tolerance"] <= 1e-5
    return load(cell.name, 1, record)[0]


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
