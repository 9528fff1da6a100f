"""REST: `/predict` and `/features` by entity keys, and the JSON form of the Open Inference Protocol.

Translates only; errors take their HTTP codes from the table that gRPC uses.
"""

import json
import math
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from starlette.exceptions import HTTPException

from bighead.errors import BigheadError, InvalidInput
from serving import messages
from serving.codes import code
from serving.predictor import Answer, Entity, Inference, Predictor
from serving.signature import Column
from serving.tensors import Array, from_json

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr | None
Size = Annotated[StrictInt, Field(ge=0, lt=1 << 62)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EntityBody(_Body):
    """Whom a prediction is about: the keys of the model's join, and the columns that only the caller knows."""

    keys: dict[str, Scalar]
    inputs: dict[str, Scalar] = {}


class PredictBody(_Body):
    """A request for predictions. No version or label: what the traffic says. No as_of_ms: now."""

    model: StrictStr
    version: StrictInt | None = None
    label: StrictStr | None = None
    explain: StrictBool = False
    entities: list[EntityBody]
    as_of_ms: StrictInt | None = None


class FeaturesBody(_Body):
    """A request for the features of up to 1,000 entities by the keys of a join. No as_of_ms: now."""

    join: StrictStr
    entities: list[dict[str, Scalar]]
    as_of_ms: StrictInt | None = None


class VectorBody(BaseModel):
    """The features of one entity. A status is OK, EMPTY, STALE or ERROR; a list or map is an array or object."""

    values: dict[str, Any]
    statuses: dict[str, str]


class FeaturesAnswer(BaseModel):
    """The features of the entities, in their order, and the generation of each group that was read."""

    join: str
    as_of_ms: int
    feature_epochs: dict[str, int]
    vectors: list[VectorBody]


class TensorBody(BaseModel):
    """An input tensor, its data nested or flat."""

    name: StrictStr
    shape: list[Size]
    datatype: StrictStr
    data: list[Any]


class OutputBody(BaseModel):
    """An output that is asked for."""

    name: StrictStr


class InferBody(BaseModel):
    """An inference request of the Open Inference Protocol."""

    id: StrictStr | None = None
    parameters: dict[str, Any] = {}
    inputs: list[TensorBody]
    outputs: list[OutputBody] = []


class Json(JSONResponse):
    """JSON in which NaN and infinities, which JSON does not have, are null."""

    def render(self, content: object) -> bytes:
        try:
            return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
        except ValueError:
            return json.dumps(_finite(content), separators=(",", ":")).encode()


def build(predictor: Predictor) -> FastAPI:
    """The application."""
    app = FastAPI(title="bighead model server", default_response_class=Json)
    app.add_exception_handler(BigheadError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _unknown)

    @app.get("/health")
    @app.get("/v2/health/ready")
    def ready() -> Response:
        is_ready = predictor.snapshot.ready
        return Json({"ready": is_ready}, status_code=200 if is_ready else 503)

    @app.get("/v2/health/live")
    def live() -> Response:
        return Json({"live": True})

    @app.post("/predict")
    async def predict(body: PredictBody) -> Response:
        entities = [Entity(entity.keys, entity.inputs) for entity in body.entities]
        if body.version is not None and body.label is not None:
            raise InvalidInput(f"received version {body.version} and label {body.label!r}; expected one of them")
        wanted = body.version if body.version is not None else body.label
        return Json(_predictions(await predictor.predict(body.model, wanted, entities, body.as_of_ms), body.explain))

    @app.post("/features", response_model=FeaturesAnswer, tags=["features"])
    async def features(body: FeaturesBody) -> Response:
        """The columns of a join for some entities, all as of the same time."""
        as_of_ms, rows = await predictor.features(body.join, body.entities, body.as_of_ms)
        vectors = [{"values": row.values, "statuses": row.statuses} for row in rows]
        epochs = rows[0].epochs
        return Json({"join": body.join, "as_of_ms": as_of_ms, "feature_epochs": epochs, "vectors": vectors})

    _add_inference(app, predictor)
    return app


def _add_inference(app: FastAPI, predictor: Predictor) -> None:
    @app.get("/v2/models/{model}")
    @app.get("/v2/models/{model}/versions/{version}")
    def metadata(model: str, version: str = "") -> Response:
        snapshot = predictor.snapshot
        loaded = snapshot.version(model, messages.wanted_of(version))
        return Json(
            {
                "name": loaded.name,
                "versions": [str(number) for number in sorted(snapshot.models[model].versions)],
                "platform": messages.PLATFORM,
                "inputs": [_tensor(column) for column in loaded.signature.inputs],
                "outputs": [_tensor(column) for column in loaded.signature.outputs],
            }
        )

    @app.get("/v2/models/{model}/ready")
    @app.get("/v2/models/{model}/versions/{version}/ready")
    def ready(model: str, version: str = "") -> Response:
        is_ready = messages.is_ready(predictor.snapshot, model, version)
        return Json({"name": model, "ready": is_ready}, status_code=200 if is_ready else 503)

    @app.post("/v2/models/{model}/infer")
    @app.post("/v2/models/{model}/versions/{version}/infer")
    async def infer(model: str, body: InferBody, version: str = "") -> Response:
        tensors: dict[str, Array] = {}
        for item in body.inputs:
            if item.name in tensors:
                raise InvalidInput(f"input {item.name!r}: received twice; expected once")
            tensors[item.name] = from_json(item.name, item.datatype, item.shape, item.data)
        answer = await predictor.infer(model, messages.wanted_of(version), tensors, unit=_unit(body))
        return Json(_inferred(answer, body))


def _predictions(answer: Answer, explain: bool) -> dict[str, object]:
    explained: dict[str, object] = {"explanation": answer.why} if explain else {}
    return explained | {
        "model": answer.model,
        "version": answer.version,
        "arm": answer.arm,
        "feature_epochs": answer.feature_epochs,
        "as_of_ms": answer.as_of_ms,
        "predictions": [
            {"prediction_id": prediction_id, "outputs": outputs, "features": row.values, "statuses": row.statuses}
            for prediction_id, outputs, row in zip(answer.ids, answer.outputs, answer.features, strict=True)
        ],
        "latency_us": answer.latency_us,
    }


def _inferred(answer: Inference, body: InferBody) -> dict[str, object]:
    model = answer.model
    chosen = messages.chosen_outputs(model, [output.name for output in body.outputs])
    outputs = [
        {
            "name": model.signature.outputs[index].name,
            "datatype": model.signature.outputs[index].datatype,
            "shape": list(answer.outputs[index].shape),
            "data": answer.outputs[index].ravel().tolist(),
        }
        for index in chosen
    ]
    response: dict[str, object] = {"id": body.id} if body.id is not None else {}
    return response | {
        "model_name": model.name,
        "model_version": str(model.version),
        "parameters": {"arm": answer.arm},
        "outputs": outputs,
    }


def _unit(body: InferBody) -> str | None:
    unit = body.parameters.get("unit")
    return str(unit) if unit is not None else body.id


def _tensor(column: Column) -> dict[str, object]:
    return {"name": column.name, "datatype": column.datatype, "shape": list(column.shape)}


async def _refused(request: Request, error: Exception) -> Response:
    http = code(error).http if isinstance(error, BigheadError) else 500
    return Json({"error": str(error)}, status_code=http)


async def _unknown(request: Request, error: Exception) -> Response:
    http, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    return Json({"error": f"{request.method} {request.url.path}: {detail}"}, status_code=http)


async def _malformed(request: Request, error: Exception) -> Response:
    problems = error.errors() if isinstance(error, RequestValidationError) else ()
    return await _refused(request, InvalidInput("; ".join(map(_problem, problems[:3]))))


def _problem(found: dict[str, Any]) -> str:
    if isinstance(found.get("input"), bytes):
        return "body: received bytes of another type; expected JSON, sent with content-type: application/json"
    place = ".".join(str(part) for part in found["loc"][1:]) or "body"
    received = repr(found.get("input"))
    return f"{place}: received {received if len(received) <= 60 else received[:57] + '...'}; {found['msg']}"


def _finite(value: object) -> object:
    match value:
        case dict():
            return {name: _finite(item) for name, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case float() if not math.isfinite(value):
            return None
    return value
