"""A listener of one process alone, for those that share their ports: is it ready, and what has it counted.

Answers nothing else: no model can be reached, so it asks for no token and is not encrypted.
"""

from collections.abc import Callable

from fastapi import FastAPI
from fastapi.responses import Response

from serving.http_body import Json
from serving.metrics_page import CONTENT_TYPE


def build(is_ready: Callable[[], bool], metrics: Callable[[], bytes]) -> FastAPI:
    """The application; is_ready: whether this process answers on the ports that it shares."""
    app = FastAPI(title="bighead model server, one process", default_response_class=Json, openapi_url=None)

    @app.get("/health")
    async def ready() -> Response:
        return Json({"ready": is_ready()}, status_code=200 if is_ready() else 503)

    @app.get("/metrics")
    async def page() -> Response:
        return Response(metrics(), media_type=CONTENT_TYPE)

    return app
