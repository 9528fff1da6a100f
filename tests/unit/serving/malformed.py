"""Requests that are wrong in every way we can think of, from seeds: valid ones with something changed.

`python -m tests.unit.serving.malformed COUNT` sends as many to a server of its own and fails on what must not be.
"""

import copy
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import psutil
import pyarrow as pa
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from bighead.client.proto import features_pb2, inference_pb2, prediction_pb2
from tests.unit.serving.elsewhere import elsewhere
from tests.unit.serving.models import EVERY

ALLOWED_GRPC = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "DEADLINE_EXCEEDED"}
ALLOWED_HTTP = {200, 400, 404, 405, 413, 504}
INFERENCE, PREDICTION = "/inference.GRPCInferenceService", "/bighead.v1.Prediction"
NUMBERS = [-1, 0, 1, 2, 7, 255, 256, 1 << 16, 1 << 31, (1 << 31) - 1, 1 << 32, 1 << 62, (1 << 63) - 1, -(1 << 63)]
TEXTS = [
    "",
    "x",
    "times",
    "mixed",
    "every",
    "1",
    "-1",
    "\0",
    "\U0001f600" * 400,
    "x" * 70_000,
    "BYTES",
    "FP32",
    "INT64",
    "BF16",
]
FLOATS = [0.0, -0.0, float("nan"), float("inf"), float("-inf"), 1e300, -1e-300]
JSON_VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1 << 70,
    1.5,
    float("nan"),
    "",
    "\ud800",
    "x" * 70_000,
    [],
    [[]],
    {},
    {"a": 1},
]


class Http(NamedTuple):
    """A request over HTTP."""

    path: str
    content: bytes
    headers: dict[str, str]


class Seen(NamedTuple):
    """What came of many requests: the codes, what was not allowed, and the server's memory early and late, in bytes."""

    codes: Counter[str]
    wrong: list[str]
    early: int
    late: int


def unary() -> dict[str, list[Message]]:
    """Valid requests by method."""
    rows = prediction_pb2.PredictRowsRequest(model="times")
    rows.columns.columns.add(name="x").doubles.values.extend([1.0, 2.0])
    arrow = prediction_pb2.PredictRowsRequest(model="times", arrow=arrow_stream())
    features = features_pb2.GetFeaturesRequest(join="flight")
    features.entities.add().keys["carrier"].string_value = "UA"
    metadata = inference_pb2.ModelMetadataRequest(name="times", version="1")
    explanation = prediction_pb2.ExplainRequest(model="mixed", entities=mixed().entities, permutations=4)
    return {
        f"{INFERENCE}/ModelInfer": [every(typed=False), every(typed=True), times()],
        f"{INFERENCE}/ModelMetadata": [metadata],
        f"{INFERENCE}/ModelConfig": [metadata],
        f"{INFERENCE}/ModelReady": [metadata],
        f"{PREDICTION}/Predict": [mixed()],
        f"{PREDICTION}/Explain": [explanation],
        f"{PREDICTION}/PredictRows": [rows, arrow, arrow],
        "/bighead.v1.Features/GetFeatures": [features],
    }


def streams() -> dict[str, Message]:
    """Valid requests of streams, by method."""
    request = prediction_pb2.PredictStreamRequest(id="1", entities=mixed())
    return {f"{INFERENCE}/ModelStreamInfer": times(), f"{PREDICTION}/PredictStream": request}


def times() -> inference_pb2.ModelInferRequest:
    request = inference_pb2.ModelInferRequest(model_name="times", id="1", raw_input_contents=[b"1234" * 2])
    request.inputs.add(name="x", datatype="FP32", shape=[2, 1])
    request.outputs.add(name="y")
    request.parameters["timeout"].int64_param = 10_000_000
    return request


def every(*, typed: bool) -> inference_pb2.ModelInferRequest:
    request = inference_pb2.ModelInferRequest(model_name="every", model_version="1")
    fields = {"BOOL": "bool", "INT64": "int64", "UINT64": "uint64", "FP32": "fp32", "FP64": "fp64", "BYTES": "bytes"}
    sizes = {"BOOL": 1, "FP16": 2, "FP32": 4, "FP64": 8}
    for datatype, (_, values) in EVERY.items():
        tensor = request.inputs.add(name=f"in_{datatype.lower()}", datatype=datatype, shape=[1, 2])
        size = sizes.get(datatype) or (int(datatype.lstrip("UINT")) // 8 if datatype != "BYTES" else 0)
        if not typed:
            request.raw_input_contents.append(b"\1" * 2 * size if size else b"\1\0\0\0a\2\0\0\0bc")
        elif datatype != "FP16":
            kind = fields.get(datatype, "uint" if datatype.startswith("U") else "int")
            plain = [value.encode() if isinstance(value, str) else value for value in values]
            getattr(tensor.contents, f"{kind}_contents").extend(plain)
    return request


def mixed() -> prediction_pb2.PredictRequest:
    request = prediction_pb2.PredictRequest(model="mixed")
    entity = request.entities.add()
    entity.keys["carrier"].string_value = entity.inputs["carrier"].string_value = "UA"
    entity.inputs["is_late"].bool_value, entity.inputs["hour"].int64_value = True, 7
    return request


def arrow_stream() -> bytes:
    table = pa.table({"x": [1.0, 2.0, None], "id": pa.array(["a", "b", "a"]).dictionary_encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def http() -> list[Http]:
    """Valid requests over HTTP: JSON, JSON with bytes behind it, and by entity."""
    tensor: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [2, 1]}
    flat = {"id": "1", "inputs": [tensor | {"data": [1.0, 2.0]}], "outputs": [{"name": "y"}]}
    header = {"inputs": [tensor | {"parameters": {"binary_data_size": 8}}], "parameters": {"binary_data_output": True}}
    start = json.dumps(header).encode()
    keys = {"carrier": "UA"}
    entity = {"model": "mixed", "entities": [{"keys": keys, "inputs": {**keys, "is_late": True, "hour": 7}}]}
    as_json = {"content-type": "application/json"}
    return [
        Http("/v2/models/times/infer", json.dumps(flat).encode(), as_json),
        Http("/v2/models/times/infer", start + b"12341234", {"inference-header-content-length": str(len(start))}),
        Http("/predict", json.dumps(entity).encode(), as_json),
        Http("/features", json.dumps({"join": "flight", "entities": [keys]}).encode(), as_json),
    ]


def spoiled(chance: random.Random, request: Message) -> bytes:
    """A request with one to three things wrong with its fields, or with its bytes."""
    if chance.random() < 0.35:
        return cut(chance, request.SerializeToString())
    changed = copy.deepcopy(request)
    for _ in range(chance.randint(1, 3)):
        _change(chance, chance.choice(list(_messages(changed))))
    return changed.SerializeToString()


def cut(chance: random.Random, content: bytes) -> bytes:
    """Bytes with one to four of them flipped, lost, repeated or made up."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at, size = chance.randrange(len(changed) + 1), chance.choice([1, 2, 8, 40])
        match chance.randrange(5):
            case 0:
                del changed[at:]
            case 1:
                del changed[at : at + size]
            case 2:
                changed[at:at] = chance.randbytes(size)
            case 3:
                changed[at:at] = changed[at : at + size]
            case _ if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _messages(message: Message) -> Iterator[Message]:
    """A message and all that it holds."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            yield from (one for one in value.values() if isinstance(one, Message))
        else:
            for one in value if field.is_repeated else [value]:
                yield from _messages(one)


def _change(chance: random.Random, message: Message) -> None:
    field: Any = chance.choice(message.DESCRIPTOR.fields) if message.DESCRIPTOR.fields else None
    if field is None:
        return
    if field.message_type is not None or chance.random() < 0.15:
        _reshape(chance, message, field)
        return
    value = _value(chance, field, message)
    if not field.is_repeated:
        setattr(message, field.name, value)
        return
    held = getattr(message, field.name)
    match chance.randrange(4):
        case 0 if held:
            held[chance.randrange(len(held))] = value
        case 1 if held:
            held.pop()
        case 2:
            large = isinstance(value, str | bytes) and len(value) > 1000
            held.extend([value] * chance.choice([1, 2] if large else [1, 2, 40, 3000]))
        case _:
            held.append(value)


def _reshape(chance: random.Random, message: Message, field: Any) -> None:
    """Clears a field, or repeats one of its messages."""
    held = getattr(message, field.name)
    if field.message_type is None or not field.is_repeated or field.message_type.GetOptions().map_entry or not held:
        message.ClearField(field.name)
        return
    if chance.random() < 0.5:
        held.add().CopyFrom(chance.choice(held))
    else:
        del held[chance.randrange(len(held))]


def _value(chance: random.Random, field: Any, message: Message) -> Any:
    kind = FieldDescriptor
    match field.cpp_type:
        case kind.CPPTYPE_STRING if field.type == kind.TYPE_BYTES:
            held = getattr(message, field.name)
            before = (chance.choice(held) if held else b"") if field.is_repeated else held
            return cut(chance, before) if chance.random() < 0.7 else chance.randbytes(chance.choice([0, 1, 8, 9]))
        case kind.CPPTYPE_STRING:
            return chance.choice(TEXTS)
        case kind.CPPTYPE_DOUBLE | kind.CPPTYPE_FLOAT:
            return chance.choice(FLOATS)
        case kind.CPPTYPE_BOOL:
            return chance.random() < 0.5
    bits = 32 if field.cpp_type in (kind.CPPTYPE_INT32, kind.CPPTYPE_UINT32) else 64
    signed = field.cpp_type in (kind.CPPTYPE_INT32, kind.CPPTYPE_INT64)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return chance.choice([number for number in NUMBERS if low <= number <= high])


def spoiled_http(chance: random.Random, request: Http) -> Http:
    """A request over HTTP with something wrong with its JSON, its bytes or its headers."""
    headers = dict(request.headers)
    length = int(headers.get("inference-header-content-length", len(request.content)))
    match chance.randrange(4):
        case 0:
            return request._replace(content=cut(chance, request.content))
        case 1:
            values = ["-1", "0", "7", str(length + 1), "1" * 30, "x"]
            headers["inference-header-content-length"] = chance.choice(values)
            headers |= {"content-encoding": "gzip"} if chance.random() < 0.3 else {}
            return request._replace(headers=headers)
        case 2 if request.path.startswith("/v2"):
            path = chance.choice(["times/versions/9", "none", "%ff", "times/versions/%F0%9F%98%80", "mixed"])
            return request._replace(path=f"/v2/models/{path}/infer")
    body = json.loads(request.content[:length])
    _replace_one(chance, body)
    start = json.dumps(body).encode()
    if length != len(request.content):
        headers["inference-header-content-length"] = str(len(start))
    return Http(request.path, start + request.content[length:], headers)


def _replace_one(chance: random.Random, node: Any) -> None:
    while True:
        place: Any = chance.choice(list(node)) if isinstance(node, dict) else chance.randrange(len(node))
        below = node[place]
        if not isinstance(below, dict | list) or not below or chance.random() < 0.3:
            break
        node = below
    match chance.randrange(4):
        case 0 if isinstance(node, dict):
            del node[place]
        case 1 if isinstance(node, list):
            node.append(copy.deepcopy(node[place]))
        case _:
            node[place] = chance.choice(JSON_VALUES)


UNARY, STREAMS, HTTP = unary(), streams(), http()


def run(folder: Path, count: int, seed: int = 1) -> Seen:
    """Sends so many requests, a fifth of them over HTTP; the server is asked something valid in between."""
    codes: Counter[str] = Counter()
    wrong: list[str] = []
    memory: list[int] = []
    with (
        elsewhere(folder) as (addresses, pid),
        grpc.insecure_channel(addresses.grpc) as channel,
        httpx.Client(base_url=f"http://{addresses.http}", timeout=30) as client,
    ):
        for number in range(count):
            chance = random.Random(seed * 1_000_000 + number)
            send = over_http if number % 5 == 0 else over_stream if number % 17 == 0 else over_grpc
            found, allowed = send(chance, client, channel)
            codes[found] += 1
            if not allowed:
                wrong.append(f"request {number} of seed {seed}: {found}")
            if number % (count // 10) == 0:
                memory.append(_memory(pid))
        memory.append(_memory(pid))
        if _grpc(channel, f"{INFERENCE}/ModelInfer", times().SerializeToString())[0] != "OK":
            wrong.append("a valid request after all of them was refused")
    return Seen(codes, wrong, memory[3], memory[-1])


def over_grpc(chance: random.Random, client: httpx.Client, channel: grpc.Channel) -> tuple[str, bool]:
    method, requests = chance.choice(list(UNARY.items()))
    code, details = _grpc(channel, method, spoiled(chance, chance.choice(requests)))
    return (code, True) if code in ALLOWED_GRPC and (details or code == "OK") else (f"{method} {code} {details}", False)


def over_stream(chance: random.Random, client: httpx.Client, channel: grpc.Channel) -> tuple[str, bool]:
    method, request = chance.choice(list(STREAMS.items()))
    raw = [spoiled(chance, request), spoiled(chance, request), request.SerializeToString()]
    call: Any = channel.stream_stream(method)
    try:
        answers = list(call(iter(raw), timeout=30))
    except grpc.RpcError as error:
        return f"{method} {error.code().name} {error.details()}", False
    bad = b"see the server's log"
    return "OK", len(answers) == 3 and not any(bad in answer for answer in answers)


def over_http(chance: random.Random, client: httpx.Client, channel: grpc.Channel) -> tuple[str, bool]:
    request = spoiled_http(chance, chance.choice(HTTP))
    try:
        answer = client.post(request.path, content=request.content, headers=request.headers)
    except httpx.RemoteProtocolError as error:
        return f"{request} {error}", False
    code = answer.status_code
    told = code == 200 or b"error" in answer.content
    return (str(code), True) if code in ALLOWED_HTTP and told else (f"{request} {code} {answer.text}", False)


def _grpc(channel: grpc.Channel, method: str, request: bytes) -> tuple[str, str]:
    call: Any = channel.unary_unary(method)
    try:
        call(request, timeout=30)
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""


def _memory(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        seen = run(Path(place), int(sys.argv[1]))
    print(dict(seen.codes.most_common(12)), f"memory {seen.early >> 20} -> {seen.late >> 20} MiB", sep="\n")
    print(*seen.wrong[:20], sep="\n")
    sys.exit(bool(seen.wrong))
