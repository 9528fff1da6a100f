"""A partitioned model: each row by the version of its finest segment, the rest by the live one, answers in order."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from bighead.client.predict import PredictionClient
from bighead.client.predict_rows import RowsClient
from bighead.client.proto import inference_pb2 as pb
from bighead.errors import InvalidInput, ModelError, UnknownModel
from bighead.events.types import ModelRecord, TrafficArm
from bighead.inference.datatypes import Array
from bighead.inference.loading import load
from bighead.inference.model import LoadedModel
from bighead.registry.deployments import Deployment
from bighead.registry.state import Segments, Traffic
from serving.answers import Entity
from serving.messages import infer_response, metadata
from serving.predictor import Predictor
from serving.snapshot import Served, Snapshot
from tests.unit.serving.fakes import FakeLog, predictor_of
from tests.unit.serving.models import mixed_stored, times_stored
from tests.unit.serving.running import Addresses, running
from tests.unit.serving.test_host import Hosted

SEGMENTS = Segments(("carrier", "region"), {"carrier=AA": 2, "region=EU": 3})
ROWS = [("AA", "EU"), ("UA", "EU"), ("UA", "US"), ("AA", None), ("XX", "EU")]
FACTORS = [20.0, 30.0, 10.0, 20.0, 30.0]
ARMS = ["carrier=AA", "region=EU", "live", "carrier=AA", "region=EU"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[int, LoadedModel]:
    folder: Path = tmp_path_factory.mktemp("times")
    return {version: load("times", version, times_stored(folder, version * 10.0))[0] for version in (1, 2, 3)}


def partitioned(
    models: Mapping[int, LoadedModel],
    log: FakeLog | None = None,
    segments: Segments = SEGMENTS,
    traffic: Traffic | None = None,
) -> Predictor:
    predictor = predictor_of(models[1], log=log)
    predictor.snapshot = Snapshot({"times": Served(models[1], models, traffic, segments)}, ready=True)
    return predictor


def flights() -> list[Entity]:
    return [
        Entity({"carrier": carrier, "region": region}, {"x": 1.0 + row}) for row, (carrier, region) in enumerate(ROWS)
    ]


async def test_a_request_is_split_by_segment_and_its_answers_come_back_in_order(models: dict[int, LoadedModel]) -> None:
    log = FakeLog()
    predictor = partitioned(models, log)
    answer = await predictor.predict("times", None, flights())
    assert [row["y"] for row in answer.outputs] == [factor * (1.0 + row) for row, factor in enumerate(FACTORS)]
    assert (list(answer.arms), list(answer.versions)) == (ARMS, [2, 3, 1, 2, 3])
    assert (answer.version, answer.arm) == (0, "carrier=AA, region=EU, live")
    assert "2 rows: segment 'region=EU' is answered by version 3" in answer.why

    logged = {prediction: one for one in log.answers for prediction in one.ids}
    assert [logged[prediction].version for prediction in answer.ids] == [2, 3, 1, 2, 3]
    assert [logged[prediction].arm for prediction in answer.ids] == ARMS
    assert [predictor.measures.of("times", version).predictions for version in (1, 2, 3)] == [1, 2, 2]


@pytest.mark.parametrize(("row", "arm", "version"), list(zip(ROWS, ARMS, [2, 3, 1, 2, 3], strict=True)))
async def test_a_request_of_one_segment_is_answered_by_one_version(
    models: dict[int, LoadedModel], row: tuple[str, str | None], arm: str, version: int
) -> None:
    entity = Entity({"carrier": row[0], "region": row[1]}, {"x": 1.0})
    answer = await partitioned(models).predict("times", None, [entity] * 3)
    assert (answer.version, answer.arm, answer.versions) == (version, arm, ())
    assert [one["y"] for one in answer.outputs] == [version * 10.0] * 3


async def test_what_the_entities_do_not_say_the_request_does(models: dict[int, LoadedModel]) -> None:
    given = {"carrier": "AA", "region": "EU"}.get
    one, other = Entity({"carrier": "UA"}, {"x": 1.0}), Entity({}, {"x": 1.0})
    answer = await partitioned(models).predict("times", None, [one, other], given=given)
    assert answer.arms == ["region=EU", "carrier=AA"]


async def test_a_version_that_is_asked_for_answers_whatever_the_segment(models: dict[int, LoadedModel]) -> None:
    predictor = partitioned(models)
    assert (await predictor.predict("times", 1, flights())).outputs[0]["y"] == 10.0
    with pytest.raises(UnknownModel):
        await predictor.predict("times", 9, flights())


async def test_a_segment_whose_version_is_not_loaded_falls_back_up_the_hierarchy(
    models: dict[int, LoadedModel],
) -> None:
    without = {version: model for version, model in models.items() if version != 2}
    answer = await partitioned(without).predict("times", None, [Entity({"carrier": "AA", "region": "EU"}, {"x": 1.0})])
    assert (answer.version, answer.arm) == (3, "region=EU")
    assert "version 2 of segment 'carrier=AA' is not loaded; segment 'region=EU'" in answer.why
    answer = await partitioned({1: models[1]}).predict("times", None, flights())
    assert {(answer.version, answer.arm)} == {(0, "live")}, "for different reasons, so in parts"
    assert [row["y"] for row in answer.outputs] == [10.0 * (1.0 + row) for row in range(5)]


async def test_rows_in_no_segment_are_divided_as_the_traffic_says(models: dict[int, LoadedModel]) -> None:
    arms = (TrafficArm(arm="v3", version=3, percent=100), TrafficArm(arm="shadow", version=2, percent=100, shadow=True))
    log = FakeLog()
    predictor = partitioned(models, log, traffic=Traffic(arms, {}, None, ""))
    answer = await predictor.predict("times", None, flights())
    assert list(answer.arms) == ["carrier=AA", "region=EU", "v3", "carrier=AA", "region=EU"]
    await predictor.shadows.settle()
    assert [len(one.ids) for one in log.answers if one.shadow] == [1]


async def test_tensors_are_split_by_a_column_or_placed_by_a_parameter(tmp_path: Path) -> None:
    record = mixed_stored(tmp_path, join=None)
    held = {version: load("mixed", version, record)[0] for version in (1, 2)}
    predictor = predictor_of(held[1])
    segments = Segments(("carrier", "fleet"), {"carrier=AA": 2, "fleet=7": 2})
    predictor.snapshot = Snapshot({"mixed": Served(held[1], held, None, segments)}, ready=True)
    carriers = ["UA", "AA", "UA", "AA"]
    tensors: dict[str, Array] = {
        "delay": np.array([[1], [2], [3], [4]], np.float32),
        "flights": np.zeros((4, 1), np.int64),
        "carrier": np.array([[carrier] for carrier in carriers], object),
        "is_late": np.zeros((4, 1), bool),
        "hour": np.zeros((4, 1), np.int64),
    }
    answer = await predictor.infer("mixed", None, tensors)
    score, both, label = answer.outputs
    assert (score.ravel().tolist(), label.ravel().tolist()) == ([1.0, 2.0, 3.0, 4.0], carriers)
    assert both.tolist() == [[value, value] for value in (1.0, 2.0, 3.0, 4.0)]
    assert (both.dtype, label.dtype) == (np.dtype(np.float32), np.dtype(object))
    assert (answer.arm, answer.versions) == ("live, carrier=AA", "1,2")
    response = infer_response(pb.ModelInferRequest(), answer)
    assert response.model_version == "1,2"
    assert json.loads(response.parameters["segments"].string_param) == [
        {"segment": "live", "version": 1, "rows": [0, 2]},
        {"segment": "carrier=AA", "version": 2, "rows": [1, 3]},
    ]
    whole = await predictor.infer("mixed", None, tensors, given={"fleet": 7.0}.get)
    assert (whole.versions, whole.arm, len(whole.parts)) == ("2", "fleet=7, carrier=AA", 2)


async def test_wrong_tensors_are_refused_as_ever(models: dict[int, LoadedModel]) -> None:
    predictor = partitioned(models)
    for tensors in ({}, {"x": np.zeros((2, 1), np.float32), "z": np.zeros((3, 1), np.float32)}, {"x": np.float32(1)}):
        with pytest.raises(InvalidInput):
            await predictor.infer("times", None, {name: np.asarray(value) for name, value in tensors.items()})
    with pytest.raises(InvalidInput):  # as many rows as a request can claim without a byte for them
        await predictor.infer("times", None, {"x": np.zeros((1 << 40, 0), np.float32)})
    with pytest.raises(InvalidInput, match="entities: received 0"):
        await predictor.predict("times", None, [])


async def test_an_error_in_one_part_is_that_of_the_request(models: dict[int, LoadedModel]) -> None:
    def broken(tensors: object) -> list[np.ndarray]:
        raise RuntimeError("broken")

    predictor = partitioned({**models, 3: replace(models[3], run=broken)})
    with pytest.raises(RuntimeError, match="broken"):
        await predictor.predict("times", None, flights())
    assert predictor.measures.of("times", 3).failures == 1


async def test_answers_that_are_not_one_table_are_refused(models: dict[int, LoadedModel], tmp_path: Path) -> None:
    other = replace(load("mixed", 2, mixed_stored(tmp_path, join=None))[0], name="times")
    outputs = replace(models[2].signature, outputs=other.signature.outputs[:1])
    predictor = partitioned({**models, 2: replace(models[2], signature=outputs)})
    with pytest.raises(ModelError, match=r"fall to versions \[1, 2, 3\] of model 'times', whose outputs or features"):
        await predictor.predict("times", None, flights())


@pytest.fixture(scope="module")
def server(models: dict[int, LoadedModel]) -> Iterator[Addresses]:
    with running(partitioned(models)) as addresses:
        yield addresses


def test_clients_see_which_segment_answered(server: Addresses) -> None:
    keys = [{"carrier": carrier, "region": region} for carrier, region in ROWS]
    inputs = [{"x": 1.0}] * len(ROWS)
    with PredictionClient(server.grpc) as client:
        answer = client.predict("times", keys, inputs)
        assert [(one.arm, one.version) for one in answer.predictions] == list(zip(ARMS, [2, 3, 1, 2, 3], strict=True))
        assert [one.outputs["y"] for one in answer.predictions] == FACTORS
        placed = client.predict("times", [{}], [{"x": 1.0}], segment={"region": "EU"})
        assert (placed.arm, placed.predictions[0].arm, placed.predictions[0].version) == ("region=EU", "region=EU", 3)
    columns = {"carrier": [row[0] for row in ROWS], "region": [row[1] for row in ROWS], "x": [1.0] * len(ROWS)}
    with RowsClient(server.grpc) as rows:
        table = rows.predict("times", columns, keys=["carrier", "region"])
        assert (table.arms, table.outputs["y"]) == (ARMS, FACTORS)
        assert rows.predict("times", {"x": [1.0]}, segment={"carrier": "AA"}).arms == ["carrier=AA"]


def test_http_says_the_same(server: Addresses) -> None:
    with httpx.Client(base_url=f"http://{server.http}", trust_env=False) as http:
        entities = [{"keys": {"carrier": carrier, "region": region}, "inputs": {"x": 1.0}} for carrier, region in ROWS]
        answer = http.post("/predict", json={"model": "times", "entities": entities, "explain": True}).json()
        assert [(one["arm"], one["outputs"]["y"]) for one in answer["predictions"]] == list(
            zip(ARMS, FACTORS, strict=True)
        )
        tensor = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}
        body = {"inputs": [tensor], "parameters": {"carrier": "AA"}}
        inferred = http.post("/v2/models/times/infer", json=body).json()
        assert (inferred["model_version"], inferred["parameters"]) == ("2", {"arm": "carrier=AA"})
        described = http.get("/v2/models/times").json()
        assert described["segments"] == {"keys": ["carrier", "region"], "versions": {"carrier=AA": 2, "region=EU": 3}}
        placed = {"model": "times", "entities": [{"keys": {}, "inputs": {"x": 1.0}}], "segment": {"region": "EU"}}
        assert http.post("/predict", json=placed).json()["arm"] == "region=EU"


def test_metadata_tells_the_segments(models: dict[int, LoadedModel]) -> None:
    described = metadata(models[1], partitioned(models).snapshot.models["times"])
    assert (list(described.segments.keys), dict(described.segments.versions)) == (
        ["carrier", "region"],
        {"carrier=AA": 2, "region=EU": 3},
    )
    assert not metadata(models[1], Served(models[1], models)).HasField("segments")


class Partitioned(Hosted):
    """A host of a model whose segments change while version 1 stays live."""

    def set(self, **versions: int) -> None:
        segments = {f"carrier={carrier}": version for carrier, version in versions.items()}
        wanted = Deployment(
            model="m",
            live=1,
            previous=None,
            traffic=None,
            command_id="c",
            records=dict.fromkeys(range(1, 9), self.record),
            segments=Segments(("carrier",), segments) if segments else None,
        )
        self.host.converge("m", wanted)

    @property
    def segments(self) -> Mapping[str, int] | None:
        found = self.predictor.snapshot.models["m"].segments
        return None if found is None else found.versions


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> ModelRecord:
    return times_stored(tmp_path_factory.mktemp("model"), 2.0)


def test_a_server_holds_the_versions_of_the_segments_and_drops_them_once_nothing_asks_for_them(
    record: ModelRecord,
) -> None:
    hosted = Partitioned(record)
    hosted.set(AA=2, UA=3)
    assert (hosted.serving, hosted.segments) == ((1, [1, 2, 3]), {"carrier=AA": 2, "carrier=UA": 3})
    held_while_loading: list[list[int]] = []
    load_before = hosted.load

    def load_and_look(name: str, version: int, given: ModelRecord, room: int) -> tuple[LoadedModel, dict[str, float]]:
        held_while_loading.append(sorted(hosted.predictor.snapshot.models["m"].versions))
        return load_before(name, version, given, room)

    hosted.host._loader = load_and_look
    hosted.set(AA=4, UA=3)
    assert held_while_loading == [[1, 2, 3]], "the old version of a segment answers until the new one is there"
    assert (hosted.serving, hosted.segments) == ((1, [1, 3, 4]), {"carrier=AA": 4, "carrier=UA": 3})
    hosted.set()
    assert (hosted.serving, hosted.segments) == ((1, [1]), None)


def test_a_version_that_cannot_be_loaded_leaves_its_segment_to_the_next(record: ModelRecord) -> None:
    hosted = Partitioned(record, broken=[2])
    hosted.set(AA=2)
    assert (hosted.serving, hosted.segments) == ((1, [1]), {"carrier=AA": 2})
    hosted.broken.clear()
    hosted.set(AA=2, UA=2)
    assert hosted.serving == (1, [1, 2]), "setting segments asks for another try"
