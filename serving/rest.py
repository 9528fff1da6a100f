"""REST: `/predict`, `/explain` and `/features` by entity keys, and the HTTP form of the Open Inference Protocol.

Translates only; errors take their HTTP codes from the table that gRPC uses.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, StrictBool, StrictFloat, StrictInt, StrictStr
from starlette.exceptions import HTTPException

from bighead.errors import BigheadError, InvalidInput
from serving import rest_inference
from serving.answers import Answer, Entity
from serving.codes import code, details
from serving.explaining import PERMUTATIONS
from serving.http_body import Bounded, Json, problems
from serving.metrics_page import CONTENT_TYPE
from serving.observed_http import ObservedRequests
from serving.observing import REQUEST_ID, shown
from serving.predictor import Predictor
from serving.snapshot import Wanted

_log = logging.getLogger(__name__)
Scalar = StrictBool | StrictInt | StrictFloat | StrictStr | None


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EntityBody(_Body):
    """Whom a prediction is about: the keys of the model's join, and the columns that only the caller knows."""

    keys: dict[str, Scalar]
    inputs: dict[str, Scalar] = {}


class PredictBody(_Body):
    """A request for predictions. No version or label: what the traffic says. No as_of_ms: now.

    segment: values that say in which segment of a partitioned model the entities are, where keys and inputs do not.
    """

    model: StrictStr
    version: StrictInt | None = None
    label: StrictStr | None = None
    explain: StrictBool = False
    entities: list[EntityBody]
    as_of_ms: StrictInt | None = None
    segment: dict[str, Scalar] = {}


class ExplainBody(_Body):
    """A request for what each input adds to the answers. What it shares with one for predictions is the same there."""

    model: StrictStr
    version: StrictInt | None = None
    label: StrictStr | None = None
    entities: list[EntityBody]
    permutations: StrictInt = PERMUTATIONS
    as_of_ms: StrictInt | None = None
    segment: dict[str, Scalar] = {}


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


def build(predictor: Predictor, metrics: Callable[[], bytes] | None = None) -> FastAPI:
    """The application; `metrics` writes the page for Prometheus."""
    app = FastAPI(title="bighead model server", default_response_class=Json)
    app.add_middleware(Bounded)
    if predictor.observer:
        app.add_middleware(ObservedRequests, observer=predictor.observer)
    app.add_exception_handler(BigheadError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _unknown)
    app.add_exception_handler(Exception, _failed)

    @app.get("/health")
    async def ready() -> Response:
        is_ready = predictor.snapshot.ready
        return Json({"ready": is_ready}, status_code=200 if is_ready else 503)

    @app.post("/predict")
    async def predict(body: PredictBody) -> Response:
        given = body.segment.get
        answer = await predictor.predict(body.model, _wanted(body), _entities(body), body.as_of_ms, given=given)
        return Json(_predictions(answer, body.explain))

    @app.post("/explain")
    async def explain(body: ExplainBody) -> Response:
        given = body.segment.get
        explained = await predictor.explain(
            body.model, _wanted(body), _entities(body), body.permutations, body.as_of_ms, given=given
        )
        return Json(asdict(explained))

    @app.post("/features", response_model=FeaturesAnswer, tags=["features"])
    async def features(body: FeaturesBody) -> Response:
        """The columns of a join for some entities, all as of the same time."""
        as_of_ms, rows = await predictor.features(body.join, body.entities, body.as_of_ms)
        vectors = [{"values": row.values, "statuses": row.statuses} for row in rows]
        epochs = rows[0].epochs
        return Json({"join": body.join, "as_of_ms": as_of_ms, "feature_epochs": epochs, "vectors": vectors})

    if metrics is not None:

        @app.get("/metrics")
        async def page() -> Response:
            return Response(metrics(), media_type=CONTENT_TYPE)

    rest_inference.add(app, predictor)
    return app


def _wanted(body: PredictBody | ExplainBody) -> Wanted:
    if body.version is not None and body.label is not None:
        raise InvalidInput(f"received version {body.version} and label {body.label!r}; expected one of them")
    return body.version if body.version is not None else body.label


def _entities(body: PredictBody | ExplainBody) -> list[Entity]:
    return [Entity(entity.keys, entity.inputs) for entity in body.entities]


def _predictions(answer: Answer, explain: bool) -> dict[str, object]:
    explained: dict[str, object] = {"explanation": answer.why} if explain else {}
    return explained | {
        "model": answer.model,
        "version": answer.version,
        "arm": answer.arm,
        "feature_epochs": answer.feature_epochs,
        "as_of_ms": answer.as_of_ms,
        "predictions": [
            _origin(answer, place)
            | {"prediction_id": prediction_id, "outputs": outputs, "features": row.values, "statuses": row.statuses}
            for place, (prediction_id, outputs, row) in enumerate(
                zip(answer.ids, answer.outputs, answer.features, strict=True)
            )
        ],
        "latency_us": answer.latency_us,
    }


def _origin(answer: Answer, place: int) -> dict[str, object]:
    """The version and segment of a prediction, where the entities fell to several."""
    return {"version": answer.versions[place], "arm": answer.arms[place]} if answer.versions else {}


async def _refused(request: Request, error: Exception) -> Response:
    row = code(error) if isinstance(error, BigheadError) else code(BigheadError())
    hint = {} if row.retry_after_ms is None else {"retry-after": str(-(-row.retry_after_ms // 1000))}
    return Json({"error": details(str(error))}, row.http, hint)


async def _unknown(request: Request, error: Exception) -> Response:
    http, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    return Json({"error": details(f"{request.method} {request.url.path}: {detail}")}, http)


async def _malformed(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else ()
    return await _refused(request, InvalidInput(problems(found, skip=1)))


async def _failed(request: Request, error: Exception) -> Response:
    """The last resort: a bug, which the server that calls this logs with its trace, and this with who asked."""
    given = request.headers.get(REQUEST_ID)
    extra = {"request_id": shown(given)} if given else None
    _log.error("%s %s failed: %s", request.method, shown(request.url.path), type(error).__name__, extra=extra)
    return Json({"error": f"{request.method} {request.url.path} failed: {type(error).__name__}; see the log"}, 500)
