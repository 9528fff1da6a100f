"""The library gives what a model server gives, in the form of what it is asked, and says what does not fit."""

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bighead import config
from bighead.artifacts import Artifact
from bighead.errors import ArtifactError, InvalidInput
from bighead.inference import Predictor
from bighead.inference.loading import load
from bighead.inference.model import LoadedModel
from bighead.inference.registered import Registered
from bighead.inference.signature import Row, Value
from bighead.registry.keys import new_secret_key, public_key, secret_key
from serving.answers import Answer, Entity
from tests.unit.serving.fakes import FakeReader, predictor_of
from tests.unit.serving.models import EVERY, every_stored, mixed_stored, times_record, times_stored

SETTINGS = config.load({"BIGHEAD_HOME": "/nowhere"})
ROW: Row = {"delay": 2.5, "flights": 3, "carrier": "UA", "is_late": True, "hour": 7}
KINDS = {
    "delay": pa.float64(),
    "flights": pa.int64(),
    "carrier": pa.string(),
    "is_late": pa.bool_(),
    "hour": pa.int64(),
    "unused": pa.int64(),
}
DOUBLES = st.one_of(st.none(), st.floats())
INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1)
FITTING = st.floats(width=32)
ROWS = st.fixed_dictionaries({"carrier": st.text(max_size=5), "is_late": st.booleans(), "hour": INTEGERS})


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load("mixed", 4, mixed_stored(tmp_path_factory.mktemp("mixed")))[0]


def exactly(value: Value) -> object:
    """A value that equals another only where every bit is the same."""
    return struct.pack("<d", value) if isinstance(value, float) else value


def exact(rows: Sequence[Row]) -> list[dict[str, object]]:
    return [{name: exactly(value) for name, value in row.items()} for row in rows]


@settings(max_examples=60, deadline=None)
@given(delay=DOUBLES, flights=st.one_of(st.none(), INTEGERS), rows=st.lists(ROWS, min_size=1, max_size=12))
def test_rows_and_tables_get_the_answers_of_the_server(
    mixed: LoadedModel, delay: float | None, flights: int | None, rows: list[dict[str, Any]]
) -> None:
    features = {"delay": delay, "flights": flights}
    server = predictor_of(mixed, reader=FakeReader(features))
    entities = [Entity({"carrier": "UA"}, row) for row in rows]
    served: Answer = asyncio.run(server.predict("mixed", None, entities))

    library, asked = Predictor(mixed), [{**features, **row, "unused": 1} for row in rows]
    assert exact(library.predict(asked)) == exact(served.outputs)
    table = pa.table({name: pa.array([row[name] for row in asked], kind) for name, kind in KINDS.items()})
    assert exact(library.predict(table).to_pylist()) == exact(served.outputs)


@settings(max_examples=30, deadline=None)
@given(values=st.lists(FITTING, min_size=1, max_size=30))
def test_tensors_get_the_answers_of_the_server(mixed: LoadedModel, values: list[float]) -> None:
    rows = len(values)
    tensors: dict[str, Any] = {
        "delay": np.array(values, np.float32).reshape(-1, 1),
        "flights": np.arange(rows).reshape(-1, 1),
        "carrier": np.array(["UA"] * rows, object).reshape(-1, 1),
        "is_late": np.array([[True]] * rows),
        "hour": np.full((rows, 1), -3),
    }
    served = asyncio.run(predictor_of(mixed).infer("mixed", None, tensors))
    given_texts = {**tensors, "carrier": np.array([["UA"]] * rows)}  # numpy's own type for texts
    found = Predictor(mixed).predict(given_texts)
    assert list(found) == ["score", "both", "label"]
    assert [array.tobytes() for array in list(found.values())[:2]] == [one.tobytes() for one in served.outputs[:2]]
    assert found["label"].tolist() == served.outputs[2].tolist()


def test_every_datatype_passes_as_a_tensor(tmp_path: Path) -> None:
    library = Predictor(load("every", 1, every_stored(tmp_path))[0])
    kinds = {column.name: column.dtype for column in library.signature.inputs}
    tensors = {
        f"in_{name.lower()}": np.array([values], kinds[f"in_{name.lower()}"]) for name, (_, values) in EVERY.items()
    }
    for name, array in library.predict(tensors).items():
        given_array = tensors[name.replace("out_", "in_")]
        assert (array.dtype, array.tolist()) == (given_array.dtype, given_array.tolist())
    with pytest.raises(InvalidInput, match=r"input 'in_bool' is BOOL \[-1, 2\], not a column; give every input"):
        library.predict([{"in_bool": True}])


def test_nothing_asked_is_nothing_answered(mixed: LoadedModel) -> None:
    library = Predictor(mixed)
    assert library.predict([]) == []
    empty = pa.table({name: pa.array([], pa.null()) for name in ROW})
    answer = library.predict(empty)
    assert answer.schema == pa.schema(
        {"score": pa.float64(), "both[0]": pa.float64(), "both[1]": pa.float64(), "label": pa.string()}
    )
    assert answer.schema == library.predict(pa.table({name: [value] for name, value in ROW.items()})).schema


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hour": None}, "column 'hour': received null; expected INT64"),
        ({"hour": 1.5}, "column 'hour': received '1.5' (float); expected INT64"),
        ({"carrier": 7}, "column 'carrier': received '7' (int); expected BYTES"),
        ({"flights": 2.5}, "column 'flights': expected INT64; received [2.5]"),
        ({"delay": [1.0, 2.0]}, "column 'delay': received [1.0, 2.0]; expected FP32"),
        ({"flights": 1 << 70}, "column 'flights': expected INT64; Python int too large"),
    ],
)
def test_a_value_that_does_not_fit_is_named(mixed: LoadedModel, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Predictor(mixed).predict([{**ROW, **changed}])
    assert str(refused.value).startswith(f"model 'mixed' version 4: {message}")


def test_an_input_that_is_not_there_is_named_with_what_is_near(mixed: LoadedModel) -> None:
    library = Predictor(mixed)
    misspelt = {("dleay" if name == "delay" else name): value for name, value in ROW.items()}
    expected = r"column 'delay': received nothing \(did you mean 'dleay'\?\); expected FP32"
    with pytest.raises(InvalidInput, match=expected):
        library.predict([misspelt])
    with pytest.raises(InvalidInput, match=expected):
        library.predict(pa.table({name: [value] for name, value in misspelt.items()}))
    twice = pa.table([pa.array([value]) for value in (*ROW.values(), 1.0)], [*ROW, "delay"])
    with pytest.raises(InvalidInput, match="column 'delay': received 2 of that name; expected one"):
        library.predict(twice)
    timed = {name: pa.array([value]) for name, value in ROW.items()} | {"hour": pa.array([1], pa.timestamp("ms"))}
    with pytest.raises(InvalidInput, match="column 'hour': received Arrow type timestamp"):
        library.predict(pa.table(timed))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1.0]], "input 'x': received a list; expected a numpy array"),
        (np.array([[1.0]]), r"input 'x': received FP64 \[1, 1\]; expected FP32 \[-1, 1\]"),
        (np.array([["1970-01-01"]], "datetime64[s]"), "input 'x': received an array of datetime64"),
        (np.array([[1.0]], object), "input 'x': received an array of objects"),
        (np.zeros((0, 1), np.float32), "input 'x': received 0 rows"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(tmp_path: Path, x: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Predictor(load("times", 1, times_stored(tmp_path, 2.0))[0]).predict({"x": x})


def test_more_rows_than_a_request_may_have(tmp_path: Path) -> None:
    library = Predictor(load("times", 1, times_stored(tmp_path, 2.0))[0])
    x = np.arange(25_000, dtype=np.float32).reshape(-1, 1)
    assert np.array_equal(library.predict({"x": x})["y"], x * 2)
    assert library.predict(pa.table({"x": x.ravel()})).column("y").to_pylist() == (x.ravel() * 2).tolist()


def test_a_version_that_is_not_what_was_registered_is_not_loaded(tmp_path: Path) -> None:
    good = times_stored(tmp_path, 2.0)
    artifact = Artifact(good.artifact_uri, good.artifact_sha256, good.artifact_size)
    wrong = times_record(artifact, 2.0, golden_factor=3.0)
    with pytest.raises(ArtifactError, match="version 3 of model 'times' cannot be loaded: step 'golden' failed"):
        Predictor.load_tried(Registered("times", 3, wrong), SETTINGS)
    unsigned = replace(SETTINGS, model_keys=public_key(secret_key(new_secret_key())))
    with pytest.raises(ArtifactError, match="step 'signature' failed: ArtifactError: its manifest is not"):
        Predictor.load(Registered("times", 3, good), unsigned)
