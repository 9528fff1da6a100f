"""The HTTP form of the Open Inference Protocol: JSON, and tensors as bytes behind it (its binary data extension).

Translates only, as the gRPC form does.
"""

from collections.abc import Mapping
from importlib.metadata import version as package_version
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, StrictInt, StrictStr, ValidationError

from bighead.client.proto import inference_pb2 as pb
from bighead.errors import InvalidInput
from bighead.inference.datatypes import Array
from bighead.inference.signature import Column
from bighead.registry.state import Segments
from serving import messages
from serving.answers import Inference
from serving.http_body import Json, as_json, problems, unpacked
from serving.observing import identify
from serving.predictor import Predictor
from serving.tensors import check_name, from_json, from_raw, to_raw

JSON_LENGTH = "inference-header-content-length"
"""The header that says where the JSON of a body ends and the bytes of its tensors begin."""
BINARY_SIZE = "binary_data_size"

Size = Annotated[StrictInt, Field(ge=0, lt=1 << 62)]
Parameters = dict[str, Any]


class TensorBody(BaseModel):
    """An input tensor: its data nested or flat, or the parameter binary_data_size for bytes behind the JSON."""

    name: StrictStr
    shape: list[Size]
    datatype: StrictStr
    parameters: Parameters = {}
    data: list[Any] | None = None


class OutputBody(BaseModel):
    """An output that is asked for; its parameter binary_data asks for bytes."""

    name: StrictStr
    parameters: Parameters = {}


class InferBody(BaseModel):
    """An inference request. The parameter binary_data_output asks for all outputs as bytes."""

    id: StrictStr | None = None
    parameters: Parameters = {}
    inputs: list[TensorBody]
    outputs: list[OutputBody] = []


def add(app: FastAPI, predictor: Predictor) -> None:
    """Adds the paths below /v2."""
    _add_server(app, predictor)
    _add_models(app, predictor)

    @app.post("/v2/models/{model}/infer")
    @app.post("/v2/models/{model}/versions/{version}/infer")
    async def infer(model: str, request: Request, version: str = "") -> Response:
        content = unpacked(await request.body(), request.headers.get("content-encoding"))
        body, binary = _parsed(content, request.headers.get(JSON_LENGTH))
        identify(body.id)
        timeout = body.parameters.get("timeout")
        deadline_s = None if timeout is None else messages.sooner(timeout, None)
        wanted = messages.wanted_of(version)
        tensors = _tensors(body, binary)
        answer = await predictor.infer(model, wanted, tensors, deadline_s, _unit(body), body.parameters.get)
        return _answered(answer, body)


def _add_server(app: FastAPI, predictor: Predictor) -> None:
    server = {"name": "bighead", "version": package_version("bighead"), "extensions": messages.EXTENSIONS}

    @app.get("/v2")
    async def metadata() -> Response:
        return Json(server)

    @app.get("/v2/health/live")
    async def live() -> Response:
        return Json({"live": True})

    @app.get("/v2/health/ready")
    async def ready() -> Response:
        is_ready = predictor.snapshot.ready
        return Json({"ready": is_ready}, status_code=200 if is_ready else 503)

    @app.post("/v2/repository/index")
    async def index() -> Response:
        models = messages.index(predictor.snapshot).models
        return Json([{"name": model.name, "version": model.version, "state": model.state} for model in models])


def _add_models(app: FastAPI, predictor: Predictor) -> None:
    @app.get("/v2/models/stats")  # before the model of that name, as stock clients have it
    @app.get("/v2/models/{model}/stats")
    @app.get("/v2/models/{model}/versions/{version}/stats")
    async def statistics(model: str = "", version: str = "") -> Response:
        found = messages.statistics(predictor.snapshot, predictor.measures, model, version)
        return Json({"model_stats": [_counted(one) for one in found]})

    @app.get("/v2/models/{model}")
    @app.get("/v2/models/{model}/versions/{version}")
    async def metadata(model: str, version: str = "") -> Response:
        snapshot = predictor.snapshot
        loaded = snapshot.version(model, messages.wanted_of(version))
        served = snapshot.models[model]
        return Json(
            _segments(served.segments)
            | {
                "name": loaded.name,
                "versions": [str(number) for number in sorted(served.versions)],
                "platform": messages.PLATFORM,
                "inputs": [_tensor(column) for column in loaded.signature.inputs],
                "outputs": [_tensor(column) for column in loaded.signature.outputs],
            }
        )

    @app.get("/v2/models/{model}/ready")
    @app.get("/v2/models/{model}/versions/{version}/ready")
    async def ready(model: str, version: str = "") -> Response:
        """404 or 503 where it is not."""
        predictor.snapshot.version(model, messages.wanted_of(version))
        return Json({"name": model, "ready": True})

    @app.get("/v2/models/{model}/config")
    @app.get("/v2/models/{model}/versions/{version}/config")
    async def config(model: str, version: str = "") -> Response:
        return Json(_config(messages.config(predictor.snapshot.version(model, messages.wanted_of(version)))))


def _parsed(content: bytes, length: str | None) -> tuple[InferBody, memoryview]:
    """The JSON of a body, and what follows it."""
    end = len(content)
    if length is not None:
        if not (length.isascii() and length.isdigit() and len(length) < 19 and int(length) <= len(content)):
            raise InvalidInput(
                f"{JSON_LENGTH}: received {length[:60]!r}; expected the length of the JSON, 0 to {len(content)} bytes"
            )
        end = int(length)
    try:
        return InferBody.model_validate_json(content[:end]), memoryview(content)[end:]
    except ValidationError as error:
        raise InvalidInput(problems(error.errors(include_url=False), skip=0)) from error


def _tensors(body: InferBody, binary: memoryview) -> dict[str, Array]:
    found: dict[str, Array] = {}
    at = 0
    for tensor in body.inputs:
        check_name(tensor.name, found)
        messages.check_parameters(f"input {tensor.name!r}", tensor.parameters)
        size = tensor.parameters.get(BINARY_SIZE)
        if size is None:
            found[tensor.name] = from_json(tensor.name, tensor.datatype, tensor.shape, _data(tensor))
            continue
        found[tensor.name] = from_raw(tensor.name, tensor.datatype, tensor.shape, _slice(tensor, binary, at, size))
        at += size
    if at != len(binary):
        raise InvalidInput(f"body: received {len(binary)} bytes behind the JSON; the inputs' {BINARY_SIZE} make {at}")
    return found


def _data(tensor: TensorBody) -> list[Any]:
    if tensor.data is None:
        raise InvalidInput(f"input {tensor.name!r}: received no data; expected data or the parameter {BINARY_SIZE}")
    return tensor.data


def _slice(tensor: TensorBody, binary: memoryview, at: int, size: object) -> bytes:
    if tensor.data is not None:
        raise InvalidInput(f"input {tensor.name!r}: received data beside {BINARY_SIZE}; expected one of them")
    left = len(binary) - at
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= left:
        raise InvalidInput(
            f"input {tensor.name!r}: received {BINARY_SIZE} {str(size)[:60]}; expected 0 to {left}, which are left"
        )
    return bytes(binary[at : at + size])


def _answered(answer: Inference, body: InferBody) -> Response:
    """JSON; behind it the outputs that were asked for as bytes."""
    model, asked = answer.model, {output.name: output.parameters for output in body.outputs}
    for name, parameters in asked.items():
        messages.check_parameters(f"output {name[:60]!r}", parameters)
    outputs: list[dict[str, object]] = []
    parts: list[bytes] = []
    for place in messages.chosen_outputs(model, [output.name for output in body.outputs]):
        column, array = model.signature.outputs[place], answer.outputs[place]
        output: dict[str, object] = {"name": column.name, "datatype": column.datatype, "shape": list(array.shape)}
        if _binary(body.parameters, asked.get(column.name, {})):
            parts.append(to_raw(array))
            output["parameters"] = {BINARY_SIZE: len(parts[-1])}
        else:
            output["data"] = array.ravel().tolist()
        outputs.append(output)
    response: dict[str, object] = {"id": body.id} if body.id is not None else {}
    header = as_json(
        response
        | {
            "model_name": model.name,
            "model_version": answer.versions,
            "parameters": {"arm": answer.arm} | ({"segments": answer.segments} if answer.parts else {}),
            "outputs": outputs,
        }
    )
    if not parts:
        return Response(header, media_type="application/json")
    lengths = {JSON_LENGTH: str(len(header))}
    return Response(b"".join([header, *parts]), headers=lengths, media_type="application/octet-stream")


def _binary(request: Mapping[str, Any], output: Mapping[str, Any]) -> bool:
    return output.get("binary_data", request.get("binary_data_output", False)) is True


def _unit(body: InferBody) -> str | None:
    unit = body.parameters.get("unit")
    return str(unit) if unit is not None else body.id


def _tensor(column: Column) -> dict[str, object]:
    return {"name": column.name, "datatype": column.datatype, "shape": list(column.shape)}


def _segments(segments: Segments | None) -> dict[str, object]:
    if segments is None:
        return {}
    return {"segments": {"keys": list(segments.keys), "versions": dict(segments.versions)}}


def _config(config: pb.ModelConfig) -> dict[str, object]:
    return {
        "name": config.name,
        "platform": config.platform,
        "backend": config.backend,
        "max_batch_size": config.max_batch_size,
        "input": [_configured(one) for one in config.input],
        "output": [_configured(one) for one in config.output],
    }


def _counted(stats: pb.ModelStatistics) -> dict[str, object]:
    inferences = stats.inference_stats
    return {
        "name": stats.name,
        "version": stats.version,
        "inference_count": stats.inference_count,
        "execution_count": stats.execution_count,
        "inference_stats": {
            "success": {"count": inferences.success.count, "ns": inferences.success.ns},
            "fail": {"count": inferences.fail.count, "ns": inferences.fail.ns},
        },
    }


def _configured(side: pb.ModelInput | pb.ModelOutput) -> dict[str, object]:
    return {"name": side.name, "data_type": pb.DataType.Name(side.data_type), "dims": list(side.dims)}
