"""Predictions by rows of columns and over a stream, through a real listener."""

from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import pyarrow as pa
import pytest

from bighead.client.proto.prediction_pb2 import (
    Column,
    Columns,
    PredictRequest,
    PredictRowsRequest,
    PredictRowsResponse,
    PredictStreamRequest,
    PredictStreamResponse,
)
from bighead.client.proto.value_pb2 import FeatureStatus
from bighead.inference.loading import load
from tests.unit.serving.fakes import NOW_MS, FakeLog, FakeReader, predictor_of
from tests.unit.serving.models import every_stored, mixed_stored, times_stored
from tests.unit.serving.running import running

LOG = FakeLog()
READER = FakeReader()


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    folder = tmp_path_factory.mktemp("models")
    records = {"times": times_stored(folder, 2.0), "mixed": mixed_stored(folder), "every": every_stored(folder)}
    models = [load(name, 1, record)[0] for name, record in records.items()]
    options = [("grpc.max_receive_message_length", -1)]
    with (
        running(predictor_of(*models, reader=READER, log=LOG)) as addresses,
        grpc.insecure_channel(addresses.grpc, options) as channel,
    ):
        yield channel


def ask(channel: grpc.Channel, request: PredictRowsRequest) -> PredictRowsResponse:
    call: Any = channel.unary_unary(
        "/bighead.v1.Prediction/PredictRows", PredictRowsRequest.SerializeToString, PredictRowsResponse.FromString
    )
    answer: PredictRowsResponse = call(request, timeout=30)
    return answer


def refusal(channel: grpc.Channel, request: PredictRowsRequest) -> str:
    with pytest.raises(grpc.RpcError) as refused:
        ask(channel, request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return str(refused.value.details())


def doubles(name: str, *values: float, nulls: Sequence[int] = ()) -> Column:
    return Column(name=name, doubles=Column.Doubles(values=values), nulls=nulls)


def integers(name: str, *values: int) -> Column:
    return Column(name=name, integers=Column.Integers(values=values))


def strings(name: str, *values: str) -> Column:
    return Column(name=name, strings=Column.Strings(values=values))


def booleans(name: str, *values: bool) -> Column:
    return Column(name=name, booleans=Column.Booleans(values=values))


def arrow(**columns: Any) -> bytes:
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    content: bytes = sink.getvalue().to_pybytes()
    return content


# Every kind of column; the carrier is the join's key and an input of the model as well.
MIXED = [
    strings("carrier", "UA", "AA", "UA"),
    booleans("is_late", True, False, True),
    integers("hour", 1, 2, 3),
]
ROLES: dict[str, Any] = {"keys": ["carrier"], "inputs": ["carrier", "is_late", "hour"]}


def test_typed_columns(channel: grpc.Channel) -> None:
    answer = ask(channel, PredictRowsRequest(model="mixed", columns=Columns(columns=MIXED), explain=True, **ROLES))
    assert (answer.model, answer.version, answer.arm, answer.as_of_ms) == ("mixed", 1, "live", NOW_MS)
    assert dict(answer.feature_epochs) == {"g": 1}
    assert set(answer.latency_us) == {"features", "model", "total"}
    assert len(set(answer.prediction_ids)) == 3
    assert "live" in answer.explanation
    outputs = {column.name: column for column in answer.columns.columns}
    assert list(outputs["score"].doubles.values) == [7.5, 7.5, 9.5]
    assert list(outputs["both[1]"].doubles.values) == [2.5] * 3
    assert list(outputs["label"].strings.values) == ["UA", "AA", "UA"]
    statuses = {column.name: [FeatureStatus.Name(one) for one in column.statuses] for column in answer.features}
    assert statuses == {"delay": ["OK"] * 3, "flights": ["OK"] * 3, "unused": ["EMPTY"] * 3}
    logged = LOG.answers[-1]
    assert [entity.keys for entity in logged.entities] == [{"carrier": "UA"}, {"carrier": "AA"}, {"carrier": "UA"}]
    assert logged.ids == list(answer.prediction_ids)


def test_an_arrow_stream_of_several_batches_is_answered_in_arrow(channel: grpc.Channel) -> None:
    carriers = pa.array(["UA", "AA", "UA"]).dictionary_encode()
    content = arrow(carrier=carriers, is_late=[True, False, True], hour=pa.array([1, 2, 3], pa.int16()))
    answer = ask(channel, PredictRowsRequest(model="mixed", arrow=content, **ROLES))
    with pa.ipc.open_stream(answer.arrow) as reader:
        table = reader.read_all().to_pydict()
    assert table["prediction_id"] == list(answer.prediction_ids)
    assert (table["score"], table["label"]) == ([7.5, 7.5, 9.5], ["UA", "AA", "UA"])


def test_a_null_is_nan_and_what_stands_in_its_place_is_ignored(channel: grpc.Channel) -> None:
    columns = Columns(columns=[doubles("x", 1.0, 5.0, nulls=[1])])
    values = ask(channel, PredictRowsRequest(model="times", columns=columns)).columns.columns[0].doubles.values
    assert values[0] == 2.0
    assert values[1] != values[1]


def test_ten_thousand_rows_and_not_one_more(channel: grpc.Channel) -> None:
    many = PredictRowsRequest(model="times", columns=Columns(columns=[doubles("x", *range(10_000))]))
    assert ask(channel, many).columns.columns[0].doubles.values[9_999] == 2.0 * 9_999
    assert ask(channel, PredictRowsRequest(model="times", arrow=arrow(x=[0.5] * 10_000))).arrow
    more = PredictRowsRequest(model="times", arrow=arrow(x=[0.5] * 10_001))
    assert refusal(channel, more) == "rows: received 10001; expected 1 to 10000"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (PredictRowsRequest(), "rows: received 0"),
        (PredictRowsRequest(columns=Columns(columns=[doubles("x")])), "rows: received 0"),
        (PredictRowsRequest(columns=Columns(columns=[Column(name="x")])), "column 'x': received no values"),
        (
            PredictRowsRequest(columns=Columns(columns=[doubles("x", 1), doubles("y", 1, 2)])),
            "column 'y': received 2 rows; expected 1",
        ),
        (PredictRowsRequest(columns=Columns(columns=[doubles("x", 1), doubles("x", 1)])), "column 'x': received twice"),
        (PredictRowsRequest(columns=Columns(columns=[doubles("x", 1, nulls=[1])])), "received row 1 as null"),
        (PredictRowsRequest(columns=Columns(columns=[strings("x", "a")])), "column 'x': received 'a' (str)"),
        (PredictRowsRequest(columns=Columns(columns=[doubles("z", 1)])), "column 'x': received nothing"),
        (
            PredictRowsRequest(columns=Columns(columns=[doubles("x", 1)]), keys=["id"]),
            "keys: received 'id', which is no column",
        ),
        (PredictRowsRequest(arrow=b"no arrow"), "arrow: received 8 bytes that are no Arrow IPC stream"),
        (PredictRowsRequest(arrow=arrow(x=[1.0, 2.0])[:-40]), "no Arrow IPC stream"),
        (PredictRowsRequest(arrow=arrow(x=[[1.0]])), "column 'x': received Arrow type list"),
        (PredictRowsRequest(arrow=arrow(x=[None])), "rows"),
        (PredictRowsRequest(arrow=arrow(x=pa.array([], pa.float64()))), "rows: received 0"),
    ],
)
def test_what_is_no_table_is_named(channel: grpc.Channel, request_: PredictRowsRequest, expected: str) -> None:
    request_.model = "times"
    if expected == "rows":  # a column of nulls is one: NaN
        assert ask(channel, request_).arrow
        return
    assert expected in refusal(channel, request_)


def test_a_stream_answers_in_order_and_goes_on_after_a_refusal(channel: grpc.Channel) -> None:
    entities = PredictRequest(model="times")
    entities.entities.add().inputs["x"].double_value = 3
    rows = PredictRowsRequest(model="times", columns=Columns(columns=[doubles("x", 4.0)]))
    sent = [
        PredictStreamRequest(id="a", entities=entities),
        PredictStreamRequest(id="b", entities=PredictRequest(model="none", entities=[{}])),
        PredictStreamRequest(id="c"),
        PredictStreamRequest(id="d", rows=rows),
    ]
    raw = [request.SerializeToString() for request in sent]
    call: Any = channel.stream_stream("/bighead.v1.Prediction/PredictStream")
    a, b, c, bytes_, d = [
        PredictStreamResponse.FromString(one) for one in call(iter([*raw[:3], b"\xff\xff", raw[3]]), timeout=30)
    ]
    assert [one.id for one in (a, b, c, bytes_, d)] == ["a", "b", "c", "", "d"]
    assert a.entities.predictions[0].outputs["y"].double_value == 6.0
    assert (b.refusal.status, b.refusal.message[:15]) == (grpc.StatusCode.NOT_FOUND.value[0], "no model 'none'")
    assert not b.refusal.HasField("retry_after_ms")
    assert c.refusal.status == bytes_.refusal.status == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert list(d.rows.columns.columns[0].doubles.values) == [8.0]


def test_the_model_of_every_type_takes_tensors_only(channel: grpc.Channel) -> None:
    request = PredictRowsRequest(model="every", columns=Columns(columns=[doubles("in_fp64", 1.0)]))
    assert "send tensors with ModelInfer" in refusal(channel, request)
